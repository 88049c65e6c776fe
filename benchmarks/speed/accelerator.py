"""Part `accelerator`: training steps and V on whatever accelerator JAX finds, and PyTorch's on the same one.

Each side has the device to itself, in a process of its own, and writes every figure as soon as it has it: a run that is
cut short still has what came before, and one whose journals are in --folder already goes on to the record.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from speed import journal
from speed.device_cases import MODES, Size

DATASHEET_TFLOPS = 989.0
"""Dense bfloat16 products of an H100 or H200 SXM, as its maker states them."""
SIDES = ("ours", "torch")
BATCH_SIZES = {"full": (4, 32, 64), "tiny": (2, 3, 4)}
_SHARE = {"ours": 0.68, "torch": 1.0}
"""Of the time that is left when a side starts."""
_GRACE = 60
"""Seconds beyond its time for what a side had begun; then it is stopped."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=600, help="nothing new is started after these; 0: only reads")
    parser.add_argument("--folder", type=Path, help="where the journals are kept")
    parser.add_argument("--size", choices=BATCH_SIZES, default="full")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))


def measure(seconds: float, folder: Path | None, size: Size, sides: list[str]) -> dict[str, Any]:
    """Figures of both sides, and their ratios."""
    end = time.time() + seconds
    with tempfile.TemporaryDirectory() as scratch:
        kept = Path(scratch) if folder is None else folder
        kept.mkdir(parents=True, exist_ok=True)
        for side in sides if seconds else ():
            _run_side(side, size, kept, scratch, _SHARE[side] * (end - time.time()))
        return figures(*(journal.read(kept / f"{side}.jsonl") for side in SIDES), size)


def _run_side(side: str, size: Size, folder: Path, scratch: str, seconds: float) -> None:
    """Runs a side to its end, or to the end of its time; what went wrong is on its own output."""
    words = [sys.executable, "-m", f"speed.device_{side}", size, str(folder), scratch, str(seconds)]
    words += map(str, BATCH_SIZES[size])
    try:
        subprocess.run(words, cwd=Path(__file__).parents[1], env=_environment(side), timeout=max(seconds, 0) + _GRACE)
    except subprocess.TimeoutExpired:
        print(f"{side}: stopped {_GRACE} seconds after its time", flush=True)


def _environment(side: str) -> dict[str, str]:
    """Nearly all of the device's memory for ours, none for JAX beside PyTorch."""
    if side == "ours":
        return {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.92", **os.environ}
    return {**os.environ, "JAX_PLATFORMS": "cpu", "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}


def figures(ours: dict[str, Any], theirs: dict[str, Any], size: Size) -> dict[str, Any]:
    """The record: both sides, utilisation, and how many times PyTorch's best each of our best is."""
    found = {"size": size, "ours": ours, "torch": theirs, "best": {}, "over_torch": {}, "torch_best": {}}
    peak = ours.get("peaks", {}).get("matmul_tflops")
    for name in [f"{case} {n}" for case in MODES for n in BATCH_SIZES[size]] + _values(size):
        own, other = _fastest(ours, name), _fastest(theirs, name)
        found["best"][name] = _with_utilisation(own, peak)
        found["torch_best"][name] = _with_utilisation(other, peak)
        if own and other:
            found["over_torch"][name] = own["samples_per_second"] / other["samples_per_second"]
    return found


def _values(size: Size) -> list[str]:
    _, medium, large = BATCH_SIZES[size]
    return [f"values {n}" for n in (medium, 2 * medium, 4 * large)]


def _fastest(found: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Of a case and its variants, whose names go on behind a comma."""
    tried = [
        {"variant": own.removeprefix(name).removeprefix(", ") or "as the library has it", **about}
        for own, about in found.items()
        if own.partition(",")[0] == name and "samples_per_second" in about
    ]
    return max(tried, key=lambda about: about["samples_per_second"], default=None)


def _with_utilisation(own: dict[str, Any] | None, peak: float | None) -> dict[str, Any] | None:
    if own is None:
        return None
    kept = {name: own[name] for name in ("variant", "seconds", "samples_per_second", "tflops")}
    of_peak = None if peak is None else own["tflops"] / peak
    return {**kept, "of_measured_peak": of_peak, "of_datasheet": own["tflops"] / DATASHEET_TFLOPS}
