"""`--checkpoint_params trainable`: the same run, the same values, a fraction of the bytes."""

import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from support.places import ROOT

from pistar_vf.checkpoints.layout import find_checkpoint
from pistar_vf.cli.main import main
from pistar_vf.inference.predictor import load_value_model
from pistar_vf.models import gemma3, siglip
from pistar_vf.models.value_config import ARCHITECTURES
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten, num_parameters
from pistar_vf.recipes import run
from pistar_vf.training.optimizer import is_trainable

DOCUMENTATION = (ROOT / "docs" / "checkpoints.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture(scope="module")
def runs(trained_run, tmp_path_factory):
    """(whole, slim) runs of the same settings, towers frozen."""
    folder = tmp_path_factory.mktemp("slim")
    config = trained_run.config.replace(freeze_mode="all_backbones", allow_random_towers=True)
    return [
        run.run_training(config.replace(checkpoint_dir=folder / kind, checkpoint_params=kind))
        for kind in ("full", "trainable")
    ]


def leaves(predictor):
    return flatten(jax.tree.map(np.asarray, predictor.params))


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_same_model_in_fewer_bytes(runs):
    whole, slim = runs
    for use_ema in (True, False):
        expected, got = (leaves(load_value_model(path, use_ema=use_ema)) for path in (whole, slim))
        assert expected.keys() == got.keys()
        for name in expected:
            np.testing.assert_array_equal(got[name], expected[name], err_msg=name)
    assert size(slim) < 0.5 * size(whole)
    assert len(list((slim.parent / "frozen").iterdir())) == 1


def test_the_best_one_shares_the_frozen_leaves(runs):
    best = find_checkpoint(runs[1].parent)
    assert best.parent.name == "best"
    assert not (best.parent / "frozen").exists()
    assert leaves(load_value_model(best)).keys() == leaves(load_value_model(runs[0])).keys()


def test_a_whole_one_made_of_a_slim_one(runs, tmp_path):
    main(["convert", "--to", "checkpoint", "--path", str(runs[1]), "--output", str(tmp_path / "whole")])
    assert not (tmp_path / "whole" / "frozen.json").exists()
    expected, got = leaves(load_value_model(runs[0])), leaves(load_value_model(tmp_path / "whole"))
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)


def test_going_on_from_a_slim_one_ends_with_the_same_bits(runs, trained_run, tmp_path):
    """And may write whole ones from then on."""
    whole, slim = runs
    shutil.copytree(slim.parent, tmp_path / "run")
    for folder in (tmp_path / "run", tmp_path / "run" / "train_state"):
        shutil.rmtree(folder / slim.name)
    again = run.run_training(
        trained_run.config.replace(
            freeze_mode="all_backbones",
            allow_random_towers=True,
            checkpoint_dir=tmp_path / "run",
            resume_from_checkpoint="latest",
            checkpoint_params="full",
        )
    )
    expected, got = (flatten(ocp.PyTreeCheckpointer().restore(str(path))) for path in (whole, again))
    assert expected.keys() == got.keys()
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)


def test_the_figures_of_the_documentation():
    """docs/checkpoints.md, by the shapes of the full-size model."""
    model = ARCHITECTURES["pistar"](siglip.VARIANTS["So400m/14"], gemma3.VARIANTS["gemma3_270m"], state_dim=29)
    shapes = flatten(ValueFunction(model).shapes())
    trained = {name: leaf for name, leaf in shapes.items() if is_trainable(name, "all_backbones")}
    counts = num_parameters(trained), num_parameters(shapes)
    assert counts == (2_670_281, 683_210_809)
    assert all(f"{count:,}" in DOCUMENTATION for count in counts)
    slim, whole = (8 * count for count in counts)  # parameters and averages in float32
    assert (f"{whole / 2**30:.1f} GiB", f"{slim / 2**20:.0f} MiB ({slim / whole:.1%})") == ("5.1 GiB", "20 MiB (0.4%)")
    assert "5.1 GiB" in DOCUMENTATION
    assert "20 MiB (0.4 %)" in DOCUMENTATION
