"""Which episodes are evaluated, on which baselines are fitted, and which the model has seen."""

import dataclasses
import logging

from pistar_vf.checkpoints.provenance import SplitRule, recorded_parts
from pistar_vf.checkpoints.value_spec import ValueSpec
from pistar_vf.errors import ConfigError, LabelError
from pistar_vf.evaluation.config import EvaluationConfig
from pistar_vf.labels.split import PARTS, select_episodes, split_by_ratio, whole_episodes
from pistar_vf.labels.targets import Targets
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a dataset.

    Attributes:
        name: "test", "val", "train" or "all".
        episodes: the episodes of the part.
        train: the dataset's training episodes; empty where nobody knows them.
        seen: indices of the episodes of this dataset that the model was trained on.
    """

    name: str
    episodes: tuple[Episode, ...]
    train: tuple[Episode, ...]
    seen: frozenset[int]

    def without(self, excluded: frozenset[int]) -> "Part":
        """The same without some episodes.

        Raises:
            LabelError: none is left.
        """
        kept = tuple(episode for episode in self.episodes if episode.index not in excluded)
        if not kept:
            raise LabelError(
                f"--split {self.name}: expected episodes whose end is known, got {len(self.episodes)} time-outs or "
                "fragments and nothing else; evaluate on other episodes"
            )
        train = tuple(episode for episode in self.train if episode.index not in excluded)
        return dataclasses.replace(self, episodes=kept, train=train)


def choose_part(config: EvaluationConfig, spec: ValueSpec, dataset: LeRobotDataset, targets: Targets | None) -> Part:
    """The episodes that the flags mean.

    Args:
        config: the flags.
        spec: of the model: remembers the split it was trained on.
        dataset: all of its episodes.
        targets: of the dataset, to draw a split again in the same strata; None where they are unknown.

    Raises:
        ConfigError: nobody knows the split, the flags contradict the recorded one, or the part is empty.
    """
    recorded = recorded_parts(spec.trained_on, dataset)
    rule = None if config.part.ratios is None else SplitRule(config.part.ratios, config.split_seed)
    parts = recorded if rule is None else _drawn(rule, spec, dataset, targets, recorded)
    seen = frozenset(recorded.get("train", ()))
    train = select_episodes(dataset.episodes, parts.get("train", ()), "the checkpoint's training episodes")
    if config.split == "all":
        return Part("all", dataset.episodes, train, seen)
    if not parts:
        then = spec.trained_on.names if spec.trained_on else "nobody knows what"
        raise ConfigError(
            f"--split {config.split}: expected a dataset whose split is known, got {dataset.name}; the model was "
            f"trained on {then}. Pass --split all, or --train_ratio, --val_ratio and --test_ratio"
        )
    name = config.split
    if name == "test" and not parts.get("test"):
        _log.warning("the checkpoint was trained without a test part: evaluating on its val part")
        name = "val"
    if not parts.get(name):
        raise ConfigError(
            f"--split {config.split}: expected held-out episodes, got a model that was trained without any; pass "
            "--split all or train (flattering: it has seen them), or train with --train_ratio, --val_ratio and "
            "--test_ratio"
        )
    part = Part(name, select_episodes(dataset.episodes, parts[name], f"--split {name}"), train, seen)
    _warn_of_copies(part, dataset)
    return part


def _warn_of_copies(part: Part, dataset: LeRobotDataset) -> None:
    """Says so where an episode is held out by its number only: the same recording under another one was trained on."""
    digests = dataset.content_digests
    known = {digests.get(index) for index in part.seen} - {None}
    copies = [e.index for e in part.episodes if e.index not in part.seen and digests.get(e.index) in known]
    if copies:
        _log.warning(
            "%d of the %d episodes of --split %s have the states and actions of training episodes: %s%s; a copy is not "
            "held out, so the model looks better than it is",
            len(copies),
            len(part.episodes),
            part.name,
            copies[:10],
            "…" * (len(copies) > 10),
        )


def _drawn(
    flags: SplitRule,
    spec: ValueSpec,
    dataset: LeRobotDataset,
    targets: Targets | None,
    recorded: dict[str, tuple[int, ...]],
) -> dict[str, tuple[int, ...]]:
    """The split of the flags: the recorded one, if that was drawn so, else a new draw."""
    then = spec.trained_on.split if spec.trained_on else None
    if recorded and then is not None:
        if (then.ratios, then.seed) != (flags.ratios, flags.seed):
            raise ConfigError(
                "--train_ratio, --val_ratio, --test_ratio, --split_seed: expected those of training, "
                f"{_words(then)}, got {_words(flags)}; leave them out: the checkpoint knows its split"
            )
        return recorded
    if targets is None:
        raise ConfigError(
            f"--train_ratio: expected a dataset with value labels, to draw the split in equal shares of successes and "
            f"failures, got {dataset.root} without; name episodes with --episodes, or pass --split all"
        )
    whole, strata = whole_episodes(dataset, targets.labels, targets.outcomes)
    drawn = split_by_ratio(whole, flags.ratios, flags.seed, strata)
    return {name: tuple(episode.index for episode in part) for name, part in zip(PARTS, drawn)}


def _words(rule: SplitRule) -> str:
    shares = (f"{name} {share:g}" for name, share in dataclasses.asdict(rule.ratios).items())
    return ", ".join((*shares, f"seed {rule.seed}"))
