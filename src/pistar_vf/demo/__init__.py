"""The demonstrations: a synthetic robot, from nothing to labels."""
