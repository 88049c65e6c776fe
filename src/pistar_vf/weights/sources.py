"""Files of weights, read one leaf at a time: npz, safetensors (one file or sharded), orbax.

Each gives the names, shapes and dtypes of its leaves without reading them, and the leaves as an iterator, so that
memory holds one of them and not the file.
"""

import abc
import json
import math
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.checkpoints.frozen_part import checkpoint_metadata, read_checkpoint
from pistar_vf.checkpoints.orbax_tree import read_arrays
from pistar_vf.errors import CheckpointError
from pistar_vf.params import flatten, leaf_differences, listed_lines
from pistar_vf.typing import Params

SAFETENSORS_DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(jnp.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
_GROUP_BYTES = 64 * 2**20


class Source(abc.ABC):
    """A file or folder of named arrays.

    Attributes:
        path: for messages.
        leaves: name to shape and dtype.
    """

    path: Path
    leaves: dict[str, jax.ShapeDtypeStruct]

    @abc.abstractmethod
    def read(self, names: Sequence[str]) -> Iterator[np.ndarray]:
        """The named leaves in this order, as they are stored.

        Raises:
            CheckpointError: the file is damaged.
        """


class NpzSource(Source):
    """A numpy archive; bfloat16, which numpy writes as two bytes without a type, is recognised.

    Raises:
        CheckpointError: it is no readable npz.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                members = [name for name in archive.namelist() if name.endswith(".npy")]
                self.leaves = {name.removesuffix(".npy"): _npy_header(archive, name) for name in members}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise _damaged(path, "a numpy .npz archive", error) from error

    def read(self, names: Sequence[str]) -> Iterator[np.ndarray]:
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                for name in names:
                    yield _with_bfloat16(archive[name])
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise _damaged(self.path, "a numpy .npz archive", error) from error


def _with_bfloat16(array: np.ndarray) -> np.ndarray:
    return array.view(jnp.bfloat16) if array.dtype == np.dtype("V2") else array


def _npy_header(archive: zipfile.ZipFile, name: str) -> jax.ShapeDtypeStruct:
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
    return jax.ShapeDtypeStruct(shape, jnp.bfloat16 if dtype == np.dtype("V2") else dtype)


class SafetensorsSource(Source):
    """One safetensors file, or the shards that a `model.safetensors.index.json` lists.

    Args:
        path: the file, the index, or a folder that holds `model.safetensors` or its index.

    Raises:
        CheckpointError: a file is missing, damaged or truncated, or the index does not fit its shards.
    """

    def __init__(self, path: Path):
        self.path = path
        self.leaves, self._spans = {}, {}
        files, index = _safetensors_files(path)
        for file in files:
            for name, (leaf, start) in _safetensors_header(file).items():
                self.leaves[name] = leaf
                self._spans[name] = (file, start)
        found = {name: file.name for name, (file, _) in self._spans.items()}
        if index is not None and index != found:
            listed = listed_lines(leaf_differences(index, found))
            raise CheckpointError(f"{path}: the index does not fit its shards; download them again:{listed}")

    def read(self, names: Sequence[str]) -> Iterator[np.ndarray]:
        for name in names:
            (file, start), leaf = self._spans[name], self.leaves[name]
            count = math.prod(leaf.shape) * leaf.dtype.itemsize
            yield np.fromfile(file, np.uint8, count, offset=start).view(leaf.dtype).reshape(leaf.shape)


def _safetensors_files(path: Path) -> tuple[list[Path], dict[str, str] | None]:
    """The files, and the index where there is one."""
    if path.is_file() and path.suffix == ".safetensors":
        return [path], None
    index_path = path / "model.safetensors.index.json" if path.is_dir() else path
    if path.is_dir() and (path / "model.safetensors").is_file():
        return [path / "model.safetensors"], None
    try:
        index = json.loads(index_path.read_text(encoding="utf-8"))["weight_map"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, "model.safetensors, or a readable model.safetensors.index.json", error) from error
    files = [index_path.parent / name for name in sorted(set(index.values()))]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise CheckpointError(f"{index_path}: expected the shards {', '.join(missing)} beside it; download them")
    return files, index


def _safetensors_header(file: Path) -> dict[str, tuple[jax.ShapeDtypeStruct, int]]:
    """Name to (shape and dtype, position of its first byte)."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        leaves = {}
        for name, entry in header.items():
            leaf = jax.ShapeDtypeStruct(tuple(entry["shape"]), SAFETENSORS_DTYPES[entry["dtype"]])
            start, end = entry["data_offsets"]
            if end - start != math.prod(leaf.shape) * leaf.dtype.itemsize:
                raise ValueError(f"{name} has {end - start} bytes, which is not {entry['dtype']} {leaf.shape}")
            leaves[name] = (leaf, 8 + length + start)
        expected = 8 + length + max(entry["data_offsets"][1] for entry in header.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
        raise _damaged(file, "a safetensors file", error) from error
    if file.stat().st_size != expected:
        raise CheckpointError(f"{file}: expected {expected} bytes, got {file.stat().st_size}; download it again")
    return leaves


class OrbaxSource(Source):
    """An orbax directory, nested or with "/" inside its keys.

    Raises:
        CheckpointError: it is no complete orbax checkpoint.
    """

    def __init__(self, path: Path):
        self.path = path
        self._tree = checkpoint_metadata(path)
        self.leaves = dict(flatten(self._tree))

    def read(self, names: Sequence[str]) -> Iterator[np.ndarray]:
        # A call costs 0.1 s whatever it reads, so small leaves are read together.
        group: list[str] = []
        size = 0
        for name in names:
            leaf = self.leaves[name]
            count = math.prod(leaf.shape) * leaf.dtype.itemsize
            if group and size + count > _GROUP_BYTES:
                yield from self._read_group(group)
                group, size = [], 0
            group.append(name)
            size += count
        if group:
            yield from self._read_group(group)

    def _read_group(self, names: Sequence[str]) -> Iterator[np.ndarray]:
        arrays = dict(flatten(read_checkpoint(self.path, _pick(self._tree, set(names)), read_arrays)))
        for name in names:
            yield arrays.pop(name)


def _pick(tree: Params, names: set[str], prefix: str = "") -> dict:
    """The part of a nested dict whose flat names are wanted; keys may hold "/" themselves."""
    picked = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            if part := _pick(value, names, name + "/"):
                picked[key] = part
        elif name in names:
            picked[key] = value
    return picked


def _damaged(path: Path, expected: str, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path}: expected {expected}, could not read it: {error}; download it again")
