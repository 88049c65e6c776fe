"""Builds a frame cache with one worker at 20 ms a frame, and logs who decodes what; run by test_frame_cache.py."""

import os
import signal
import sys
import time
from pathlib import Path

from pistar_vf.frames import episode_decoder
from pistar_vf.frames.cache import open_frame_cache
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.video import decoding

# A shell that starts the tests in the background has children ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT, CACHE_DIR, LOG = map(Path, sys.argv[1:])


def _slowly(path, **arguments):
    with LOG.open("a") as file:
        file.write(f"{os.getpid()} {path.stem}\n")
    for frame in decoding.decode_video(path, **arguments):
        time.sleep(0.02)
        yield frame


episode_decoder.decode_video = _slowly  # at module level: spawned processes run it too

if __name__ == "__main__":
    (camera,) = load_lerobot(ROOT).camera_keys
    open_frame_cache(load_lerobot(ROOT), camera, size=16, fit="pad", cache_dir=CACHE_DIR, num_workers=1, progress=False)
