"""From files to batches of frames: decoder, frame cache, frame table, order, and the statistics of the robot state."""
