"""A run whose model is one vector, with everything the engine does written down."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from pistar_vf.checkpoints.manager import CheckpointManager
from pistar_vf.sharding import create_mesh
from pistar_vf.training.copies import Copies
from pistar_vf.training.engine import train
from pistar_vf.training.plan import Intervals, Plan, Validation
from pistar_vf.training.records import Recorder
from pistar_vf.training.state import create_state
from support.steps import random_batch

SIZE = 50_000
TX = optax.adam(1e-2)


def loss_fn(params, batch, key):
    error = jnp.mean((params["w"] - jnp.mean(batch.target)) ** 2)
    return error, {"error": error}


class Saved(CheckpointManager):
    """In the place of a checkpoint manager; fails to save step `failing`, and says so when it is asked."""

    def __init__(self, events, failing=None):
        self.events, self.failing, self.error, self.saved = events, failing, None, {}

    def path(self, step):
        return f"step {step}"

    def save(self, step, params, ema, opt_state, position):
        self.events.append(("save", step))
        self.saved[step] = (params, ema, opt_state, position)
        if step == self.failing:
            self.error = OSError("disk full")

    def forget_later(self, step):
        return False

    def write(self, best):
        self.events.append(("best", best.step))
        self.saved[best.step] = (best.params, best.ema, best.opt_state)

    def check(self):
        if self.error is not None:
            raise self.error

    def close(self):
        self.check()


class Written(Recorder):
    """In the place of a recorder."""

    def __init__(self, events):
        self.events, self.records = events, []

    def write(self, step, split, values):
        self.events.append((split, step))
        self.records.append((step, split, values))


class Toy:
    """A run of `num_train_steps`, validated with the given losses."""

    def __init__(self, num_train_steps=6, *, log=2, validate=2, save=3, losses=(), failing=None, best_loss=None):
        self.events = []
        self.saved, self.best, self.recorder = Saved(self.events, failing), Saved(self.events), Written(self.events)
        self.losses = list(losses)
        self.frozen = {"f": jnp.arange(7.0)}
        known = {} if best_loss is None else {"best_loss": best_loss}
        self.copies = Copies(self.saved, self.frozen, self.best, lambda: {"seed": 3}, **known)
        self.plan = Plan(
            loss_fn=loss_fn,
            tx=TX,
            schedule=optax.constant_schedule(1e-2),
            seed=0,
            ema_decay=0.9,
            intervals=Intervals(num_train_steps, log, validate, save),
            batch_size=4,
            unit="samples",
            title="toy",
            batches=lambda first: (random_batch(4, seed) for seed in range(first, 1000)),
            validate=self.validate if losses else None,
        )

    def validate(self, ema, frozen):
        return Validation({"loss": self.losses.pop(0)}, ("look out",))

    def state(self):
        placed = jax.jit(lambda w: create_state({"w": w}, TX))(jnp.zeros(SIZE))
        return placed

    def train(self, state=None, plan=None, **changes):
        state = self.state() if state is None else state
        train(plan or self.plan, state, self.frozen, create_mesh(), self.copies, self.recorder, **changes)


def host(tree):
    return jax.tree.map(np.asarray, tree)
