"""Values of a running robot: a monitor over a stream of frames, and a server that robot clients can ask."""
