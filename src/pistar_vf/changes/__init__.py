"""Changes of a folder of files that happen whole or not at all: durable files, lock, journal, recovery, transaction.

Knows no LeRobot: what the files mean is decided above.
"""
