"""The PyTorch side of benchmarks/performance.py computes what ours does, and its step trains what ours trains."""

import jax
import numpy as np
import pytest
from support.small_models import random_observation, random_params, relative_error, small_value_function

from pistar_vf.categorical import two_hot

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
torch_model = pytest.importorskip("speed.torch_model")

MODEL = small_value_function()
HEADS = {"projection", "cross_attention", "norm", "state_projection", "head"}


def create(freeze_mode, dtype=torch.float32):
    params = jax.tree.map(np.asarray, random_params(MODEL))
    return torch_model.TorchValueModel(params, MODEL.config, freeze_mode, dtype)


def test_the_same_logits():
    observation = random_observation()
    expected = jax.jit(MODEL.apply)(random_params(MODEL), observation)
    found = torch_model.value(create("all_backbones"), torch_model.inputs(observation))()
    assert relative_error(found, expected) < 1e-5
    wide = torch_model.value(create("all_backbones", torch.bfloat16), torch_model.inputs(observation))()
    assert 1e-4 < relative_error(wide, expected) < 0.1


@pytest.mark.parametrize(
    ("freeze_mode", "trained"),
    [("all_backbones", HEADS), ("siglip_only", HEADS | {"decoder"}), ("none", HEADS | {"decoder", "tower"})],
)
def test_the_same_leaves_are_trained(freeze_mode, trained):
    model = create(freeze_mode)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    target = np.asarray(two_hot(np.array([-0.5, 0.0, -1.0], np.float32), MODEL.config.support))
    torch_model.train_step(model, torch_model.inputs(random_observation()), target)()
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert {name.split(".")[0] for name in changed} == trained
    assert "decoder.embed_tokens.weight" not in changed
