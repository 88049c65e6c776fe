"""How every episode of a dataset ended, read from one source that the caller names; never guessed."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pistar_vf.choices import OutcomeRule, RolloutSource, TimeoutAs
from pistar_vf.errors import ConfigError, DatasetError, LabelError
from pistar_vf.foreign_files import read_text, single_keys
from pistar_vf.labels.rollout_sources import outcomes_of_source
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.typed_values import whole_number
from pistar_vf.returns import Outcome
from pistar_vf.returns.outcome import counted_outcome
from pistar_vf.settings import Composed

_WORDS = {
    **dict.fromkeys(("success", "true", "1", "1.0"), Outcome.SUCCESS),
    **dict.fromkeys(("failure", "false", "0", "0.0"), Outcome.FAILURE),
    "timeout": Outcome.TIMEOUT,
    "fragment": Outcome.FRAGMENT,
}
_WANTED = "one of success, failure, timeout, fragment, true, false, 1, 0"


def read_outcomes(
    dataset: LeRobotDataset,
    *,
    outcome: Literal["success", "failure"] | None = None,
    outcome_column: str | None = None,
    outcome_file: str | Path | None = None,
    outcome_rule: OutcomeRule | None = None,
    source: RolloutSource | None = None,
    timeout_as: TimeoutAs = "bootstrap",
    labelled: bool = False,
) -> dict[int, Outcome]:
    """The outcome of every episode, from exactly one of three sources.

    Args:
        dataset: whose episodes are asked about.
        outcome: the same outcome for all of them.
        outcome_column: a key of the lines of `episodes.jsonl`, or a column of the tables. Of a column of flags the
            last row of an episode decides; a column of words must say the same in every row of an episode.
        outcome_rule: how a column of flags decides: "last", the last row of an episode, or "any" of its rows. Without
            it the two must agree.
        source: of rollouts whose outcome the program that recorded them defines, instead of the other sources:
            "lerobot_eval" (`next.success` anywhere is a success, the rest are time-outs), or "lerobot_dagger"
            (episodes are fragments, but for those merged in that say how they ended).
        outcome_file: JSON `{"0": "success", ...}`, JSONL `{"episode_index": 0, "outcome": "success"}` or CSV with
            the header `episode_index,outcome`.
        timeout_as: what a time-out counts as; "bootstrap" leaves it one.
        labelled: value labels that the dataset has are meant, see `outcomes_of_source`.

    Returns:
        Episode index to outcome, for all episodes.

    Raises:
        ConfigError: none or several sources are given.
        LabelError: the source is missing or unreadable, or lacks an episode.
    """
    given = [way for way in (outcome, outcome_column, outcome_file, source) if way is not None]
    if len(given) != 1:
        raise ConfigError(
            f"expected exactly one of outcome, outcome_column, outcome_file and source, got {len(given)}; "
            "say once how the episodes ended, it is never guessed"
        )
    if source is not None:
        found = outcomes_of_source(dataset, source, labelled=labelled)
    else:
        found = _read(dataset, outcome, outcome_column, outcome_file, outcome_rule)
    return {index: counted_outcome(ended, timeout_as) for index, ended in found.items()}


def _read(
    dataset: LeRobotDataset,
    outcome: str | None,
    outcome_column: str | None,
    outcome_file: str | Path | None,
    outcome_rule: OutcomeRule | None,
) -> dict[int, Outcome]:
    if outcome is not None:
        return {episode.index: Outcome(outcome) for episode in dataset.episodes}
    if outcome_file is not None:
        return _checked(dataset, _from_file(Path(outcome_file)), str(outcome_file))
    assert outcome_column is not None, "one way is given"
    if any(outcome_column in episode.metadata for episode in dataset.episodes):
        found = {e.index: e.metadata[outcome_column] for e in dataset.episodes if outcome_column in e.metadata}
        return _checked(dataset, found, f"the key '{outcome_column}' of {dataset.root}/{dataset.episodes_source}")
    return _checked(
        dataset, _from_column(dataset, outcome_column, outcome_rule), f"the column '{outcome_column}' of {dataset.root}"
    )


def outcomes_of_flags(dataset: LeRobotDataset, config: Any) -> dict[int, Outcome] | None:
    """The outcomes that the flags of a command that reads labels name; None where they name none.

    Args:
        dataset: whose episodes are asked about.
        config: settings that may have the names of `read_outcomes`' arguments.

    Raises:
        ConfigError: several sources are given, or a rule without a column.
        LabelError: the source is missing or unreadable, or lacks an episode.
    """
    flags = ("outcome", "outcome_column", "outcome_file", "source", "outcome_rule")
    values = config.flat() if isinstance(config, Composed) else vars(config)
    given = {name: values[name] for name in flags if values.get(name) is not None}
    if set(given) == {"outcome_rule"}:
        raise ConfigError("--outcome_rule: expected --outcome_column with it, got none; name the column of flags")
    # `pistar-vf label` asks later, where there is a time-out.
    timeout_as: TimeoutAs = values.get("timeout_as") or "bootstrap"
    return read_outcomes(dataset, **given, timeout_as=timeout_as, labelled=True) if given else None


def _from_column(dataset: LeRobotDataset, column: str, rule: OutcomeRule | None) -> dict[int, Any]:
    if column not in dataset.columns:
        raise LabelError(
            f"expected '{column}' in {dataset.root}/{dataset.episodes_source} or in the tables, "
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
    last = {index: flags[-1] for index, flags in rows.items()}
    highest = {index: flags.max() for index, flags in rows.items()}
    if rule is None and (off := [index for index in rows if bool(highest[index]) != bool(last[index])]):
        raise LabelError(
            f"column '{column}' of {dataset.root}: expected a flag that is still up in the last row of an episode, got "
            f"one that goes up and down again in {_episodes(off)}; say what counts with --outcome_rule any (a success "
            "as soon as it was up) or --outcome_rule last (only the last row)"
        )
    return {index: flag.item() for index, flag in (highest if rule == "any" else last).items()}


def _from_file(path: Path) -> dict[int, Any]:
    """Episode index to whatever the file says; an episode named twice is refused."""
    readers = {".json": _json_pairs, ".jsonl": _jsonl_pairs, ".csv": _csv_pairs}
    if path.suffix not in readers:
        raise LabelError(f"outcome file {path}: expected a name ending in .json, .jsonl or .csv")
    if not path.is_file():
        raise LabelError(f"outcome file {path}: no such file")
    try:
        where = f"outcome file {path}"
        pairs = [
            (whole_number(index, where, "episode_index", 0), word)
            for index, word in readers[path.suffix](read_text(path))
        ]
    except DatasetError as error:
        raise LabelError(str(error)) from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
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
    lines = [json.loads(line, object_pairs_hook=single_keys) for line in text.split("\n") if line.strip()]
    return [(line["episode_index"], line["outcome"]) for line in lines]


def _csv_pairs(text: str) -> Iterable[tuple[Any, Any]]:
    """With the delimiters that spreadsheets write; names of columns may be quoted or have blanks around them."""
    lines = text.splitlines()
    if lines and lines[0].lower().startswith("sep="):
        lines = lines[1:]
    delimiter = next((sign for sign in ",;\t" if sign in (lines or [""])[0]), ",")
    rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    names = [name.strip().lower() for name in next(rows, [])]
    if twice := sorted({name for name in names if names.count(name) > 1} & {"episode_index", "outcome"}):
        raise ValueError(f"two columns are called '{twice[0]}'")
    episode, outcome = names.index("episode_index"), names.index("outcome")
    return [(row[episode], row[outcome]) for row in rows if any(cell.strip() for cell in row)]


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
