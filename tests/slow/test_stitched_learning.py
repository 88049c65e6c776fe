"""The tiny stitched model really learns to answer questions about pictures; ten minutes on two cores."""

import pytest

from pistar_vf.cli.stages import main as run_stages
from pistar_vf.demo.stitched_demo import pretrain, recorded, stage_words, write_stitched_data

pytestmark = pytest.mark.slow


def test_from_scratch_and_by_a_fresh_projector_alone(tmp_path):
    """Held-out pictures. Chance is 1/6 for colours, 1/2 for sides and numbers, 1/3 for shapes."""
    data = write_stitched_data(tmp_path, num_pictures=4_000, num_episodes=2)
    model = pretrain(data, tmp_path / "pretrained", num_train_steps=3_000)
    assert recorded(tmp_path / "pretrained", "answers_right")[-1] >= 0.9
    run_stages(["--stage", "1", "--output_base", str(tmp_path), *stage_words(data, model)])
    fresh, *_, aligned = recorded(tmp_path / "alignment", "answers_right")
    assert fresh < 0.5
    assert aligned >= 0.9
