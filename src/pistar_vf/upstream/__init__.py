"""Everything that is done as pistar-world does it: its checkpoints and its labels."""
