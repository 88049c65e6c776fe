"""Devices and unused GPUs. Oracle: devices and programs made up by hand."""

import types

import pytest

from pistar_vf.doctor import devices
from pistar_vf.doctor.devices import Devices, find_devices, unused_gpu_advice
from pistar_vf.doctor.examination import device_finding

INSTALLED = {"jax": "0.10.2", "jaxlib": "0.10.2"}
ON_CPU = Devices("cpu", {"cpu": 1}, None, 1)


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch, tmp_path):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(devices, "_GPU_DEVICE", tmp_path / "nvidia0")
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def gpu(tmp_path):
    (tmp_path / "nvidia0").touch()


def program(folder, content):
    path = folder / "nvidia-smi"
    path.write_text(content)
    path.chmod(0o755)


def test_devices_are_counted_by_kind(monkeypatch):
    import jax

    def device(kind):
        return types.SimpleNamespace(device_kind=kind, memory_stats=lambda: {"bytes_limit": 70 * 2**30})

    monkeypatch.setattr(jax, "devices", lambda: [device("H200"), device("A100"), device("H200")])
    monkeypatch.setattr(jax, "local_devices", lambda: [device("H200")])
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert find_devices() == Devices("gpu", {"H200": 2, "A100": 1}, 70.0, 2)
    assert str(find_devices()) == "gpu: 2 × H200, 1 × A100, 70.0 GiB each; 2 processes"


def test_a_cpu_has_no_memory_of_its_own():
    assert str(ON_CPU) == "cpu: 1 × cpu; 1 process"


def test_a_gpu_that_is_used_needs_no_advice(gpu):
    assert unused_gpu_advice(Devices("gpu", {"H200": 1}, 140.0, 1), INSTALLED) is None


def test_no_gpu_needs_no_advice():
    assert unused_gpu_advice(ON_CPU, INSTALLED) is None


def test_an_unused_gpu_wants_the_plugin_of_the_jax_that_is_there(gpu):
    assert unused_gpu_advice(ON_CPU, INSTALLED) == "pip install 'jax[cuda12]==0.10.2'"


def test_a_plugin_that_is_not_used_says_why_itself(gpu):
    advice = unused_gpu_advice(ON_CPU, {**INSTALLED, "jax-cuda13-plugin": "0.10.2"})
    assert advice.startswith("JAX_PLATFORMS=cuda python -c 'import jax; jax.devices()'")


def test_an_unused_gpu_may_be_meant(gpu, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert unused_gpu_advice(ON_CPU, INSTALLED) == "JAX_PLATFORMS=cpu keeps JAX on the CPU: unset JAX_PLATFORMS"


@pytest.mark.parametrize(
    ("content", "present"),
    [
        ("#!/bin/sh\nexit 0\n", True),
        ("#!/bin/sh\nexit 9\n", False),
        ("#!/bin/sh\nexec /bin/sleep 60\n", False),
        ("#!/no/such/shell\n", False),
    ],
)
def test_a_gpu_without_a_device_file_is_found_by_the_drivers_program(content, present, tmp_path, monkeypatch):
    program(tmp_path, content)
    monkeypatch.setattr(devices, "_TIMEOUT_SECONDS", 1.0)
    assert devices.nvidia_gpu_present() == present


def test_an_unused_gpu_is_a_warning(gpu, monkeypatch):
    monkeypatch.setattr(devices, "find_devices", lambda: ON_CPU)
    finding = device_finding(INSTALLED)
    assert (finding.state, finding.fix) == ("warning", "pip install 'jax[cuda12]==0.10.2'")
    assert finding.detail == "cpu: 1 × cpu; 1 process, although there is an NVIDIA GPU"


@pytest.mark.parametrize(
    ("platforms", "fix"),
    [("cuda", "unset JAX_PLATFORMS, or pip install 'jax[cuda12]==0.10.2'"), ("tpu", "unset JAX_PLATFORMS")],
)
def test_a_backend_that_is_not_here(platforms, fix, monkeypatch):
    import jax

    def refuse():
        raise RuntimeError("Unable to initialize backend\nand more")

    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    monkeypatch.setattr(jax, "devices", refuse)
    finding = device_finding(INSTALLED)
    assert (finding.state, finding.fix) == ("failed", fix)
    assert finding.detail == (
        f"JAX_PLATFORMS={platforms} names a backend that is not available here "
        "(RuntimeError: Unable to initialize backend)"
    )


@pytest.mark.parametrize(
    ("installed", "fix"),
    [(INSTALLED, "pip install --force-reinstall 'jax==0.10.2'"), ({}, "pip install --force-reinstall 'jax'")],
)
def test_a_jax_that_cannot_be_imported(installed, fix, monkeypatch):
    monkeypatch.setitem(devices.sys.modules, "jax", None)  # importing it raises ModuleNotFoundError
    finding = device_finding(installed)
    assert (finding.state, finding.fix) == ("failed", fix)
    assert finding.detail.startswith("ModuleNotFoundError: import of jax halted")
