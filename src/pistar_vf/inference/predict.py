"""V of every frame of a dataset, each encoded once, on all devices, a few episodes in memory at a time."""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.categorical import Support, expected_value
from pistar_vf.frames.cache import find_frame_cache, open_frame_cache
from pistar_vf.frames.loader import FrameTable, eval_batches
from pistar_vf.frames.open_table import read_state
from pistar_vf.inference.predictor import ValuePredictor
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.metrics import collect, frame_metrics
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.sharding import create_mesh, put_batch, replicated
from pistar_vf.typing import Array, Float

FrameMeasure: TypeAlias = Callable[[Array, Array, Support], dict[str, Array]]

_SHARD_FRAMES = 4096
_NUM_THREADS = 2


@dataclasses.dataclass(frozen=True)
class Shard:
    """Some neighbouring episodes and their frames, as the model reads them."""

    episodes: tuple[Episode, ...]
    table: FrameTable


class FramePredictor:
    """A value model compiled for batches of one size.

    Args:
        predictor: the restored model.
        batch_size: frames per device and call.
        measure: what `metrics` computes from logits, targets and support; jit-able.
    """

    def __init__(self, predictor: ValuePredictor, batch_size: int, measure: FrameMeasure = frame_metrics):
        self._mesh = create_mesh()
        self._batch_size = batch_size * self._mesh.size
        self._params = jax.device_put(predictor.params, replicated(self._mesh))
        value_function, support = ValueFunction(predictor.spec.model), predictor.spec.model.support

        def predict(params, observation):
            logits = value_function.apply(params, observation)
            return expected_value(logits, support), jax.nn.softmax(logits, axis=-1).astype(jnp.float16)

        def measure_batch(params, batch):
            return measure(value_function.apply(params, batch.observation), batch.target, support)

        self._predict, self._measure = jax.jit(predict), jax.jit(measure_batch)

    def values(self, table: FrameTable, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(V float32, probabilities float16) of the table's rows, batch by batch, padding dropped."""
        left = len(rows)
        for batch in eval_batches(table, rows, self._batch_size, _NUM_THREADS):
            value, probs = jax.device_get(self._predict(self._params, put_batch(batch.observation, self._mesh)))
            yield value[:left], probs[:left]
            left -= len(value)

    def metrics(self, table: FrameTable, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What `measure` finds in the table's rows, in their order, its labels being the targets."""
        batches = eval_batches(table, rows, self._batch_size, _NUM_THREADS)
        return collect((self._measure(self._params, put_batch(batch, self._mesh)), batch.frame) for batch in batches)

    def with_images_of_others(self, table: FrameTable, rows: np.ndarray) -> np.ndarray:
        """V of the rows when each sees the images of the row before it in the list."""
        found, left = [], len(rows)
        others = eval_batches(table, np.roll(rows, 1), self._batch_size, 0)
        for batch, other in zip(eval_batches(table, rows, self._batch_size, 0), others):
            observation = batch.observation.replace(images=other.observation.images)
            value, _ = jax.device_get(self._predict(self._params, put_batch(observation, self._mesh)))
            found.append(value[:left])
            left -= len(value)
        return np.concatenate(found)


def iterate_shards(
    predictor: ValuePredictor,
    dataset: LeRobotDataset,
    camera_keys: dict[str, str | None],
    episodes: Sequence[Episode],
    *,
    labels: Float[np.ndarray, " t"] | None = None,
    cache_dir: Path | None = None,
    num_workers: int | None = None,
) -> Iterator[Shard]:
    """Cuts episodes into shards of a few thousand frames; the next one is decoded while one is in use.

    Frames that an earlier training decoded are used as they are. Others are decoded into a temporary folder and are
    gone with their shard, so that neither memory nor disk grows with the dataset.

    Args:
        predictor: says how frames must look.
        dataset: all of its episodes.
        camera_keys: model-side camera name to feature.
        episodes: those wanted; none give no shards.
        labels: targets of all frames of the dataset; None for 0 everywhere.
        cache_dir: of decoded frames, see `open_frame_cache`.
        num_workers: decoding processes.

    Raises:
        PistarError: a video is missing or damaged, a prompt is too long.
    """
    spec = predictor.spec
    tokens, mask = predictor.tokenizer.tokenize_many(dataset.prompts)
    look = {"size": spec.model.siglip.image_size, "fit": spec.image_fit}
    cached = {key: find_frame_cache(dataset, key, cache_dir=cache_dir, **look) for key in _present(camera_keys)}

    def frames_of(key: str, part: tuple[Episode, ...]) -> np.ndarray:
        if cached[key] is not None:
            return cached[key][part[0].start : part[-1].start + part[-1].length]
        with tempfile.TemporaryDirectory(prefix="pistar_vf_frames_", ignore_cleanup_errors=True) as folder:
            # The mapping outlives the file's name, and the file its mapping: no disk space is left behind.
            # A process for one episode would take longer to start than to decode it.
            workers = num_workers if len(part) > 1 else 0
            return open_frame_cache(
                _as_dataset(dataset, part), key, **look, cache_dir=folder, num_workers=workers, progress=False
            )

    def open_shard(part: tuple[Episode, ...]) -> Shard:
        first, last = part[0].start, part[-1].start + part[-1].length
        table = FrameTable(
            cameras={name: None if key is None else frames_of(key, part) for name, key in camera_keys.items()},
            image_size=spec.model.siglip.image_size,
            labels=np.zeros(last - first, np.float32) if labels is None else labels[first:last],
            prompt_index=dataset.prompt_index()[first:last],
            tokens=tokens,
            token_mask=mask,
            state=None if spec.state is None else read_state(dataset, spec.state.key, part),
            state_statistics=spec.state,
        )
        return Shard(part, table)

    parts = _neighbours(episodes)
    if not parts:
        return
    pool = ThreadPoolExecutor(1, thread_name_prefix="decode")
    try:
        upcoming = pool.submit(open_shard, parts[0])
        for part in parts[1:]:
            shard, upcoming = upcoming.result(), pool.submit(open_shard, part)
            yield shard
        yield upcoming.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _neighbours(episodes: Sequence[Episode]) -> list[tuple[Episode, ...]]:
    """Runs of episodes whose rows follow each other, each of about `_SHARD_FRAMES` frames."""
    parts: list[list[Episode]] = []
    size = 0
    for episode in sorted(episodes, key=lambda e: e.start):
        follows = bool(parts) and parts[-1][-1].start + parts[-1][-1].length == episode.start
        if not follows or size + episode.length > _SHARD_FRAMES:
            parts.append([])
            size = 0
        parts[-1].append(episode)
        size += episode.length
    return [tuple(part) for part in parts]


def _as_dataset(dataset: LeRobotDataset, part: tuple[Episode, ...]) -> LeRobotDataset:
    """Some neighbouring episodes as a dataset of their own."""
    first = part[0].start
    episodes = tuple(dataclasses.replace(episode, start=episode.start - first) for episode in part)
    return dataclasses.replace(dataset, episodes=episodes, num_frames=sum(episode.length for episode in part))


def _present(camera_keys: dict[str, str | None]) -> list[str]:
    return [key for key in camera_keys.values() if key is not None]


def pick_rows(table: FrameTable, rows: np.ndarray) -> FrameTable:
    """Some rows as a table of their own."""
    cameras = {name: None if frames is None else np.asarray(frames[rows]) for name, frames in table.cameras.items()}
    state = None if table.state is None else table.state[rows]
    columns = {"labels": table.labels[rows], "prompt_index": table.prompt_index[rows]}
    return dataclasses.replace(table, cameras=cameras, state=state, **columns)


def concatenate_tables(tables: Sequence[FrameTable]) -> FrameTable:
    """Tables of the same dataset, one after the other."""
    first = tables[0]
    cameras = {
        name: None if frames is None else np.concatenate([table.cameras[name] for table in tables])
        for name, frames in first.cameras.items()
    }
    state = None if first.state is None else np.concatenate([table.state for table in tables])
    columns = {name: np.concatenate([getattr(t, name) for t in tables]) for name in ("labels", "prompt_index")}
    return dataclasses.replace(first, cameras=cameras, state=state, **columns)
