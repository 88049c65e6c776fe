"""The Hugging Face hub: addresses, files that are missing here, its client, and which commit a file here is of."""
