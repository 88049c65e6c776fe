"""Every shim against packages that raise the error it cures; gemma itself is not needed."""

import json
import shutil

import pytest
from support.fake_packages import DRIFTED, FITTING, run
from support.gemma_compat import status
from support.gemma_compat.shims import Shim

NAMES = [shim.name for shim in status()]
IMPORT = "from support import gemma_compat as compat\n"
IMPORT_ONLY = ["tensorflow", "gemma.gm.ckpts._policy"]

USE = """
from gemma import gm
assert gm.nn.Gemma3_270M(640) == "a model of width 640"
assert gm.ckpts.LoadCheckpoint.__mro__[1].__module__ == "kauldron.checkpoints"
assert gm.ckpts.load_params("a folder") == "shapes"
from jax._src.random import core
assert core.normal("key") == "unwrapped key"
"""
REPORT = """
import json, sys
import jax._src, kauldron.checkpoints, orbax.checkpoint, typeguard._functions
print(json.dumps({
    "states": {shim.name: shim.state for shim in compat.status()},
    "modules": [name for name in ("tensorflow", "gemma.gm.ckpts._policy") if name in sys.modules],
    "loader": hasattr(kauldron.checkpoints, "AbstractPartialLoader"),
    "item_metadata": hasattr(orbax.checkpoint._TreeMetadataImpl, "item_metadata"),
    "checks": [getattr(typeguard._functions, name).__name__ for name in ("check_argument_types", "check_return_type")],
    "random": jax._src.random.__name__,
}))
"""
ORIGINAL = {"loader": False, "item_metadata": False, "checks": ["check_argument_types", "check_return_type"]}


def report(folder, code, files=None):
    """What is in place after running `code`."""
    done = run(folder, IMPORT + code + REPORT, files)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_without_one_shim_its_error_comes_up(tmp_path, name):
    others = f"[shim.apply() for shim in compat.status() if shim.name != {name!r}]\n"
    failed = run(tmp_path, IMPORT + others + USE)
    (cures,) = (shim.cures for shim in status() if shim.name == name)
    assert cures in failed.stderr.splitlines()[-1]


def test_import_gemma_cures_them_all(tmp_path):
    found = report(tmp_path, "gm = compat.import_gemma()\n" + USE)
    assert found["states"] == {name: "removed" if name in IMPORT_ONLY else "applied" for name in NAMES}
    assert found["modules"] == []
    assert found["random"] == "jax._src.random"


def test_importing_twice_is_importing_once(tmp_path):
    once = report(tmp_path, "compat.import_gemma()\n" + USE)
    shutil.rmtree(tmp_path)
    twice = report(tmp_path, "assert compat.import_gemma() is compat.import_gemma()\n" + USE)
    assert once == twice


def test_removing_leaves_nothing_of_ours_and_gemma_running(tmp_path):
    found = report(tmp_path, "gm = compat.import_gemma()\ncompat.remove_shims()\ngm.ckpts.LoadCheckpoint, gm.nn")
    assert set(found["states"].values()) == {"removed"}
    assert found["modules"] == []
    assert ORIGINAL.items() <= found.items()


def test_gemma_can_be_imported_again_after_removing(tmp_path):
    report(tmp_path, "compat.import_gemma()\ncompat.remove_shims()\ncompat.import_gemma()\n" + USE)


@pytest.mark.parametrize("name", FITTING)
def test_what_fits_is_left_alone(tmp_path, name):
    found = report(tmp_path, "compat.import_gemma()\n" + USE, FITTING[name])
    fitting = IMPORT_ONLY if name == "tensorflow" else [name]
    assert [name for name in NAMES if found["states"][name] == "not needed"] == fitting


def test_versions_that_all_fit_are_not_touched(tmp_path):
    files = {file: text for name in FITTING for file, text in FITTING[name].items()}
    found = report(tmp_path, "compat.import_gemma()\n" + USE, files)
    assert set(found["states"].values()) == {"not needed"}
    assert found["modules"] == IMPORT_ONLY
    assert {**ORIGINAL, "loader": True}.items() <= found.items()


def test_the_stand_in_for_the_policy_loader_says_what_it_lacks(tmp_path):
    failed = run(
        tmp_path,
        IMPORT + "compat.import_gemma().ckpts.AnchoredPolicyLoader(policy=None)",
    )
    assert "gm.ckpts.AnchoredPolicyLoader needs TensorFlow, which is not installed" in failed.stderr


def test_nothing_is_tried_before_the_import(tmp_path):
    assert set(report(tmp_path, "")["states"].values()) == {"not tried"}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("gemma/gm/ckpts/_checkpoint.py", "import lark", "ModuleNotFoundError: No module named 'lark'"),
        ("kauldron/random.py", "import jax; jax.keys", "AttributeError: module 'jax' has no attribute 'keys'"),
    ],
)
def test_an_error_that_no_shim_cures_is_told_and_nothing_stays(tmp_path, file, text, message):
    code = """
from pistar_vf.errors import ConfigError
try:
    compat.import_gemma()
except ConfigError as error:
    print(error, file=__import__("sys").stderr)
    assert "MESSAGE; known to work: gemma 3.3.0 with kauldron 1.4.2" in str(error)
else:
    raise SystemExit("imported")
"""
    found = report(tmp_path, code.replace("MESSAGE", message), {file: text})
    assert "applied" not in found["states"].values()
    assert found["modules"] == []
    assert ORIGINAL.items() <= found.items()


@pytest.mark.parametrize("missing", [["gemma"], ["gemma", "kauldron"]])
def test_missing_packages_are_named(tmp_path, missing):
    files = {file: None for file in DRIFTED if file.startswith(tuple(f"{name}/" for name in missing))}
    failed = run(tmp_path, IMPORT + "compat.import_gemma()", files)
    expected = f"expected the packages gemma and kauldron, got no {' and no '.join(missing)}: run `make oracles`"
    assert expected in failed.stderr


# --- a shim by itself ------------------------------------------------------------------------------------------


def counting_shim(log, needed=True):
    def patch(undo):
        log.append("patched")
        undo.callback(log.append, "undone")

    return Shim(name="x", cures="an error", needed=lambda: needed, patch=patch)


def test_applying_twice_is_applying_once():
    log = []
    shim = counting_shim(log)
    shim.apply()
    shim.apply()
    assert (shim.state, log) == ("applied", ["patched"])
    shim.remove()
    shim.remove()
    assert (shim.state, log) == ("removed", ["patched", "undone"])


def test_a_shim_that_is_not_needed_does_nothing():
    log = []
    shim = counting_shim(log, needed=False)
    shim.apply()
    shim.remove()
    assert (shim.state, log) == ("not needed", [])


def test_a_removed_shim_can_be_applied_again():
    log = []
    shim = counting_shim(log)
    shim.apply()
    shim.remove()
    shim.apply()
    assert (shim.state, log) == ("applied", ["patched", "undone", "patched"])
