"""`round.json`: what one round of RECAP was made of, and what came of it.

<round>/round.json      this record
<round>/data            the data of the round before and the new episodes behind it, in one dataset
<round>/value           value models, one a fold
<round>/labelled        the data with labels
<round>/report          what the gate found
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pistar_vf.changes.durable_files import write_whole
from pistar_vf.errors import ConfigError
from pistar_vf.foreign_files import read_text

RECORD_FILE = "round.json"
DATA, VALUE, LABELLED, REPORT = "data", "value", "labelled", "report"
STAGES = ("merge", "train", "relabel")
_FIXED = ("number", "previous", "previous_sha256", "data_dirs", "folds")
"""What a round keeps when its command is given again; flags may change until it is finished."""


@dataclasses.dataclass(frozen=True)
class RoundResult:
    """What came of a round; its own episodes are those that it added.

    Attributes:
        new_outcomes: outcome to number of the round's own episodes.
        num_episodes: of all rounds so far.
        verdict: the gate's.
        auc: of success against failure by V at the end of unseen episodes; None without both.
        positive_new: share of positive frames in the round's own episodes, in [0, 1].
        positive: the same of all episodes.
        agreement: share of the earlier episodes' frames whose label is the previous round's; None in the first round.
        models: SHA-256 of each value model that scored.
    """

    new_outcomes: Mapping[str, int]
    num_episodes: int
    verdict: str
    auc: float | None
    positive_new: float
    positive: float
    agreement: float | None
    models: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class RoundRecord:
    """One round.

    Attributes:
        number: counted from 1.
        policy: which policy recorded the new episodes, in the user's words.
        previous: folder of the round before, seen from this one's; None for the first.
        previous_sha256: of that round's record, so that the chain shows whether somebody changed it.
        data_dirs: datasets that this round adds.
        folds: value models.
        flags: words that each of `STAGES` is given besides.
        result: None until the round is finished.
    """

    number: int
    policy: str
    previous: str | None
    previous_sha256: str | None
    data_dirs: tuple[str, ...]
    folds: int
    flags: Mapping[str, list[str]]
    result: RoundResult | None = None

    def write(self, folder: Path) -> None:
        """Into the round's folder, which is made where it is missing; whole or not at all."""
        write_whole(folder / RECORD_FILE, json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "RoundRecord":
        """The record of a round.

        Raises:
            ConfigError: there is none, or the file is something else.
        """
        path = folder / RECORD_FILE
        if not path.is_file():
            raise ConfigError(f"{folder}: expected the folder of a round with a {RECORD_FILE}, found none")
        try:
            raw: dict[str, Any] = json.loads(read_text(path))
            result, flags = raw.pop("result"), {stage: list(raw["flags"][stage]) for stage in STAGES}
            if result is not None:
                result = RoundResult(**{**result, "models": tuple(result["models"])})
            return cls(**{**raw, "data_dirs": tuple(raw["data_dirs"]), "flags": flags, "result": result})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{path}: expected the record of a round, got something else: {error}") from error

    def folder_before(self, folder: Path) -> Path | None:
        """The folder of the round before, from this one's, which need not exist yet; None for the first round."""
        return None if self.previous is None else Path(os.path.normpath(folder / self.previous))

    def check_same(self, other: "RoundRecord", folder: Path) -> None:
        """Refuses to go on with another round in this one's folder.

        Raises:
            ConfigError: lists what was (−) and what is now (+).
        """
        was, now = ({name: getattr(record, name) for name in _FIXED} for record in (self, other))
        if was != now:
            lines = [
                line
                for name in _FIXED
                if was[name] != now[name]
                for line in (f"− {name}: {was[name]}", f"+ {name}: {now[name]}")
            ]
            listed = "".join(f"\n  {line}" for line in lines)
            raise ConfigError(f"{folder} holds another round:{listed}\nChoose another --output_dir")


def digest_of_record(folder: Path) -> str:
    """SHA-256 of a round's record."""
    return hashlib.sha256((folder / RECORD_FILE).read_bytes()).hexdigest()


def rounds_until(folder: Path) -> list[RoundRecord]:
    """The records of a round and of those before it, the first one first.

    Raises:
        ConfigError: a record is missing, or is not the one that the round after it was built on.
    """
    found = [RoundRecord.read(folder)]
    while (previous := found[0].folder_before(folder)) is not None:
        folder = previous
        before = RoundRecord.read(folder)
        if digest_of_record(folder) != found[0].previous_sha256:
            raise ConfigError(
                f"{folder / RECORD_FILE}: expected the record that round {found[0].number} was built on, it was "
                "changed since; restore it, or begin a new chain of rounds"
            )
        found.insert(0, before)
    return found
