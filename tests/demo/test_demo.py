"""The demo from end to end, on a handful of episodes and steps."""

import json

import numpy as np
import pytest

from pistar_vf.demo.value_demo import demo_config, run_demo
from pistar_vf.errors import ConfigError

pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "demo"
    settings = {"num_train_steps": 2, "batch_size": 4, "image_size": 28, "val_max_frames": 16, "num_workers": 0}
    scores = run_demo(folder, num_episodes=8, cache_dir=folder.parent / "cache", **settings)
    return folder, scores


def test_it_leaves_a_dataset_a_model_and_a_picture(demo):
    folder, scores = demo
    assert (folder / "labelled" / "meta" / "info.json").is_file()
    assert (folder / "checkpoints" / "step_00000002" / "value_spec.json").is_file()
    assert (folder / "value_curves.png").stat().st_size > 10_000
    assert json.loads((folder / "demo.json").read_text()) == pytest.approx(scores, nan_ok=True)
    shared = {"mae", "spearman", "concordance", "auc_last_quarter"}
    assert set(scores) >= shared | {f"clock_{name}" for name in shared} | {"late_value", "late_value_swapped"}
    # Two held-out episodes may be of two tasks, which nobody compares.
    assert scores["clock_concordance"] == 0.5 or np.isnan(scores["clock_concordance"])


def test_it_relabels_whatever_the_gate_says(demo):
    folder, scores = demo
    assert scores["gate_passed"] == 0.0  # two steps of training
    assert (folder / "relabelled" / "meta" / "info.json").is_file()
    report = (folder / "report" / "report.html").read_text(encoding="utf-8")
    for title in ("Episodes", "Gate", "Measures", "Labels", "Training", "Dataset"):
        assert f"<h2>{title}</h2>" in report
    assert "Health: " in report
    assert 0.0 <= scores["losses_not_positive"] <= 1.0


def test_its_verdict_is_by_default_settings_on_unseen_episodes(demo):
    report = json.loads((demo[0] / "report" / "report.json").read_text())
    assert report["verdict"] in ("FAILED", "NOT SHOWN")
    assert 0 < report["num_judged"] < report["num_episodes"] <= 8
    assert 7 <= report["facts"]["rule"]["lookahead"] <= 10  # a fifth of some forty frames


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigError, match="holds files that are no earlier demo's"):
        run_demo(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_settings_can_be_overridden(tmp_path):
    assert demo_config(tmp_path, tmp_path, val_fraction=0.5).val_fraction == 0.5
    assert demo_config(tmp_path, tmp_path).preset == "tiny"
