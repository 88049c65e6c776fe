"""Which episodes a model was trained, validated and tested on: known by their content, named for people.

A folder's name says little: a copy has another, and two folders may share one. Episodes are therefore recorded with
a digest of their content (`lerobot.content`), and looked for by it. Checkpoints from before there were digests name
folder and numbers only; then the folder's name decides, and a warning says so.
"""

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from pistar_vf.labels.split import PARTS, SplitRatios
from pistar_vf.lerobot.dataset import LeRobotDataset

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class SplitRule:
    """How the parts were drawn.

    Attributes:
        ratios: shares of the parts.
        seed: of the draw.
        stratified_by: what has the same shares in every part.
    """

    ratios: SplitRatios
    seed: int
    stratified_by: tuple[str, ...] = ("outcome", "task")

    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**dataclasses.asdict(self.ratios), "seed": self.seed, "stratified_by": list(self.stratified_by)}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "SplitRule":
        """The inverse of `facts`."""
        ratios = SplitRatios(**{part: facts[part] for part in PARTS})
        return cls(ratios, facts["seed"], tuple(facts["stratified_by"]))


@dataclasses.dataclass(frozen=True)
class RecordedDataset:
    """A dataset as a run used it.

    Attributes:
        name: of its folder, for people.
        path: as the run was given it; None where that is not known.
        train: indices of the episodes that were trained on.
        val: of those that the best checkpoint was chosen by.
        test: of those that were left alone.
        digests: episode index to digest of content, of all of its episodes; empty where nobody computed them.
    """

    name: str
    path: str | None = None
    train: tuple[int, ...] = ()
    val: tuple[int, ...] = ()
    test: tuple[int, ...] = ()
    digests: Mapping[int, str] = dataclasses.field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, dataset: LeRobotDataset, path: str, **parts: tuple[int, ...]) -> "RecordedDataset":
        """A dataset with the digests of its episodes.

        Args:
            dataset: all of its episodes.
            path: as the user wrote it.
            **parts: "train", "val" and "test" to episode indices.
        """
        return cls(dataset.name, path, digests=dict(dataset.content_digests), **parts)

    def found_in(self, dataset: LeRobotDataset) -> dict[str, set[int]]:
        """For each part, the indices that its episodes have in a dataset; {} where it has none of them.

        Of episodes of the same content, one with the recorded index is taken for the recorded one.
        """
        if not self.digests or not dataset.content_digests:
            return {part: set(getattr(self, part)) for part in PARTS} if self.name == dataset.name else {}
        found: dict[str, set[int]] = {part: set() for part in PARTS}
        copies: dict[str, list[int]] = {}
        for index, digest in self.digests.items():
            copies.setdefault(digest, []).append(index)
        for index, digest in dataset.content_digests.items():
            own = [index] if self.digests.get(index) == digest else copies.get(digest, ())
            for part in PARTS:
                if not set(own).isdisjoint(getattr(self, part)):
                    found[part].add(index)
        return found if any(found.values()) else {}


@dataclasses.dataclass(frozen=True)
class TrainedOn:
    """The data of a run.

    Attributes:
        datasets: those that were trained on, with the episodes held out of them.
        validation: a dataset of its own that the best checkpoint was chosen by, all of it in `val`; None for none.
        num_frames: of all training datasets, held-out episodes included.
        split: how the parts were drawn; None where flags named episodes or one fraction.
        weights: how often the frames of each training dataset are drawn; () for in proportion to their number.
    """

    datasets: tuple[RecordedDataset, ...]
    validation: RecordedDataset | None = None
    num_frames: int | None = None
    split: SplitRule | None = None
    weights: tuple[float, ...] = ()

    @property
    def names(self) -> str:
        """The training datasets' names, for a message."""
        return " and ".join(dataset.name for dataset in self.datasets)

    def facts(self) -> dict[str, Any]:
        """As JSON has it: of one dataset its facts, of several a list of each."""
        facts: dict[str, Any] = {
            "name": [dataset.name for dataset in self.datasets],
            "path": [dataset.path for dataset in self.datasets],
            **{f"{part}_episodes": [list(getattr(dataset, part)) for dataset in self.datasets] for part in PARTS},
            "digests": [_json_digests(dataset) for dataset in self.datasets],
        }
        if len(self.datasets) == 1:
            facts = {name: values[0] for name, values in facts.items()}
        if self.validation is not None:
            facts |= {"val_episodes": list(self.validation.val), "val_digests": _json_digests(self.validation)}
        return facts | {
            "split": self.split and self.split.facts(),
            "num_frames": self.num_frames,
            "val_dataset": self.validation and self.validation.path,
            "data_weight": list(self.weights),
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "TrainedOn":
        """The inverse of `facts`; also reads what older versions wrote, without digests and some of the keys."""
        several, path, split = isinstance(facts["name"], list), facts.get("val_dataset"), facts.get("split")
        validation = None
        if path:
            name = str(path).rstrip("/").rsplit("/", 1)[-1]
            digests = _read_digests(facts.get("val_digests"))
            val = tuple(index for index in facts["val_episodes"] if isinstance(index, int))  # else nobody looked at it
            validation = RecordedDataset(name, str(path), val=val, digests=digests)
            facts = {**facts, "val_episodes": None}
        keys = ("name", "path", "digests", *(f"{part}_episodes" for part in PARTS))
        each = {key: facts.get(key) if several else [facts.get(key)] for key in keys}
        count = len(facts["name"]) if several else 1
        own = [{key: values and values[number] for key, values in each.items()} for number in range(count)]
        return cls(
            datasets=tuple(map(_recorded, own)),
            validation=validation,
            num_frames=facts.get("num_frames"),
            split=split and SplitRule.from_facts(split),
            weights=tuple(facts.get("data_weight", ())),
        )

    def recorded(self) -> Iterator[RecordedDataset]:
        """All datasets, that of its own to validate on too."""
        yield from self.datasets
        if self.validation is not None:
            yield self.validation


def recorded_parts(trained_on: TrainedOn | None, dataset: LeRobotDataset) -> dict[str, tuple[int, ...]]:
    """Which episodes of a dataset a model was trained, validated and tested on, by their content.

    Args:
        trained_on: of the model; None where its checkpoint does not say.
        dataset: any dataset: that of training, a copy of it under whatever name, a merged one, another.

    Returns:
        "train", "val" and "test" to episode indices of `dataset` in ascending order; {} where the model knows none
        of its episodes.
    """
    if trained_on is None:
        return {}
    found: dict[str, set[int]] = {}
    for recorded in trained_on.recorded():
        parts = recorded.found_in(dataset)
        if parts and not (recorded.digests and dataset.content_digests):
            _log.warning(
                "the model's training episodes are known by the name of their folder alone, '%s', not by their content:"
                " a copy under another name is not recognised, and other data under this one is taken for it",
                recorded.name,
            )
        for part, indices in parts.items():
            found.setdefault(part, set()).update(indices)
    return {part: tuple(sorted(indices)) for part, indices in found.items()}


def seen_episodes(trained_on: TrainedOn | None, dataset: LeRobotDataset) -> frozenset[int]:
    """Indices of the episodes of a dataset that a model was trained on; all of them where nobody knows.

    Args:
        trained_on: of the model; None where its checkpoint does not say.
        dataset: any dataset.
    """
    if trained_on is None:
        return frozenset(episode.index for episode in dataset.episodes)
    return frozenset(recorded_parts(trained_on, dataset).get("train", ()))


def _recorded(facts: Mapping[str, Any]) -> RecordedDataset:
    parts = {part: tuple(facts[f"{part}_episodes"] or ()) for part in PARTS}
    return RecordedDataset(facts["name"], facts["path"], **parts, digests=_read_digests(facts["digests"]))


def _json_digests(dataset: RecordedDataset) -> dict[str, str]:
    return {str(index): digest for index, digest in dataset.digests.items()}


def _read_digests(raw: Mapping[str, str] | None) -> dict[int, str]:
    return {int(index): digest for index, digest in (raw or {}).items()}
