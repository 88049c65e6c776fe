"""What JAX computes on, and whether a GPU is left unused."""

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pistar_vf.doctor.findings import first_line

_GPU_DEVICE = Path("/dev/nvidia0")
_TIMEOUT_SECONDS = 20.0


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices of this process.

    Attributes:
        backend: "cpu", "gpu" or "tpu".
        kinds: kind of device to how many of them, all processes together.
        memory_gib: of one device; None where JAX does not know it, as on a CPU.
        num_processes: that work together.
    """

    backend: str
    kinds: dict[str, int]
    memory_gib: float | None
    num_processes: int

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} × {kind}" for kind, count in self.kinds.items())
        memory = "" if self.memory_gib is None else f", {self.memory_gib:.1f} GiB each"
        return f"{self.backend}: {kinds}{memory}; {self.num_processes} process{'es' * (self.num_processes != 1)}"


def find_devices() -> Devices:
    """Starts JAX's backend and describes it; raises whatever JAX raises."""
    import jax

    devices = jax.devices()
    kinds = [device.device_kind for device in devices]
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    return Devices(
        backend=jax.default_backend(),
        kinds={kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        memory_gib=None if limit is None else limit / 2**30,
        num_processes=jax.process_count(),
    )


def why_no_devices(error: Exception, installed: Mapping[str, str]) -> tuple[str, str]:
    """What is wrong, and what to do, when `find_devices` raised."""
    platforms = os.environ.get("JAX_PLATFORMS")
    if not platforms or "jax" not in sys.modules:  # not even imported: the platforms were never looked at
        return first_line(error), f"pip install --force-reinstall {_jax(installed)}"
    fix = f"unset JAX_PLATFORMS, or {_cuda(installed)}" if "cuda" in platforms else "unset JAX_PLATFORMS"
    return f"JAX_PLATFORMS={platforms} names a backend that is not available here ({first_line(error)})", fix


def unused_gpu_advice(devices: Devices, installed: Mapping[str, str]) -> str | None:
    """What to do when there is an NVIDIA GPU and JAX computes on the CPU; None where nothing is amiss."""
    if devices.backend != "cpu" or not nvidia_gpu_present():
        return None
    if platforms := os.environ.get("JAX_PLATFORMS"):
        return f"JAX_PLATFORMS={platforms} keeps JAX on the CPU: unset JAX_PLATFORMS"
    if installed.keys() & {"jax-cuda12-plugin", "jax-cuda13-plugin"}:
        return "JAX_PLATFORMS=cuda python -c 'import jax; jax.devices()'  # says why the CUDA plugin is not used"
    return _cuda(installed)


def nvidia_gpu_present() -> bool:
    """Whether the machine has an NVIDIA GPU with a driver."""
    if _GPU_DEVICE.exists():
        return True
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    try:
        return subprocess.run([program, "-L"], capture_output=True, timeout=_TIMEOUT_SECONDS).returncode == 0
    except (OSError, subprocess.TimeoutExpired):  # a driver that hangs has no GPU to offer
        return False


def _cuda(installed: Mapping[str, str]) -> str:
    return f"pip install {_jax(installed, '[cuda12]')}"


def _jax(installed: Mapping[str, str], extra: str = "") -> str:
    """What is installed: the newest may not fit the other packages. It brings the jaxlib that belongs to it."""
    return f"'jax{extra}=={installed['jax']}'" if "jax" in installed else f"'jax{extra}'"
