"""The episodes that can be looked at frame by frame, and their curves as JSON."""

import base64
import dataclasses
from typing import Any

import numpy as np

from pistar_vf.drawing.episode_picture import strip_strength
from pistar_vf.report.clips import Clip
from pistar_vf.typing import Bool, Float, Int, UInt8

_ATOMS_PER_CELL = 4


@dataclasses.dataclass(frozen=True)
class FrameLabels:
    """Why every frame of an episode is labelled as it is.

    Attributes:
        word: position of the label in `WORDS`.
        reason: what decided, a position in `reasons`.
        reasons: in words.
        advantage: of every frame; NaN where nobody knows.
        threshold: above which the advantage of each frame is positive; None where nobody knows.
        then: the frame of the episode at which the advantage looks up V, its length past the end; None where it looks
            at no single frame.
        value_then: V at that frame, or what stands for it past the end.
    """

    word: Int[np.ndarray, " t"]
    reason: Int[np.ndarray, " t"]
    reasons: tuple[str, ...]
    advantage: Float[np.ndarray, " t"]
    threshold: Float[np.ndarray, " t"] | None
    then: Int[np.ndarray, " t"] | None = None
    value_then: Float[np.ndarray, " t"] | None = None


WORDS = ("none", "negative", "positive")


@dataclasses.dataclass(frozen=True)
class Episode:
    """One episode of the browser.

    Attributes:
        index: its `episode_index`.
        prompt: of its first frame.
        outcome: how it ended, in words.
        note: what else to know, such as that the model was trained on it; "" for nothing.
        fps: frames per second.
        clips: what its cameras saw.
        intervention: where the operator was driving.
        value: V of every frame; None without a model.
        strip: how dark each cell of the predicted distribution is, see `distribution_strip`; None without one.
        value_range: the lowest and the highest value.
        target: value that each frame turned out to have; None where nobody knows it.
        labels: of the frames; None without any.
        disagreement: mean |V - target|; NaN where one of them is unknown.
    """

    index: int
    prompt: str
    outcome: str
    note: str
    fps: float
    clips: tuple[Clip, ...]
    intervention: Bool[np.ndarray, " t"]
    value: Float[np.ndarray, " t"] | None = None
    strip: UInt8[np.ndarray, "t cells"] | None = None
    value_range: tuple[float, float] = (-1.0, 0.0)
    target: Float[np.ndarray, " t"] | None = None
    labels: FrameLabels | None = None
    disagreement: float = float("nan")

    def to_json(self) -> dict[str, Any]:
        """What the script of the page reads."""
        strip = None if self.strip is None else base64.b64encode(self.strip.tobytes()).decode()
        return {
            "index": self.index,
            "prompt": self.prompt,
            "outcome": self.outcome,
            "note": self.note,
            "fps": self.fps,
            "length": len(self.intervention),
            "cameras": [{"name": clip.camera, "type": clip.mime} for clip in self.clips],
            "intervention": [int(flag) for flag in self.intervention],
            "value": numbers(self.value),
            "strip": strip,
            "cells": 0 if self.strip is None else self.strip.shape[1],
            "range": list(self.value_range),
            "target": numbers(self.target),
            "disagreement": number(self.disagreement),
            "labels": None if self.labels is None else _labels_to_json(self.labels),
        }


def distribution_strip(probs: Float[np.ndarray, "t atoms"]) -> UInt8[np.ndarray, "t cells"]:
    """How dark the predicted distribution is, four atoms to a cell, lowest first, 255 the darkest.

    On the scale of `drawing.episode_picture.strip_strength`.
    """
    starts = np.arange(0, probs.shape[1], _ATOMS_PER_CELL)
    cells = np.add.reduceat(np.asarray(probs, np.float32), starts, axis=1)
    return np.round(255 * strip_strength(cells)).astype(np.uint8)


def number(value: float) -> float | None:
    """Four decimals; None for what is no number."""
    return round(float(value), 4) if np.isfinite(value) else None


def numbers(values: np.ndarray | None) -> list[float | None] | None:
    """`number` of each."""
    return None if values is None else [number(value) for value in values.tolist()]


def _labels_to_json(labels: FrameLabels) -> dict[str, Any]:
    return {
        "words": list(WORDS),
        "word": [int(word) for word in labels.word],
        "reasons": list(labels.reasons),
        "reason": [int(reason) for reason in labels.reason],
        "advantage": numbers(labels.advantage),
        "threshold": numbers(labels.threshold),
        "then": None if labels.then is None else [int(frame) for frame in labels.then],
        "valueThen": numbers(labels.value_then),
    }
