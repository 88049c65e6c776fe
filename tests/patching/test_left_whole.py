"""What a cure leaves as it is: names that others take, and loaders that others get. Oracle: the code, read by hand."""

import pytest
from support.drift import write_edits
from support.mini_upstream import write_mini_upstream

from pistar_vf.faults.soundness import taken_away
from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.patching.patch_file import load_patches, select
from pistar_vf.patching.plan import make_plan

PATCHES = load_patches()
TRAIN, LOADER = "scripts/train_value.py", "src/openpi/training/data_loader.py"
PARAMS, STACKS = (f"gemma/gemma/gm/utils/{name}.py" for name in ("_dtype_params", "_stacks"))
IMPORT, USED = "from etils.edc import ContextStack\n", "edc.ContextStack[int]"


def steps_of(root, ids):
    return {step.patch.id: step for step in make_plan(select(PATCHES, ids), SourceTree(root))}


# --- names -----------------------------------------------------------------------------------------------------------


TAKEN = "`name` would be missing in src/openpi/a.py, where src/openpi/b.py takes it from"
USED_HERE = "`name` would be used in src/openpi/a.py without being defined"
NAMES = [
    ("from openpi.a import name\n", "", TAKEN),
    ("from .a import name as other\n", "", TAKEN),
    ("from . import a\n\na.name()\n", "", TAKEN),
    ("from openpi.a import *\n\nname()\n", "", TAKEN),
    ("from openpi.c import name\n", "", ""),
    ("from openpi.a import name\n", "import x as name\n", ""),
    ("", '__all__ = ["name"]\n', "`name` would be missing, which `__all__` of src/openpi/a.py names"),
    ("", "try:\n    pass\nexcept OSError:\n    name = list\nname()\n", USED_HERE),
    ("", "if 1 > 2:\n    pass\nelse:\n    name = list\nname()\n", USED_HERE),
    ("", "def name(): ...\nname()\n", ""),
    ("broken(\n# name\n", "", ""),
]


@pytest.mark.parametrize(("other", "after", "text"), NAMES)
def test_names_that_are_taken_elsewhere(tmp_path, other, after, text):
    files = {"src/openpi/a.py": b"from x import name\n", "src/openpi/b.py": other.encode()}
    before = SourceTree(tmp_path, files)
    assert (
        taken_away(before, SourceTree(tmp_path, files | {"src/openpi/a.py": after.encode()}), "src/openpi/a.py") == text
    )


MOVED = [STACKS, "", IMPORT]
OTHER_ERROR = "\ntry:\n  from etils.edc import ContextStack\nexcept AttributeError:\n  ContextStack = list\n"
IMPORTS = {
    "_dtype_params.py takes it from": [
        [[PARAMS, IMPORT, "from gemma.gm.utils._stacks import ContextStack\n"], MOVED],
        [[PARAMS, IMPORT, "from gemma.gm.utils import _stacks\n"], [PARAMS, USED, "_stacks.ContextStack"], MOVED],
    ],
    "without being defined": [[[PARAMS, IMPORT, OTHER_ERROR], [PARAMS, USED, "ContextStack"]]],
}


@pytest.mark.parametrize(("text", "edits"), [(text, edits) for text, every in IMPORTS.items() for edits in every])
def test_an_import_that_others_need_is_not_dropped(fork, text, edits):
    write_edits(fork, edits)
    step = steps_of(fork, "4")["4"]
    assert (step.status, step.changes) == ("conflict", {})
    assert text in step.reason


# --- loaders ---------------------------------------------------------------------------------------------------------

CALL = "_data_loader.create_value_data_loader(data_config, model_config=config, batch_size=1, shuffle=True)"
SHARED = "_data_loader.create_torch_data_loader(data_config, config, 1, 1)"
CLASS = """
class Values:
    def __init__(self, loader):
        self._batches = loader._data_loader
        self.dataset = self._batches.dataset

    def __len__(self):
        return len(self._batches)

    def __iter__(self):
        return ((batch, batch["{}"]) for batch in self._batches)


def make_loader(data_config, config):
    return Values(_data_loader.create_torch_data_loader(data_config, config, 1, 1))

"""
POLICY = """
import openpi.training.data_loader as _data


def main():
    return _data.create_torch_data_loader(1, 2, 3, 4)
"""


def with_loader(root, lines, key="value", file=TRAIN):
    """The small fork, whose script gets its loader by some lines, and whose policy uses the shared function."""
    write_mini_upstream(root)
    head = "\ndef build_value_data_config" if file == TRAIN else ""
    text = CLASS.format(key) if head else f"import openpi.training.data_loader as _data_loader\n{CLASS.format(key)}"
    made = lines.replace("\n", "\n    ")
    edits = [["scripts/train.py", "", POLICY], [TRAIN, f"data_loader = {CALL}", made], [file, head, text + head]]
    write_edits(root, edits)
    return steps_of(root, "11,13a")


MADE = "make_loader(data_config, config)"
MODULE = "src/openpi/training/loaders.py"
OWN = {
    "by a function": (f"data_loader = {MADE}", TRAIN),
    "by a class": (f"data_loader = Values({SHARED})", TRAIN),
    "through a variable": (f"inner = {SHARED}\ndata_loader = Values(inner)", TRAIN),
    "in a module": (
        "from openpi.training import loaders\ndata_loader = loaders.make_loader(data_config, config)",
        MODULE,
    ),
}


@pytest.mark.parametrize(("key", "status"), [("value", "fixed differently"), ("actions", "conflict")])
@pytest.mark.parametrize(("lines", "file"), OWN.values(), ids=OWN)
def test_a_loader_of_the_script_s_own(tmp_path, lines, file, key, status):
    steps = with_loader(tmp_path / "fork", lines, key, file)
    assert {name: step.status for name, step in steps.items()} == {
        "10": "not applicable",
        "11": "fixed differently",
        "13a": status,
    }


def test_a_shared_function_is_not_changed_for_the_values(tmp_path):
    steps = with_loader(tmp_path / "fork", f"data_loader = {SHARED}")
    assert steps["11"].status == "needed"
    assert (steps["13a"].status, steps["13a"].changes) == ("conflict", {})
    assert "`create_torch_data_loader`, which returns it, also serves scripts/train.py" in steps["13a"].reason


def test_a_function_that_another_one_calls_is_shared(tmp_path):
    root = tmp_path / "fork"
    write_mini_upstream(root)
    write_edits(root, [[TRAIN, CALL, SHARED]])
    other = "\n\ndef create_data_loader(config):\n    return create_torch_data_loader(config, None, 1, 1)\n"
    write_edits(root, [[LOADER, "\n\nclass TorchDataLoader", f"{other}\n\nclass TorchDataLoader"]])
    assert "also serves `create_data_loader`" in steps_of(root, "13a")["13a"].reason
