"""Each patch against the error it is for. Oracle: Python itself, which runs a small fork with all patches but one."""

import re
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx, struct
from support.later_upstream import write_later_upstream
from support.mini_upstream import run_script

from pistar_vf.patching.patch_file import load_patches

PATCHES = {patch.id: patch for patch in load_patches()}
TRAIN, LABEL = "scripts/train_value.py", "scripts/label_advantage_from_vlm.py"


def train(fork, devices=1):
    run_script(fork, TRAIN, str(fork / "episodes"), str(devices))


def open_for_labelling(fork):
    return run_script(fork, LABEL, name="label")["_build_inference_dataset"](data_dir=fork / "episodes")


def error_of(run, *args) -> str:
    with pytest.raises((Exception, SystemExit)) as caught:
        run(*args)
    return f"{type(caught.value).__name__}: {caught.value}"


TRAINING = {
    "1": "ImportError: cannot import name 'ValueModelWeightLoader' from 'openpi.training.weight_loaders'",
    "2": "ModuleNotFoundError: No module named 'gemma.gm.data'",
    "4": "ImportError: cannot import name 'ContextStack' from 'etils.edc'",
    "5": "AttributeError: module 'etils.edc' has no attribute 'ContextStack'",
    "6": "ImportError: cannot import name 'console' from 'openpi.shared'",
    "7": "ImportError: cannot import name 'progress' from 'openpi.shared'",
    "8": "TypeError: DataConfig.__init__() got an unexpected keyword argument 'local_data_dir'",
    "9": "KeyError: 'actions'",
    "10": "AttributeError: module 'openpi.training.data_loader' has no attribute 'create_value_data_loader'",
    "12": "TypeError: Cannot interpret value of type <class '__main__.TrainState'> as an abstract array",
    "13a": "KeyError: 'actions'",
    "13b": "TypeError: unsupported type for timedelta seconds component: ",
    "13c": "TypeError: GemmaValueTokenizer.tokenize() got an unexpected keyword argument 'adv_ind_dropout'",
    "16": 'KeyError: "Missing base_image. Tried keys:',
}


@pytest.mark.parametrize("patch", TRAINING)
def test_training_fails_without_the_patch(fork, apply, patch):
    plan = apply(fork, but=(patch,))
    assert patch not in {step.patch.id for step in plan}
    assert error_of(train, fork).startswith(TRAINING[patch])


def test_training_runs_with_all_patches(fork, apply, capsys):
    apply(fork)
    train(fork)
    printed = capsys.readouterr().out
    assert "ℹ start ✓ ok ⚠ warn ✗ error bold" in printed
    assert "frames: 3 batches: 3" in printed
    tokens = [ord(letter) for letter in "pick"] + [0] * 4
    assert f"value: -0.25 tokens: {tokens}" in printed


def test_the_loader_without_its_size(fork, apply):
    apply(fork, but=("11", "13a"))
    assert error_of(train, fork) == "AttributeError: 'DataLoaderImpl' object has no attribute 'dataset'"
    loader = run_script(fork, TRAIN, name="train")["_data_loader"].DataLoaderImpl(None, None)
    assert error_of(len, loader) == "TypeError: object of type 'DataLoaderImpl' has no len()"


def test_kauldron_without_ktyping(fork, apply):
    data = fork / "gemma/gemma/gm/data"
    data.mkdir()
    (data / "__init__.py").write_text("")
    for name in ("_functional.py", "_transforms.py"):
        (data / name).write_text("from kauldron.ktyping import Array\n\ndef pad(rows, max_length): return rows\n")
    apply(fork, but=("3",))
    assert error_of(train, fork) == "ModuleNotFoundError: No module named 'kauldron.ktyping'"
    apply(fork)
    train(fork)
    assert "ktyping" not in (data / "_transforms.py").read_text()


def test_the_value_member(fork, apply):
    def member():
        return run_script(fork, TRAIN, name="train")["ValueModelConfig"]().model_type

    apply(fork, but=("L1",))
    assert error_of(member) in PATCHES["L1"].symptom
    apply(fork)
    assert member().value == "value"


def test_more_than_one_device(fork, apply, capsys):
    apply(fork, but=("L2",))
    assert error_of(train, fork, 2) == PATCHES["L2"].symptom[0]
    apply(fork)
    train(fork, 2)
    assert "replicated: True" in capsys.readouterr().out


def test_labelling_opens_the_dataset(fork, apply):
    apply(fork, but=("14",))
    assert error_of(open_for_labelling, fork) == PATCHES["14"].symptom[0]
    apply(fork)
    assert open_for_labelling(fork) == [{"tokens": [4]}] * 3


def test_labelling_tokenizes(fork, apply):
    apply(fork, but=("15",))
    assert error_of(open_for_labelling, fork) == PATCHES["15"].symptom[0]


# --- later versions ------------------------------------------------------------------------------------------------


@pytest.fixture
def later(tmp_path):
    return write_later_upstream(tmp_path / "later")


@pytest.mark.parametrize("patch", ["17", "19", "20"])
def test_a_later_version_fails_without_the_patch(later, apply, patch):
    apply(later, but=("17", "19") if patch == "19" else (patch,))  # what patch 17 opens does not need the field
    error = error_of(train, later)
    assert error.startswith(PATCHES[patch].symptom[0])


def test_a_later_version_runs_with_all_patches(later, apply, capsys):
    apply(later)
    train(later)
    assert "value: -0.25" in capsys.readouterr().out
    assert open_for_labelling(later) == [{"tokens": [4]}] * 3


def test_labelling_in_a_later_version(later, apply):
    apply(later, but=("14", "18"))
    assert error_of(lambda: open_for_labelling(later)[0]) == PATCHES["18"].symptom[0]


def test_the_paths_of_weights(later, apply, tmp_path, monkeypatch):
    def load():
        return run_script(later, TRAIN, name="train")["ValueModelWeightLoader"]().load({})

    apply(later, but=("21",))
    assert error_of(load).startswith(PATCHES["21"].symptom[0])
    apply(later)
    for name in ("SIGLIP", "GEMMA"):
        monkeypatch.setenv(f"VLM_{name}_PATH", str(tmp_path / name))
    (tmp_path / "SIGLIP").write_text("weights")
    siglip, gemma = load()
    assert siglip.read() == "weights"
    assert gemma == str(tmp_path / "GEMMA")


# --- Stage 5's compiled function ---------------------------------------------------------------------------------


@struct.dataclass
class Frames:
    state: jax.Array


class Scale(nnx.Module):
    def __init__(self):
        self.weight = nnx.Param(jnp.arange(12.0).reshape(3, 4))

    def __call__(self, observation, *, train):
        return observation.state @ self.weight[...]


@pytest.fixture
def spied_jit(monkeypatch):
    """What `jax.jit` compiled, and the leaves of the arguments that it was called with."""
    spied, real = SimpleNamespace(functions=[], leaves=[]), jax.jit

    def jit(function):
        compiled = real(function)
        spied.functions.append(compiled)

        def call(*args):
            spied.leaves.append(len(jax.tree.leaves(args)))
            return compiled(*args)

        return call

    monkeypatch.setattr(jax, "jit", jit)
    return spied


def values(fork):
    """Seven frames in batches of three."""
    compute = run_script(fork, LABEL, name="label")["_compute_values_with_dataloader"]
    frames = Frames(jnp.linspace(-1, 1, 21).reshape(7, 3))
    return compute(dataset=frames, model=Scale(), supports=jnp.linspace(-1, 0, 4), batch_size=3)


EXPECTED = np.exp(np.linspace(-1, 1, 21).reshape(7, 3) @ np.arange(12.0).reshape(3, 4))
EXPECTED = (EXPECTED / EXPECTED.sum(1, keepdims=True)) @ np.linspace(-1, 0, 4)


@pytest.mark.parametrize(
    ("but", "leaves", "programs"),
    [(("L3", "L4"), 1, 2), (("L4",), 2, 2), (("L3",), 1, 1), ((), 2, 1)],
    ids=["as upstream", "weights as arguments", "full batches", "both"],
)
def test_labelling_compiles_once_and_without_constants(fork, apply, spied_jit, but, leaves, programs):
    apply(fork, but=but)
    np.testing.assert_allclose(values(fork), EXPECTED, rtol=1e-5)
    assert spied_jit.leaves == [leaves] * 3
    assert [function._cache_size() for function in spied_jit.functions] == [programs]


# --- the documentation ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patch", TRAINING)
def test_the_patch_file_names_the_error(patch):
    assert any(symptom.startswith(TRAINING[patch]) for symptom in PATCHES[patch].symptom)


def test_every_patch_is_tested():
    here = Path(__file__).read_text(encoding="utf-8")
    named = {*TRAINING, *re.findall(r'"(L?\d+[a-c]?)"', here)}
    assert named >= set(PATCHES)
