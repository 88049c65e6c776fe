"""Values of new observations from a checkpoint, in the units and the format it was trained with."""

import dataclasses
import difflib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from pistar_vf.batch import Observation
from pistar_vf.checkpoints.frozen_part import read_checkpoint
from pistar_vf.checkpoints.layout import TOKENIZER_FILE, find_checkpoint
from pistar_vf.checkpoints.value_spec import ValueSpec, load_value_spec, unknown_prompts
from pistar_vf.errors import CheckpointError, ConfigError
from pistar_vf.inference.forward import compiled_forward, value_and_probs
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten
from pistar_vf.tokenizer import PromptTokenizer
from pistar_vf.typing import Float, Params
from pistar_vf.video.decoding import resize_frame


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Values and the distributions they are the means of.

    Attributes:
        value: normalised returns in [v_min, v_max]; higher is closer to success.
        probs: probabilities over `atoms`.
        atoms: the support.
    """

    value: Float[np.ndarray, " b"]
    probs: Float[np.ndarray, "b atoms"]
    atoms: Float[np.ndarray, " atoms"]

    @property
    def std(self) -> Float[np.ndarray, " b"]:
        """Standard deviation of each distribution, units of V."""
        # E[z²] - E[z]² of a sharp distribution is all rounding in float32.
        probs, atoms = self.probs.astype(np.float64), self.atoms.astype(np.float64)
        return np.sqrt(np.maximum(probs @ atoms**2 - (probs @ atoms) ** 2, 0.0))

    def quantile(self, level: float) -> Float[np.ndarray, " b"]:
        """The smallest atom of each distribution whose cumulative probability reaches `level`.

        Args:
            level: in (0, 1]; 0.05 is a value that the model thinks will be exceeded in 19 of 20 cases.

        Raises:
            ConfigError: the level is not in (0, 1].
        """
        if not 0.0 < level <= 1.0:
            raise ConfigError(f"quantile: expected a level in (0, 1], got {level}")
        reached = np.cumsum(self.probs, axis=-1, dtype=np.float64)
        place = (reached < level - 1e-6).sum(axis=-1)  # a float32 sum of 201 probabilities ends near 1, not at it
        return self.atoms[np.minimum(place, len(self.atoms) - 1)]


_log = logging.getLogger(__name__)
_WARNED: set[tuple[tuple[str, ...], str]] = set()
_value_and_probs = jax.jit(value_and_probs, static_argnums=1)


class ValuePredictor:
    """A restored value model.

    Attributes:
        spec: what the checkpoint means.
        params: nested parameter tree.
        tokenizer: the checkpoint's own.
    """

    def __init__(self, spec: ValueSpec, params: Params, tokenizer: PromptTokenizer):
        self.spec, self.params, self.tokenizer = spec, params, tokenizer
        self._forward = compiled_forward(spec.model)
        self._flat = flatten(params)

    def predict(
        self,
        images: np.ndarray | Mapping[str, np.ndarray | None],
        state: np.ndarray | None = None,
        prompt: str | Sequence[str] = "",
    ) -> Prediction:
        """Values of a batch of observations, or of one.

        Args:
            images: uint8 RGB of any size, [b, h, w, 3] or [h, w, 3], by camera (the dataset's feature name or the
                model's camera name); a bare array where the model has one camera; None masks a camera.
            state: raw robot state in the dataset's units, [b, s] or [s]; not needed by a model without state.
            prompt: one for all, or one per observation.

        Raises:
            ConfigError: a camera or the state is missing, or sizes do not fit.
            TokenizerError: a prompt is empty or too long.
        """
        return self.predict_observation(self.observation(images, state, prompt))

    def observation(
        self,
        images: np.ndarray | Mapping[str, np.ndarray | None],
        state: np.ndarray | None = None,
        prompt: str | Sequence[str] = "",
    ) -> Observation:
        """The arguments of `predict` as the model reads them: resized, normalised, tokenised.

        Raises:
            ConfigError: a camera or the state is missing, or sizes do not fit.
            TokenizerError: a prompt is empty or too long.
        """
        batch = self._cameras(images)
        size = _batch_size(batch)
        tokens, token_mask = self._tokens(prompt, size)
        side, fit = self.spec.model.siglip.image_size, self.spec.image_fit
        return Observation(
            images={
                name: np.zeros((size, side, side, 3), np.uint8)
                if pixels is None
                else np.stack([resize_frame(frame, side, fit) for frame in pixels])
                for name, pixels in batch.items()
            },
            image_masks={name: np.full(size, pixels is not None) for name, pixels in batch.items()},
            tokenized_prompt=tokens,
            tokenized_prompt_mask=token_mask,
            state=self._state(state, size),
        )

    def predict_observation(self, observation: Observation) -> Prediction:
        """Values of a batch that `observation` has prepared; one program is compiled per batch size."""
        logits = self._forward(self._flat, {}, observation)
        value, probs = jax.device_get(_value_and_probs(logits, self.spec.model.support))
        return Prediction(value=value, probs=probs, atoms=np.asarray(self.spec.model.support.atoms))

    def _cameras(self, images: np.ndarray | Mapping[str, np.ndarray | None]) -> dict[str, np.ndarray | None]:
        """Model-side camera name to [b, h, w, 3], None where masked."""
        keys = self.spec.camera_keys
        if not isinstance(images, Mapping):
            if len(keys) != 1:
                raise ConfigError(f"expected images of the cameras {_names(keys)} as a dict, got one array")
            images = {next(iter(keys)): images}
        by_name = {key: name for name, key in keys.items() if key is not None}
        given = {by_name.get(name, name): pixels for name, pixels in images.items()}
        if set(given) != set(keys):
            raise ConfigError(
                f"expected images of the cameras {_names(keys)}, got {sorted(images)}; pass None for a missing one"
            )
        return {name: None if pixels is None else _batched(name, pixels) for name, pixels in given.items()}

    def _state(self, state: np.ndarray | None, size: int) -> np.ndarray | None:
        statistics = self.spec.state
        if statistics is None:
            return None
        if state is None:
            raise ConfigError(f"this model reads a state of {statistics.dim} numbers ('{statistics.key}'), got None")
        state = np.atleast_2d(np.asarray(state, np.float32))
        if state.shape != (size, statistics.dim):
            raise ConfigError(f"state: expected shape {(size, statistics.dim)}, got {state.shape}")
        return statistics.normalise(state)

    def _tokens(self, prompt: str | Sequence[str], size: int) -> tuple[np.ndarray, np.ndarray]:
        prompts = [prompt] * size if isinstance(prompt, str) else list(prompt)
        if len(prompts) != size:
            raise ConfigError(f"prompt: expected 1 or {size} texts, got {len(prompts)}")
        tokens = self.tokenizer.tokenize_many(prompts)  # refuses those that are too long to be looked up
        warn_of_unknown_prompts(self.spec, prompts)
        return tokens


def warn_of_unknown_prompts(spec: ValueSpec, prompts: Sequence[str]) -> None:
    """Says once for each prompt that the model has never seen it: it gets a value, which may mean nothing."""
    for prompt in unknown_prompts(spec, prompts):
        if (spec.prompts, prompt) in _WARNED:
            continue
        _WARNED.add((spec.prompts, prompt))
        nearest = difflib.get_close_matches(prompt, spec.prompts, n=1, cutoff=0.0)[0]
        _log.warning(
            "the prompt '%s' is none of the %d that the model was trained on (nearest: '%s'): its values may mean "
            "nothing",
            prompt,
            len(spec.prompts),
            nearest,
        )


def load_value_model(path: str | Path, *, use_ema: bool = True) -> ValuePredictor:
    """Restores a value model.

    Args:
        path: a checkpoint (`…/step_00005000`), or a training directory, of which the best checkpoint by validation
            loss is taken, else the last one.
        use_ema: the moving average of the weights, or the weights themselves.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or it does not say what it means (as those of upstream,
            see `pistar_vf.upstream.load`).
    """
    checkpoint = find_checkpoint(Path(path))
    spec = load_value_spec(checkpoint)
    return restore_predictor(checkpoint, spec, "ema_params" if use_ema else "params", _load_tokenizer(checkpoint, spec))


def restore_predictor(checkpoint: Path, spec: ValueSpec, key: str, tokenizer: PromptTokenizer) -> ValuePredictor:
    """Reads one tree of a checkpoint, `params` or `ema_params`, as the model that `spec` describes.

    Raises:
        CheckpointError: the tree is damaged or not that of the model.
    """
    abstract = ValueFunction(spec.model).shapes()
    return ValuePredictor(spec, read_checkpoint(checkpoint, {key: abstract})[key], tokenizer)


def _load_tokenizer(checkpoint: Path, spec: ValueSpec) -> PromptTokenizer:
    path = checkpoint / TOKENIZER_FILE
    tokenizer = PromptTokenizer.load(path, max_token_len=spec.model.max_token_len)
    if tokenizer.digest != spec.tokenizer_sha256:
        raise CheckpointError(
            f"{path}: expected the tokenizer with sha256 {spec.tokenizer_sha256[:12]}…, "
            f"got {tokenizer.digest[:12]}…; restore the file that was saved with this checkpoint"
        )
    return tokenizer


def _batched(name: str, pixels: np.ndarray) -> np.ndarray:
    pixels = np.asarray(pixels)
    batched = pixels[None] if pixels.ndim == 3 else pixels
    if batched.ndim != 4 or batched.shape[-1] != 3 or batched.dtype != np.uint8 or 0 in batched.shape:
        raise ConfigError(
            f"images of '{name}': expected uint8 [b, h, w, 3] or [h, w, 3], got {pixels.dtype} {pixels.shape}"
        )
    return batched


def _batch_size(batch: dict[str, np.ndarray | None]) -> int:
    sizes = {name: len(pixels) for name, pixels in batch.items() if pixels is not None}
    if not sizes:
        raise ConfigError("every camera is None: pass the images of at least one")
    if len(set(sizes.values())) > 1:
        raise ConfigError(f"expected the same number of images from every camera, got {sizes}")
    return next(iter(sizes.values()))


def _names(keys: dict[str, str | None]) -> str:
    return ", ".join(f"{name} ('{key}')" for name, key in sorted(keys.items()))
