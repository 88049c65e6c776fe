"""A dataset as it goes into a merged one: under new names, and with episode numbers of the whole."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pistar_vf.curation.merge.pictures import embed_pictures, embedded_type
from pistar_vf.errors import ConfigError
from pistar_vf.lerobot import v21
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.episode import Episode
from pistar_vf.lerobot.parquet import read_parquet_table


@dataclasses.dataclass(frozen=True)
class Source:
    """One of the datasets that are merged.

    Attributes:
        dataset: the dataset.
        label: what its episodes' key `source` says.
        first_index: number of its first episode in the result.
        renamed: old to new name of columns and cameras.
    """

    dataset: LeRobotDataset
    label: str
    first_index: int
    renamed: Mapping[str, str]

    def new_name(self, old: str) -> str:
        """What a column or camera is called in the result."""
        return self.renamed.get(old, old)

    def old_name(self, new: str) -> str:
        """What a column or camera of the result is called here."""
        return next((old for old, renamed in self.renamed.items() if renamed == new), new)

    @property
    def features(self) -> dict[str, Mapping[str, Any]]:
        """New name to the entry of `meta/info.json`, of columns and videos that are really there."""
        there = {*self.dataset.columns, *self.dataset.video_keys}
        return {self.new_name(name): feature for name, feature in self.dataset.features.items() if name in there}

    def lacking(self, new: str) -> tuple[Path, ...]:
        """The files that lack a column which others of the dataset have."""
        return self.dataset.schema.lacking.get(self.old_name(new), ())

    @property
    def columns(self) -> tuple[str, ...]:
        """New names of the columns of the tables."""
        return tuple(map(self.new_name, self.dataset.columns))

    def episodes(self) -> Iterator[tuple[int, Episode]]:
        """(number in the result, episode)."""
        return enumerate(self.dataset.episodes, start=self.first_index)

    def tables(self, columns: Sequence[str]) -> Iterator[tuple[int, Episode, pa.Table]]:
        """Yields the rows of every episode, with those of `columns` that the dataset has; one file in memory.

        Pictures that are only named are in them.
        """
        old = [self.old_name(name) for name in columns if name in self.columns]
        lacking = self.dataset.schema.lacking
        path, table = None, None
        for index, episode in self.episodes():
            if episode.parquet != path:
                path = episode.parquet
                table = read_parquet_table(path, [name for name in old if path not in lacking.get(name, ())])
                table = table.rename_columns([self.new_name(name) for name in table.column_names])
            assert table is not None
            rows = table.slice(episode.first_row, episode.length)
            where = f"{path}: episode {episode.index}"
            yield index, episode, embed_pictures(rows, map(self.new_name, self._image_keys), self.dataset.root, where)

    @property
    def _image_keys(self) -> tuple[str, ...]:
        """The cameras whose pictures are in the tables."""
        return tuple(key for key in self.dataset.picture_keys if key not in self.dataset.video_keys)

    @property
    def types(self) -> dict[str, pa.DataType]:
        """New name of every column to a type that holds the values of all its files."""
        types = dict(self.dataset.schema.types)
        types |= {key: embedded_type(types[key]) for key in self._image_keys if key in types}
        return {self.new_name(name): kind for name, kind in types.items()}

    def renumbered(self) -> LeRobotDataset:
        """The dataset with the names, numbers and chunks of the result; its videos stay where they are."""
        episodes = []
        for index, episode in self.episodes():
            clips = {self.new_name(key): self.dataset.video_clip(episode, key) for key in self.dataset.video_keys}
            episodes.append(dataclasses.replace(episode, index=index, clips=clips))
        return dataclasses.replace(self.dataset, episodes=tuple(episodes), chunks_size=v21.CHUNK_SIZE)


def create_sources(datasets: Sequence[LeRobotDataset], rename: Sequence[str]) -> tuple[Source, ...]:
    """Puts datasets one after another.

    Args:
        datasets: in the order of the result.
        rename: `2:old=new` calls the column or camera `old` of the second dataset `new`.

    Raises:
        ConfigError: a dataset is given twice, or a renaming cannot be carried out.
    """
    roots = [dataset.root.resolve() for dataset in datasets]
    for root in roots:
        if roots.count(root) > 1:
            raise ConfigError(f"expected every dataset once, got {root} {roots.count(root)} times; name others")
    renamed = _parse_renames(datasets, rename)
    labels = _labels(roots)
    sources, first_index = [], 0
    for i, dataset in enumerate(datasets):
        sources.append(Source(dataset, labels[i], first_index, renamed[i]))
        first_index += len(dataset.episodes)
    return tuple(sources)


def _labels(roots: Sequence[Path]) -> list[str]:
    """The folders' names, with as many of the folders above as it takes to tell them apart."""
    for depth in range(1, max(len(root.parts) for root in roots) + 1):
        labels = ["/".join(root.parts[-depth:]) for root in roots]
        if len(set(labels)) == len(labels):
            break
    return labels


def _parse_renames(datasets: Sequence[LeRobotDataset], rename: Sequence[str]) -> list[dict[str, str]]:
    renamed: list[dict[str, str]] = [{} for _ in datasets]
    for text in rename:
        number, _, names = text.partition(":")
        old, _, new = names.partition("=")
        if not (number.isdecimal() and old and new and 1 <= int(number) <= len(datasets)):
            raise ConfigError(
                f"--rename {text}: expected <number of the dataset, 1 to {len(datasets)}>:<old name>=<new name>"
            )
        dataset = datasets[int(number) - 1]
        there = {*dataset.columns, *dataset.video_keys}
        if old not in there or new in there:
            raise ConfigError(
                f"--rename {text}: expected a column or camera of {dataset.root} and a name that it does not have yet, "
                f"got {'an old' if new in there else 'no such'} one; it has {', '.join(sorted(there))}"
            )
        renamed[int(number) - 1][old] = new
    return renamed
