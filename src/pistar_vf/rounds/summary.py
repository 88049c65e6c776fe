"""How the rounds compare: what each added, what its gate said, and how far its labels are those of the one before."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from rich.table import Table
from scipy.stats import binomtest

from pistar_vf.foreign_files import read_text
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.returns import Outcome
from pistar_vf.rounds.record import LABELLED, REPORT, RoundRecord, RoundResult

_UNKNOWN = "unknown"


def measure_round(
    folder: Path, num_earlier: int, outcomes: Iterable[Outcome | None], previous: Path | None
) -> RoundResult:
    """What came of a round whose labels are written.

    Args:
        folder: of the round.
        num_earlier: episodes of the rounds before, which are the first ones of its data.
        outcomes: of every episode, in the order of the data.
        previous: folder of the round before; None for the first.
    """
    labelled, report = load_lerobot(folder / LABELLED), json.loads(read_text(folder / REPORT / "report.json"))
    first_new = sum(episode.length for episode in labelled.episodes[:num_earlier])
    words = labelled.read_column("adv_ind")
    positive = words == "positive"
    at_end = report["auc"][-1][1] if report["auc"] else None
    return RoundResult(
        new_outcomes=dict(Counter(str(outcome or _UNKNOWN) for outcome in list(outcomes)[num_earlier:])),
        num_episodes=len(labelled.episodes),
        verdict=report["verdict"],
        auc=at_end,
        positive_new=float(positive[first_new:].mean()),
        positive=float(positive.mean()),
        agreement=None if previous is None else _agreement(words[:first_new], load_lerobot(previous / LABELLED)),
        models=tuple(model["sha256"] for model in report["facts"]["checkpoints"]),
    )


def _agreement(words: np.ndarray, previous: LeRobotDataset) -> float:
    return float((words == previous.read_column("adv_ind")).mean())


def success_rate(result: RoundResult) -> tuple[float, float, float]:
    """Share of successes among a round's own episodes, and its 95 % interval (Wilson); NaN without episodes."""
    successes, count = result.new_outcomes.get(Outcome.SUCCESS, 0), sum(result.new_outcomes.values())
    if count == 0:
        return float("nan"), float("nan"), float("nan")
    interval = binomtest(successes, count).proportion_ci(method="wilson")
    return successes / count, float(interval.low), float(interval.high)


def round_table(records: Sequence[RoundRecord]) -> Table:
    """A row per finished round."""
    table = Table("round", "policy", "new", "successes of the new ones", "gate", "AUC", "positive", "same labels")
    for record in records:
        if record.result is not None:
            table.add_row(str(record.number), record.policy or "—", *_cells(record.result))
    return table


def _cells(result: RoundResult) -> tuple[str, ...]:
    rate, low, high = success_rate(result)
    return (
        f"{sum(result.new_outcomes.values())} of {result.num_episodes}",
        f"{rate:.0%} ({low:.0%} … {high:.0%})",
        result.verdict,
        "—" if result.auc is None else f"{result.auc:.3f}",
        f"{result.positive_new:.1%} of new frames, {result.positive:.1%} of all",
        "—" if result.agreement is None else f"{result.agreement:.1%}",
    )
