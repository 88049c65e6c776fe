"""The values of a dataset, computed once and kept: another N, share or estimator then takes seconds.

<folder>/probabilities.f16   [frames, atoms] float16, the predicted distributions
<folder>/values.f32          [frames] float32
<folder>/done.u8             [episodes], 1 where both are on disk: an interrupted run goes on there
<folder>/values.parquet      episode_index, frame_index, value; written last, its metadata says what made it
"""

import dataclasses
import functools
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pistar_vf.choices import Ensemble
from pistar_vf.episode_layout import evenly_spread
from pistar_vf.errors import LabelError
from pistar_vf.frames.loader import FrameTable
from pistar_vf.frames.open_table import FrameSource
from pistar_vf.frames.shards import Shard, iterate_shards
from pistar_vf.inference.predict import FramePredictor, frame_source
from pistar_vf.lerobot.dataset import Episode, LeRobotDataset
from pistar_vf.progress import progress_bar
from pistar_vf.relabel.evidence import ImageProbe, SecondLook
from pistar_vf.relabel.models import ScoringModel
from pistar_vf.relabel.uncertainty import Combined, Distributions
from pistar_vf.typing import Bool, Float

_log = logging.getLogger(__name__)

TABLE_NAME = "values.parquet"
_PROBES_KEY = b"image_probes"
_PROBE_FRAMES, _PROBE_EPISODES = 256, 8


@dataclasses.dataclass(frozen=True)
class ValueTable:
    """V of every frame of a dataset.

    Attributes:
        path: the file that holds them.
        value: [frames], in the dataset's order.
        probs: [frames, atoms], a memory map; of an ensemble, a mixture of several.
        probes: how V depends on the images, by position of the model; none of a model that scored nothing.
        disagreement: of an ensemble, the standard deviation of the models' values of every frame.
        second: of an ensemble, the values of its second model by itself; else those of a sample of episodes as a
            trembling camera shows them, where somebody asked for them.
    """

    path: Path
    value: Float[np.ndarray, " t"]
    probs: np.ndarray | Distributions
    probes: dict[int, ImageProbe]
    disagreement: Float[np.ndarray, " t"] | None = None
    second: SecondLook | None = None

    @classmethod
    def combine(cls, tables: Sequence["ValueTable"], how: Ensemble, anew: Bool[np.ndarray, " t"]) -> "ValueTable":
        """Of several models that all scored all frames; the probes are those of the first.

        Args:
            tables: of each.
            how: see `uncertainty.Combined`.
            anew: frames that the second table has from another model than the first.
        """
        found = Combined.of([table.value for table in tables], [table.probs for table in tables], how)
        return dataclasses.replace(
            tables[0],
            value=found.value,
            probs=found.probs,
            disagreement=found.disagreement,
            second=SecondLook(np.where(anew, tables[1].value, np.nan), "another model") if len(tables) > 1 else None,
        )


def compute_values(
    dataset: LeRobotDataset,
    models: Sequence[ScoringModel],
    camera_keys: dict[str, str | None],
    folder: Path,
    *,
    batch_size: int = 8,
    cache_dir: Path | None = None,
    num_workers: int | None = None,
    progress: bool = True,
) -> ValueTable:
    """Values from `folder`, after computing what is missing there.

    Args:
        dataset: all of its episodes.
        models: who scores which episodes; together all of them, each once.
        camera_keys: model-side camera name to feature.
        folder: where they are kept; its name must change with the models and the frames.
        batch_size: frames per device and call.
        cache_dir: of decoded frames.
        num_workers: decoding processes.
        progress: whether to show a progress bar.

    Raises:
        PistarError: a video is missing or damaged, a prompt is too long.
        LabelError: a model gives values that are not finite.
    """
    store = _Store(folder, dataset, models[0].predictor.spec.model.support.num_atoms)
    if not store.is_finished():
        store.create()
        open_source = functools.partial(
            frame_source, dataset=dataset, camera_keys=camera_keys, cache_dir=cache_dir, num_workers=num_workers
        )
        with progress_bar(total=dataset.num_frames, desc="values", unit=" frames", disable=not progress) as bar:
            bar.update(dataset.num_frames - sum(episode.length for episode in store.missing()))
            for model in models:
                mine = [episode for episode in store.missing() if episode.index in model.episodes]
                if not mine:
                    continue
                frame_predictor = FramePredictor(model.predictor, batch_size)
                _log.info("%s: its first batch is compiled before the bar moves", model.checkpoint.name)
                for shard in iterate_shards(open_source(model.predictor), mine):
                    store.score(shard, frame_predictor, bar.update)
        probes = {
            number: _probe(model, open_source(model.predictor), batch_size)
            for number, model in enumerate(models)
            if model.episodes
        }
        store.finish(probes)
    return store.read()


class _Store:
    """The files of one folder."""

    def __init__(self, folder: Path, dataset: LeRobotDataset, num_atoms: int):
        self._dataset, self._folder = dataset, folder
        self._shape = (dataset.num_frames, num_atoms)
        self.table_path = folder / TABLE_NAME

    def is_finished(self) -> bool:
        """Whether all values and probes are there; tables of earlier versions have one probe for all models."""
        return self.table_path.is_file() and _PROBES_KEY in (pq.read_schema(self.table_path).metadata or {})

    def create(self) -> None:
        """Makes the files where they are missing or of another size."""
        self._folder.mkdir(parents=True, exist_ok=True)
        sizes = {
            "probabilities.f16": 2 * self._shape[0] * self._shape[1],
            "values.f32": 4 * self._shape[0],
            "done.u8": len(self._dataset.episodes),
        }
        if any(not self._has(name, size) for name, size in sizes.items()):
            for name, size in sizes.items():
                with (self._folder / name).open("wb") as file:
                    file.truncate(size)

    def missing(self) -> list[Episode]:
        """Episodes without values."""
        done = np.fromfile(self._folder / "done.u8", np.uint8)
        return [episode for episode, is_done in zip(self._dataset.episodes, done) if not is_done]

    def score(self, shard: Shard, frame_predictor: FramePredictor, advance: Callable[[int], Any]) -> None:
        """Computes and writes the values of a shard, then marks its episodes."""
        row = shard.episodes[0].start
        probs, values = self._open("probabilities.f16", "r+"), self._open("values.f32", "r+")
        for value, prob in frame_predictor.values(shard.table, shard.rows):
            if not np.isfinite(value).all():
                raise LabelError(
                    f"{self._dataset.root}: V of frame {row + int(np.isfinite(value).argmin())} is not finite"
                )
            values[row : row + len(value)], probs[row : row + len(value)] = value, prob
            row += len(value)
            advance(len(value))
        probs.flush()
        values.flush()
        first = self._dataset.episodes.index(shard.episodes[0])
        with (self._folder / "done.u8").open("r+b") as file:
            file.seek(first)
            file.write(b"\x01" * len(shard.episodes))

    def finish(self, probes: dict[int, ImageProbe]) -> None:
        """Writes the table, episode by episode, and renames it into place."""
        schema = pa.schema([("episode_index", pa.int64()), ("frame_index", pa.int64()), ("value", pa.float32())])
        facts = {number: dataclasses.asdict(probe) for number, probe in probes.items()}
        schema = schema.with_metadata({_PROBES_KEY: json.dumps(facts)})
        values = self._open("values.f32", "r")
        partial = self.table_path.with_suffix(".partial")
        with pq.ParquetWriter(partial, schema) as writer:
            for episode in self._dataset.episodes:
                own = values[episode.start : episode.start + episode.length]
                columns = [np.full(episode.length, episode.index), np.arange(episode.length), np.asarray(own)]
                writer.write_table(pa.table(columns, schema=schema))
        partial.rename(self.table_path)

    def read(self) -> ValueTable:
        """The finished values."""
        probes = json.loads(pq.read_schema(self.table_path).metadata[_PROBES_KEY])
        return ValueTable(
            path=self.table_path,
            value=np.fromfile(self._folder / "values.f32", np.float32),
            probs=self._open("probabilities.f16", "r"),
            probes={int(number): ImageProbe(**probe) for number, probe in probes.items()},
        )

    def _has(self, name: str, size: int) -> bool:
        path = self._folder / name
        return path.is_file() and path.stat().st_size == size

    def _open(self, name: str, mode: Literal["r", "r+"]) -> np.memmap:
        if name.endswith("f16"):
            return np.memmap(self._folder / name, np.float16, mode, shape=self._shape)
        return np.memmap(self._folder / name, np.float32, mode, shape=self._shape[:1])


def _probe(model: ScoringModel, frames: FrameSource, batch_size: int) -> ImageProbe:
    """Exchanges the images of an even sample of frames from a few episodes at random."""
    mine = [episode for episode in frames.dataset.episodes if episode.index in model.episodes]
    chosen = [mine[i] for i in evenly_spread(len(mine), _PROBE_EPISODES)]
    tables = [
        shard.table.take(shard.rows[evenly_spread(len(shard.rows), max(1, _PROBE_FRAMES // len(chosen)))])
        for shard in iterate_shards(frames, chosen)
    ]
    table = FrameTable.concatenate(tables)
    rows = np.random.default_rng(0).permutation(len(table.labels))
    frame_predictor = FramePredictor(model.predictor, batch_size)
    value = np.concatenate([value for value, _ in frame_predictor.values(table, rows)])
    change = np.abs(frame_predictor.with_images_of_others(table, rows) - value)
    return ImageProbe(mean_change=float(change.mean()), value_std=float(value.std()), num_frames=len(rows))
