"""Part `starting`: from the command line to the first step of a small run, with kept programs and without."""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pistar_vf.curation.labelled_copy import write_labelled_copy
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.testing.demo_dataset import write_demo_dataset

_COMMAND = "import sys; from pistar_vf.cli.main import main; sys.exit(main(sys.argv[1:]))"
_FLAGS = "--preset tiny --num_train_steps 1 --val_interval 0 --log_interval 1 --batch_size 16"


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=3)


def measure(rounds: int) -> dict[str, Any]:
    """Seconds of one-step runs of `--preset tiny` on a dataset whose frames are cached; the last save is in them."""
    found: dict[str, list[dict[str, float]]] = {"kept programs": [], "compiled anew": [], "imports alone": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw = load_lerobot(write_demo_dataset(folder / "raw", num_episodes=6, image_size=56))
        outcomes = read_outcomes(raw, outcome_column="outcome")
        data = write_labelled_copy(raw, folder / "labelled", outcomes, timeout_as="failure", progress=False)
        places = ["--data_dir", str(data), "--cache_dir", str(folder / "cache")]
        _run(folder / "first", places)  # decodes and compiles
        for number in range(rounds):
            found["kept programs"].append(_run(folder / f"kept_{number}", places))
            found["compiled anew"].append(_run(folder / f"anew_{number}", places, JAX_ENABLE_COMPILATION_CACHE="0"))
            found["imports alone"].append(_timed([sys.executable, "-c", "import pistar_vf.recipes.run"], {})[1])
            print({name: runs[-1] for name, runs in found.items()}, flush=True)
    best = {
        name: {kind: min(run[kind] for run in runs) for kind in runs[0] if kind != "load"}
        for name, runs in found.items()
    }
    return {"rounds": found, "best": best, "load": os.getloadavg()[0]}


def _run(folder: Path, places: list[str], **environment: str) -> dict[str, float]:
    words = [sys.executable, "-c", _COMMAND, "train", *places, "--checkpoint_dir", str(folder), *_FLAGS.split()]
    output, times = _timed(words, environment)
    record = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    compiled = re.search(r"compiled in ([\d.]+) s", output)
    return {**times, "compile_seconds": float(compiled[1]) if compiled else 0.0, "loss": record["loss"]}


def _timed(words: list[str], environment: dict[str, str]) -> tuple[str, dict[str, float]]:
    env = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run = subprocess.run(words, env={**env, **environment}, capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stdout + run.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return run.stdout + run.stderr, {"processor_seconds": processor, "clock_seconds": time.perf_counter() - started}
