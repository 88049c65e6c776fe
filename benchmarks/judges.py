"""How good has V to be? Labels by other judges than a model of pictures, and the policies that are told them.

`metaworld.py` makes the episodes and the policies; this command puts other judges in V's place: trees that see the
simulator's state, and true progress with more and more noise. See docs/metaworld.md.

python benchmarks/judges.py --output_dir outputs/metaworld --record judges
"""

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.append(sys.path.pop(0))  # to the end: metaworld.py beside this file would hide the package of its name

import tyro  # noqa: I001 - the order of a path that was changed

from recording import record
from simulated import labels
from simulated.benchmark import Args, Episodes
from simulated.judged import judged
from simulated.judges import JUDGES, paper_units


@dataclasses.dataclass(frozen=True)
class JudgeArgs:
    """Labels by other judges."""

    output_dir: Path
    """That of `metaworld.py`, whose episodes are used where they are there."""
    task: str = "pick-place-v3"
    """Whose policies are let loose."""
    lookaheads: tuple[int, ...] = (20, 50)
    """N, frames, of the labels."""
    seeds: int = 8
    """Policies of each labelling."""
    rollouts: int = 50
    """Starts of each policy."""
    judges: tuple[str, ...] = tuple(JUDGES)
    """Only these."""
    record: str | None = None
    """Also write the figures to benchmarks/results, under this name."""


def main(args: JudgeArgs) -> int:
    """Prints a line for each judge as it is done."""
    episodes = Episodes(Args(args.output_dir, seeds=args.seeds, rollouts=args.rollouts))
    facts = {name: _judge(args, episodes, name) for name in args.judges}
    print(f"result: {args.output_dir}")
    if args.record is not None:
        keyed = {re.sub(r"\W+", "_", name).strip("_").lower(): own for name, own in facts.items()}
        record(args.record, {"settings": {"seeds": args.seeds, "rollouts": args.rollouts}, **keyed})
    return 0


def _judge(args: JudgeArgs, episodes: Episodes, name: str) -> dict[str, Any]:
    """The quality of a judge, of its labels, and of the policies that were told them."""
    truth = episodes.truth["train"]
    normaliser, units = paper_units(truth)
    rollouts = labels.rollouts_of(truth, units)
    return judged(episodes, rollouts, name, JUDGES[name](truth, rollouts, normaliser), args.task, args.lookaheads)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(JudgeArgs, use_underscores=True)))
