"""The stages in their order."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
from recording import record

from pistar_vf.relabel.config import DEFAULT_LOOKAHEAD, LabelRule
from pistar_vf.relabel.horizons import default_lookahead
from pistar_vf.typing import Bool
from simulated import labels, values
from simulated.closed_loop import Arm, Loop, run_arm
from simulated.generate import generate
from simulated.measures import LabelJudge, ValueQuality
from simulated.picture import draw
from simulated.plan import Batch
from simulated.policy import Training
from simulated.results import Results, TaskResults
from simulated.stages import Stages
from simulated.state_trees import state_trees
from simulated.truth import Truth
from simulated.values import Recipe, Scored

PARTS = ("train", "test")
_TEST_SEED = 1000
"""Added to the data's seed: test episodes have other starts."""


@dataclasses.dataclass(frozen=True)
class Args:
    """Labels of V against the outcome, in Meta-World."""

    output_dir: Path
    """Where every stage's result goes."""
    pick_place: tuple[int, int] = (80, 40)
    """Episodes of pick-place to label, and to test V on."""
    drawer_open: tuple[int, int] = (20, 20)
    """Episodes of drawer-open."""
    data_seed: int = 0
    """Of the episodes."""
    recipe: Recipe = Recipe()  # noqa: RUF009 - frozen
    """How V is learned."""
    lookahead: int = 20
    """N, frames, of the labels."""
    tried: tuple[str, ...] = ("pick-place-v3",)
    """Tasks whose policies are let loose."""
    seeds: int = 8
    """Policies of each arm."""
    rollouts: int = 50
    """Starts of each policy."""
    policy_steps: int = 3000
    """Updates of each policy."""
    arms: tuple[str, ...] = ()
    """Only these arms; default: all of them."""
    quick: bool = False
    """Few and small of everything, to see that it works."""
    record: str | None = None
    """Also write the figures to benchmarks/results, under this name."""

    def effective(self) -> "Args":
        """With what `quick` makes smaller."""
        if not self.quick:
            return self
        return dataclasses.replace(
            self,
            pick_place=(10, 6),
            drawer_open=(6, 4),
            recipe=dataclasses.replace(self.recipe, repeats=1, num_train_steps=20),
            seeds=2,
            rollouts=10,
            policy_steps=600,
            arms=self.arms or ("outcome", "true gain"),
        )


def run(args: Args) -> int:
    """Everything; 1 where a check of the benchmark itself fails (not with `quick`)."""
    results = Bench(args.effective()).results()
    results.write(args.output_dir)
    draw(results, args.output_dir / "results.png")
    print(results.text())
    print(f"result: {args.output_dir}")
    if args.record is not None:
        record(args.record, results.facts())
    return 0 if args.quick or all(check.holds for check in results.checks()) else 1


class Episodes:
    """The stages that need no V: episodes, and policies that are told something about them.

    Attributes:
        truth: of the parts "train" and "test".
    """

    def __init__(self, args: Args):
        self._args, self._stages = args, Stages(args.output_dir)
        counts = {"pick-place-v3": args.pick_place, "drawer-open-v3": args.drawer_open}
        self._data = {
            part: self._generate(part, {name: own[i] for name, own in counts.items()}) for i, part in enumerate(PARTS)
        }
        self.truth = {part: Truth.read(folder / "truth.npz") for part, folder in self._data.items()}

    def folder(self, part: str) -> Path:
        """Where a part's dataset and truth are."""
        return self._data[part]

    def won(self, task: str, name: str, arm: Arm) -> Bool[np.ndarray, "seeds starts"]:
        """Which rollouts of an arm's policies succeeded."""
        loop = Loop(self._args.seeds, self._args.rollouts, training=Training(self._args.policy_steps))
        told = hashlib.sha256(arm.frames.tobytes() + arm.indicator().astype(np.int8).tobytes()).hexdigest()
        settings = {"data": self._data["train"].name, "task": task, "loop": dataclasses.asdict(loop), "told": told}

        def make(folder: Path) -> None:
            np.save(folder / "won.npy", run_arm(arm, self.truth["train"], task, loop))
            (folder / "arm.txt").write_text(f"{name}\n", encoding="utf-8")

        return np.load(self._stages.keep("arm", settings, make) / "won.npy")

    def _generate(self, part: str, counts: dict[str, int]) -> Path:
        batch = Batch(
            {name: count for name, count in counts.items() if count},
            self._args.data_seed + (_TEST_SEED if part == "test" else 0),
        )
        return self._stages.keep(f"data_{part}", dataclasses.asdict(batch), lambda folder: generate(batch, folder))


class Bench(Episodes):
    """All stages of one set of settings."""

    def __init__(self, args: Args):
        super().__init__(args)
        self._cache = args.output_dir / "frames"
        self._labelled = {part: self._label(part) for part in PARTS}
        self._trained = tuple(self._train(repeat) for repeat in range(args.recipe.repeats))
        units = {part: values.read_units(folder, self._trained[0]) for part, folder in self._labelled.items()}
        self.rollouts = {part: labels.rollouts_of(self.truth[part], units[part]) for part in PARTS}
        self.rule = LabelRule(lookahead=args.lookahead)

    def results(self) -> Results:
        """Of every task that is tried, and of V in all of them."""
        args = self._args
        ours, default = (self._score("train", lookahead) for lookahead in (args.lookahead, None))
        unseen = self._score("test", args.lookahead, "mean")
        sets = self._label_sets(ours, default)
        judged, right = self.truth["train"], labels.by_values(ours.value, self.rollouts["train"], self.rule)
        wrong = labels.mutants(ours.value, judged, self.rollouts["train"], self.rule)
        tasks = {}
        for number, task in enumerate(judged.tasks.tolist()):
            judge = LabelJudge(judged, number, args.lookahead)
            tasks[task] = TaskResults(
                values=self._value_quality(ours, unseen, number),
                labels={name: judge.quality(positive) for name, positive in {**sets, **wrong}.items()},
                above_mutant={name: judge.better_in_failures(right, positive) for name, positive in wrong.items()},
                won=self._closed_loop(task, sets, wrong) if task in args.tried else {},
            )
        return Results(
            settings={**dataclasses.asdict(args), "output_dir": args.output_dir.name},
            gates={"out of fold": ours.gate, "unseen": unseen.gate},
            same_as_written=bool((right == ours.positive).all()),
            tasks=tasks,
            seconds=self._stages.seconds(),
        )

    def _label_sets(self, ours: Scored, default: Scored) -> dict[str, Bool[np.ndarray, " t"]]:
        """Name to positive frames."""
        truth, rollouts, rule = self.truth["train"], self.rollouts["train"], self.rule
        sets = {
            "random": labels.at_random(len(truth.progress), rule, self._args.data_seed),
            "clock": labels.by_clock(rollouts, rule),
            f"ours, N = {rule.num_steps}": ours.positive,
            f"ours, N = {default_lookahead(rollouts)} (default)": default.positive,
            f"ours, N = {DEFAULT_LOOKAHEAD}": labels.by_values(ours.value, rollouts, LabelRule()),
            "true gain": labels.by_true_gain(truth, rollouts, rule),
        }
        if len(self._trained) > 1:
            sets |= {
                f"ensemble, {how}": self._score("train", rule.num_steps, how).positive for how in ("mean", "worst")
            }
        return sets

    def _value_quality(self, ours: Scored, unseen: Scored, task: int) -> dict[str, ValueQuality]:
        """Of V out of fold and on unseen episodes, and of trees on the state there."""
        scored = {"V, out of fold": ("train", ours.value), "V, unseen": ("test", unseen.value)}
        for name, found in state_trees(self.truth, self.rollouts["train"].target).items():
            scored[f"{name}, unseen"] = ("test", found)
        if len(self._trained) > 1:
            scored["V of all repeats, unseen"] = ("test", self._score("test", self.rule.num_steps, "mean", True).value)
        return {
            name: ValueQuality.measure(value, self.truth[part], self.rollouts[part], task)
            for name, (part, value) in scored.items()
        }

    def _closed_loop(self, task: str, sets: dict[str, np.ndarray], wrong: dict[str, np.ndarray]) -> dict:
        """Arm to which rollouts succeeded."""
        won, everything = self.truth["train"].success_of_frames, np.ones(len(self.truth["train"].progress), bool)
        arms = {"all": Arm(everything, None), "successes only": Arm(won, None), "outcome": Arm(everything, won)}
        arms |= {name: Arm(everything, positive) for name, positive in sets.items()}
        arms |= {name: Arm(everything, wrong[name]) for name in ("sign flipped", "F = 0")}
        chosen = {name: arm for name, arm in arms.items() if not self._args.arms or name in self._args.arms}
        return {name: self.won(task, name, arm) for name, arm in chosen.items()}

    def _label(self, part: str) -> Path:
        recipe, data = self._args.recipe, self._data[part]
        settings = {"data": data.name, "target": recipe.target}
        return self._stages.keep(f"labelled_{part}", settings, lambda folder: values.label(data, folder, recipe))

    def _train(self, repeat: int) -> Path:
        recipe, labelled = self._args.recipe, self._labelled["train"]
        own = {"preset": recipe.preset, **recipe.settings(repeat)}
        settings = {"labelled": labelled.name, "recipe": own}

        def make(folder: Path) -> None:
            values.train(labelled, folder, self._cache, recipe, repeat)

        return self._stages.keep("trained", settings, make)

    def _score(self, part: str, lookahead: int | None, ensemble: str | None = None, whole: bool = False) -> Scored:
        """By the first repeat's folds; by those of all repeats where they vote on episodes that they have not seen."""
        trained = self._trained if whole or (ensemble and part == "train") else self._trained[:1]
        labelled = self._labelled[part]
        settings = {"labelled": labelled.name, "trained": [own.name for own in trained]}
        settings |= {"lookahead": lookahead, "ensemble": ensemble}

        def make(folder: Path) -> None:
            values.score(labelled, trained, folder, self._cache, lookahead=lookahead, ensemble=ensemble)

        return Scored.read(self._stages.keep(f"scored_{part}", settings, make) / "scored.npz")
