"""The same model and arithmetic in PyTorch, of Hugging Face's SigLIP and Gemma 3: the other side of the comparison.

Its modules are those of the parity tests (`tests/support/oracle_transformers.py`): they are proven to be equal.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pistar_vf.batch import Observation
from pistar_vf.choices import FreezeMode
from pistar_vf.models.value_config import ValueModelConfig

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
from support import oracle_transformers as parts

_MOMENTS = (0.9, 0.95)


class TorchValueModel(torch.nn.Module):
    """The `pistar` architecture; frozen parts compute in `dtype`, trained ones in float32, or under autocast."""

    def __init__(self, params: dict[str, Any], config: ValueModelConfig, freeze_mode: FreezeMode, dtype: torch.dtype):
        super().__init__()
        self.tower = parts.siglip(params["img"], config.siglip)
        self.decoder = parts.gemma3(params["llm"], config.gemma)
        self.projection = parts.linear(params["img_projection"])
        self.cross_attention = parts.multi_head_attention(params["cross_attention"])
        self.norm = parts.layer_norm(params["cross_attn_norm"])
        self.state_projection = parts.linear(params["state_projection"])
        head = params["value_head"]
        gelu = torch.nn.GELU(approximate="tanh")
        own = (parts.layer_norm(head["layer_norm"]), parts.linear(head["linear1"]), gelu, parts.linear(head["linear2"]))
        self.head = torch.nn.Sequential(*own)
        self.decoder.embed_tokens.requires_grad_(False)
        self.freeze(freeze_mode, dtype)

    def freeze(self, freeze_mode: FreezeMode, dtype: torch.dtype) -> None:
        """Freezes what the mode freezes, and holds it in `dtype` from now on."""
        frozen = {"none": (), "siglip_only": (self.tower,), "all_backbones": (self.tower, self.decoder)}[freeze_mode]
        for module in frozen:
            module.to(dtype).requires_grad_(False)

    def forward(self, pixels: torch.Tensor, text: torch.Tensor, text_valid: torch.Tensor, state: torch.Tensor) -> Any:
        """Logits of frames with all cameras valid; `pixels` [b, cameras, 3, h, w] in [-1, 1]."""
        batch = pixels.shape[0]
        tokens = self.tower(pixels.flatten(0, 1).to(self.tower.dtype)).last_hidden_state.float()
        images = self.projection(tokens).reshape(batch, -1, self.norm.normalized_shape[0])
        words = self.decoder.embed_tokens(text).float()
        words = words + self.cross_attention(self.norm(words), images, images, need_weights=False)[0]
        sequence = torch.cat([images, words, self.state_projection(state)[:, None].float()], dim=1)
        ones = torch.ones(batch, 1, dtype=torch.bool, device=pixels.device)
        valid = torch.cat([ones.expand(-1, images.shape[1]), text_valid, ones], dim=1)
        embeds = sequence.to(self.decoder.dtype)
        hidden = self.decoder(inputs_embeds=embeds, attention_mask=valid.long()).last_hidden_state.float()
        weight = valid[..., None].float()
        return self.head((hidden * weight).sum(1) / weight.sum(1))


def inputs(observation: Observation, device: str = "cpu") -> tuple[torch.Tensor, ...]:
    """The arguments of `TorchValueModel`, on a device."""
    images = np.stack([np.asarray(observation.images[name]) for name in sorted(observation.images)], axis=1)
    pixels = torch.from_numpy(images).to(device).permute(0, 1, 4, 2, 3).float() / 127.5 - 1.0
    text = torch.from_numpy(np.asarray(observation.tokenized_prompt)).long()
    valid, state = (np.asarray(each) for each in (observation.tokenized_prompt_mask, observation.state))
    return pixels, text.to(device), torch.from_numpy(valid).to(device), torch.from_numpy(state).to(device)


def train_step(
    model: TorchValueModel, frames: tuple[torch.Tensor, ...], target: np.ndarray, *, mixed: bool = False
) -> Callable[[], torch.Tensor]:
    """One update, as ours: cross-entropy, clipped gradient, AdamW, moving average; returns the loss.

    Args:
        model: the model, on the device of the frames.
        frames: see `inputs`.
        target: probabilities [b, atoms].
        mixed: whether trained parts compute in bfloat16, their parameters in float32 (autocast).
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    average = [p.detach().clone() for p in trained]
    optimizer = torch.optim.AdamW(trained, lr=2.5e-5, betas=_MOMENTS, weight_decay=1e-10, fused=True)
    device = frames[0].device
    wanted = torch.tensor(target, device=device)

    def step() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            logits = model(*frames)
        loss = -(torch.log_softmax(logits.float(), -1) * wanted).sum(-1).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        torch._foreach_lerp_(average, trained, 0.01)
        return loss.detach()

    return step


def logits(model: TorchValueModel, frames: tuple[torch.Tensor, ...], *, mixed: bool = False) -> torch.Tensor:
    """Without a gradient, on the device; see `train_step` for `mixed`."""
    with torch.inference_mode(), torch.autocast(frames[0].device.type, torch.bfloat16, enabled=mixed):
        return model(*frames)


def value(model: TorchValueModel, frames: tuple[torch.Tensor, ...]) -> Callable[[], np.ndarray]:
    """Logits, without a gradient."""
    return lambda: logits(model, frames).cpu().numpy()
