"""The documented smoke test at full size on this machine: seconds and memory. Figures: docs/results.md.

    python benchmarks/full_size.py OUTPUT_DIR [--record]     # 5 GB of disk, minutes

Five steps of `--preset pistar`, batch 4, on a synthetic dataset; random weights stand in for the bundle.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

from recording import record

from pistar_vf.curation.labelled_copy import write_labelled_copy
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.testing.demo_dataset import write_demo_dataset
from pistar_vf.tokenizer import train_prompt_tokenizer

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "train_value.py"
WORDS = "--batch_size 4 --num_train_steps 5 --save_interval 100 --val_interval 0 --log_interval 1 --wandb_mode disabled"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--record", action="store_true", help="write results/full_size.json")
    args = parser.parse_args()
    raw = load_lerobot(write_demo_dataset(args.folder / "raw", num_episodes=6))
    outcomes = read_outcomes(raw, outcome_column="outcome")
    labelled = write_labelled_copy(raw, args.folder / "labelled", outcomes, timeout_as="failure", progress=False)
    tokenizer = args.folder / "tokenizer.model"
    tokenizer.write_bytes(train_prompt_tokenizer(raw.prompts).model)
    places = ["--data_dir", labelled, "--checkpoint_dir", args.folder / "run", "--cache_dir", args.folder / "cache"]
    words = [*places, "--tokenizer_path", tokenizer, *WORDS.split(), "--allow_random_towers"]
    started = time.perf_counter()
    run = subprocess.run([sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if run.returncode:
        sys.exit(run.stdout + run.stderr)
    figures = {"seconds": seconds, **measured(run.stdout + run.stderr, args.folder / "run")}
    for name, value in figures.items():
        print(f"{name}: {value}")
    if args.record:
        record("full_size", figures)


def measured(output: str, folder: Path) -> dict[str, float]:
    """What the log, the run's own numbers and the checkpoint say; the first step is left out."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    rates = [record["samples_per_second"] for record in records if record["split"] == "train"][1:]
    compiled = re.search(r"compiled in ([\d.]+) s", output)
    checkpoint = folder / "step_00000005"
    return {
        "seconds_per_step": 4 * sum(1 / rate for rate in rates) / len(rates),
        "compile_seconds": float(compiled[1]) if compiled else float("nan"),
        "peak_gib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20,
        "checkpoint_gib": sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file()) / 2**30,
    }


if __name__ == "__main__":
    main()
