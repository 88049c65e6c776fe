"""The value model: vision tower, language model, fusion, heads and adapters."""
