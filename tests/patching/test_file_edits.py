"""The folder gemma/gm/data: from an installed gemma, or ours. Oracle: numpy for the padding."""

import importlib.metadata
import importlib.util

import jax.numpy as jnp
import numpy as np
import pytest

from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.patching.file_edits import add_file, add_line
from pistar_vf.patching.patch_file import load_patches
from pistar_vf.patching.syntax import AnchorError

DATA = "gemma/gemma/gm/data"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A distribution named gemma, as an installer leaves it."""
    folder = tmp_path / "site-packages"
    (folder / "gemma/gm/data").mkdir(parents=True)
    (folder / "gemma/gm/data/__init__.py").write_text("# gemma's own\n")
    (folder / "gemma/gm/data/_functional.py").write_text("def pad(): ...\n")
    (folder / "gemma/gm/data/_transforms.py").write_text("from kauldron import typing\n")
    info = folder / "gemma-3.3.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gemma\nVersion: 3.3.0\n")
    monkeypatch.syspath_prepend(str(folder))
    assert importlib.metadata.version("gemma") == "3.3.0"
    return folder


@pytest.fixture
def not_installed(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)


def test_the_installed_folder_is_copied(fork, apply, installed):
    apply(fork)
    copied = {path.name: path.read_text() for path in (fork / DATA).iterdir()}
    assert copied == {
        "__init__.py": "# gemma's own\n",
        "_functional.py": "def pad(): ...\n",
        "_transforms.py": "from kauldron import typing\n",
    }
    assert {step.patch.id: step.status for step in apply(fork)}["2"] == "applied"


def test_another_version_is_not_copied(fork, apply, installed):
    metadata = installed / "gemma-3.3.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("3.3.0", "3.2.1"))
    apply(fork)
    assert (fork / DATA / "_functional.py").is_file()


def test_ours_where_nothing_is_installed(fork, apply, not_installed):
    apply(fork)
    assert sorted(path.name for path in (fork / DATA).iterdir()) == ["__init__.py", "_functional.py"]


def test_a_folder_of_somebody_else_is_left_alone(fork, apply):
    (fork / DATA).mkdir()
    (fork / DATA / "__init__.py").write_text("# mine\n")
    (fork / DATA / "_functional.py").write_text("def pad(): ...\n")
    assert {step.patch.id: step.status for step in apply(fork)}["2"] == "fixed differently"
    assert (fork / DATA / "__init__.py").read_text() == "# mine\n"


@pytest.fixture(scope="module")
def pad():
    path = load_patches()[0].folder / "02_gemma_data" / "_functional.py"
    spec = importlib.util.spec_from_file_location("_functional", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pad


def test_padding(pad):
    np.testing.assert_array_equal(pad([[1, 2], [3]], 3), [[1, 2, 0], [3, 0, 0]])
    np.testing.assert_array_equal(
        pad(np.ones((2, 1, 2)), max_length=3), np.pad(np.ones((2, 1, 2)), [(0, 0), (0, 0), (0, 1)])
    )
    padded = pad(jnp.asarray([[True, False]]), max_length=4, fill_value=True)
    assert isinstance(padded, jnp.ndarray)
    np.testing.assert_array_equal(padded, [[True, False, True, True]])
    np.testing.assert_array_equal(pad(np.arange(5), 3, truncate=True), [0, 1, 2])
    assert pad({"a": np.arange(2)}, 3)["a"].tolist() == [0, 1, 0]


def test_what_cannot_be_padded(pad):
    with pytest.raises(ValueError, match="expected at most 2 tokens, got 3"):
        pad(np.arange(3), 2)
    with pytest.raises(ValueError, match="axis: expected -1, got 0"):
        pad(np.arange(3), 4, axis=0)


def test_a_file_in_the_way(fork):
    tree = SourceTree(fork)
    with pytest.raises(AnchorError, match=r"\.gitignore is there already, but another one"):
        add_file(tree, load_patches()[0].folder, ".gitignore", "07_progress.py")


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, b"new\n"), (b"", b"new\n"), (b"a", b"a\nnew\n"), (b"a\r\n", b"a\r\nnew\r\n"), (b"new\nb\n", b"new\nb\n")],
)
def test_a_line(tmp_path, before, after):
    if before is not None:
        (tmp_path / "file").write_bytes(before)
    tree = SourceTree(tmp_path)
    add_line(tree, tmp_path, "file", "new")
    assert tree.read("file") == after
