"""Modules of Hugging Face transformers and torch that carry the weights of our parameter trees.

Import only behind `pytest.importorskip("transformers")`.
"""

import numpy as np
import torch
import transformers


def tensor(x):
    return torch.from_numpy(np.array(x, np.float32))


def _load(module, weights):
    """Every weight of the module must be given, and no other."""
    module.load_state_dict({name: tensor(value) for name, value in weights.items()}, strict=True)
    return module.eval()


def _linear(p):
    """Weight and bias of a torch Linear; heads of ours are joined to one axis."""
    outputs = np.asarray(p["bias"]).size
    return {"weight": np.asarray(p["kernel"]).reshape(-1, outputs).T, "bias": np.asarray(p["bias"]).reshape(-1)}


def _norm(p):
    return {"weight": p["scale"], "bias": p["bias"]}


def _named(prefix, weights):
    return {f"{prefix}.{name}": value for name, value in weights.items()}


def linear(p):
    weights = _linear(p)
    return _load(torch.nn.Linear(*reversed(weights["weight"].shape)), weights)


def layer_norm(p):
    return _load(torch.nn.LayerNorm(np.asarray(p["scale"]).size, eps=1e-6), _norm(p))


def multi_head_attention(p):
    width, heads, _ = p["query"]["kernel"].shape
    parts = [_linear(p[name]) for name in ("query", "key", "value")]
    weights = {f"in_proj_{kind}": np.concatenate([part[kind] for part in parts]) for kind in ("weight", "bias")}
    return _load(
        torch.nn.MultiheadAttention(width, heads, batch_first=True), weights | _named("out_proj", _linear(p["out"]))
    )


def siglip(p, config):
    """`SiglipVisionModel` without its pooling head; `p` is our "img" subtree."""
    model = transformers.SiglipVisionModel(
        transformers.SiglipVisionConfig(
            hidden_size=config.width,
            intermediate_size=config.mlp_dim,
            num_hidden_layers=config.depth,
            num_attention_heads=config.num_heads,
            image_size=config.image_size,
            patch_size=config.patch_size,
            vision_use_head=False,
        )
    )
    weights = {
        "embeddings.patch_embedding.weight": np.transpose(p["embedding"]["kernel"], (3, 2, 0, 1)),
        "embeddings.patch_embedding.bias": p["embedding"]["bias"],
        "embeddings.position_embedding.weight": p["pos_embedding"][0],
        **_named("post_layernorm", _norm(p["Transformer"]["encoder_norm"])),
    }
    for index in range(config.depth):
        weights |= _named(f"encoder.layers.{index}", _siglip_block(p["Transformer"]["encoderblock"], index))
    return _load(model, weights)


def _siglip_block(stacked, index):
    def layer(p):
        return {name: np.asarray(leaf)[index] for name, leaf in p.items()}

    attention, mlp = stacked["MultiHeadDotProductAttention_0"], stacked["MlpBlock_0"]
    return {
        **_named("layer_norm1", _norm(layer(stacked["LayerNorm_0"]))),
        **_named("layer_norm2", _norm(layer(stacked["LayerNorm_1"]))),
        **_named("mlp.fc1", _linear(layer(mlp["Dense_0"]))),
        **_named("mlp.fc2", _linear(layer(mlp["Dense_1"]))),
        **_named("self_attn.q_proj", _linear(layer(attention["query"]))),
        **_named("self_attn.k_proj", _linear(layer(attention["key"]))),
        **_named("self_attn.v_proj", _linear(layer(attention["value"]))),
        **_named("self_attn.out_proj", _linear(layer(attention["out"]))),
    }


def gemma3(p, config):
    """`Gemma3TextModel`; `p` is our "llm" subtree."""
    return _load(transformers.Gemma3TextModel(_gemma_config(config)), _gemma_weights(p, config))


def gemma3_for_causal_lm(p, config):
    """`Gemma3ForCausalLM`, its head tied to the embedding table; `p` is our "llm" subtree."""
    weights = _gemma_weights(p, config)
    head = {"lm_head.weight": weights["embed_tokens.weight"]}
    return _load(transformers.Gemma3ForCausalLM(_gemma_config(config)), _named("model", weights) | head)


def _gemma_config(config):
    window = config.sliding_window
    theirs = transformers.Gemma3TextConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.width,
        intermediate_size=config.mlp_dim,
        num_hidden_layers=config.depth,
        num_attention_heads=config.num_heads,
        num_key_value_heads=config.num_kv_heads,
        head_dim=config.head_dim,
        query_pre_attn_scalar=config.head_dim,
        # Bidirectional, transformers counts both sides and turns w into w // 2 + 1.
        sliding_window=2 * (window - 1) if config.bidirectional else window,
        sliding_window_pattern=config.global_every,
        rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": config.local_rope_base},
            "full_attention": {"rope_type": "default", "rope_theta": config.global_rope_base},
        },
        use_bidirectional_attention=config.bidirectional,
    )
    assert theirs.sliding_window == window
    return theirs


def _gemma_weights(p, config):
    weights = {"embed_tokens.weight": p["embedder"]["input_embedding"], "norm.weight": p["final_norm"]["scale"]}
    for index in range(config.depth):
        weights |= _named(f"layers.{index}", _gemma_block(p[f"layer_{index}"]))
    return weights


def _gemma_block(p):
    def rows(w):
        """[heads, width, dim] to [heads * dim, width]."""
        return np.swapaxes(np.asarray(w), 1, 2).reshape(-1, w.shape[1])

    attention, mlp = p["attn"], p["mlp"]
    output = attention["attn_vec_einsum"]["w"]
    return {
        "self_attn.q_proj.weight": rows(attention["q_einsum"]["w"]),
        "self_attn.k_proj.weight": rows(attention["kv_einsum"]["w"][0]),
        "self_attn.v_proj.weight": rows(attention["kv_einsum"]["w"][1]),
        "self_attn.o_proj.weight": np.asarray(output).reshape(-1, output.shape[-1]).T,
        "self_attn.q_norm.weight": attention["_query_norm"]["scale"],
        "self_attn.k_norm.weight": attention["_key_norm"]["scale"],
        "mlp.gate_proj.weight": mlp["gating_einsum"][0],
        "mlp.up_proj.weight": mlp["gating_einsum"][1],
        "mlp.down_proj.weight": np.asarray(mlp["linear"]).T,
        "input_layernorm.weight": p["pre_attention_norm"]["scale"],
        "post_attention_layernorm.weight": p["post_attention_norm"]["scale"],
        "pre_feedforward_layernorm.weight": p["pre_ffw_norm"]["scale"],
        "post_feedforward_layernorm.weight": p["post_ffw_norm"]["scale"],
    }


def layer_outputs(model, layers, **inputs):
    """What every layer puts out, then the final hidden states."""
    outputs = []
    hooks = [layer.register_forward_hook(lambda *call: outputs.append(call[-1])) for layer in layers]
    final = model(**inputs).last_hidden_state
    for hook in hooks:
        hook.remove()
    return [*outputs, final]


def value_logits(observation, params, config):
    """The whole model composed of the modules above; every camera valid."""
    tower, projection = siglip(params["img"], config.siglip), linear(params["img_projection"])
    decoder = gemma3(params["llm"], config.gemma)
    head = params["value_head"]
    pixels = [tensor(observation.images[name]) / 127.5 - 1.0 for name in sorted(observation.images)]
    images = [projection(tower(x.permute(0, 3, 1, 2)).last_hidden_state) for x in pixels]
    images = torch.cat(images, dim=1)
    text = decoder.embed_tokens(torch.from_numpy(observation.tokenized_prompt).long())
    queries = layer_norm(params["cross_attn_norm"])(text)
    text = text + multi_head_attention(params["cross_attention"])(queries, images, images)[0]
    state = linear(params["state_projection"])(tensor(observation.state))[:, None]
    sequence = torch.cat([images, text, state], dim=1)
    text_valid = torch.from_numpy(observation.tokenized_prompt_mask)
    valid = torch.cat([torch.ones(images.shape[:2]).bool(), text_valid, torch.ones(state.shape[:2]).bool()], dim=1)
    hidden = decoder(inputs_embeds=sequence, attention_mask=valid.long()).last_hidden_state
    pooled = (hidden * valid[..., None]).sum(1) / valid.sum(1, keepdim=True)
    hidden = linear(head["linear1"])(layer_norm(head["layer_norm"])(pooled))
    return linear(head["linear2"])(torch.nn.functional.gelu(hidden, approximate="tanh"))


def embed_valid(images, image_masks, tokens, token_mask, row, params, config):
    """(image tokens, text tokens) of one row of a stitched model [1, l, d], without what is masked."""
    tower, hidden = siglip(params["img"], config.siglip), linear(params["img_projection"]["linear1"])
    projector = torch.nn.Sequential(hidden, torch.nn.GELU(), linear(params["img_projection"]["linear2"]))
    seen = [tensor(images[name][row]) / 127.5 - 1.0 for name in sorted(images) if image_masks[name][row]]
    projected = [projector(tower(x[None].permute(0, 3, 1, 2)).last_hidden_state) for x in seen]
    ids = torch.from_numpy(tokens[row][token_mask[row]]).long()[None]
    text = gemma3(params["llm"], config.gemma).embed_tokens(ids)
    return torch.cat([torch.zeros(1, 0, config.gemma.width), *projected], dim=1), text


def stitched_value_logits(observation, row, params, config):
    """Logits of one row of a stitched model with state, without any padding."""
    o = observation
    images, text = embed_valid(
        o.images, o.image_masks, o.tokenized_prompt, o.tokenized_prompt_mask, row, params, config
    )
    state = linear(params["state_projection"])(tensor(o.state[row]))[None, None]
    decoder = gemma3(params["llm"], config.gemma)
    hidden = decoder(inputs_embeds=torch.cat([images, state, text], dim=1)).last_hidden_state[:, -1]
    return linear(params["value_head"])(hidden)[0]


class LoraLinear(torch.nn.Module):
    """A layer and its adapter on activations: y = W x + scale B (A x)."""

    def __init__(self, layer, a, b, scale):
        super().__init__()
        self.layer, self.a, self.b, self.scale = layer, tensor(a), tensor(b), scale

    def forward(self, x):
        return self.layer(x) + self.scale * (x @ self.a @ self.b)


def add_lora(decoder, adapters, scale):
    """Replaces the projections of a `Gemma3TextModel`; `adapters` is our "lora/llm" subtree."""
    for index, layer in enumerate(decoder.layers):
        p = adapters[f"layer_{index}"]
        attention, mlp = p["attn"], p["mlp"]
        key_value, gating = attention["kv_einsum"]["w"], mlp["gating_einsum"]
        for module, name, a, b in (
            (layer.self_attn, "q_proj", attention["q_einsum"]["w"]["a"], attention["q_einsum"]["w"]["b"]),
            (layer.self_attn, "k_proj", key_value["a"][0], key_value["b"][0]),
            (layer.self_attn, "v_proj", key_value["a"][1], key_value["b"][1]),
            (layer.self_attn, "o_proj", attention["attn_vec_einsum"]["w"]["a"], attention["attn_vec_einsum"]["w"]["b"]),
            (layer.mlp, "gate_proj", gating["a"][0], gating["b"][0]),
            (layer.mlp, "up_proj", gating["a"][1], gating["b"][1]),
            (layer.mlp, "down_proj", mlp["linear"]["a"], mlp["linear"]["b"]),
        ):
            setattr(module, name, LoraLinear(getattr(module, name), a, b, scale))
    return decoder
