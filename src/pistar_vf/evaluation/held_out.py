"""Scores a trained value model on whole held-out episodes, beside what needs no model."""

import dataclasses
from pathlib import Path

import numpy as np

from pistar_vf.drawing.curves import Curve
from pistar_vf.frames.loader import FrameTable
from pistar_vf.frames.open_table import open_frame_table
from pistar_vf.inference.evaluate import Evaluator, FrameSample
from pistar_vf.inference.predictor import ValuePredictor
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.lerobot.episode_rows import EpisodeRows
from pistar_vf.metrics import auc, episode_spearman
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten
from pistar_vf.sharding import create_mesh
from pistar_vf.typing import Float

_BATCH_SIZE = 64


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Predictions for all frames of some episodes.

    Attributes:
        episodes: the episodes, in order.
        rows: their frames, as one sequence of dataset rows.
        frames: per-frame metrics, see `training.metrics.frame_metrics`; "value" is V.
        target: value labels.
        number: for every frame, the position of its episode in `episodes`.
    """

    episodes: tuple[Episode, ...]
    rows: np.ndarray
    frames: dict[str, np.ndarray]
    target: Float[np.ndarray, " t"]
    number: np.ndarray

    @property
    def value(self) -> Float[np.ndarray, " t"]:
        """V of every frame."""
        return self.frames["value"]

    def succeeded(self) -> np.ndarray:
        """For every episode, whether its labels are those of a success (above -1 somewhere)."""
        return np.array([bool((self.target[self.number == i] > -1).any()) for i in range(len(self.episodes))])

    def scores(self) -> dict[str, float]:
        """MAE over all frames, mean Spearman over the successes, and AUC of success against failure.

        The AUC compares episodes by their mean V over the last quarter of their frames; NaN without both classes.
        """
        late = np.array([self.value[self.number == i][-_quarter(e) :].mean() for i, e in enumerate(self.episodes)])
        return {
            "mae": float(np.abs(self.value - self.target).mean()),
            "spearman": episode_spearman(self.value, self.target, self.number),
            "auc_last_quarter": auc(late, self.succeeded()),
            "cross_entropy": float(self.frames["cross_entropy"].mean()),
        }


def _quarter(episode: Episode) -> int:
    return max(1, episode.length // 4)


def open_table_for(
    predictor: ValuePredictor, dataset: LeRobotDataset, labels: Float[np.ndarray, " t"], cache_dir: Path | None = None
) -> FrameTable:
    """The dataset's frames as the checkpoint wants them: its cameras, size, tokenizer and normalisation."""
    spec = predictor.spec
    return open_frame_table(
        dataset,
        camera_keys=spec.camera_keys,
        image_size=spec.model.siglip.image_size,
        image_fit=spec.image_fit,
        tokenizer=predictor.tokenizer,
        statistics=spec.state,
        labels=labels,
        cache_dir=cache_dir,
    )


def predict_episodes(predictor: ValuePredictor, table: FrameTable, episodes: tuple[Episode, ...]) -> HeldOut:
    """V of every frame of some episodes, on all devices."""
    rows = EpisodeRows(episodes)
    sample = FrameSample.of(rows, max_frames=None)
    mesh = create_mesh()
    evaluator = Evaluator(ValueFunction(predictor.spec.model), table, sample, _BATCH_SIZE * mesh.size, mesh)
    return HeldOut(
        episodes=episodes,
        rows=sample.rows,
        frames=evaluator.frames(flatten(predictor.params), {}),
        target=table.labels[sample.rows],
        number=sample.episode,
    )


def with_prompts(table: FrameTable, predictor: ValuePredictor, prompts: list[str]) -> FrameTable:
    """The same frames under other prompts: prompt i of the dataset becomes `prompts[i]`."""
    tokens, mask = predictor.tokenizer.tokenize_many(prompts)
    return dataclasses.replace(table, tokens=tokens, token_mask=mask)


def curve_of(
    title: str, held_out: HeldOut, episode: Episode, pictures: np.ndarray, other: HeldOut | None, name: str
) -> Curve:
    """The curve of one of the held-out episodes."""
    own = held_out.number == held_out.episodes.index(episode)
    dashed = None if other is None else (name, other.value[own])
    return Curve(title, held_out.value[own], held_out.target[own], pictures[held_out.rows[own]], dashed)
