"""LeRobot datasets, v2.1 and v3.0 through one reader: tables, columns, episodes, cameras, metadata, statistics."""
