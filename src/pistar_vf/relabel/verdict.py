"""PASSED, FAILED or NOT SHOWN: the worst finding decides, and what nobody could measure has not passed."""

import dataclasses
import enum
from collections.abc import Sequence


class Verdict(enum.StrEnum):
    """What the evidence says. NOT SHOWN is neither good nor bad: there is too little of it."""

    PASSED = "PASSED"
    NOT_SHOWN = "NOT SHOWN"
    FAILED = "FAILED"


_RANK = (Verdict.PASSED, Verdict.NOT_SHOWN, Verdict.FAILED)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The one that decides; NOT SHOWN without any."""
    return max(verdicts, key=_RANK.index, default=Verdict.NOT_SHOWN)


@dataclasses.dataclass(frozen=True)
class Finding:
    """A figure of some of the episodes.

    Attributes:
        where: which episodes, "" for all of them.
        figure: in words.
        verdict: by this figure alone.
    """

    where: str
    figure: str
    verdict: Verdict


@dataclasses.dataclass(frozen=True)
class Criterion:
    """One question to the value function or its labels.

    Attributes:
        name: short.
        findings: of all episodes, of tasks and of folds; the worst decides.
        wanted: what the figure must be.
        meaning: what is wrong when it failed.
        advice: what shows it when it is not shown.
    """

    name: str
    findings: tuple[Finding, ...]
    wanted: str
    meaning: str
    advice: str

    @property
    def verdict(self) -> Verdict:
        """Of the worst finding."""
        return worst([finding.verdict for finding in self.findings])

    @property
    def found(self) -> str:
        """The first of the findings that decide, in words."""
        deciding = [finding for finding in self.findings if finding.verdict is self.verdict]
        if not deciding:
            return "nothing to judge by"
        place = f"{deciding[0].where}: " if deciding[0].where else ""
        more = f" (and {len(deciding) - 1} more)" if self.verdict is not Verdict.PASSED and len(deciding) > 1 else ""
        return f"{place}{deciding[0].figure}{more}"


@dataclasses.dataclass(frozen=True)
class Share:
    """How the frames of one task and source are labelled; counts."""

    task: str
    source: str
    num_frames: int
    positive: int
    negative: int
    none: int


@dataclasses.dataclass(frozen=True)
class Gate:
    """The verdict and what it rests on.

    Attributes:
        criteria: the questions.
        num_judged: episodes that were judged by.
        num_episodes: episodes in which the policy acted.
        shares: counts per task and source, the autonomous sources first.
        auc: (part of the episode, AUC of success against failure by V at that moment), over judged episodes; NaN
            without both.
        notes: what a person should know besides.
    """

    criteria: tuple[Criterion, ...]
    num_judged: int
    num_episodes: int
    shares: tuple[Share, ...]
    auc: tuple[tuple[float, float], ...]
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Of the worst criterion."""
        return worst([criterion.verdict for criterion in self.criteria])

    @property
    def passed(self) -> bool:
        """Every criterion was measured, and is met."""
        return self.verdict is Verdict.PASSED

    def named(self, verdict: Verdict) -> tuple[str, ...]:
        """Names of the criteria with this verdict."""
        return tuple(criterion.name for criterion in self.criteria if criterion.verdict is verdict)
