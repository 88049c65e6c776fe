"""Checkpoints of this library: the orbax tree, the files beside it, and what a checkpoint means."""
