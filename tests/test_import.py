"""Importing is light: no heavy library, and no JAX backend started."""

import json
import pkgutil
import subprocess
import sys

import pytest

import pistar_vf

HEAVY = ["torch", "tensorflow", "lerobot", "gemma", "wandb", "kauldron", "sklearn", "matplotlib.pyplot"]

REPORT = f"""
import json, sys, time
print(json.dumps({{
    "heavy": [name for name in {HEAVY} if name in sys.modules],
    "jax": "jax" in sys.modules,
    "backends": list(sys.modules["jax._src.xla_bridge"]._backends) if "jax" in sys.modules else [],
    "seconds": time.process_time(),
}}))
"""


def after(code: str) -> dict:
    """What a fresh interpreter holds after running `code`."""
    run = subprocess.run([sys.executable, "-c", code + REPORT], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_importing_the_package_is_light():
    state = after("import pistar_vf")
    assert (state["heavy"], state["backends"]) == ([], [])
    assert state["seconds"] < 3.0


def test_importing_every_module_is_light():
    names = [module.name for module in pkgutil.walk_packages(pistar_vf.__path__, "pistar_vf.")]
    assert "pistar_vf.categorical" in names
    state = after("".join(f"import {name}\n" for name in names))
    assert (state["heavy"], state["backends"]) == ([], [])


def test_a_started_backend_would_be_seen():
    assert after("import jax.numpy; jax.numpy.zeros(1)")["backends"]


def test_a_heavy_library_would_be_seen():
    assert after("import matplotlib.pyplot")["heavy"] == ["matplotlib.pyplot"]


def test_lazy_names_are_listed_and_unknown_ones_refused():
    assert set(pistar_vf.__all__) <= set(dir(pistar_vf))
    with pytest.raises(AttributeError, match="module 'pistar_vf' has no attribute 'load_valu_model'"):
        _ = pistar_vf.load_valu_model


def test_every_lazy_name_resolves():
    from pistar_vf.inference import predictor

    assert pistar_vf.load_value_model is predictor.load_value_model
