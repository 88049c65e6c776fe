"""What each freeze mode trains, holds and leaves alone."""

import numpy as np
import pytest
from support.steps import create_setup, host, random_batch, random_params

from pistar_vf.params import flatten
from pistar_vf.training.state import full_tree

pytestmark = pytest.mark.usefixtures("small_and_fast")

# Spelled out: what the paper and upstream freeze, not what the code says.
FROZEN = {
    "none": ["llm/embedder/input_embedding"],
    "siglip_only": ["llm/embedder/input_embedding", "img/"],
    "all_backbones": ["llm/", "img/"],
    "all_but_head": ["llm/", "img/", "img_projection/", "cross_attention/", "cross_attn_norm/", "state_projection/"],
}


@pytest.fixture(scope="module", params=list(FROZEN))
def mode(request):
    """(freeze mode, state before, state after one step, frozen leaves)."""
    setup = create_setup(request.param)
    before = host(setup.state)
    after, _ = setup.step(setup.state, setup.frozen, random_batch())
    return request.param, before, host(after), setup.frozen


def test_exactly_the_trainable_leaves_change(mode):
    name, _, after, frozen = mode
    start = random_params()
    expected = {leaf for leaf in start if not leaf.startswith(tuple(FROZEN[name]))}
    params = flatten(full_tree(after.trainable, frozen))
    changed = {leaf for leaf in start if not np.array_equal(params[leaf], start[leaf])}
    assert changed == expected


def test_optimiser_and_average_hold_trainable_leaves_only(mode):
    name, _, after, frozen = mode
    adam = after.opt_state[1][0]
    everything = len(random_params())
    for tree in (after.trainable, after.ema, adam.mu, adam.nu):
        assert not [leaf for leaf in tree if leaf.startswith(tuple(FROZEN[name]))]
        assert len(tree) + len(frozen) == everything


def test_the_average_of_a_checkpoint_has_every_leaf(mode):
    _, _, after, frozen = mode
    ema, start = flatten(full_tree(after.ema, frozen)), random_params()
    assert ema.keys() == start.keys()
    for leaf in frozen:
        np.testing.assert_array_equal(ema[leaf], start[leaf])


def test_pistars_default_trains_only_the_heads(mode):
    name, before, *_ = mode
    if name != "all_backbones":
        pytest.skip("of all_backbones")
    heads = {"img_projection", "cross_attention", "cross_attn_norm", "state_projection", "value_head"}
    assert {leaf.split("/")[0] for leaf in before.trainable} == heads
    assert len([leaf for leaf in before.trainable if not leaf.startswith("state_projection")]) == 18
