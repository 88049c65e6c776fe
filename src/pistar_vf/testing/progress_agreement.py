"""Do labels follow what the simulator knows? For the synthetic robot, whose `progress` column is the truth."""

import dataclasses

import numpy as np

from pistar_vf.episode_layout import EpisodeLayout
from pistar_vf.typing import Bool, Float, Int

_LOSS = 0.05


@dataclasses.dataclass(frozen=True)
class ProgressAgreement:
    """Of frames in which the policy acted and that are not too near to an episode's end.

    Attributes:
        gain_positive: progress gained over the next frames after a frame labelled positive, mean.
        gain_negative: the same for the other frames.
        losses_not_positive: of the frames that are followed by a loss of 5 % of the task or more, the share that is
            not labelled positive.
    """

    gain_positive: float
    gain_negative: float
    losses_not_positive: float

    @classmethod
    def measure(
        cls,
        progress: Float[np.ndarray, " t"],
        lengths: Int[np.ndarray, " e"],
        autonomous: Bool[np.ndarray, " t"],
        positive: Bool[np.ndarray, " t"],
        num_frames: int,
    ) -> "ProgressAgreement":
        """Compares labels with the simulator's own progress.

        Args:
            progress: of every frame, in [0, 1].
            lengths: frames of each episode.
            autonomous: where the policy acted.
            positive: which frames are labelled so.
            num_frames: how far to look ahead.
        """
        gain = progress_gain(progress, lengths, num_frames)
        chosen = np.isfinite(gain) & autonomous
        lost = chosen & (gain <= -_LOSS)
        return cls(
            gain_positive=float(gain[chosen & positive].mean()),
            gain_negative=float(gain[chosen & ~positive].mean()),
            losses_not_positive=float((~positive[lost]).mean()),
        )


def progress_gain(
    progress: Float[np.ndarray, " t"], lengths: Int[np.ndarray, " e"], num_frames: int
) -> Float[np.ndarray, " t"]:
    """Progress after so many frames minus progress now; NaN where the episode ends before."""
    ahead = np.arange(len(progress)) + num_frames
    later = progress[np.minimum(ahead, len(progress) - 1)].astype(np.float64)
    return np.where(EpisodeLayout(lengths).steps_left() >= num_frames, later - progress, np.nan)
