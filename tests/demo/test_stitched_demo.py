"""The stitched demo from end to end, on a handful of pictures, episodes and steps."""

import json

import pytest

from pistar_vf.cli.stages import main as run_stages
from pistar_vf.demo.stitched_demo import _PRETRAINING_SEED, recorded, run_stitched_demo
from pistar_vf.errors import ConfigError
from pistar_vf.recipes.config import AlignmentConfig

pytestmark = pytest.mark.usefixtures("small_and_fast")

WORDS = (
    "--batch_size 4 --image_size 28 --num_workers 0 --stage1.num_train_steps 2 --stage1.val_interval 1 "
    "--stage2.num_train_steps 2 --stage2.val_interval 2 --val_max_frames 16"
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stitched") / "demo"
    small = {"num_train_steps": 2, "batch_size": 4, "image_size": 28, "val_max_questions": 8}
    scores = run_stitched_demo(
        folder,
        run_stages,
        num_pictures=40,
        num_episodes=12,
        pretraining=small,
        words=[*WORDS.split(), "--cache_dir", f"{folder.parent}/cache"],
    )
    return folder, scores


def test_it_leaves_both_stages_an_evaluation_and_pictures(demo):
    folder, scores = demo
    assert (folder / "alignment" / "best_projector.safetensors").is_file()
    assert (folder / "robot_vf" / "step_00000002" / "value_spec.json").is_file()
    assert (folder / "robot_vf" / "split.json").is_file()
    assert (folder / "value_curves" / "report.html").is_file()
    figures = json.loads((folder / "evaluation.json").read_text())["figures"]
    assert figures["model"]["mae"]["value"] == pytest.approx(scores["mae"])
    assert json.loads((folder / "demo.json").read_text()) == pytest.approx(scores, nan_ok=True)


def test_stage_1_begins_with_a_projector_of_its_own(demo):
    """With the seed of the pretraining it would begin with the one that the towers grew up with."""
    folder, scores = demo
    assert AlignmentConfig.of().seed != _PRETRAINING_SEED
    assert scores["answers_fresh_projector"] == recorded(folder / "alignment", "answers_right")[0]


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigError, match="holds files that are no earlier demo's"):
        run_stages(["--demo", "--demo_dir", str(tmp_path)])
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_a_flag_that_nobody_knows_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(ConfigError, match="--nonsense: expected a flag of stage 1 or stage 2"):
        run_stages(["--demo", "--demo_dir", str(tmp_path / "demo"), "--nonsense", "1"])
    assert not (tmp_path / "demo").exists()
