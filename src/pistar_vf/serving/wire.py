"""Messages as openpi's clients and servers write them: msgpack, with arrays as a dict of bytes, dtype and shape.

Nothing is ever unpickled, and a message that lies about its size is refused before memory is taken for it.
"""

import math
from typing import Any

import msgpack
import numpy as np

from pistar_vf.errors import MessageError

_KINDS = "biufSU"
"""Kinds of dtypes that may travel: numbers, flags and text; no objects, which would need pickle, no records."""


def pack(content: Any) -> bytes:
    """One message."""
    return msgpack.packb(content, default=_to_plain)


def unpack(message: bytes) -> Any:
    """The content of a message.

    Raises:
        MessageError: it is no msgpack, or an array in it is not what it says.
    """
    try:
        return msgpack.unpackb(message, object_hook=_from_plain, strict_map_key=False)
    except MessageError:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        reason = str(error) or type(error).__name__
        raise MessageError(f"expected a msgpack message, got {len(message)} bytes that are none: {reason}") from error


def _to_plain(value: Any) -> dict[bytes, Any]:
    if not isinstance(value, np.ndarray | np.generic):
        raise TypeError(f"{type(value).__name__} does not fit into a message")
    if value.dtype.kind not in _KINDS:
        raise TypeError(f"arrays of {value.dtype} do not fit into a message")
    if isinstance(value, np.generic):
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}


def _from_plain(value: dict) -> Any:
    if b"__ndarray__" in value:
        return _array(value)
    if b"__npgeneric__" in value:
        return _scalar(value)
    return value


def _scalar(value: dict) -> np.generic:
    dtype, data = _dtype(value), value.get(b"data")
    if dtype.kind in "iu":
        # NumPy before 2 wraps a number that is too large, and every version cuts off what follows the point.
        limits = np.iinfo(dtype)
        if not isinstance(data, int) or not limits.min <= data <= limits.max:
            raise MessageError(f"number: expected one that {dtype} holds, got {data!r}")
    return dtype.type(data)


def _array(value: dict) -> np.ndarray:
    dtype, data, shape = _dtype(value), value.get(b"data"), value.get(b"shape")
    if not isinstance(data, bytes) or not isinstance(shape, list):
        raise MessageError("array: expected bytes in 'data' and a list in 'shape'")
    if not all(isinstance(size, int) and size >= 0 for size in shape) or len(shape) > 8:
        raise MessageError(f"array: expected at most 8 sizes of 0 or more, got {shape[:9]}")
    wanted = math.prod(shape) * dtype.itemsize
    if len(data) != wanted:
        raise MessageError(f"array: expected {wanted} bytes for {dtype} {tuple(shape)}, got {len(data)}")
    return np.frombuffer(data, dtype).reshape(shape)


def _dtype(value: dict) -> np.dtype:
    name = value.get(b"dtype")
    try:
        dtype = np.dtype(name if isinstance(name, str) else "")
    except TypeError as error:
        raise MessageError(f"array: expected the name of a dtype, got {name!r}") from error
    if dtype.kind not in _KINDS or dtype.itemsize == 0:
        raise MessageError(f"array: expected numbers, flags or text, got dtype {name!r}")
    return dtype
