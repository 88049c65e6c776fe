"""Values of metadata as other programs write them: one reader per type, for every key of every file.

What is unambiguous is accepted: a whole number as text or as a float, a bare string where a list of strings belongs.
Everything else is refused with the file, the key, what was wanted and what was found.
"""

import math
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from pistar_vf.errors import DatasetError

_SHOWN = 60  # characters of a value in an error
_LARGEST = 2**63 - 1


def whole_number(value: Any, where: str, key: str, minimum: int | None = None) -> int:
    """A whole number: 3, 3.0, "3" or "3.0", but not true.

    Args:
        value: as parsed.
        where: file, and line or row, for the error.
        key: what it is called there.
        minimum: the smallest that makes sense.

    Raises:
        DatasetError: it is something else.
    """
    found = _parsed(value)
    if found is None or not abs(found) <= _LARGEST or found != int(found):
        _refuse(value, where, key, "a whole number")
    if minimum is not None and found < minimum:
        _refuse(value, where, key, f"a whole number from {minimum} on")
    return int(found)


def whole_numbers(column: np.ndarray, where: str) -> np.ndarray:
    """A column of whole numbers as int64, whatever type of number holds them; lists of one count as their element.

    Raises:
        DatasetError: it holds something else; names the row.
    """
    values = column.reshape(len(column)) if column.size == len(column) else column
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise DatasetError(f"{where}: expected a whole number in every row, got {values.dtype} of shape {column.shape}")
    bad = (
        ~np.isfinite(values) | (values != np.floor(values)) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    )
    if bad.any():
        row = int(np.argmax(bad))
        raise DatasetError(f"{where}: expected a whole number in every row, got {values[row]} in row {row}")
    return values.astype(np.int64)


def number(value: Any, where: str, key: str) -> int | float:
    """A finite number of ordinary size, as text too.

    Raises:
        DatasetError: it is something else.
    """
    found = _parsed(value)
    if found is None or not abs(found) <= _LARGEST:
        _refuse(value, where, key, "a number")
    return found


def text(value: Any, where: str, key: str) -> str:
    """A string; bytes (as some parquet writers store strings) are UTF-8.

    Raises:
        DatasetError: it is something else: null and NaN are no words.
    """
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError:
            _refuse(value, where, key, "text")
    if not isinstance(value, str) or any("\ud800" <= sign <= "\udfff" for sign in value):  # half a sign is none
        _refuse(value, where, key, "text")
    return value


def texts(value: Any, where: str, key: str) -> tuple[str, ...]:
    """A list of strings; a bare string is a list of one, null an empty one.

    Raises:
        DatasetError: it is something else, or holds something else.
    """
    if is_missing(value):
        return ()
    if isinstance(value, (str, bytes)):
        return (text(value, where, key),)
    if not isinstance(value, (list, tuple)):
        _refuse(value, where, key, "a list of texts")
    return tuple(text(entry, where, key) for entry in value)


def mapping(value: Any, where: str, key: str) -> Mapping[str, Any]:
    """An object.

    Raises:
        DatasetError: it is something else.
    """
    if not isinstance(value, Mapping):
        _refuse(value, where, key, "an object")
    return value


def is_missing(value: Any) -> bool:
    """Whether a value is null, or pandas' word for it."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def shown(value: Any) -> str:
    """A value in an error message."""
    words = {type(None): "null", bool: str(value).lower()}.get(type(value), repr(value))
    return words if len(words) <= _SHOWN else f"{words[: _SHOWN - 1]}…"


def _parsed(value: Any) -> int | float | None:
    """The number that a value is or spells; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    if not isinstance(value, str) or not value.isascii() or "_" in value:
        return None
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return None


def _refuse(value: Any, where: str, key: str, wanted: str) -> NoReturn:
    raise DatasetError(f"{where}: key '{key}': expected {wanted}, got {shown(value)}; correct it there")
