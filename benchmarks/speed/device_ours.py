"""Our side of part `accelerator`, in a process of its own: the device's memory is not shared with PyTorch's.

    python -m speed.device_ours SIZE FOLDER SCRATCH SECONDS

Figures go to FOLDER/ours.jsonl; SCRATCH gets the random weights and float32 logits, which the other side reads.
"""

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from pistar_vf.models.value_model import ValueFunction
from pistar_vf.params import flatten, unflatten
from pistar_vf.training.state import held_shapes
from speed import device_numerics, device_peak
from speed.device_cases import MODES, Case, Size, config
from speed.full_model import Step, device_params, lowered_step
from speed.journal import Journal, seconds_of
from speed.variants import Variant

_GIB = 2**30
_COMPILERS = 8
"""Programs compiled at the same time; each keeps a core or two busy."""
_PLAIN = Variant()
_TRIED = (
    ("none", Variant("xla", "all")),
    ("none", Variant("cudnn")),
    ("all_backbones", Variant("cudnn", frozen_dtype="bfloat16")),
    ("values", Variant("cudnn", frozen_dtype="bfloat16")),
)
"""Other ways to compute, by what they are tried on."""


class Ours:
    """Compiles and times the library's programs, and remembers what every variant made of them."""

    def __init__(self, size: Size, journal: Journal):
        self.size, self.journal = size, journal
        self._rates: dict[str, dict[Variant, float]] = {}

    def wave(self, cases: Sequence[tuple[Case, Variant]]) -> None:
        """Compiles several at a time, then measures one at a time."""
        wanted = [each for each in cases if each[1] not in self._rates.get(each[0].name, {})]
        if self.journal.is_over or not wanted:
            return
        with ThreadPoolExecutor(_COMPILERS) as pool:
            begun = [(case, how, pool.submit(_compiled, _attempt(self.lower, case, how))) for case, how in wanted]
        for case, how, promise in begun:
            name = f"{case.name}{how}"
            figures = self.journal.finish(name, lambda c=case, h=how, p=promise: self._measured(c, h, *p.result()))
            if figures is not None:
                self._rates.setdefault(case.name, {})[how] = figures["samples_per_second"]

    def fastest(self, case: Case) -> Variant:
        """The best way to compute a case, of those that worked."""
        rates = self._rates.get(case.name, {})
        return max(rates, key=lambda how: rates[how], default=_PLAIN)

    def model(self, case: Case, how: Variant) -> ValueFunction:
        """The model of a case, computing in bfloat16 as the library does on an accelerator."""
        return ValueFunction(config(self.size, dtype="bfloat16", **case.fields, **how.fields))

    def shapes(self, case: Case, how: Variant) -> Any:
        """Flat parameters as they are held."""
        mode = _mode(case)
        return held_shapes(flatten(self.model(case, how).shapes()), mode, jnp.dtype(how.frozen_dtype))

    def lower(self, case: Case, how: Variant) -> Any:
        """The program of a case, to be compiled; nothing is allocated on the device."""
        function, shapes = self.model(case, how), self.shapes(case, how)
        batch = case.batch(function.config)
        with how.traced():
            if case.freeze_mode is not None:
                return lowered_step(function, shapes, _mode(case), batch)
            # As `inference.forward` has it, which remembers its programs: here a function of its own for each variant.
            forward = jax.jit(lambda params, seen: function.apply(unflatten(params), seen))
            return forward.lower(shapes, batch.observation)

    def _measured(self, case: Case, how: Variant, compiled: Any, compile_seconds: float) -> dict[str, Any]:
        function = self.model(case, how)
        params, batch = device_params(self.shapes(case, how)), jax.device_put(case.batch(function.config))
        if case.freeze_mode is not None:
            step = Step.start(compiled, params, _mode(case), batch)
            del params
            times = seconds_of(step.start_one, lambda: jax.block_until_ready(step.state))
        else:
            seen: list[jax.Array] = []
            times = seconds_of(lambda: seen.append(compiled(params, batch.observation)), lambda: _finish(seen))
        operations = case.operations(function.config)
        return {
            **times,
            "samples_per_second": case.batch_size / times["seconds"],
            "tflops": None if operations is None else operations / times["seconds"] / 1e12,
            "planned_gib": _planned(compiled) / _GIB,
            "highest_gib_so_far": (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0) / _GIB,
            "compile_seconds": compile_seconds,
        }


def _mode(case: Case) -> Any:
    """What is trained; of V nothing is, and of the head's own inputs the head is."""
    if case.reads == "hidden":
        return "all_but_head"
    return case.freeze_mode or "all_backbones"


def _finish(seen: list[jax.Array]) -> None:
    jax.block_until_ready(seen)
    seen.clear()


def _attempt(lower: Any, case: Case, how: Variant) -> Any:
    """The lowered program, or the error that came instead, for the journal."""
    try:
        return lower(case, how)
    except Exception as error:
        return error


def _compiled(lowered: Any) -> tuple[Any, float]:
    """The program, and its seconds on the clock, others being compiled beside it."""
    if isinstance(lowered, Exception):
        raise lowered
    started = time.perf_counter()
    return lowered.compile(), time.perf_counter() - started


def _planned(compiled: Any) -> float:
    """Bytes of device memory that XLA plans for, arguments included."""
    memory = compiled.memory_analysis()
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return held + memory.temp_size_in_bytes


def measure(ours: Ours, batch_sizes: tuple[int, int, int], scratch: Path) -> None:
    """Everything, the most wanted first.

    Args:
        ours: what measures.
        batch_sizes: small, medium, large.
        scratch: see above.
    """
    small, medium, large = batch_sizes
    ours.journal.run("peaks", device_peak.xla_figures if ours.size == "full" else device_peak.tiny_figures)
    ours.wave([(case, _PLAIN) for case in (*_of_all_modes(medium), Case(2 * medium), *_of_all_modes(large))])
    by_name = {**{str(case.freeze_mode): case for case in _of_all_modes(medium)}, "values": Case(2 * medium)}
    small_ones = [(case, _PLAIN) for case in (*_of_all_modes(small), Case(4 * large))]
    ours.wave([*((by_name[name], how) for name, how in _TRIED), *small_ones])
    best = {name: ours.fastest(case) for name, case in by_name.items()}
    ours.journal.write("best", {name: str(how).removeprefix(", ") for name, how in best.items()})
    ours.journal.run("numerics", lambda: device_numerics.measure(ours, best["none"], scratch))
    cached = [Case(large, "all_backbones", reads) for reads in ("tokens", "pooled tokens", "hidden")]
    frozen = Variant(frozen_dtype=best["all_backbones"].frozen_dtype)
    others = [(case, best[str(case.freeze_mode)]) for case in _of_all_modes(large)]
    ours.wave(
        [*((case, frozen) for case in cached), *others, (Case(4 * large), best["values"]), (Case(medium), _PLAIN)]
    )


def _of_all_modes(batch_size: int) -> list[Case]:
    return [Case(batch_size, mode) for mode in MODES]


def main(size: Size, folder: str, scratch: str, seconds: str, *batch_sizes: str) -> None:
    journal = Journal(Path(folder) / "ours.jsonl", time.time() + float(seconds))
    device = jax.devices()[0]
    about = {"platform": device.platform, "kind": device.device_kind, "jax": jax.__version__}
    journal.write("device", about)
    small, medium, large = map(int, batch_sizes)
    measure(Ours(size, journal), (small, medium, large), Path(scratch))


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
