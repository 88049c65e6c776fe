"""The value model once more, in float64 numpy with loops over heads: an oracle that shares no code with the library.

Takes one example at a time and drops hidden tokens instead of masking them.
"""

import numpy as np
import scipy.special


def gelu(x):
    """The tanh approximation."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def layer_norm(x, p):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def rms_norm(x, p):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * (1 + p["scale"])


def dense(x, p):
    return x @ p["kernel"] + p["bias"]


def attend(query, key, value, visible):
    """One head: query [q, dim], key and value [k, dim], visible [q, k]; without any key the sum is empty, 0."""
    if len(key) == 0:
        return np.zeros_like(query)
    scores = np.where(visible, query @ key.T / np.sqrt(query.shape[-1]), -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ value


def multi_head_attention(queries, keys, p):
    result = p["out"]["bias"]
    for head in range(p["query"]["kernel"].shape[1]):
        q = queries @ p["query"]["kernel"][:, head] + p["query"]["bias"][head]
        k = keys @ p["key"]["kernel"][:, head] + p["key"]["bias"][head]
        v = keys @ p["value"]["kernel"][:, head] + p["value"]["bias"][head]
        result = result + attend(q, k, v, np.ones((len(q), len(k)), bool)) @ p["out"]["kernel"][head]
    return result


def siglip_block(x, p):
    normed = layer_norm(x, p["LayerNorm_0"])
    x = x + multi_head_attention(normed, normed, p["MultiHeadDotProductAttention_0"])
    hidden = gelu(dense(layer_norm(x, p["LayerNorm_1"]), p["MlpBlock_0"]["Dense_0"]))
    return x + dense(hidden, p["MlpBlock_0"]["Dense_1"])


def take_layer(stacked, index):
    """One layer of a dict whose leaves have a leading layer axis."""
    return {k: take_layer(v, index) if isinstance(v, dict) else v[index] for k, v in stacked.items()}


def patch_tokens(image, p):
    """image [h, w, 3] in [-1, 1]; row-major tokens, before the position embedding."""
    size = p["kernel"].shape[0]
    rows, columns = image.shape[0] // size, image.shape[1] // size
    tokens = []
    for row in range(rows):
        for column in range(columns):
            patch = image[row * size : (row + 1) * size, column * size : (column + 1) * size]
            tokens.append(np.einsum("yxc,yxcd->d", patch, p["kernel"]) + p["bias"])
    return np.stack(tokens)


def siglip(image, p):
    x = patch_tokens(image, p["embedding"]) + p["pos_embedding"][0]
    blocks = p["Transformer"]["encoderblock"]
    for index in range(len(blocks["LayerNorm_0"]["scale"])):
        x = siglip_block(x, take_layer(blocks, index))
    x = layer_norm(x, p["Transformer"]["encoder_norm"])
    return dense(x, p["head"]) if "head" in p else x


def rotate(x, positions, base):
    """Rotary embedding of x [l, dim] as a complex multiplication of the pairs (i, i + dim/2)."""
    half = x.shape[-1] // 2
    turn = np.exp(1j * positions[:, None] * base ** (-np.arange(half) / half))
    rotated = (x[:, :half] + 1j * x[:, half:]) * turn
    return np.concatenate([rotated.real, rotated.imag], axis=-1)


def gemma_attention(x, positions, p, config, is_global):
    base = config.global_rope_base if is_global else config.local_rope_base
    offset = positions[None, :] - positions[:, None]
    visible = np.ones_like(offset, bool) if is_global else np.abs(offset) < config.sliding_window
    if not config.bidirectional:
        visible = visible & (offset <= 0)
    result = 0.0
    for head in range(config.num_heads):
        kv_head = head // (config.num_heads // config.num_kv_heads)
        q = rms_norm(x @ p["q_einsum"]["w"][head], p["_query_norm"])
        k = rms_norm(x @ p["kv_einsum"]["w"][0, kv_head], p["_key_norm"])
        v = x @ p["kv_einsum"]["w"][1, kv_head]
        attended = attend(rotate(q, positions, base), rotate(k, positions, base), v, visible)
        result = result + attended @ p["attn_vec_einsum"]["w"][head]
    return result


def gemma(x, positions, p, config):
    """x [l, d]: the valid tokens only; positions [l]: where they stood in the padded sequence."""
    for index in range(config.depth):
        layer, is_global = p[f"layer_{index}"], (index + 1) % config.global_every == 0
        normed = rms_norm(x, layer["pre_attention_norm"])
        x = x + rms_norm(
            gemma_attention(normed, positions, layer["attn"], config, is_global), layer["post_attention_norm"]
        )
        normed = rms_norm(x, layer["pre_ffw_norm"])
        gate, up = normed @ layer["mlp"]["gating_einsum"][0].T, normed @ layer["mlp"]["gating_einsum"][1].T
        x = x + rms_norm((gelu(gate) * up) @ layer["mlp"]["linear"], layer["post_ffw_norm"])
    return rms_norm(x, p["final_norm"])


def mlp_projection(x, p):
    """GELU in its exact form."""
    hidden = dense(x, p["linear1"])
    return dense(hidden * 0.5 * (1 + scipy.special.erf(hidden / np.sqrt(2))), p["linear2"])


def embed_valid(images, image_masks, tokens, token_mask, row, p, config):
    """(image tokens, text tokens) of one row of a stitched model, without what is masked; `p` in float64."""
    seen = [name for name in sorted(images) if image_masks[name][row]]
    projected = [
        mlp_projection(siglip(images[name][row] / 127.5 - 1.0, p["img"]), p["img_projection"]) for name in seen
    ]
    text = p["llm"]["embedder"]["input_embedding"][tokens[row][token_mask[row]]] * np.sqrt(config.gemma.width)
    return np.concatenate([np.zeros((0, config.gemma.width)), *projected]), text


def stitched_value_logits(observation, row, p, config):
    """Logits of one row; `p` in float64."""
    o = observation
    parts = embed_valid(o.images, o.image_masks, o.tokenized_prompt, o.tokenized_prompt_mask, row, p, config)
    state = [dense(o.state[row], p["state_projection"])[None]] if "state_projection" in p else []
    sequence = np.concatenate([parts[0], *state, parts[1]])
    return dense(gemma(sequence, np.arange(len(sequence)), p["llm"], config.gemma)[-1], p["value_head"])


def language_logits(images, image_masks, tokens, token_mask, row, p, config):
    """Logits behind each valid token of one row's text; `p` in float64."""
    image_tokens, text = embed_valid(images, image_masks, tokens, token_mask, row, p, config)
    sequence = np.concatenate([image_tokens, text])
    hidden = gemma(sequence, np.arange(len(sequence)), p["llm"], config.gemma)[len(image_tokens) :]
    return hidden @ p["llm"]["embedder"]["input_embedding"].T


def value_logits(observation, row, p, config):
    """Logits of one row of an observation of uint8 images; `p` in float64."""
    tower = {name: siglip(image[row] / 127.5 - 1.0, p["img"]) for name, image in observation.images.items()}
    image_tokens, valid = [], []
    for name in sorted(tower):
        image_tokens.append(dense(tower[name], p["img_projection"]))
        valid += [bool(observation.image_masks[name][row])] * len(tower[name])
    image_tokens = np.concatenate(image_tokens)
    text = p["llm"]["embedder"]["input_embedding"][observation.tokenized_prompt[row]] * np.sqrt(config.gemma.width)
    visible_images = image_tokens[np.array(valid)]
    attended = multi_head_attention(layer_norm(text, p["cross_attn_norm"]), visible_images, p["cross_attention"])
    sequence = [image_tokens, text + attended]
    valid += list(observation.tokenized_prompt_mask[row])
    if "state_projection" in p:
        sequence.append(dense(observation.state[row], p["state_projection"])[None])
        valid.append(True)
    positions = np.flatnonzero(valid)
    hidden = gemma(np.concatenate(sequence)[positions], positions, p["llm"], config.gemma)
    pooled = layer_norm(hidden.mean(0), p["value_head"]["layer_norm"])
    return dense(gelu(dense(pooled, p["value_head"]["linear1"])), p["value_head"]["linear2"])
