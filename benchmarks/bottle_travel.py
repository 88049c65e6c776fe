#!/usr/bin/env python3
"""Which way the bottle goes in each episode of the G1 dataset: its height in the picture, first and last.

A value function sees one frame. Where an object starts and ends in the same two places, but in some episodes the other
way round, the same picture is the beginning of one episode and the end of another.

    python benchmarks/bottle_travel.py ../shared/data/g1_bottle_v21
"""

import argparse

import numpy as np
from recording import record

from pistar_vf.frames.cache import open_frame_cache
from pistar_vf.lerobot.dataset import load_lerobot

SIZE = 120
NUM_FRAMES = 10
"""At either end of an episode."""
NEARER = 0.1
"""Share of the picture's height by which the bottle has to come nearer to count."""


def height_in_picture(frames: np.ndarray) -> float:
    """Mean vertical position of what is orange, 0 at the top (far) and 1 at the bottom (near); [n, h, w, 3]."""
    red, blue = frames[..., 0].astype(int), frames[..., 2].astype(int)
    _, rows, _ = np.nonzero((red - blue > 80) & (red > 120))
    return float((rows + 0.5).mean()) / frames.shape[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir")
    parser.add_argument("--record", action="store_true", help="write results/bottle_travel.json")
    args = parser.parse_args()
    dataset = load_lerobot(args.data_dir)
    frames = open_frame_cache(dataset, dataset.camera_keys[0], size=SIZE, fit="stretch")
    odd: list[str] = []
    ways: dict[str, list[int]] = {"away": [], "nearer": [], "aside": []}
    print("episode  first   last  the bottle goes")
    for episode in dataset.episodes:
        own = frames[episode.start : episode.start + episode.length]
        first, last = height_in_picture(own[:NUM_FRAMES]), height_in_picture(own[-NUM_FRAMES:])
        way = "away" if last < first - NEARER else "nearer" if last > first + NEARER else "aside"
        print(f"{episode.index:7d}  {first:5.2f}  {last:5.2f}  {way}")
        ways[way].append(episode.index)
        if way != "away":
            odd.append(str(episode.index))
    print(f"not away, {len(odd)} of {len(dataset.episodes)}: {','.join(odd)}")
    if args.record:
        figures = {"episodes": len(dataset.episodes), "frames": dataset.num_frames, "num_away": len(ways["away"])}
        record("bottle_travel", {**figures, **{way: ", ".join(map(str, own)) for way, own in ways.items()}})


if __name__ == "__main__":
    main()
