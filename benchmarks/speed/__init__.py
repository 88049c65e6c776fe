"""What `performance.py` measures: one module per part, and what they share."""
