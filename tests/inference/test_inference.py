"""A restored model gives the values that training measured, from raw frames, and refuses what does not fit."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from pistar_vf.checkpoints.layout import find_checkpoint
from pistar_vf.checkpoints.value_spec import unknown_prompts
from pistar_vf.errors import CheckpointError, ConfigError, TokenizerError
from pistar_vf.inference.evaluate import Evaluator, FrameSample
from pistar_vf.inference.predictor import Prediction, load_value_model
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten
from pistar_vf.recipes import run
from pistar_vf.sharding import create_mesh
from pistar_vf.upstream.load import load_any_value_model
from pistar_vf.upstream.spec import UpstreamInputs
from pistar_vf.video.decoding import decode_video

pytestmark = pytest.mark.usefixtures("small_and_fast")

FRONT, WRIST = "observation.images.front", "observation.images.wrist"


@pytest.fixture(scope="module")
def model(trained_run):
    return load_value_model(trained_run.checkpoint)


@pytest.fixture(scope="module")
def episode(trained_run, tmp_path_factory):
    """(native frames by camera, states, prompt) of the first 8 frames of a held-out episode, and which they are."""
    dataset = load_lerobot(trained_run.config.data_dir)
    # In the run's own folder a new run would be refused.
    data = run.prepare_data(trained_run.config.replace(checkpoint_dir=tmp_path_factory.mktemp("none")))
    held_out = data.val_rows.episodes[0]
    images = {}
    for key in (FRONT, WRIST):
        frames = decode_video(
            dataset.video_path(held_out, key),
            size=48,
            fit="stretch",  # 48 pixels is the native size
            num_frames=held_out.length,
            fps=dataset.fps,
            context=key,
        )
        images[key] = np.stack(list(frames))[:8]
    rows = slice(held_out.start, held_out.start + 8)
    state = dataset.read_column("observation.state")[rows]
    prompt = dataset.prompts[dataset.prompt_index()[held_out.start]]
    return images, state, prompt, data, held_out


def test_values_are_those_of_the_validation(model, episode):
    """Through the whole path: resize, normalise, tokenise."""
    images, state, prompt, data, held_out = episode
    rows = np.arange(held_out.start, held_out.start + 8)
    sample = FrameSample(rows=rows, episode=np.zeros(8, np.int32))
    evaluator = Evaluator(ValueFunction(model.spec.model), data.table, sample, 8, create_mesh(), 0)
    expected = evaluator.frames(flatten(model.params), {})["value"]
    prediction = model.predict(images, state, prompt)
    np.testing.assert_allclose(prediction.value, expected, atol=1e-6)
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(prediction.probs.sum(-1), 1.0, atol=1e-5)
    np.testing.assert_allclose(prediction.probs @ prediction.atoms, prediction.value, atol=1e-5)


def test_a_camera_may_go_by_either_name(model, episode):
    images, state, prompt, *_ = episode
    renamed = {"base_0_rgb": images[FRONT], "wrist_0_rgb": images[WRIST]}
    np.testing.assert_array_equal(
        model.predict(renamed, state, prompt).value, model.predict(images, state, prompt).value
    )


def test_one_observation_is_a_batch_of_one(model, episode):
    images, state, prompt, *_ = episode
    one = model.predict({key: frames[3] for key, frames in images.items()}, state[3], prompt)
    np.testing.assert_allclose(one.value, model.predict(images, state, prompt).value[3:4], atol=1e-6)


def test_each_observation_may_have_its_own_prompt(model, episode):
    images, state, prompt, *_ = episode
    other = next(text for text in ("put the red block in the left bin", "drop it") if text != prompt)
    values = model.predict(images, state, [prompt] * 4 + [other] * 4).value
    np.testing.assert_allclose(values[:4], model.predict(images, state, prompt).value[:4], atol=1e-6)
    np.testing.assert_allclose(values[4:], model.predict(images, state, other).value[4:], atol=1e-6)


def test_a_camera_passed_as_none_is_masked(model, episode):
    """Whatever it shows; so the value differs from that of black pixels."""
    images, state, prompt, *_ = episode
    masked = model.predict({FRONT: images[FRONT], WRIST: None}, state, prompt).value
    black = model.predict({FRONT: images[FRONT], WRIST: np.zeros_like(images[WRIST])}, state, prompt).value
    assert np.abs(masked - black).max() > 1e-6


def test_the_weights_themselves_can_be_asked_for(trained_run, model):
    raw = load_value_model(trained_run.checkpoint, use_ema=False)
    assert any(not np.array_equal(a, b) for a, b in zip(flatten(raw.params).values(), flatten(model.params).values()))


def test_what_is_said_for_upstreams_checkpoints_changes_nothing(trained_run, model):
    told = load_any_value_model(trained_run.checkpoint, upstream=UpstreamInputs({"base_0_rgb": "image"}))
    assert told.spec == model.spec


def test_a_training_directory_gives_its_best_checkpoint(trained_run, caplog):
    """The one of steps 2 and 4 whose validation loss is lower, as metrics.jsonl has them; a line says so."""
    root = trained_run.checkpoint.parent
    rows = [json.loads(line) for line in (root / "metrics.jsonl").read_text().splitlines()]
    losses = {row["step"]: row["loss"] for row in rows if row["split"] == "val"}
    assert set(losses) == {2, 4}
    wanted = f"step_{min(losses, key=losses.get):08d}"
    with caplog.at_level("INFO"):
        assert find_checkpoint(root) == root / "best" / wanted
    assert f"taking best/{wanted}, chosen by validation loss" in caplog.text
    best = load_value_model(root / "best")
    for one, other in zip(flatten(load_value_model(root).params).values(), flatten(best.params).values()):
        np.testing.assert_array_equal(one, other)
    assert [entry.name for entry in (root / "best").glob("step_*")] == [wanted]


def changed(episode, **changes):
    images, state, prompt, *_ = episode
    return {"images": images, "state": state, "prompt": prompt, **changes}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda i, s: {"images": i[FRONT]},
            ConfigError,
            r"base_0_rgb \('observation.images.front'\), .* one array",
        ),
        (lambda i, s: {"images": {FRONT: i[FRONT]}}, ConfigError, r"got \['observation.images.front'\]; pass None"),
        (
            lambda i, s: {"images": {**i, "top": i[FRONT]}},
            ConfigError,
            r"images of the cameras .* got .*'top'",
        ),
        (lambda i, s: {"images": {FRONT: None, WRIST: None}}, ConfigError, r"every camera is None"),
        (lambda i, s: {"images": {FRONT: i[FRONT][:3], WRIST: i[WRIST]}}, ConfigError, r"same number .* got \{"),
        (lambda i, s: {"images": {**i, FRONT: i[FRONT] / 255}}, ConfigError, r"expected uint8 .* got float64"),
        (lambda i, s: {"images": {**i, FRONT: i[FRONT][..., :2]}}, ConfigError, r"got uint8 \(8, 48, 48, 2\)"),
        (lambda i, s: {"state": None}, ConfigError, r"reads a state of \d+ numbers \('observation.state'\), got None"),
        (lambda i, s: {"state": s[:, :2]}, ConfigError, r"state: expected shape \(8, \d+\), got \(8, 2\)"),
        (lambda i, s: {"state": s[:3]}, ConfigError, r"state: expected shape \(8, \d+\), got \(3, \d+\)"),
        (lambda i, s: {"prompt": ["a", "b"]}, ConfigError, r"prompt: expected 1 or 8 texts, got 2"),
        (lambda i, s: {"prompt": " "}, TokenizerError, r"expected a prompt in words"),
        (lambda i, s: {"prompt": "z" * 99}, TokenizerError, r"expected at most 24 tokens"),
    ],
)
def test_what_does_not_fit_is_refused(model, episode, change, error, message):
    with pytest.raises(error, match=message):
        model.predict(**changed(episode, **change(episode[0], episode[1])))


def test_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=r"expected a checkpoint \(step_…\) or a training directory"):
        load_value_model(tmp_path)


@pytest.fixture
def copy(trained_run, tmp_path):
    return shutil.copytree(trained_run.checkpoint, tmp_path / "step_00000004")


def test_another_tokenizer_is_refused(copy):
    from pistar_vf.tokenizer import train_prompt_tokenizer

    (copy / "tokenizer.model").write_bytes(train_prompt_tokenizer(["another text"]).model)
    with pytest.raises(CheckpointError, match=r"expected the tokenizer with sha256 \w{12}…, got \w{12}…"):
        load_value_model(copy)


def test_a_damaged_tokenizer_is_refused(copy):
    (copy / "tokenizer.model").write_bytes(b"version https://git-lfs")
    with pytest.raises(TokenizerError, match=r"tokenizer.model: expected a SentencePiece model"):
        load_value_model(copy)


def test_a_checkpoint_without_arrays_is_refused(copy):
    for folder in copy.glob("ocdbt.process_*"):
        shutil.rmtree(folder)
    with pytest.raises(CheckpointError, match=r"step_00000004: expected a complete orbax checkpoint"):
        load_value_model(copy)


def test_a_prediction_says_how_sure_it_is():
    """Half at -1 and half at 0 is the least sure; the 90 % quantile of [.1 .2 .7] is the last atom."""
    atoms = np.array([-1, -0.5, 0], np.float32)
    probs = np.array([[0.5, 0, 0.5], [0, 1, 0], [0.1, 0.2, 0.7]], np.float32)
    prediction = Prediction(value=probs @ atoms, probs=probs, atoms=atoms)
    np.testing.assert_allclose(prediction.std, [0.5, 0, (0.15 - 0.04) ** 0.5], atol=1e-6)
    np.testing.assert_array_equal(prediction.quantile(0.1), [-1, -0.5, -1])
    np.testing.assert_array_equal(prediction.quantile(0.9), [0, -0.5, 0])
    np.testing.assert_array_equal(prediction.quantile(1.0), [0, -0.5, 0])
    with pytest.raises(ConfigError, match=r"quantile: expected a level in \(0, 1\], got 0.0"):
        prediction.quantile(0.0)


def test_a_prompt_of_another_task_is_said_to_be_one(trained_run, episode, caplog):
    """It gets a value all the same: whoever asks on purpose knows why. Each prompt is named once."""
    images, state, *_ = episode
    model = load_value_model(trained_run.checkpoint)
    prompt = model.spec.prompts[0]
    with caplog.at_level("WARNING"):
        model.predict(images, state, prompt)
        assert "prompt" not in caplog.text
        model.predict(images, state, "fold the towel")
        model.predict(images, state, "fold the towel")
    assert caplog.text.count("the prompt 'fold the towel' is none of the") == 1
    old = dataclasses.replace(model.spec, prompts=())
    assert unknown_prompts(old, ["fold the towel"]) == ()
    assert unknown_prompts(model.spec, ["fold", prompt, "fold"]) == ("fold",)
