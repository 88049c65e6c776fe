"""The engine: what happens when, what outlives a step and where, and how a run ends."""

import contextlib
import dataclasses
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.small_runs import unchecked
from support.toy_run import SIZE, Toy, host

from pistar_vf.errors import NonFiniteLossError
from pistar_vf.training import engine
from pistar_vf.training.engine import Stopped
from pistar_vf.training.plan import Every


@pytest.fixture(autouse=True)
def lowered_unchecked(monkeypatch):
    monkeypatch.setattr(engine, "compile_step", unchecked(engine.compile_step))


def stopping_after(monkeypatch, step):
    """As if a signal had come during this step."""

    @contextlib.contextmanager
    def requested():
        answers = iter([False] * (step - 1) + [True] * 1000)
        yield lambda: next(answers)

    monkeypatch.setattr(engine, "stop_requested", requested)


def test_what_is_due_happens_in_order():
    toy = Toy(6, log=2, validate=3, save=3, losses=[1.0, 2.0])
    other = Every(3, "other", lambda ema, frozen: {"x": 1.0})
    toy.train(plan=dataclasses.replace(toy.plan, every=(other,)))
    assert toy.events == [
        ("train", 2),
        *(("val", 3), ("other", 3), ("best", 3), ("save", 3)),
        ("train", 4),
        *(("train", 6), ("val", 6), ("other", 6), ("save", 6)),
    ]


def test_the_last_step_is_logged_validated_and_saved():
    toy = Toy(5, log=100, validate=100, save=100, losses=[1.0])
    toy.train()
    assert toy.events == [("train", 5), ("val", 5), ("best", 5), ("save", 5)]


def test_the_first_validation_is_for_the_record_alone():
    toy = Toy(2, validate=2, save=2, losses=[0.5, 1.0])
    toy.train(plan=dataclasses.replace(toy.plan, validate_first=True))
    assert toy.events == [("val", 0), ("train", 2), ("val", 2), ("best", 2), ("save", 2)]
    assert toy.copies.best_loss == 1.0


def test_only_a_better_state_than_the_resumed_runs_is_kept():
    toy = Toy(6, validate=2, save=6, losses=[0.9, 0.7, 0.8], best_loss=0.8)
    toy.train()
    assert [event for event in toy.events if event[0] == "best"] == [("best", 4)]
    assert toy.saved.saved[6][3] == {"seed": 3, "step": 6, "best_loss": 0.7}


def test_numbers_of_the_log():
    """Means over the window: 2 s a step; 100 s of validation are not training."""
    toy, now = Toy(4, log=2, validate=2, save=4, losses=[1.0, 1.0]), [0.0]

    def in_force(batches):
        for batch in batches:
            now[0] += 2.0
            yield batch

    def validate(ema, frozen):
        now[0] += 100.0
        return toy.validate(ema, frozen)

    toy.train(plan=dataclasses.replace(toy.plan, in_force=in_force, validate=validate), clock=lambda: now[0])
    logged = [values for _, split, values in toy.recorder.records if split == "train"]
    assert [values["samples_per_second"] for values in logged] == [2.0, 2.0]
    assert set(logged[0]) >= {"loss", "error", "grad_norm", "param_norm", "learning_rate", "data_wait_share"}


def test_what_is_saved_is_the_state_of_its_step():
    """Though later steps were given the state: they replace it in its place."""
    toy, states = Toy(6, validate=2, save=3, losses=[1.0, 0.5, 2.0]), {}
    watch = engine.Watch.after_step

    def noting(self, result):
        states[result.step] = host(result.state)
        watch(self, result)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.Watch, "after_step", noting)
        toy.train()
    params, ema, opt_state, _ = toy.saved.saved[3]
    np.testing.assert_array_equal(params["w"], states[3].trainable["w"])
    np.testing.assert_array_equal(ema["w"], states[3].ema["w"])
    assert jax.tree.all(jax.tree.map(np.array_equal, opt_state, states[3].opt_state))
    np.testing.assert_array_equal(params["f"], np.arange(7.0))
    params, ema, opt_state = toy.best.saved[4]
    np.testing.assert_array_equal(params["w"], states[4].trainable["w"])
    np.testing.assert_array_equal(ema["w"], states[4].ema["w"])
    assert opt_state is None


def test_several_processes_stop_together(monkeypatch):
    """Asked in step 5, they hear of it at their next question, after step 8: nobody saves alone."""
    toy, asked = Toy(20, save=100), []
    stopping_after(monkeypatch, 2)  # of the questions, at steps 4 and 8
    monkeypatch.setattr(engine.jax, "process_count", lambda: 2)
    monkeypatch.setattr(engine, "any_process", lambda flag, name: asked.append((name, flag)) or flag)
    with pytest.raises(Stopped, match="stopped at step 8"):
        toy.train()
    assert asked == [("stop", False), ("stop", True)]
    assert [event for event in toy.events if event[0] == "save"] == [("save", 8)]


def on_device() -> int:
    """Vectors as large as the model's, on the device."""
    return sum(array.size == SIZE for array in jax.live_arrays())


@pytest.mark.skipif(jax.__version__.startswith("0.5."), reason="JAX 0.5 counts the views through which arrays are read")
def test_no_second_state_stays_on_the_device(monkeypatch):
    """Parameters, averages and two moments; the best and the last copy are numpy, whatever is still being written."""
    toy, found = Toy(8, validate=2, save=4, losses=[4.0, 3.0, 2.0, 1.0]), []
    before = on_device()
    after = engine.Watch.after_step

    def counting(self, result):
        after(self, result)
        found.append(on_device() - before)

    monkeypatch.setattr(engine.Watch, "after_step", counting)
    toy.train()
    assert found == [4] * 8
    for kept in (*toy.saved.saved.values(), *toy.best.saved.values()):
        leaves = jax.tree.leaves(({"w": kept[0]["w"]}, {"w": kept[1]["w"]}, kept[2]))
        assert all(isinstance(leaf, np.ndarray | np.generic) for leaf in leaves)


def test_a_failing_save_ends_the_run_at_the_next_step():
    toy = Toy(100, log=1, validate=0, save=3, failing=3)
    with pytest.raises(OSError, match="disk full"):
        toy.train()
    assert toy.events == [("train", 1), ("train", 2), ("train", 3), ("save", 3)]


def test_a_failing_last_save_is_an_error():
    toy = Toy(3, save=3, failing=3)
    with pytest.raises(OSError, match="disk full"):
        toy.train()


def test_a_request_to_stop_saves_the_running_step(monkeypatch):
    toy = Toy(10, log=100, validate=2, save=100, losses=[1.0] * 9)
    stopping_after(monkeypatch, 3)
    with pytest.raises(Stopped, match="stopped at step 3") as stopped:
        toy.train()
    assert stopped.value.step == 3
    assert toy.events == [("val", 2), ("best", 2), ("save", 3)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_such_a_request(number):
    """Sent to this very process while a batch is taken; what handled signals before does so again afterwards."""
    toy, before = Toy(10, log=100, save=100), signal.getsignal(number)

    def in_force(batches):
        for taken, batch in enumerate(batches, start=1):
            if taken == 4:
                os.kill(os.getpid(), number)
            yield batch

    with pytest.raises(Stopped, match="stopped at step 4"):
        toy.train(plan=dataclasses.replace(toy.plan, in_force=in_force))
    assert toy.events == [("save", 4)]
    assert signal.getsignal(number) == before


def test_a_run_that_was_asked_to_stop_in_its_last_step_is_finished(monkeypatch):
    toy = Toy(3, log=100, save=100)
    stopping_after(monkeypatch, 3)
    toy.train()
    assert toy.events == [("train", 3), ("save", 3)]


def test_a_state_with_a_bad_loss_is_not_saved():
    """Not even where a checkpoint is due in the same step, one step before the loop looks at its numbers."""
    toy = Toy(6, log=100, save=1)

    def bad_loss(params, batch, key):
        return jnp.sum(params["w"]) * jnp.nan, {}

    plan = dataclasses.replace(toy.plan, loss_fn=bad_loss, name_rows=lambda rows: f"{len(rows)} frames of toy")
    with pytest.raises(NonFiniteLossError, match=r"step 1: expected a finite loss .* In the batch: 4 frames of toy\."):
        toy.train(plan=plan)
    assert toy.events == []


def test_what_a_validation_warns_of_is_said_after_the_warm_up(capsys):
    """A model that has hardly moved is constant, whatever its labels are; what is all warm-up says it at its end."""
    toy = Toy(6, log=100, validate=2, save=100, losses=[1.0, 1.0, 1.0])
    said = []
    for warmup in (4, 100):
        plan = dataclasses.replace(toy.plan, intervals=dataclasses.replace(toy.plan.intervals, warmup=warmup))
        toy.losses = [1.0, 1.0, 1.0]
        toy.train(plan=plan)
        said.append(capsys.readouterr())
    assert [text.out.count("look out") + text.err.count("look out") for text in said] == [2, 1]
