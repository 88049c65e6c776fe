"""Hard faults tried on every command: kills, full disks, damaged files; see `reliability.py`."""
