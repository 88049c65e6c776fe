"""How every episode of a dataset ended, read from one source that the caller names; never guessed."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.returns import Outcome

_WORDS = {
    **dict.fromkeys(("success", "true", "1", "1.0"), Outcome.SUCCESS),
    **dict.fromkeys(("failure", "false", "0", "0.0"), Outcome.FAILURE),
    "timeout": Outcome.TIMEOUT,
}
_WANTED = "one of success, failure, timeout, true, false, 1, 0"


def read_outcomes(
    dataset: LeRobotDataset,
    *,
    outcome: Literal["success", "failure"] | None = None,
    outcome_column: str | None = None,
    outcome_file: str | Path | None = None,
) -> dict[int, Outcome]:
    """The outcome of every episode, from exactly one of three sources.

    Args:
        dataset: whose episodes are asked about.
        outcome: the same outcome for all of them.
        outcome_column: a key of the lines of `episodes.jsonl`, or a column of the tables. Of a column of flags the
            last row of an episode decides; a column of words must say the same in every row of an episode.
        outcome_file: JSON `{"0": "success", ...}`, JSONL `{"episode_index": 0, "outcome": "success"}` or CSV with
            the header `episode_index,outcome`.

    Returns:
        Episode index to outcome, for all episodes.

    Raises:
        ConfigError: none or several sources are given.
        LabelError: the source is missing or unreadable, or lacks an episode.
    """
    given = [source for source in (outcome, outcome_column, outcome_file) if source is not None]
    if len(given) != 1:
        raise ConfigError(
            f"expected exactly one of outcome, outcome_column and outcome_file, got {len(given)}; "
            "say once how the episodes ended, it is never guessed"
        )
    if outcome is not None:
        return {episode.index: Outcome(outcome) for episode in dataset.episodes}
    if outcome_file is not None:
        return _checked(dataset, _from_file(Path(outcome_file)), str(outcome_file))
    if any(outcome_column in episode.metadata for episode in dataset.episodes):
        found = {e.index: e.metadata[outcome_column] for e in dataset.episodes if outcome_column in e.metadata}
        return _checked(dataset, found, f"the key '{outcome_column}' of {dataset.root / 'meta' / 'episodes.jsonl'}")
    return _checked(dataset, _from_column(dataset, outcome_column), f"the column '{outcome_column}' of {dataset.root}")


def _from_column(dataset: LeRobotDataset, column: str) -> dict[int, Any]:
    if column not in dataset.columns:
        raise LabelError(
            f"expected '{column}' in {dataset.root / 'meta' / 'episodes.jsonl'} or in the tables, "
            f"got the columns {sorted(dataset.columns)}; name the one that holds the outcome"
        )
    values = dataset.read_column(column)
    rows = {e.index: values[e.start : e.start + e.length].reshape(-1) for e in dataset.episodes}
    if values.dtype.kind in "OU":
        changing = [index for index, words in rows.items() if len(np.unique(words.astype(str))) > 1]
        if changing:
            raise LabelError(
                f"column '{column}' of {dataset.root}: expected the same word in all rows of an episode, got several "
                f"in {_episodes(changing)}; write the outcome of the whole episode into every row"
            )
    return {index: words.tolist()[-1] for index, words in rows.items()}


def _from_file(path: Path) -> dict[int, Any]:
    """Episode index to whatever the file says; an episode named twice is refused."""
    readers = {".json": _json_pairs, ".jsonl": _jsonl_pairs, ".csv": _csv_pairs}
    if path.suffix not in readers:
        raise LabelError(f"outcome file {path}: expected a name ending in .json, .jsonl or .csv")
    if not path.is_file():
        raise LabelError(f"outcome file {path}: no such file")
    try:
        pairs = [(int(index), word) for index, word in readers[path.suffix](path.read_text(encoding="utf-8"))]
    except (ValueError, KeyError, TypeError) as error:
        raise LabelError(
            f"outcome file {path}: expected episodes and outcomes, as {{'0': 'success'}} (.json), "
            f"{{'episode_index': 0, 'outcome': 'success'}} per line (.jsonl) or episode_index,outcome (.csv), "
            f"got something else ({type(error).__name__}: {error})"
        ) from error
    found: dict[int, Any] = {}
    for index, word in pairs:
        if index in found:
            raise LabelError(f"outcome file {path}: episode {index} appears twice; keep one of the lines")
        found[index] = word
    return found


def _json_pairs(text: str) -> Any:
    # The hook sees a key that appears twice, which a dict would hide; whatever is no pair fails at the caller.
    return json.loads(text, object_pairs_hook=list)


def _jsonl_pairs(text: str) -> Iterable[tuple[Any, Any]]:
    lines = [json.loads(line) for line in text.splitlines() if line.strip()]
    return [(line["episode_index"], line["outcome"]) for line in lines]


def _csv_pairs(text: str) -> Iterable[tuple[Any, Any]]:
    return [(row["episode_index"], row["outcome"]) for row in csv.DictReader(text.splitlines())]


def _checked(dataset: LeRobotDataset, found: Mapping[int, Any], where: str) -> dict[int, Outcome]:
    """Turns words into outcomes and insists on one for every episode of the dataset and for no other."""
    wanted = [episode.index for episode in dataset.episodes]
    if missing := [index for index in wanted if index not in found]:
        raise LabelError(f"{where}: expected an outcome for every episode, got none for {_episodes(missing)}; add them")
    if unknown := sorted(set(found) - set(wanted)):
        raise LabelError(
            f"{where}: expected the episodes of {dataset.root}, got {_episodes(unknown)}, which it does not have; "
            "is this the right file?"
        )
    outcomes = {index: _WORDS.get(str(found[index]).strip().lower()) for index in wanted}
    if unreadable := [index for index in wanted if outcomes[index] is None]:
        raise LabelError(
            f"{where}: expected {_WANTED}, got {found[unreadable[0]]!r} for episode {unreadable[0]} "
            f"(unreadable: {_episodes(unreadable)})"
        )
    return {index: outcome for index, outcome in outcomes.items() if outcome is not None}


def _episodes(indices: list[int], show: int = 10) -> str:
    """`episodes 3, 7 and 12 more`: enough to find them, short enough to read."""
    more = f" and {len(indices) - show} more" if len(indices) > show else ""
    return f"episode{'s' if len(indices) > 1 else ''} {', '.join(map(str, indices[:show]))}{more}"
