"""Gemma 3 of Google's `gemma` package, with weights that its own reader loads.

Import only where gemma and kauldron are installed.
"""

import jax
import jax.numpy as jnp

from support import gemma_compat

gm = gemma_compat.import_gemma()

from gemma.gm.nn._config import TransformerConfig, make_attention_layers_types  # noqa: E402


def transformer_config(config):
    """Our sizes in gemma's words."""
    local, everywhere = gm.nn.AttentionType.LOCAL_SLIDING, gm.nn.AttentionType.GLOBAL
    return TransformerConfig(
        num_embed=config.vocab_size,
        embed_dim=config.width,
        hidden_dim=config.mlp_dim,
        num_heads=config.num_heads,
        head_dim=config.head_dim,
        num_kv_heads=config.num_kv_heads,
        attention_types=make_attention_layers_types(
            (local,) * (config.global_every - 1) + (everywhere,), num_layers=config.depth
        ),
        sliding_window_size=config.sliding_window,
        local_base_frequency=int(config.local_rope_base),
        global_base_frequency=int(config.global_rope_base),
        use_qk_norm=True,
        use_post_attn_norm=True,
        use_post_ffw_norm=True,
        transpose_gating_einsum=True,
        final_logit_softcap=None,
    )


def layer_outputs(folder, config, tokens, visible):
    """What every layer puts out, then the final hidden states.

    Args:
        folder: Google's checkpoint of the model.
        config: ours.
        tokens: ids [b, l].
        visible: which key each query may see [b, l, l], before the window.
    """
    model = gm.nn.Transformer(config=transformer_config(config), tokens="tokens", dtype=jnp.float32)
    output, captured = model.apply(
        {"params": gm.ckpts.load_params(folder)},
        tokens,
        attention_mask=visible,
        positions=jnp.broadcast_to(jnp.arange(tokens.shape[1])[None], tokens.shape),
        return_hidden_states=True,
        capture_intermediates=lambda module, _: isinstance(module, gm.nn.Block),
    )
    layers = captured["intermediates"]
    blocks = [layers[f"layer_{index}"]["__call__"][0][1] for index in range(config.depth)]
    return [jax.device_get(x) for x in (*blocks, output.hidden_states)]
