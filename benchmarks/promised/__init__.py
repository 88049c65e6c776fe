"""What the two published documents promise, as data, and what it takes to see whether it holds; see `documents.py`."""
