"""Questions in a JSON list or in JSON lines, pictures in a folder: LLaVA's conversations, or one question an entry.

References:
    Liu et al., "Visual Instruction Tuning", arXiv 2304.08485 (LLaVA).
"""

import array
import dataclasses
import io
import json
import mmap
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pistar_vf.errors import DatasetError
from pistar_vf.questions.sample import Sample, read_text
from pistar_vf.typing import Int

_BETWEEN_ENTRIES = re.compile(r"[ \t\r\n,]*")
_CHUNK = 2**20
_ROLES = ("human", "gpt")
_IMAGE_TOKEN = "<image>"


class JsonSource:
    """Entries of one file; only where each begins and ends is kept in memory."""

    def __init__(self, path: Path, image_dir: Path):
        """Finds the entries.

        Args:
            path: a JSON list, or one JSON object after another.
            image_dir: the folder that the entries' pictures are in.

        Raises:
            DatasetError: the file is no JSON, or has no entries.
        """
        self.path, self.image_dir = path, image_dir
        self._spans = _find_entries(path)
        if len(self._spans) == 0:
            raise DatasetError(f"{path}: expected entries with an image, a question and an answer, got none")
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.block_starts = np.zeros(1, np.int64)
        self.blocks_per_window = 1

    def __len__(self) -> int:
        return len(self._spans)

    def scan(self) -> Iterator[Sample]:
        """Every sample in order, without its picture, which must exist."""
        for number in range(len(self)):
            sample, image = self._read_one(number)
            if image is not None and not image.is_file():
                raise DatasetError(
                    f"{sample.where}: no image at {image}; download it, remove the entry, or pass the folder that "
                    "the images are in"
                )
            yield sample

    def read(self, samples: Int[np.ndarray, " b"]) -> list[Sample]:
        """Some samples with their pictures, still encoded."""
        pairs = (self._read_one(number) for number in samples.tolist())
        return [dataclasses.replace(sample, image={"bytes": None, "path": str(image)}) for sample, image in pairs]

    def _read_one(self, number: int) -> tuple[Sample, Path | None]:
        start, end = self._spans[number].tolist()
        where = f"{self.path}: entry {number + 1} (byte {start})"
        try:
            entry = json.loads(self._bytes[start:end])
        except ValueError as error:
            raise DatasetError(f"{where}: expected UTF-8, got {error}; write the file again") from error
        names = _image_names(entry, where)
        if len(names) != 1:
            return Sample((), len(names), "", where), None
        return Sample(_read_turns(entry, where), 1, names[0], where), self.image_dir / names[0]


def _find_entries(path: Path) -> Int[np.ndarray, "n 2"]:
    """The first byte of every entry and the one behind it, without reading the file at once.

    Bytes are read as Latin-1, which never fails and keeps one character per byte.
    """
    decoder, spans = json.JSONDecoder(), array.array("q")
    with path.open("rb") as file:
        is_list = _skip_bracket(file)
        text, at, offset = "", 0, file.tell()
        while True:
            between = _BETWEEN_ENTRIES.match(text, at)
            assert between is not None, "the pattern fits everywhere"
            at = between.end()
            if is_list and text.startswith("]", at):
                break
            try:
                entry, end = decoder.raw_decode(text, at)
            except json.JSONDecodeError as error:
                if more := file.read(max(_CHUNK, len(text) - at)):
                    text, at, offset = text[at:] + more.decode("latin-1"), 0, offset + at
                    continue
                if at == len(text) and not is_list:
                    break
                raise DatasetError(_broken(path, spans, offset + at, f"{error.msg}; truncated?")) from error
            if not isinstance(entry, dict):
                raise DatasetError(_broken(path, spans, offset + at, type(entry).__name__))
            spans.extend((offset + at, offset + end))
            at = end
    return np.array(spans, np.int64).reshape(-1, 2)


def _skip_bracket(file: BinaryIO) -> bool:
    """Whether the file is a list; if so, it stands behind the bracket, else at the first entry."""
    byte = file.read(1)
    while byte.isspace():
        byte = file.read(1)
    if byte == b"[":
        return True
    file.seek(-len(byte), io.SEEK_CUR)
    return False


def _broken(path: Path, spans: array.array, byte: int, found: str) -> str:
    return f"{path}: entry {len(spans) // 2 + 1} (byte {byte}): expected a JSON object, got {found}"


def _image_names(entry: Mapping[str, object], where: str) -> list[str]:
    value = entry.get("image")
    given = value if isinstance(value, list) else [] if value is None else [value]
    names = [name for name in given if isinstance(name, str) and name]
    if len(names) < len(given):
        raise DatasetError(f"{where}: expected the path of a picture in 'image', got {value!r}; correct or remove it")
    return names


def _read_turns(entry: Mapping[str, object], where: str) -> tuple[tuple[str, str], ...]:
    if "conversations" in entry:
        return _read_conversation(entry["conversations"], where)
    if "question" not in entry and "answer" not in entry:
        raise DatasetError(
            f"{where}: expected the keys 'image' and 'conversations', or 'image', 'question' and 'answer', got "
            f"{sorted(entry)}"
        )
    return ((_read_question(entry, "question", where), read_text(entry, "answer", where)),)


def _read_conversation(turns: object, where: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(turns, list):
        raise DatasetError(f"{where}: expected a list in 'conversations', got {turns!r}")
    roles = [turn.get("from") if isinstance(turn, Mapping) else None for turn in turns]
    if not turns or len(turns) % 2 or any(role != _ROLES[i % 2] for i, role in enumerate(roles)):
        raise DatasetError(f"{where}: 'conversations': expected human and gpt in turn and gpt last, got {roles}")
    questions = [_read_question(turn, "value", where) for turn in turns[::2]]
    return tuple(zip(questions, (read_text(turn, "value", where) for turn in turns[1::2])))


def _read_question(fields: object, key: str, where: str) -> str:
    return read_text(fields, key, where).replace(_IMAGE_TOKEN, "").strip()
