"""PyTorch's side of part `accelerator`, in a process of its own.

    python -m speed.device_torch SIZE FOLDER SCRATCH SECONDS SMALL MEDIUM LARGE

Figures go to FOLDER/torch.jsonl; SCRATCH has the weights and logits that our side left, or random weights are made.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pistar_vf.categorical import Support, two_hot
from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten, unflatten
from speed import device_numerics, device_peak, torch_model
from speed.device_cases import Case, Size, config
from speed.full_model import random_numbers
from speed.journal import Journal, seconds_of

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
_GIB = 2**30


class Theirs:
    """Times PyTorch's programs on one model, of which more and more is frozen."""

    def __init__(self, size: Size, journal: Journal, scratch: Path):
        self.size, self.journal, self.scratch = size, journal, scratch
        known = (scratch / device_numerics.WEIGHTS).is_file()
        flat = device_numerics.weights(size, scratch) if known else random_numbers(_shapes(size))
        with torch.device(DEVICE):
            self.model = torch_model.TorchValueModel(unflatten(flat), config(size), "none", torch.float32)
        self.model.to(DEVICE)

    def numerics(self) -> dict[str, Any]:
        """Differences from our float32 logits: of float32 without shorter products, and of autocast.

        Raises:
            LookupError: our side was cut short before it left them.
        """
        if not (self.scratch / device_numerics.LOGITS).is_file():
            raise LookupError("our side left no logits")
        expected = np.load(self.scratch / device_numerics.LOGITS)
        frames = torch_model.inputs(device_numerics.CASE.batch(config(self.size)).observation, DEVICE)
        found = {}
        for name, mixed in (("float32", False), ("bfloat16", True)):
            torch.set_float32_matmul_precision("high" if mixed else "highest")
            logits = torch_model.logits(self.model, frames, mixed=mixed).float().cpu().numpy()
            found[name] = device_numerics.differences(logits, expected)
        return found

    def run(self, case: Case, words: str = "") -> None:
        """One line of the journal."""
        self.journal.run(f"{case.name}{words}", lambda: self._measured(case))
        if DEVICE == "cuda":
            torch.cuda.empty_cache()

    def _measured(self, case: Case) -> dict[str, Any]:
        if DEVICE == "cuda":
            torch.cuda.reset_peak_memory_stats()
        frames, target = self._inputs(case)
        if case.freeze_mode is None:
            run: Callable[[], object] = lambda: torch_model.logits(self.model, frames, mixed=True)  # noqa: E731
        else:
            run = torch_model.train_step(self.model, frames, target, mixed=True)
        times = seconds_of(run, torch.cuda.synchronize if DEVICE == "cuda" else lambda: None)
        operations = case.operations(config(self.size)) or 0.0
        peak = torch.cuda.max_memory_allocated() if DEVICE == "cuda" else 0
        return {
            **times,
            "samples_per_second": case.batch_size / times["seconds"],
            "tflops": operations / times["seconds"] / 1e12,
            "peak_gib": peak / _GIB,
        }

    def _inputs(self, case: Case) -> tuple[tuple[torch.Tensor, ...], np.ndarray]:
        batch = case.batch(config(self.size))
        return torch_model.inputs(batch.observation, DEVICE), np.asarray(two_hot(batch.target, Support()))

    def compile_layers(self) -> None:
        """Every layer of both towers by `torch.compile`: alike layers share a program, which keeps compiling short."""
        for layer in (*self.model.tower.encoder.layers, *self.model.decoder.layers):
            layer.compile()


def _shapes(size: Size) -> Any:
    return flatten(ValueFunction(config(size)).shapes())


def measure(theirs: Theirs, batch_sizes: tuple[int, int, int]) -> None:
    """Everything, the most wanted first; what is frozen stays so."""
    small, medium, large = batch_sizes
    full = theirs.size == "full"
    figures = device_peak.torch_figures
    theirs.journal.run("peaks", lambda: figures(DEVICE) if full else figures(DEVICE, 256, 2**20))
    theirs.journal.run("logits against ours in float32", theirs.numerics)
    torch.set_float32_matmul_precision("high")
    for mode in ("none", "siglip_only", "all_backbones"):
        theirs.model.freeze(mode, torch.bfloat16)
        for batch_size in (medium, large, small):
            theirs.run(Case(batch_size, mode))
    for batch_size in (2 * medium, 4 * large, medium):
        theirs.run(Case(batch_size))
    theirs.compile_layers()
    theirs.run(Case(2 * medium), ", compiled")
    theirs.run(Case(medium, "all_backbones"), ", compiled")
    for module in (theirs.model.tower, theirs.model.decoder):
        module.float().requires_grad_(True)
    theirs.model.decoder.embed_tokens.requires_grad_(False)
    theirs.run(Case(medium, "none"), ", compiled")
    theirs.run(Case(large, "none"), ", compiled")


def main(size: Size, folder: str, scratch: str, seconds: str, *batch_sizes: str) -> None:
    journal = Journal(Path(folder) / "torch.jsonl", time.time() + float(seconds))
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu"
    journal.write("device", {"platform": DEVICE, "kind": name, "torch": torch.__version__})
    small, medium, large = map(int, batch_sizes)
    measure(Theirs(size, journal, Path(scratch)), (small, medium, large))


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
