"""Parts of a model that are not trained: what they make of a dataset's frames, computed once and kept.

Of a frozen vision tower these are its tokens; of a model of which only the value head is trained, what the head reads.
The digest of a cache covers the frozen weights, their precision, and the digest of what they see, so that other weights
or other pixels make a new cache.

One frame of SigLIP So400m/14 at 224 px is 256 × 1152 numbers: 0.56 MiB in bfloat16, 1.1 MiB in float32. What the head
of the full-size model reads of a frame is 640 numbers, 2.5 KiB.
"""

import dataclasses
import hashlib
from pathlib import Path

import jax
import numpy as np

from pistar_vf.frames.feature_cache import FeatureCache, OfEpisode, complete
from pistar_vf.frames.feature_table import Hidden, Pictures, WholeFrames
from pistar_vf.frames.loader import eval_batches
from pistar_vf.frames.settings import cache_root
from pistar_vf.lerobot.dataset import Episode
from pistar_vf.models.value_model import ValueFunction, ValueModelConfig
from pistar_vf.params import leaves_digest, unflatten
from pistar_vf.typing import Params, Shaped

TOWER, HEAD = "img/", "value_head/"
"""Where the leaves of the tower, and those of the head, are in a flat tree."""


def tower_digest(flat: Params, dtype: str, pool: int = 1) -> str:
    """Changes with the tower's weights, with the precision that it computes in, and with how its tokens are pooled."""
    tower = {name: leaf for name, leaf in flat.items() if name.startswith(TOWER)}
    return leaves_digest(tower, also=dtype if pool == 1 else f"{dtype} pooled by {pool}")[:12]


def body_digest(flat: Params, model: ValueModelConfig) -> str:
    """Changes with the weights and with the settings of everything in front of the value head."""
    body = {name: leaf for name, leaf in flat.items() if not name.startswith(HEAD)}
    return leaves_digest(body, also=repr(dataclasses.replace(model, remat=False)))[:12]  # no matter without gradients


def open_features(
    value_function: ValueFunction,
    flat: Params,
    pictures: Pictures,
    *,
    tower: str,
    batch_size: int,
    cache_dir: Path | None = None,
    progress: bool = True,
) -> Shaped[np.memmap, "n tokens d"]:
    """The tokens of one camera's frames, after computing what is missing of them.

    Args:
        value_function: the model.
        flat: its parameters; those of the tower are read.
        pictures: of the camera.
        tower: its digest, see `tower_digest`; of gigabytes, so whoever has several cameras computes it once.
        batch_size: frames that pass the tower at once.
        cache_dir: where caches live; None for `$PISTAR_VF_CACHE`, or `~/.cache/pistar_vf`.
        progress: whether to show a progress bar.

    Returns:
        Tokens of all frames; those of episodes that nobody asked for are 0.

    Raises:
        DatasetError: the disk is too full.
    """
    config = value_function.config
    digest = hashlib.sha256(f"{pictures.digest} {tower}".encode()).hexdigest()[:12]
    dtype = np.dtype(jax.numpy.dtype(config.dtype))  # JAX's bfloat16 is a dtype of NumPy's, too
    shape = (config.num_image_tokens, config.siglip.width)
    cache = FeatureCache(cache_root(cache_dir) / "features" / digest, pictures.episodes, shape, dtype)
    complete(cache, pictures.used, _of_pictures(value_function, flat, pictures, batch_size), progress)
    return cache.open()


def open_hidden(
    value_function: ValueFunction,
    flat: Params,
    frames: WholeFrames,
    *,
    body: str,
    batch_size: int,
    cache_dir: Path | None = None,
    progress: bool = True,
) -> Hidden:
    """What the value head reads of every frame, after computing what is missing of it.

    Args:
        value_function: the model.
        flat: its parameters; those of the head are not read.
        frames: what the model sees: pictures, prompts and states as they are.
        body: digest of all but the head, see `body_digest`.
        batch_size: frames that pass the model at once.
        cache_dir: where caches live; None for `$PISTAR_VF_CACHE`, or `~/.cache/pistar_vf`.
        progress: whether to show a progress bar.

    Returns:
        Of all frames; that of episodes that nobody asked for is 0.

    Raises:
        DatasetError: the disk is too full.
    """
    digest = hashlib.sha256(f"{_seen(frames)} {body}".encode()).hexdigest()[:12]
    shape = (1, value_function.config.gemma.width)
    home = cache_root(cache_dir) / "features"
    cache = FeatureCache(home / digest, frames.episodes, shape, np.dtype(np.float32))
    complete(cache, frames.used, _of_frames(value_function, flat, frames, batch_size), progress)
    return cache.open()[:, 0]


def _seen(frames: WholeFrames) -> str:
    """Digest of the frames that the model sees."""
    table = frames.table
    digest = hashlib.sha256(repr((sorted(frames.pictures.items()), table.state_statistics)).encode())
    for column in (table.state, table.prompt_index, table.tokens, table.token_mask):
        digest.update(b"\0" if column is None else np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def _of_pictures(value_function: ValueFunction, flat: Params, pictures: Pictures, batch_size: int) -> OfEpisode:
    encode = jax.jit(value_function.encode_images)
    tower = unflatten({name.removeprefix(TOWER): leaf for name, leaf in flat.items() if name.startswith(TOWER)})

    def compute(episode: Episode) -> Shaped[np.ndarray, "t tokens d"]:
        own = pictures.frames[episode.start : episode.start + episode.length]
        parts = []
        for start in range(0, episode.length, batch_size):
            part = np.asarray(own[start : start + batch_size])
            padded = np.concatenate([part, np.repeat(part[-1:], batch_size - len(part), axis=0)])
            parts.append(np.asarray(encode(tower, padded))[: len(part)])
        return np.concatenate(parts)

    return compute


def _of_frames(value_function: ValueFunction, flat: Params, frames: WholeFrames, batch_size: int) -> OfEpisode:
    read = jax.jit(value_function.read)
    params = unflatten(flat)

    def compute(episode: Episode) -> Shaped[np.ndarray, "t 1 d"]:
        rows = np.arange(episode.start, episode.start + episode.length)
        parts = []
        for batch in eval_batches(frames.table, rows, batch_size, num_workers=1):
            parts.append(np.asarray(read(params, batch.observation)))
        return np.concatenate(parts)[: len(rows), None]

    return compute
