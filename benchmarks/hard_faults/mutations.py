"""Damaged files of every kind that is read: each ends in success or in one clear error, and nothing is written."""

import copy
import dataclasses
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hard_faults.cases import TO_OUT, decode
from hard_faults.children import Ended
from hard_faults.world import LABEL, World

REFUSED = (1, 2, 3, 4)
"""Exit codes that the commands document."""


@dataclasses.dataclass(frozen=True)
class Victim:
    """Files to damage, and commands that read them.

    Attributes:
        kind: of the files.
        inputs: names of folders of the world.
        files: patterns below them.
        actions: commands, one of which is drawn each time.
        share: of this kind's mutations.
    """

    kind: str
    inputs: tuple[str, ...]
    files: tuple[str, ...]
    actions: tuple[tuple[str, ...] | Callable[[], object], ...]
    share: int = 1


_TABLES = ("labelled/data/*/*.parquet", "v30/data/*/*.parquet", "v30/meta/**/*.parquet")
_META = ("labelled/meta/*", "v30/meta/*.json")
_SETS = ("labelled", "v30")
_READERS = tuple(
    words
    for name in _SETS
    for words in (
        ("check", name),
        ("convert-dataset", "--data_dir", name, *TO_OUT),
        ("merge", name, "--to", "v3.0", *TO_OUT),
        ("repair", name, *TO_OUT),
        ("label", "--data_dir", name, *TO_OUT, *LABEL, "--overwrite_labels"),
    )
)
_RUN = (("inspect", "run"), ("convert", "--path", "run", "--to", "safetensors", "--output", "out"))
_FILE = (
    ("inspect", "weights.safetensors"),
    ("convert", "--path", "weights.safetensors", "--to", "safetensors", "--output", "out"),
)
_TOWERS = ("huggingface/siglip", "huggingface/gemma-3-270m")
_FOLDERS = (
    *(("inspect", tower) for tower in _TOWERS),
    ("convert", "--source", "huggingface", "--path", *_TOWERS, "--to", "safetensors", "--output", "out"),
)

VICTIMS = (
    Victim("parquet", _SETS, _TABLES, _READERS),
    Victim(
        "mp4",
        _SETS,
        ("*/videos/**/*.mp4",),
        (decode, *(("check", name, "--decode") for name in _SETS), *_READERS),
    ),
    Victim("json", _SETS, _META, _READERS, share=3),
    Victim("json", ("run",), ("run/step_*4/*.json", "run/*.json"), _RUN),
    Victim("json", ("huggingface",), ("huggingface/*/config.json",), _FOLDERS),
    Victim("orbax", ("run",), ("run/step_*4/**/*",), _RUN),
    Victim("safetensors", ("weights.safetensors",), ("weights.safetensors",), _FILE, share=2),
    Victim("safetensors", ("huggingface",), ("huggingface/*/*.safetensors",), _FOLDERS),
)


@dataclasses.dataclass
class Damages:
    """What came of damaging files of one kind.

    Attributes:
        tried: how many mutations.
        read: of them the command succeeded.
        refused: it ended with an error.
        losses: it wrote although it ended with an error, or changed what it only reads.
        tracebacks: the user saw the library's inside, or the process died or hung.
    """

    tried: int = 0
    read: int = 0
    refused: int = 0
    losses: list[str] = dataclasses.field(default_factory=list)
    tracebacks: list[str] = dataclasses.field(default_factory=list)


def damage_often(world: World, kind: str, count: int, seed: int) -> Damages:
    """Damages files of one kind, a fresh copy each time."""
    damages = Damages()
    victims = [victim for victim in VICTIMS if victim.kind == kind for _ in range(victim.share)]
    for number in range(count):
        rng = random.Random(f"{kind} {seed} {number}")
        _damage(world, rng.choice(victims), rng, damages, f"{kind} {seed} {number}")
    return damages


def _damage(world: World, victim: Victim, rng: random.Random, damages: Damages, name: str) -> None:
    work, action = world.fresh(victim.inputs), rng.choice(victim.actions)
    path = rng.choice(sorted(path for pattern in victim.files for path in work.glob(pattern) if path.is_file()))
    path.write_bytes(mutated(path, rng))
    before = world.snapshot(victim.inputs)
    ended = world.run(action)
    words = action.__name__ if callable(action) else " ".join(action)
    where = f"{name}: {path.relative_to(work)}: {words}: "
    damages.tried += 1
    damages.read += ended.code == 0
    damages.refused += ended.code in REFUSED
    if ended.has_traceback or ended.code not in (0, *REFUSED) or not says_why(ended):
        damages.tracebacks.append(f"{where}{ended.code}: {ended.output.strip()[-1500:]}")
    if world.snapshot(victim.inputs) != before:
        damages.losses.append(f"{where}an input was changed")
    if ended.code != 0 and (work / "out").exists():
        damages.losses.append(f"{where}exit code {ended.code}, but a result is there")


def says_why(ended: Ended) -> bool:
    """Whether it says what is wrong; `check` has findings of its own, and who presses Ctrl-C knows."""
    return ended.code == 0 or "error" in ended.output or "interrupted" in ended.output


def mutated(path: Path, rng: random.Random) -> bytes:
    """The content of a file, damaged: in its bytes, or of JSON as often in a value."""
    content = path.read_bytes()
    if path.suffix in (".json", ".jsonl") and rng.random() < 0.5:
        return _with_other_value(content, path.suffix == ".jsonl", rng)
    return rng.choice(_BYTES)(bytearray(content), rng)


def _flip(content: bytearray, rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 8)):
        if content:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def _overwrite(content: bytearray, rng: random.Random) -> bytes:
    start, length = _block(content, rng)
    content[start : start + length] = rng.randbytes(length)
    return bytes(content)


def _zero(content: bytearray, rng: random.Random) -> bytes:
    start, length = _block(content, rng)
    content[start : start + length] = bytes(length)
    return bytes(content)


def _cut_out(content: bytearray, rng: random.Random) -> bytes:
    start, length = _block(content, rng)
    del content[start : start + length]
    return bytes(content)


def _repeat(content: bytearray, rng: random.Random) -> bytes:
    start, length = _block(content, rng)
    return bytes(content[: start + length] + content[start:])


def _truncate(content: bytearray, rng: random.Random) -> bytes:
    return bytes(content[: rng.randrange(len(content) + 1)])


def _at_the_end(content: bytearray, rng: random.Random) -> bytes:
    """Footers and headers hold what steers a reader: the last or first bytes, changed."""
    place = rng.randrange(min(len(content), 64) or 1)
    for _ in range(rng.randint(1, 4)):
        if content:
            content[place if rng.random() < 0.5 else len(content) - 1 - place] = rng.randrange(256)
    return bytes(content)


_BYTES: Sequence[Callable[[bytearray, random.Random], bytes]] = (
    _flip, _overwrite, _zero, _cut_out, _repeat, _truncate, _at_the_end
)  # fmt: skip


def _block(content: bytearray, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(content) + 1)
    return start, min(rng.choice([1, 4, 32, 256, 4096]), len(content) - start)


_VALUES: Sequence[Any] = (
    None, True, -1, 0, 1, 2, 0.5, 10**9, 2**63, -(2**63), 1e308, float("nan"), float("inf"), "", "x", "../../x", "\x00",
    "{", "ä" * 40, [], [1], [[]], [None], {}, {"a": 1}, {"": {}},
)  # fmt: skip


def _with_other_value(content: bytes, lines: bool, rng: random.Random) -> bytes:
    texts = content.decode("utf-8").splitlines() if lines else [content.decode("utf-8")]
    number = rng.randrange(len(texts))
    texts[number] = json.dumps(_changed(json.loads(texts[number]), rng))
    return "".join(f"{text}\n" for text in texts).encode("utf-8")


def _changed(value: Any, rng: random.Random) -> Any:
    """One value somewhere in it becomes another, or goes, or comes twice."""
    children = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not children or rng.random() < 0.15:
        return copy.deepcopy(rng.choice(_VALUES))
    key = rng.choice(children)
    if rng.random() < 0.25:
        if isinstance(value, dict) and rng.random() < 0.5:
            value[rng.choice(["", "x", str(key).upper()])] = value.pop(key)
        else:
            del value[key]
        return value
    value[key] = _changed(value[key], rng)
    return value
