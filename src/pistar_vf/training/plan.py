"""What a recipe hands to the engine: everything in which one kind of run differs from another."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import optax

from pistar_vf.training.loop import rows_by_number
from pistar_vf.training.step import LossFn
from pistar_vf.typing import Params

Batches: TypeAlias = Iterator[Any]
"""Batches of one kind, this process's share of each."""


@dataclasses.dataclass(frozen=True)
class Intervals:
    """How long a run is, and what happens on the way; steps between two of each, 0 or less for never.

    Attributes:
        num_train_steps: number of updates, those before a resume included.
        log: between log lines.
        validate: between validations.
        save: between checkpoints.
        warmup: steps in which the learning rate rises; what a validation warns of is said from then on, as a model that
            has hardly moved is constant whatever its labels are.
    """

    num_train_steps: int
    log: int
    validate: int
    save: int
    warmup: int = 0


@dataclasses.dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes:
        values: to record and to show.
        warnings: what a person should know before trusting the model.
    """

    values: dict[str, float]
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Every:
    """Something else that happens after every so many steps.

    Attributes:
        steps: between two.
        split: under which the numbers are recorded.
        look: (average, frozen parameters) -> numbers to record.
    """

    steps: int
    split: str
    look: Callable[[Params, Params], dict[str, float]]


@dataclasses.dataclass(frozen=True)
class Plan:
    """One run.

    Attributes:
        loss_fn: what to minimise.
        tx: the optimiser.
        schedule: its learning rate, for the log.
        seed: of the steps' keys.
        ema_decay: of the moving average that is validated.
        intervals: how long, and how often.
        batch_size: global.
        unit: what a batch counts, in the plural.
        title: of the progress bar.
        batches: the first step's number -> endless batches from there on.
        in_force: gives batches what only the moment of their use decides, as they have been gathered ahead; None for
            nothing of that kind.
        validate: (average, frozen parameters) -> what it found; None for no validation.
        chosen_by: the number of a validation whose lowest marks the best state.
        validate_first: whether the untrained model is validated, too, for the record alone.
        every: what else happens.
        name_rows: rows of a batch, as a person can find them.
    """

    loss_fn: LossFn
    tx: optax.GradientTransformation
    schedule: optax.Schedule
    seed: int
    ema_decay: float
    intervals: Intervals
    batch_size: int
    unit: str
    title: str
    batches: Callable[[int], Batches]
    in_force: Callable[[Batches], Batches] | None = None
    validate: Callable[[Params, Params], Validation] | None = None
    chosen_by: str = "loss"
    validate_first: bool = False
    every: tuple[Every, ...] = ()
    name_rows: Callable[[np.ndarray], str] = rows_by_number
