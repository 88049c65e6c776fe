"""Questions in training: the joint loss, the evaluator, and where data is looked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pistar_vf.batch import Observation
from pistar_vf.errors import DatasetError
from pistar_vf.models.language import language_logits
from pistar_vf.models.language_view import language_params, language_view
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten
from pistar_vf.questions.resolve import find_vqa_data
from pistar_vf.recipes.language import LanguageEvaluator, VqaSettings, open_language_table, vqa_texts
from pistar_vf.sharding import create_mesh
from pistar_vf.testing.tiny import tiny_model_config
from pistar_vf.testing.vqa_dataset import create_shape_pictures, write_jsonl
from pistar_vf.tokenizer import PromptTokenizer, train_prompt_tokenizer
from pistar_vf.training.step import joint_loss_fn, language_loss_fn

CAMERAS = ("base_0_rgb", "wrist_0_rgb")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = write_jsonl(tmp_path_factory.mktemp("vqa"), create_shape_pictures(12, image_size=28))
    settings = VqaSettings(data=str(path), max_token_len=40, val_fraction=0.2)
    tokenizer = PromptTokenizer(train_prompt_tokenizer(vqa_texts(settings)).model, max_token_len=40)
    return open_language_table(settings, tokenizer, cameras=CAMERAS, image_size=28, image_fit="stretch", seed=0)


@pytest.fixture(scope="module")
def model():
    """A `pistar` model, which reads values with a bidirectional decoder and cross-attention."""
    config = tiny_model_config()
    gemma = config.gemma.__class__(**{**config.gemma.__dict__, "vocab_size": 512})
    value_function = ValueFunction(config.__class__(**{**config.__dict__, "gemma": gemma}))
    return value_function, value_function.init(jax.random.key(0))


def direct(value_function, params, batch):
    """(sum of the answers' cross-entropies, their number) from the logits of the whole text."""
    view, own = language_view(value_function), language_params(params)
    logits = language_logits(view, own, Observation(batch.images, batch.image_masks, batch.tokens, batch.token_mask))
    log_probs = np.asarray(jax.nn.log_softmax(logits[:, :-1], axis=-1), np.float64)
    chosen = np.take_along_axis(log_probs, np.asarray(batch.tokens)[:, 1:, None], axis=-1)[..., 0]
    counted = np.asarray(batch.loss_mask)[:, 1:]
    return -(chosen * counted).sum(), int(counted.sum())


def test_every_architecture_has_a_language_model_inside(table, model):
    value_function, params = model
    batch = jax.tree.map(jnp.asarray, table.gather(table.train_records[:6]))
    loss, parts = language_loss_fn(value_function)(flatten(params), batch, jax.random.key(0))
    total, count = direct(value_function, params, batch)
    assert {name: float(value) for name, value in parts.items()} == {"language_loss": float(loss)}
    assert float(loss) == pytest.approx(total / count, rel=1e-5)


def test_the_joint_loss_is_the_weighted_sum():
    value = lambda params, batch, key: (params["a"] * 2.0, {"kl": params["a"]})  # noqa: E731
    language = lambda params, batch, key: (batch * params["a"], {"language_loss": batch * params["a"]})  # noqa: E731

    class Batch:
        language = jnp.float32(5.0)

    joint = joint_loss_fn(value, language, 0.1)
    loss, parts = (
        joint.__wrapped__({"a": jnp.float32(3.0)}, Batch, None)
        if hasattr(joint, "__wrapped__")
        else joint({"a": jnp.float32(3.0)}, Batch, None)
    )
    assert float(loss) == pytest.approx(6.0 + 0.1 * 15.0)
    assert {name: float(value) for name, value in parts.items()} == {
        "kl": 3.0,
        "value_loss": 6.0,
        "language_loss": 15.0,
    }


def test_the_evaluator_counts_tokens_and_exact_answers(table, model):
    value_function, params = model
    evaluator = LanguageEvaluator(value_function, table, 4, create_mesh(), num_workers=0)
    found = evaluator.summary(flatten(params), {})
    batch = jax.tree.map(jnp.asarray, table.gather(table.val_records))
    total, count = direct(value_function, params, batch)
    assert found["language_loss"] == pytest.approx(total / count, rel=1e-5)
    assert found["answers_right"] == share_of_right_answers(value_function, params, table, batch)


def share_of_right_answers(value_function, params, table, batch):
    """One question and one token at a time."""
    view, own = language_view(value_function), language_params(params)
    predict = jax.jit(lambda observation: language_logits(view, own, observation))
    right = 0
    longest = int(batch.loss_mask.sum(axis=1).max())
    for row in range(len(batch.index)):
        start = int(batch.loss_mask[row].argmax())
        tokens, expected = batch.tokens[row, :start].tolist(), batch.tokens[row][batch.loss_mask[row]]
        for _ in range(longest):
            text = np.zeros((1, table.encoder.max_token_len), np.int32)
            text[0, : len(tokens)] = tokens
            mask = np.arange(text.shape[1])[None] < len(tokens)
            images = {name: image[row : row + 1] for name, image in batch.images.items()}
            masks = {name: m[row : row + 1] for name, m in batch.image_masks.items()}
            logits = predict(Observation(images, masks, jnp.asarray(text), jnp.asarray(mask)))
            tokens.append(int(np.argmax(logits[0, len(tokens) - 1])))
        answer = table.encoder.decode_answer(np.array(tokens[start:]))
        right += answer == table.encoder.decode_answer(np.asarray(expected))
    return right / len(batch.index)


def test_data_is_found_in_the_local_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    snapshot = tmp_path / "hub" / "datasets--HuggingFaceM4--the_cauldron" / "snapshots" / "abc" / "vqav2"
    snapshot.mkdir(parents=True)
    assert find_vqa_data("HuggingFaceM4/the_cauldron", "vqav2") == snapshot
    cached = tmp_path / "datasets" / "org___name"
    cached.mkdir(parents=True)
    assert find_vqa_data("org/name") == cached
    assert find_vqa_data(str(cached)) == cached
    with pytest.raises(DatasetError, match=r"no question-answer data 'org/other', subset 'x'; tried .*download"):
        find_vqa_data("org/other", "x")
