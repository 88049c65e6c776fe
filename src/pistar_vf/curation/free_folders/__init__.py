"""`--parquet_dir` and `--video_root`: two folders read as one dataset, whoever wrote them and wherever they lie.

The folders of a LeRobot dataset are that dataset, or the part of it that they name. Other folders become a dataset of
version 2.1 in the cache: the tables with index columns and task numbers, metadata counted from them, and links to the
videos. Nothing is written into the folders themselves, and the rest of the library sees an ordinary dataset.
"""
