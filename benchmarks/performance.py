"""How fast everything is, and against what. Figures: docs/performance.md.

    python benchmarks/performance.py PART [--record]

Each part compares in one run, in turn, so that whatever else the machine does meets all sides alike; the medians over
rounds are recorded as `results/performance_PART.json`. The parts that compare with PyTorch need `make oracles`.
"""

import argparse
import importlib
import json
import os
import signal

from recording import record

PARTS = {
    "model": "training step and V at full size, against the machine's peak and PyTorch; 12 GiB of memory",
    "loading": "shuffled frames from our caches and from LeRobot's dataset; wants an environment with lerobot",
    "compiling": "seconds to compile the full-size step, and the memory planned for it, in every freeze mode",
    "checkpoints": "size, saving and reading of full-size checkpoints; 15 GiB of disk",
    "accelerator": "training step and V at full size on a GPU, against its peak and PyTorch; wants one with 80 GB",
    "starting": "from the command line to the end of a run of one step",
}
"""Name, which is that of a module of `speed`, to what it measures."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS, help="; ".join(f"{name}: {text}" for name, text in PARTS.items()))
    parser.add_argument("--record", action="store_true", help="write the record")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # PyTorch's threads wait in sleep, not in a loop that counts
    args, rest = parser.parse_known_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both end with the last whole round
    signal.signal(signal.SIGINT, signal.default_int_handler)
    module = importlib.import_module(f"speed.{args.part}")
    own = argparse.ArgumentParser(prog=f"performance.py {args.part}")
    module.add_flags(own)
    figures = module.measure(**vars(own.parse_args(rest)))
    print(json.dumps(figures, indent=1))
    if args.record:
        record(f"performance_{args.part}", figures)


if __name__ == "__main__":
    main()
