"""Torch's `.pt`, `.pth` and `.bin`: a zip of raw numbers and one pickle that says which numbers are which tensor.

Written and read without torch; nothing in a file is run (see `torch_pickle`).
"""

import math
import pickle
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pistar_vf.errors import CheckpointError
from pistar_vf.typing import Array
from pistar_vf.weights.sources import Source
from pistar_vf.weights.torch_pickle import StoredTensor, read_pickle

SUFFIXES = (".pt", ".pth", ".bin")
STORAGE_DTYPES = {
    "torch DoubleStorage": np.dtype(np.float64),
    "torch FloatStorage": np.dtype(np.float32),
    "torch HalfStorage": np.dtype(np.float16),
    "torch BFloat16Storage": np.dtype(jnp.bfloat16),
    "torch LongStorage": np.dtype(np.int64),
    "torch IntStorage": np.dtype(np.int32),
    "torch ByteStorage": np.dtype(np.uint8),
    "torch BoolStorage": np.dtype(np.bool_),
}


class TorchSource(Source):
    """A file of `torch.save` with a state dict, or with dicts that hold state dicts.

    Names of nested dicts are joined by dots, as torch joins those of modules; numbers and texts are no leaves.

    Raises:
        CheckpointError: it is no such file, of the format before torch 1.6, or holds more than tensors.
    """

    def __init__(self, path: Path):
        self.path = path
        if path.is_file() and not zipfile.is_zipfile(path):
            raise CheckpointError(
                f"{path}: expected a file of torch 1.6 or newer (a zip), got {_what_it_is(path)}; with torch: "
                "torch.save(torch.load(path, weights_only=True), new_path)"
            )
        try:
            with zipfile.ZipFile(path) as archive:
                member = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
                if member is None:
                    raise CheckpointError(f"{path}: expected data.pkl inside, as torch.save writes it, found none")
                self._root = member.removesuffix("data.pkl")
                order = f"{self._root}byteorder"
                if order in archive.namelist() and archive.read(order) != b"little":
                    raise CheckpointError(f"{path}: expected little-endian numbers; save it again on such a machine")
                content = read_pickle(archive.read(member), str(path))
        except (OSError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{path}: expected a torch file, could not read it: {error}") from error
        self._tensors = dict(_tensors(content, ""))
        self.leaves = {name: self._leaf(name, tensor) for name, tensor in self._tensors.items()}

    def read(self, names: Sequence[str]) -> Iterator[np.ndarray]:
        with zipfile.ZipFile(self.path) as archive:
            for name in names:
                yield self._read(archive, name)

    def _leaf(self, name: str, tensor: StoredTensor) -> jax.ShapeDtypeStruct:
        if tensor.storage_type not in STORAGE_DTYPES:
            known = ", ".join(dtype.removeprefix("torch ") for dtype in STORAGE_DTYPES)
            raise CheckpointError(f"{self.path}: {name}: expected one of {known}, got {tensor.storage_type}")
        return jax.ShapeDtypeStruct(tensor.shape, STORAGE_DTYPES[tensor.storage_type])

    def _read(self, archive: zipfile.ZipFile, name: str) -> np.ndarray:
        tensor, leaf = self._tensors[name], self.leaves[name]
        try:
            numbers = np.frombuffer(archive.read(f"{self._root}data/{tensor.storage}"), leaf.dtype)
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{self.path}: {name}: its numbers are damaged: {error}; download it again"
            ) from error
        needed = _numbers_needed(tensor)
        if min([tensor.offset, *tensor.strides, *tensor.shape]) < 0 or needed > len(numbers):
            raise CheckpointError(
                f"{self.path}: {name}: expected {needed} numbers in its storage, got {len(numbers)}; download it again"
            )
        strides = [stride * leaf.dtype.itemsize for stride in tensor.strides]
        return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides).copy()


def write_torch_file(path: Path, arrays: Mapping[str, Array]) -> None:
    """A state dict as `torch.save` writes it, so that `torch.load` and `load_state_dict` take it.

    Args:
        path: the file to write.
        arrays: by torch's names, in torch's axes.
    """
    names = {dtype: name for name, dtype in STORAGE_DTYPES.items()}
    root = path.stem
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        leaves = [(name, names[array.dtype].split(" ")[1], array.shape) for name, array in arrays.items()]
        archive.writestr(f"{root}/data.pkl", _state_dict_pickle(leaves))
        archive.writestr(f"{root}/byteorder", "little")
        for key, array in enumerate(arrays.values()):
            archive.writestr(f"{root}/data/{key}", array.tobytes())
        archive.writestr(f"{root}/version", "3\n")


def _state_dict_pickle(leaves: Sequence[tuple[str, str, tuple[int, ...]]]) -> bytes:
    """The program `{name: _rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict()), …}`, protocol 2."""
    out = b"\x80\x02}("
    for key, (name, storage, shape) in enumerate(leaves):
        strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
        place = b"(" + _plain("storage") + f"ctorch\n{storage}\n".encode()
        place += _plain(str(key)) + _plain("cpu") + _plain(math.prod(shape)) + b"tQ"
        out += _plain(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + place
        out += _plain(0) + _plain(shape) + _plain(strides) + b"\x89ccollections\nOrderedDict\n)RtR"
    return out + b"u."


def _plain(value: Any) -> bytes:
    """The instructions that push a text, a number or a tuple of numbers; none of them refers to another."""
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_plain, value)) + b"t"
    if isinstance(value, str):
        return pickle.BINUNICODE + len(value.encode()).to_bytes(4, "little") + value.encode()
    return pickle.LONG1 + b"\x08" + value.to_bytes(8, "little", signed=True)


def _tensors(value: Any, prefix: str) -> Iterator[tuple[str, StoredTensor]]:
    if isinstance(value, StoredTensor):
        yield prefix.removesuffix("."), value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _tensors(part, f"{prefix}{key}.")


def _numbers_needed(tensor: StoredTensor) -> int:
    """How many numbers the storage must have; strides that would repeat numbers count as if they did not."""
    if math.prod(tensor.shape) == 0:
        return 0
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    return tensor.offset + max(last + 1, math.prod(tensor.shape))


def _what_it_is(path: Path) -> str:
    start = path.open("rb").read(1)
    return "the format before it" if start == b"\x80" else "something else"
