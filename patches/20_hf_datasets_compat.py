"""Imported for its effects, of which there are none: what the fork kept here was never published."""
