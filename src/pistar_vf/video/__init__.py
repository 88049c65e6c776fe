"""Clips of pictures: decoding them, and joining or cutting them packet by packet."""
