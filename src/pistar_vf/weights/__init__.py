"""Weights of others, in and out: where they are, whose leaf is whose, strict loading, export."""
