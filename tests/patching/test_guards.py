"""Guards that do not catch what comes, and conditions that do not help. Oracle: Python's own rules, and JAX's."""

import dataclasses

import jax
import pytest
from support.drift import write_edits
from support.later_upstream import write_later_upstream

from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.patching.patch_file import load_patches, select
from pistar_vf.patching.plan import make_plan

PATCHES = load_patches()
TRAIN, LOADER = "scripts/train_value.py", "src/openpi/training/data_loader.py"
PARAMS = "gemma/gemma/gm/utils/_dtype_params.py"


def status_of(root, name):
    plan = make_plan(select(PATCHES, name), SourceTree(root))
    return next(step.status for step in plan if step.patch.id == name)


# --- imports ---------------------------------------------------------------------------------------------------------

IMPORTS = {
    "4": (PARAMS, "from etils.edc import ContextStack\n"),
    "6": (TRAIN, "from openpi.shared import console\n"),
    "20": (LOADER, "import openpi.shared.hf_datasets_compat\n"),
}
CAUGHT = [
    ("4", "except ImportError:", True),
    ("4", "except AttributeError:", False),
    ("4", "except ModuleNotFoundError:", False),  # the module is there, the name is not
    ("6", "except ModuleNotFoundError:", False),  # just so: Python looks for a name in the package
    ("6", "except (AttributeError, ImportError):", True),
    ("6", "except NameError:", False),
    ("20", "except ModuleNotFoundError:", True),
    ("20", "except AttributeError:", False),
    ("20", "except Exception:", True),
    ("20", "except:", True),
]


def write_guarded(root, patch, before, after):
    write_later_upstream(root)
    file, line = IMPORTS[patch]
    write_edits(root, [[file, line, f"{before}\n    {line}{after}"]])
    return root


@pytest.mark.parametrize(("patch", "handler", "caught"), CAUGHT)
def test_a_handler_catches_what_it_names(tmp_path, patch, handler, caught):
    root = write_guarded(tmp_path / "fork", patch, "try:", f"{handler}\n    console = list\n")
    assert (status_of(root, patch) == "fixed differently") is caught


@pytest.mark.parametrize(("patch", "error", "caught"), [("20", "ImportError", True), ("20", "KeyError", False)])
def test_so_does_suppress(tmp_path, patch, error, caught):
    root = write_guarded(tmp_path / "fork", patch, f"import contextlib\n\nwith contextlib.suppress({error}):", "")
    assert (status_of(root, patch) == "fixed differently") is caught


def test_a_handler_that_raises_catches_nothing(tmp_path):
    handler = 'except ImportError as error:\n    raise RuntimeError("install it") from error\n'
    assert status_of(write_guarded(tmp_path / "fork", "20", "try:", handler), "20") == "needed"


# --- the leaves of the state -----------------------------------------------------------------------------------------

PUT = 'lambda x: jax.device_put(x, replicated), train_state, is_leaf=lambda x: hasattr(x, "shape")'
OLD = f"        train_state = jax.tree.map(\n            {PUT}\n        )\n"
GUARDED = [
    ("jax.device_put(x) if hasattr(x, 'shape') else x", "fixed differently"),
    ("x if not isinstance(x, jax.Array) else jax.device_put(x)", "fixed differently"),
    ("jax.device_put(x) if x is not None else x", "needed"),
    ("x if x is None else jax.device_put(x)", "needed"),
    ("jax.device_put(x) if x else x", "needed"),
    ("x if hasattr(x, 'shape') else jax.device_put(x)", "needed"),
]


@dataclasses.dataclass
class State:
    step: int = 0


@pytest.mark.parametrize(("body", "status"), GUARDED)
def test_a_condition_on_a_leaf(fork, body, status):
    write_edits(fork, [[TRAIN, PUT, f"lambda x: {body}, train_state"]])
    assert status_of(fork, "12") == status
    if status == "needed":
        with pytest.raises(TypeError, match="State"):
            jax.tree.map(eval(f"lambda x: {body}", {"jax": jax}), State())
    else:
        assert isinstance(jax.tree.map(eval(f"lambda x: {body}", {"jax": jax}), State()), State)


IN_FUNCTIONS = [
    ("if x is None:", "return x", "return jax.device_put(x)", "needed"),
    ("if not hasattr(x, 'dtype'):", "return x", "return jax.device_put(x)", "fixed differently"),
    ("try:", "return jax.device_put(x)", "except TypeError:", "fixed differently"),
    ("try:", "return jax.device_put(x)", "except ValueError:", "needed"),
]


@pytest.mark.parametrize(("first", "inner", "last", "status"), IN_FUNCTIONS)
def test_a_condition_in_a_function(fork, first, inner, last, status):
    lines = [first, f"    {inner}", last, *(["    return x"] if last.startswith("except") else [])]
    put = "\n".join(["        def put(x):", *(f"            {line}" for line in lines)])
    write_edits(fork, [[TRAIN, OLD, f"{put}\n\n        train_state = jax.tree.map(put, train_state)\n"]])
    assert status_of(fork, "12") == status


def test_a_condition_that_nobody_knows_is_told_by_running_or_not_at_all(fork):
    write_edits(fork, [[TRAIN, PUT, "lambda x: jax.device_put(x) if is_leaf(x) else x, train_state"]])
    write_edits(fork, [[TRAIN, "import jax\n", "import jax\nfrom chex import is_leaf\n"]])
    assert status_of(fork, "12") == "cannot tell"


# --- the step, where the state is no tree -----------------------------------------------------------------------------


ALL = "TrainState(**{{{}}})"
FIELDS = [
    (ALL.format("f.name: jax.device_put(getattr(train_state, f.name)) for f in dataclasses.fields(TrainState)"), True),
    (ALL.format("key: jax.device_put(value) for key, value in vars(train_state).items()"), True),
    ("TrainState(jax.device_put(train_state.step), (), jax.device_put(train_state.params))", True),
    ("TrainState(train_state.step, train_state.model_def, jax.device_put(train_state.params))", False),
]


@pytest.mark.parametrize(("made", "step_too"), FIELDS)
def test_fields_that_are_put_one_by_one(fork, made, step_too):
    write_edits(fork, [[TRAIN, OLD, f"        train_state = {made}\n"]])
    assert (status_of(fork, "13b") in ("needed", "cannot tell")) is step_too
    write_edits(fork, [[TRAIN, "start_step = train_state.step", "start_step = int(train_state.step)"]])
    assert status_of(fork, "13b") in ("applied", "not applicable")


def test_fields_that_a_function_puts_one_by_one(fork):
    put = "def put(state):\n    return TrainState(jax.device_put(state.step), (), jax.device_put(state.params))\n\n\n"
    called = [TRAIN, OLD, "        train_state = put(train_state)\n"]
    write_edits(fork, [called, [TRAIN, "def main(", f"{put}def main("]])
    assert status_of(fork, "13b") in ("needed", "cannot tell")


# --- the dataset of a folder -----------------------------------------------------------------------------------------

OPENED = "    if data_config.local_data_dir is not None:\n        return ValueDataset(data_config.local_data_dir)\n"
MADE = "from openpi.training.value_data_loader import ValueDataset\n"
READER = "src/openpi/training/value_data_loader.py"
HELPER = "def _opened(config):\n    return ValueDataset(config.local_data_dir) if config.local_data_dir else None\n\n\n"
RENAMED = [
    [[READER, "class ValueDataset", "class FolderDataset"], [LOADER, "ValueDataset", "FolderDataset"]],
    [
        [
            "src/openpi/training/folders.py",
            "",
            "from openpi.training.value_data_loader import ValueDataset as Folder\n",
        ],
        [LOADER, MADE, "from openpi.training import folders\n"],
        [LOADER, "return ValueDataset(", "return folders.Folder("],
    ],
    [
        [LOADER, OPENED, "    if (local := _opened(data_config)) is not None:\n        return local\n"],
        [LOADER, "def create_torch_dataset(", f"{HELPER}def create_torch_dataset("],
    ],
]


@pytest.mark.parametrize("edits", RENAMED, ids=["another name", "by another module", "in a function of its own"])
@pytest.mark.parametrize("patch", ["17", "18"])
def test_a_folder_that_opens_as_a_value_dataset(tmp_path, edits, patch):
    root = write_later_upstream(tmp_path / "fork")
    write_edits(root, edits)
    assert status_of(root, patch) == "needed"


def test_a_folder_that_opens_otherwise(tmp_path):
    root = write_later_upstream(tmp_path / "fork")
    write_edits(root, [[READER, "def __getitem__", "def frame"], [READER, "class ValueDataset", "class Frames"]])
    write_edits(root, [[LOADER, "ValueDataset", "Frames"]])
    assert status_of(root, "17") == "not applicable"
