"""The one way from values to labels: of the model, and of whatever the gate puts in its place."""

import dataclasses

import numpy as np

from pistar_vf.relabel.config import LabelRule
from pistar_vf.relabel.label import (
    Labels,
    compute_advantages,
    find_thresholds,
    label_as_upstream,
    label_frames,
)
from pistar_vf.relabel.rollouts import Rollouts
from pistar_vf.typing import Float


@dataclasses.dataclass(frozen=True)
class Labeller:
    """Labels of the same frames for any values.

    Attributes:
        rollouts: the frames.
        rule: the settings.
        pools: the frames with what shares a threshold in the place of their tasks (see `read.by_source`); None for
            the tasks.
        as_upstream: whether upstream's rule is used instead, with N and share of `rule`.
    """

    rollouts: Rollouts
    rule: LabelRule
    pools: Rollouts | None = None
    as_upstream: bool = False

    @property
    def cut_by(self) -> Rollouts:
        """The frames, whose `tasks` are what shares a threshold."""
        return self.rollouts if self.pools is None else self.pools

    def cuts(self, values: Float[np.ndarray, " t"]) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " pools"]]:
        """Advantages of all frames, and the threshold of each pool.

        Raises:
            LabelError: the policy acted in no frame.
        """
        advantage = compute_advantages(values, self.rollouts, self.rule)
        return advantage, find_thresholds(advantage, self.cut_by, self.rule)

    def label(self, values: Float[np.ndarray, " t"]) -> Labels:
        """Labels without an abstain band, which takes more than values.

        Raises:
            LabelError: the policy acted in no frame.
        """
        if self.as_upstream:
            return label_as_upstream(values, self.rollouts, self.rule.num_steps, self.rule.top_percent)
        advantage, thresholds = self.cuts(values)
        plain = dataclasses.replace(self.rule, abstain=0.0)
        return label_frames(advantage, thresholds, self.cut_by, plain)
