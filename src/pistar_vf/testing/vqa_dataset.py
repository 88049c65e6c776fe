"""Coloured shapes on noise with questions about them, in every layout that `questions` reads.

No question can be answered without the picture: colours, sides, shapes and numbers are drawn evenly. Colours, sides and
numbers are learned first; telling shapes apart takes a small model longer.
"""

import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pistar_vf.typing import Bool, UInt8

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 80, 230),
    "yellow": (235, 215, 50),
    "purple": (165, 60, 200),
    "white": (245, 245, 245),
}
SHAPES = ("circle", "square", "triangle")
NUMBERS = ("one", "two")
SIDES = ("left", "right")
ANSWERS = (*COLOURS, *SIDES, *NUMBERS, *SHAPES)

_IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_TURN_TYPE = pa.struct([("user", pa.string()), ("assistant", pa.string()), ("source", pa.string())])
_SCHEMA = pa.schema([("images", pa.list_(_IMAGE_TYPE)), ("texts", pa.list_(_TURN_TYPE))])


@dataclasses.dataclass(frozen=True)
class ShapePicture:
    """One picture with its questions.

    Attributes:
        pixels: RGB.
        turns: (question, answer).
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    turns: tuple[tuple[str, str], ...]

    def encode(self) -> bytes:
        """The picture as PNG."""
        buffer = io.BytesIO()
        Image.fromarray(self.pixels).save(buffer, "PNG")
        return buffer.getvalue()


def create_shape_pictures(num_pictures: int, *, seed: int = 0, image_size: int = 56) -> list[ShapePicture]:
    """Draws pictures with one or two shapes of different kind and colour.

    Args:
        num_pictures: how many; the first ones do not depend on it.
        seed: everything follows from it.
        image_size: side of the square pictures, pixels.

    Returns:
        Pictures with four questions about one shape or seven about two: the colour on each side, the side and the
        shape of each colour, and how many shapes.
    """
    return [_create_picture(np.random.default_rng([seed, number]), image_size) for number in range(num_pictures)]


def _create_picture(rng: np.random.Generator, size: int) -> ShapePicture:
    count = int(rng.integers(1, 3))
    colours, shapes, sides = (
        [options[i] for i in rng.permutation(len(options))[:count]] for options in (tuple(COLOURS), SHAPES, SIDES)
    )
    pixels = rng.integers(30, 110, (size, size, 1)).astype(np.uint8).repeat(3, axis=2)
    turns = [("how many shapes?", NUMBERS[count - 1])]
    for colour, shape, side in zip(colours, shapes, sides):
        x, y = 0.25 + 0.5 * SIDES.index(side), rng.uniform(0.4, 0.6)
        pixels[_mask(shape, x, y, rng.uniform(0.19, 0.23), size)] = COLOURS[colour]
        turns += [(f"what colour is on the {side}?", colour), (f"where is {colour}?", side)]
        turns.append((f"what shape is {colour}?", shape))
    return ShapePicture(pixels, tuple(turns))


def _mask(shape: str, x: float, y: float, radius: float, size: int) -> Bool[np.ndarray, "h w"]:
    """Pixels of a shape; positions and radius as fractions of the picture."""
    rows, columns = (np.mgrid[:size, :size] + 0.5) / size
    right, down = columns - x, rows - y
    if shape == "circle":
        return right**2 + down**2 < radius**2
    if shape == "square":
        return np.maximum(abs(right), abs(down)) < 0.85 * radius
    return (abs(right) < (down + radius) / 2) & (down < radius)


def write_cauldron(
    root: Path, pictures: Sequence[ShapePicture], *, num_files: int = 1, rows_per_group: int = 100
) -> Path:
    """Writes parquet files as The Cauldron has them, in a folder for the one subset.

    Args:
        root: a new folder.
        pictures: at least one per file.
        num_files: how many files to spread them over, in order.
        rows_per_group: size of the row groups.

    Returns:
        `root`.
    """
    folder = root / "shapes"
    folder.mkdir(parents=True)
    for number, part in enumerate(np.array_split(np.arange(len(pictures)), num_files)):
        table = _create_table([pictures[i] for i in part])
        path = folder / f"train-{number:05d}-of-{num_files:05d}.parquet"
        pq.write_table(table, path, row_group_size=rows_per_group)
    return root


def write_datasets_cache(root: Path, pictures: Sequence[ShapePicture]) -> Path:
    """Writes the same as `datasets` keeps it once loaded: a stream of arrow records; returns `root`."""
    folder = root / "shapes" / "0.0.0" / "fingerprint"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}")
    with pa.ipc.new_stream(folder / "shapes-train.arrow", _SCHEMA) as writer:
        writer.write_table(_create_table(pictures), max_chunksize=100)
    return root


def _create_table(pictures: Sequence[ShapePicture]) -> pa.Table:
    rows = [
        {
            "images": [{"bytes": picture.encode(), "path": None}],
            "texts": [
                {"user": question, "assistant": answer, "source": "shapes"} for question, answer in picture.turns
            ],
        }
        for picture in pictures
    ]
    return pa.Table.from_pylist(rows, _SCHEMA)


def write_llava(root: Path, pictures: Sequence[ShapePicture]) -> Path:
    """Writes LLaVA's list of conversations beside a folder `images`; returns the JSON file."""
    entries = [
        {"id": str(number), "image": name, "conversations": _create_conversation(picture, number % 2 == 0)}
        for number, (picture, name) in enumerate(zip(pictures, _write_images(root, pictures)))
    ]
    path = root / "llava_instruct.json"
    path.write_text(json.dumps(entries, indent=2))
    return path


def _create_conversation(picture: ShapePicture, token_first: bool) -> list[dict[str, str]]:
    """The image token stands before or behind the first question, as in LLaVA's own file."""
    conversation: list[dict[str, str]] = []
    for question, answer in picture.turns:
        if not conversation:
            question = f"<image>\n{question}" if token_first else f"{question}\n<image>"
        conversation += [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return conversation


def write_jsonl(root: Path, pictures: Sequence[ShapePicture]) -> Path:
    """Writes one question a line beside a folder `images`; returns the JSONL file."""
    lines = [
        json.dumps({"image": name, "question": question, "answer": answer})
        for picture, name in zip(pictures, _write_images(root, pictures))
        for question, answer in picture.turns
    ]
    path = root / "questions.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def _write_images(root: Path, pictures: Sequence[ShapePicture]) -> list[str]:
    (root / "images").mkdir(parents=True)
    names = [f"images/{number:06d}.png" for number in range(len(pictures))]
    for picture, name in zip(pictures, names):
        (root / name).write_bytes(picture.encode())
    return names
