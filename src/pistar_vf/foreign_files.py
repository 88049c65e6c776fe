"""Files as other programs leave them: text in any Unicode encoding, Git LFS pointers, empty files, web pages."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pistar_vf.errors import DatasetError, PistarError

_STAND_INS = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer", "run `git lfs pull` in the dataset's folder"),
    (b"version https://hawser.github.com/spec/", "a Git LFS pointer", "run `git lfs pull` in the dataset's folder"),
    (b"/annex/objects/", "a git-annex pointer", "run `git annex get .` in the dataset's folder"),
    (b"<!doctype html", "a web page", "download the file itself, with `hf download` or its raw address"),
    (b"<html", "a web page", "download the file itself, with `hf download` or its raw address"),
)
_HEAD_BYTES = 512


def stand_in(head: bytes) -> str | None:
    """What a file is that stands for another one, and what to do about it; None for anything else.

    Args:
        head: how the file begins.
    """
    if not head:
        return "the file is empty (0 bytes); download it again"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginning, what, advice in _STAND_INS:
        if start.startswith(beginning):
            return f"it is {what}, not the file itself; {advice}"
    if not head.strip(b"\0"):
        return "it begins with nothing but zero bytes, as after a download that was cut off; download it again"
    return None


def refuse_stand_in(path: Path, error: type[DatasetError] = DatasetError, context: str = "") -> None:
    """Refuses a file that stands for another one.

    Args:
        path: the file.
        error: what to raise.
        context: what the message begins with, such as "episode 3, camera x: ".

    Raises:
        DatasetError: it is missing, empty, a pointer or a web page; says which, and what to do.
    """
    if not path.is_file():
        raise error(f"{context}{path}: no such file; download it again")
    with path.open("rb") as file:
        found = stand_in(file.read(_HEAD_BYTES))
    if found is not None:
        raise error(f"{context}{path}: {found}")


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, UTF-16 or UTF-32, with or without a byte-order mark.

    Nothing is guessed beyond these: they cannot be taken for one another, other encodings can.

    Raises:
        DatasetError: the file is missing, a stand-in, or in another encoding.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: no such file")
    raw = path.read_bytes()
    if (found := stand_in(raw[:_HEAD_BYTES])) is not None:
        raise DatasetError(f"{path}: {found}")
    return decode_text(raw, str(path))


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file in any of the encodings of `read_text`, one in memory at a time.

    Raises:
        DatasetError: the file is missing, a stand-in, or in another encoding; names the line.
    """
    refuse_stand_in(path)
    with path.open("rb") as file:
        encoding = json.detect_encoding(file.read(4))
    count = 0
    try:
        # Not universal newlines: JSON strings may hold U+2028 and its like, which must not end a line.
        with path.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="\n") as lines:
            for line in lines:
                count += 1
                yield line
    except UnicodeError as error:
        raise DatasetError(
            f"{path}: expected text in UTF-8, got other bytes in line {count + 1} or soon after it; save the file as "
            "UTF-8"
        ) from error


def single_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An `object_pairs_hook` of JSON: of a key that occurs twice, nobody knows which value is meant.

    Raises:
        ValueError: names it.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key '{next(key for key in keys if keys.count(key) > 1)}' occurs twice in one object")
    return found


def read_object(path: Path, what: str, error: type[PistarError] = DatasetError) -> dict[str, Any]:
    """The JSON object that a file holds.

    Args:
        path: the file.
        what: it should be, such as "the plan of folds", for the error.
        error: what to raise.

    Raises:
        PistarError: the file is missing or holds something else.
    """
    if not path.is_file():
        raise error(f"{path}: expected {what}, found no such file; put back a copy of it")
    return object_of(path.read_bytes(), str(path), what, error)


def object_of(content: str | bytes, where: str, what: str, error: type[PistarError] = DatasetError) -> dict[str, Any]:
    """The same of text that is there, wherever it was.

    Raises:
        PistarError: it is something else.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as problem:  # bytes that are no text are a ValueError, too
        raise error(f"{where}: expected {what}, got something else ({problem}); put back a copy of it") from problem
    if not isinstance(found, dict):
        raise error(f"{where}: expected {what}, got something else ({type(found).__name__}); put back a copy of it")
    return found


def decode_text(raw: bytes, where: str) -> str:
    """Bytes to text, see `read_text`.

    Raises:
        DatasetError: it is no Unicode text; names the line.
    """
    encoding = json.detect_encoding(raw)
    try:
        text = raw.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DatasetError(
            f"{where}:{line}: expected text in UTF-8, got the byte 0x{raw[error.start]:02x}, which is none there; "
            "save the file as UTF-8 (in spreadsheets: 'CSV UTF-8')"
        ) from error
    return text.removeprefix("\ufeff")
