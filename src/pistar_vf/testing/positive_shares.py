"""Which frames became positive: do labels blame those that lead to a takeover or into a failure?"""

import dataclasses

import numpy as np

from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.typing import Bool, Int


@dataclasses.dataclass(frozen=True)
class PositiveShares:
    """Shares of frames that are labelled positive; NaN without such frames.

    Attributes:
        positive: of the frames in which the policy acted.
        positive_before_takeovers: of the policy's last frames before an operator took over.
        positive_ends_of_failures: of the last frames of failures.
    """

    positive: float
    positive_before_takeovers: float
    positive_ends_of_failures: float

    @classmethod
    def measure(
        cls,
        positive: Bool[np.ndarray, " t"],
        intervention: Bool[np.ndarray, " t"],
        lengths: Int[np.ndarray, " e"],
        failed: Bool[np.ndarray, " e"],
        num_frames: int,
    ) -> "PositiveShares":
        """Counts labels.

        Args:
            positive: which frames are labelled so.
            intervention: where the operator was driving.
            lengths: frames of each episode.
            failed: which episodes are failures.
            num_frames: how many last frames are looked at, before each takeover and in each failure.
        """
        before, ends = [np.zeros(0, bool)], [np.zeros(0, bool)]
        for label, driven, lost in zip(*(EpisodeLayout(lengths).split(x) for x in (positive, intervention)), failed):
            for takeover in np.flatnonzero(driven[1:] & ~driven[:-1]) + 1:
                own = slice(max(0, takeover - num_frames), takeover)
                before.append(label[own][~driven[own]])
            if lost:
                ends.append(label[-num_frames:])
        return cls(_share(positive[~intervention]), _share(np.concatenate(before)), _share(np.concatenate(ends)))


def _share(labels: Bool[np.ndarray, " n"]) -> float:
    return float(labels.mean()) if len(labels) else float("nan")
