"""Several models per episode, and how sure the labels are: the whole command against its single models."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from pistar_vf.categorical import Support
from pistar_vf.errors import ConfigError
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.run import run_relabel
from pistar_vf.relabel.write import PROVENANCE

pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture(scope="module")
def settings(tiny_dataset, trained_run, frame_cache_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ensemble")
    return RelabelConfig.of(
        data_dir=str(tiny_dataset),
        checkpoint_dir=(trained_run.checkpoint,),
        output_dir=folder / "one",
        report_dir=folder / "report",
        cache_dir=frame_cache_dir,
        num_workers=0,
        lookahead=10,
        output="sidecar",
        sidecar_tag="round_2",
        force=True,
    )


def sidecar(settings):
    """(columns, provenance) of what the command wrote."""
    run_relabel(settings, progress=False)
    table = pq.read_table(settings.output_dir / "meta" / f"advantages_{settings.sidecar_tag}.parquet")
    return table.to_pydict(), json.loads(table.schema.metadata[PROVENANCE])


@pytest.fixture(scope="module")
def alone(settings, trained_run):
    """The sidecars of two models of one run, each alone."""
    steps = [trained_run.checkpoint, trained_run.checkpoint.with_name("step_00000002")]
    return steps, [
        sidecar(settings.replace(checkpoint_dir=(step,), output_dir=settings.output_dir / step.name))[0]
        for step in steps
    ]


def test_a_sidecar_says_how_sure_it_is(alone, tiny_dataset):
    _, (columns, _) = alone
    dataset = load_lerobot(tiny_dataset)
    assert len(columns["value"]) == dataset.num_frames
    low, middle, high = (np.array(columns[f"value_q{level}"]) for level in ("05", "50", "95"))
    assert (low <= middle).all()
    assert (middle <= high).all()
    atoms = np.asarray(Support().atoms)
    assert np.isin(np.float32(low), np.float32(atoms)).all()
    std = np.array(columns["value_std"])
    # Four steps of training: V is near the middle of a nearly even spread, whose deviation is 1/sqrt(12) = 0.289.
    np.testing.assert_allclose(std, 12**-0.5, atol=0.02)
    chance = np.array(columns["positive_chance"])
    assert ((chance >= 0) & (chance <= 1)).all()
    assert "value_disagreement" not in columns


@pytest.mark.parametrize(("how", "combine"), [("mean", np.mean), ("worst", np.min)])
def test_models_are_combined_frame_by_frame(settings, alone, how, combine, capsys):
    steps, columns = alone
    values = np.array([own["value"] for own in columns])
    assert np.abs(values[0] - values[1]).min() > 1e-6  # two steps of training; a float32 near 0.5 is exact to 6e-8
    found, facts = sidecar(
        settings.replace(checkpoint_dir=tuple(steps), ensemble=how, output_dir=settings.output_dir / how)
    )
    np.testing.assert_allclose(found["value"], combine(values, axis=0), atol=2e-7)
    np.testing.assert_allclose(found["value_disagreement"], values.std(axis=0), atol=2e-7)
    assert facts["ensemble"]["rule"] == how
    assert facts["ensemble"]["models"] == 2
    assert facts["ensemble"]["disagreement"] == pytest.approx(values.std(axis=0).mean(), abs=1e-4)
    assert len(facts["checkpoints"]) == 2
    assert "ensemble: 2 models for each frame; their values differ by" in capsys.readouterr().out
    spread = np.array([own["value_std"] for own in columns])
    if how == "worst":  # with the distribution of whoever expects least
        chosen = spread[values.argmin(axis=0), np.arange(values.shape[1])]
        np.testing.assert_allclose(found["value_std"], chosen, atol=1e-3)


def test_without_an_ensemble_the_episodes_must_be_shared_out(settings, trained_run):
    steps = (trained_run.checkpoint, trained_run.checkpoint.with_name("step_00000002"))
    with pytest.raises(ConfigError, match="expected a checkpoint that has not seen it for every episode"):
        run_relabel(settings.replace(checkpoint_dir=steps, dry_run=True), progress=False)
