"""Relabelling: speed, and peak memory against the number of episodes. Figures: docs/results.md.

    python benchmarks/relabel.py OUTPUT_DIR [--episodes 40 160 640]

Synthetic datasets, an untrained model of the `tiny` preset, nothing decoded beforehand; each size in a process of its
own. Then the same settings once more (values are kept), with another N.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from recording import record

from pistar_vf.curation.labelled_copy import write_labelled_copy
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.recipes.presets import PRESETS
from pistar_vf.recipes.run import run_training
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.run import run_relabel
from pistar_vf.testing.demo_dataset import write_demo_dataset


def write_rollouts(folder: Path, num_episodes: int) -> Path:
    raw = load_lerobot(write_demo_dataset(folder / f"raw_{num_episodes}", num_episodes=num_episodes, image_size=56))
    outcomes = read_outcomes(raw, outcome_column="outcome")
    return write_labelled_copy(raw, folder / f"{num_episodes}", outcomes, timeout_as="failure", progress=False)


def measure(folder: Path, data_dir: Path, lookahead: int) -> dict[str, float]:
    settings = RelabelConfig.of(
        data_dir=str(data_dir),
        checkpoint_dir=(folder / "model",),
        lookahead=lookahead,
        dry_run=True,
        cache_dir=folder / "cache",
        report_dir=folder / "report",
    )
    started = time.perf_counter()
    frames = len(run_relabel(settings, progress=False).labels.code)
    seconds = time.perf_counter() - started
    peak = peak_mib()
    return {"frames": frames, "seconds": seconds, "frames_per_second": frames / seconds, "peak_mib": peak}


def peak_mib() -> float:
    """Of this process alone, without its decoding processes; getrusage would remember the parent's peak, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--episodes", type=int, nargs="+", default=[40, 160, 640])
    parser.add_argument("--measure", nargs=2, help="internal: a dataset and N, in this process")
    parser.add_argument("--record", action="store_true", help="write results/relabel.json")
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.folder, Path(args.measure[0]), int(args.measure[1]))))
        return
    args.folder.mkdir(parents=True)
    datasets = [write_rollouts(args.folder, count) for count in args.episodes]
    config = PRESETS["tiny"].replace(num_train_steps=1, val_interval=0, cache_dir=args.folder / "training")
    run_training(config.replace(data_dir=str(datasets[0]), checkpoint_dir=args.folder / "model"))
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in ("first", "again")}
    for lookahead, when in ((10, "first"), (5, "again")):
        for data_dir in datasets:
            command = [sys.executable, __file__, str(args.folder), "--measure", str(data_dir), str(lookahead)]
            run = subprocess.run(command, capture_output=True, text=True)
            result = run.stdout.strip().splitlines()[-1] if run.returncode == 0 else run.stderr[-2000:]
            print(f"{data_dir.name:>6} episodes, N = {lookahead:<3} {result}", flush=True)
            if run.returncode == 0:
                found[when][data_dir.name] = json.loads(result)
    if args.record:
        record("relabel", found)


if __name__ == "__main__":
    main()
