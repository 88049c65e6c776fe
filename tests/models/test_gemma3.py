"""The decoder against numpy: masks, rotary embedding, window, grouped queries, padding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import oracle_numpy
from support.small_models import GEMMA, random_params, relative_error, small_value_function

from pistar_vf.models.gemma3 import VARIANTS, apply_rope, attention_mask, rope_angles


@functools.cache
def _params():
    return random_params(small_value_function())


@functools.cache
def _run(**gemma):
    value_function = small_value_function(gemma=gemma)

    def run(params, x, valid):
        return value_function.bind(params).llm(x, valid)

    return jax.jit(run)


def _hidden(x, valid=None, **gemma):
    """Hidden states of embeddings x [l, d]."""
    valid = np.ones(len(x), bool) if valid is None else valid
    return np.asarray(_run(**gemma)(_params(), jnp.asarray(x, jnp.float32)[None], jnp.asarray(valid)[None])[0])


def _oracle(x, positions=None, **gemma):
    config = small_value_function(gemma=gemma).config.gemma
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), _params()["llm"])
    return oracle_numpy.gemma(x, np.arange(len(x)) if positions is None else positions, params, config)


def _embeddings(length, seed=0):
    return np.random.default_rng(seed).standard_normal((length, GEMMA.width))


@pytest.mark.parametrize("bidirectional", [True, False])
def test_hidden_states_equal_numpy_on_a_sequence_longer_than_the_window(bidirectional):
    x = _embeddings(17)
    assert relative_error(_hidden(x, bidirectional=bidirectional), _oracle(x, bidirectional=bidirectional)) < 1e-5
    unlimited = _oracle(x, bidirectional=bidirectional, sliding_window=100)
    assert relative_error(_oracle(x, bidirectional=bidirectional), unlimited) > 1e-2


def test_the_full_window_of_512_binds_on_600_tokens():
    x = _embeddings(600)
    assert relative_error(_hidden(x, sliding_window=512), _oracle(x, sliding_window=512)) < 1e-5
    assert relative_error(_oracle(x, sliding_window=512), _oracle(x, sliding_window=600)) > 1e-4


def test_a_local_layer_sees_exactly_the_tokens_nearer_than_the_window():
    """One local layer: changing token 10 reaches the tokens at distances 0 … window - 1 and no other."""
    x = _embeddings(21)
    other = x.copy()
    other[10] += 1.0
    only_local = {"global_every": 100, "depth": 1}
    value_function = small_value_function(gemma=only_local)
    llm = value_function.bind({**_params(), "llm": _one_layer(_params()["llm"])}).llm
    valid = jnp.ones((1, 21), bool)
    before, after = (llm(jnp.asarray(v, jnp.float32)[None], valid)[0] for v in (x, other))
    changed = np.flatnonzero(np.any(before != after, axis=-1))
    assert changed.tolist() == list(range(10 - 4, 10 + 4 + 1))


def _one_layer(llm):
    return {name: leaf for name, leaf in llm.items() if name != "layer_1"}


def test_padding_anywhere_changes_no_valid_token():
    x = _embeddings(17)
    valid = np.ones(17, bool)
    valid[[0, 5, 6, 7, 8, 9, 10, 15]] = False
    other = np.where(valid[:, None], x, 100.0)
    hidden = _hidden(x, valid)[valid]
    np.testing.assert_array_equal(_hidden(other, valid)[valid], hidden)
    assert relative_error(hidden, _oracle(x[valid], np.flatnonzero(valid))) < 1e-5


def test_attention_mask_literals():
    valid, positions = jnp.array([[True, True, False, True]]), jnp.arange(4)[None]
    both = attention_mask(valid, positions, bidirectional=True, window=2)[0, 0]
    np.testing.assert_array_equal(both, [[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]])
    causal = attention_mask(valid, positions, bidirectional=False, window=None)[0, 0]
    np.testing.assert_array_equal(causal, [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 1]])
    closer = attention_mask(valid, jnp.array([[0, 1, 1, 2]]), bidirectional=False, window=2)[0, 0]
    np.testing.assert_array_equal(closer[3], [0, 1, 0, 1])


@pytest.mark.parametrize("bidirectional", [True, False])
def test_positions_that_skip_the_padding_give_what_is_computed_without_it(bidirectional):
    """Row 0 has padding in the middle, row 1 none; the window of 5 binds."""
    x, valid = np.stack([_embeddings(17, seed) for seed in (0, 1)]), np.ones((2, 17), bool)
    valid[0, [3, 4, 5, 6, 11]] = False
    value_function = small_value_function(gemma={"bidirectional": bidirectional})
    positions = jnp.cumsum(jnp.asarray(valid), axis=1) - 1
    hidden = jax.jit(value_function.bind(_params()).llm)(jnp.asarray(x, jnp.float32), jnp.asarray(valid), positions)
    for row in range(2):
        expected = _oracle(x[row][valid[row]], bidirectional=bidirectional)
        assert relative_error(hidden[row][valid[row]], expected) < 1e-5
    assert relative_error(_hidden(x[0], valid[0], bidirectional=bidirectional)[valid[0]], hidden[0][valid[0]]) > 1e-3


def test_rope_equals_a_complex_multiplication():
    x = np.random.default_rng(4).standard_normal((7, 16))
    rotated = apply_rope(jnp.asarray(x, jnp.float32)[None, :, None], rope_angles(jnp.arange(7)[None], 16, 1_000.0))
    assert relative_error(rotated[0, :, 0], oracle_numpy.rotate(x, np.arange(7), 1_000.0)) < 1e-6


def test_rope_angle_literals():
    """Position 2, base 100, four dimensions: frequencies 1 and 1/10."""
    np.testing.assert_allclose(rope_angles(jnp.array([[2]]), 4, 100.0)[0, 0], [2.0, 0.2], rtol=1e-6)


def test_local_and_global_layers_rotate_with_their_own_base():
    x = _embeddings(9)
    expected = _hidden(x)
    for base in ("local_rope_base", "global_rope_base"):
        changed = {base: 77.0}
        assert relative_error(_hidden(x, **changed), _oracle(x, **changed)) < 1e-5
        assert relative_error(_oracle(x, **changed), expected) > 1e-3


def test_embedder_scales_by_the_root_of_the_width():
    llm = small_value_function().bind(_params()).llm
    tokens = jnp.array([[3, 0, 63]])
    table = np.asarray(_params()["llm"]["embedder"]["input_embedding"], np.float64)
    assert relative_error(llm.embedder(tokens), table[[[3, 0, 63]]] * np.sqrt(48)) < 1e-6


def test_the_270m_layers_5_11_17_are_global():
    config = VARIANTS["gemma3_270m"]
    assert [layer for layer in range(config.depth) if config.is_global(layer)] == [5, 11, 17]
    assert (config.local_rope_base, config.global_rope_base, config.sliding_window) == (10_000.0, 1_000_000.0, 512)
