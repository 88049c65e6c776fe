"""What data hands to models: the only contract between the two.

Names are openpi's (`images`, `image_masks`, `state`, `tokenized_prompt`, `tokenized_prompt_mask`), so that
observations of an openpi policy fit without renaming.
"""

from typing import TYPE_CHECKING, Any

import flax.struct

from pistar_vf.errors import ConfigError
from pistar_vf.typing import Array, Bool, Float, Int, Shaped


@flax.struct.dataclass
class Observation:
    """One batch of model inputs.

    Attributes:
        images: camera name to pixels; uint8 in [0, 255] as stored, or float in [-1, 1].
        image_masks: camera name to validity; False hides the camera everywhere in the model.
        tokenized_prompt: SentencePiece ids, padded with 0.
        tokenized_prompt_mask: True on real tokens.
        state: robot state after normalisation, or None for a model without state.
        image_tokens: camera name to what the vision tower made of the pictures, in place of `images`, which is then
            empty; for a tower that is not trained, so that no picture passes it twice. None for pictures.
        hidden: what the value head reads of each frame, in place of all the rest, which is then not looked at; for a
            model of which the head alone is trained. None for a model that is run as a whole.
    """

    images: dict[str, Shaped[Array, "b h w 3"]]
    image_masks: dict[str, Bool[Array, " b"]]
    tokenized_prompt: Int[Array, "b l"]
    tokenized_prompt_mask: Bool[Array, "b l"]
    state: Float[Array, "b s"] | None = None
    image_tokens: dict[str, Float[Array, "b tokens d"]] | None = None
    hidden: Float[Array, "b d"] | None = None

    if TYPE_CHECKING:  # flax adds it

        def replace(self, **changes: Any) -> "Observation": ...


@flax.struct.dataclass
class LanguageBatch:
    """One batch of pictures with a question and its answer.

    A causal model reads `tokens` behind the image; its output at position i - 1 predicts `tokens[i]`. The loss counts
    that prediction where `loss_mask[i]` is True.

    Attributes:
        images: camera name to pixels, uint8 in [0, 255].
        image_masks: camera name to validity; False hides the camera everywhere in the model.
        tokens: SentencePiece ids of question, answer and end piece, padded with 0.
        token_mask: True on real tokens.
        loss_mask: True on tokens to be predicted, those of the answer and the end piece; never on the first token.
        index: record number of each row in its dataset; -1 marks padding, where `loss_mask` is False throughout.
    """

    images: dict[str, Shaped[Array, "b h w 3"]]
    image_masks: dict[str, Bool[Array, " b"]]
    tokens: Int[Array, "b l"]
    token_mask: Bool[Array, "b l"]
    loss_mask: Bool[Array, "b l"]
    index: Int[Array, " b"]

    if TYPE_CHECKING:  # flax adds it

        def replace(self, **changes: Any) -> "LanguageBatch": ...


@flax.struct.dataclass
class ValueBatch:
    """One batch of supervised frames.

    Attributes:
        observation: the model's input.
        target: value labels, normalised returns in [v_min, v_max].
        frame: row number of each frame in its dataset; -1 marks padding, which no loss or metric counts.
        language: pictures with questions and answers that are trained on together with these frames, or None.
    """

    observation: Observation
    target: Float[Array, " b"]
    frame: Int[Array, " b"]
    language: LanguageBatch | None = None

    if TYPE_CHECKING:  # flax adds it

        def replace(self, **changes: Any) -> "ValueBatch": ...


def batch_rows(batch: ValueBatch | LanguageBatch) -> Int[Array, " b"]:
    """Which rows of its dataset a batch holds."""
    return batch.frame if isinstance(batch, ValueBatch) else batch.index


def check_observation(
    observation: Observation, cameras: tuple[str, ...], image_size: int, state_dim: int | None
) -> None:
    """Refuses an observation that a model of the given shape would misread.

    Args:
        observation: what is about to enter the model.
        cameras: the camera names the model was configured for.
        image_size: side of the square images, pixels.
        state_dim: number of state components, None for a model without state.

    Raises:
        ConfigError: names the key, what was expected and what was found.
    """
    seen = observation.images if observation.image_tokens is None else observation.image_tokens
    if tuple(sorted(seen)) != tuple(sorted(cameras)):
        raise ConfigError(
            f"expected images of the cameras {sorted(cameras)}, got {sorted(seen)}; "
            "pass every camera the model was trained with (mask the ones that are missing)"
        )
    if set(observation.image_masks) != set(seen):
        raise ConfigError(f"image_masks has {sorted(observation.image_masks)}, images has {sorted(seen)}")
    for name, image in observation.images.items():
        if image.shape[1:] != (image_size, image_size, 3):
            raise ConfigError(
                f"image '{name}': expected [batch, {image_size}, {image_size}, 3], got {tuple(image.shape)}"
            )
    if state_dim is None:
        return
    if observation.state is None:
        raise ConfigError(f"this model reads a state of {state_dim} numbers, but the observation has state=None")
    if observation.state.shape[-1] != state_dim:
        raise ConfigError(f"state: expected [batch, {state_dim}], got {tuple(observation.state.shape)}")
