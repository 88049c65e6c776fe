"""Leaves that a run does not train, written once for all of its checkpoints instead of twice into each.

    <run>/frozen/<digest>/          orbax tree {params: the frozen leaves}
    <run>/step_…/frozen.json        {"digest": …}: a slim checkpoint, whose own tree holds the other leaves only

The digest is of the leaves' names and numbers, so that a checkpoint never meets other weights than it was trained on.
"""

import json
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from pistar_vf.checkpoints.orbax_tree import read_tree, tree_metadata, write_tree
from pistar_vf.errors import CheckpointError
from pistar_vf.params import flatten, leaves_digest, unflatten
from pistar_vf.sharding import whole_array
from pistar_vf.typing import Params

FROZEN_FOLDER = "frozen"
FROZEN_FILE = "frozen.json"
"""In a slim checkpoint: which frozen leaves it belongs to."""


class FrozenPart:
    """The frozen leaves of one run; shared by everything that writes its checkpoints.

    Args:
        root: the run's directory.
        is_trained: tells by a leaf's flat name whether training changes it.
    """

    def __init__(self, root: Path, is_trained: Callable[[str], bool]):
        self._root, self._is_trained = Path(root).absolute(), is_trained
        self._lock = threading.Lock()
        self._digest: str | None = None

    def trained_leaves(self, tree: Params) -> Params:
        """The part of a nested tree that a slim checkpoint holds."""
        return unflatten({name: leaf for name, leaf in flatten(tree).items() if self._is_trained(name)})

    def keep(self, params: Params) -> str:
        """Writes the frozen leaves of a nested tree, once, and returns their digest."""
        with self._lock:
            if self._digest is None:
                frozen = {name: leaf for name, leaf in flatten(params).items() if not self._is_trained(name)}
                self._digest = self._write(frozen)
            return self._digest

    def _write(self, frozen: Params) -> str:
        digest = leaves_digest(frozen, whole=whole_array)[:16]
        folder = self._root / FROZEN_FOLDER / digest
        if folder.is_dir():
            return digest
        partial = folder.with_suffix(".partial")
        if jax.process_index() == 0:
            shutil.rmtree(partial, ignore_errors=True)
        write_tree(partial, {"params": unflatten(frozen)})
        if jax.process_index() == 0:
            partial.rename(folder)
        return digest


def read_checkpoint(path: Path, abstract: Any, read: Callable[[Path, Any], Any] = read_tree) -> Any:
    """Reads the leaves named by `abstract` from a checkpoint, slim or whole.

    Args:
        path: the checkpoint.
        abstract: as `read` takes it.
        read: `orbax_tree.read_tree` or `read_arrays`.

    Raises:
        CheckpointError: the checkpoint or its frozen part is missing, damaged or of another model.
    """
    folder = _frozen_folder(path)
    if folder is None:
        return read(path, abstract)
    stored, wanted = flatten(tree_metadata(folder)), flatten(abstract)
    places = {name: _in_frozen(name) for name in wanted if _in_frozen(name) in stored}
    own = _read_flat(path, {name: leaf for name, leaf in wanted.items() if name not in places}, read)
    frozen = _read_flat(folder, {place: wanted[name] for name, place in places.items()}, read)
    return unflatten({**own, **{name: frozen[place] for name, place in places.items()}})


def checkpoint_metadata(path: Path) -> Params:
    """Nested dicts of `jax.ShapeDtypeStruct`: what a checkpoint holds, of a slim one with its frozen part.

    Raises:
        CheckpointError: the checkpoint or its frozen part is missing or damaged.
    """
    tree, folder = tree_metadata(path), _frozen_folder(path)
    if folder is None:
        return tree
    frozen = flatten(tree_metadata(folder)["params"])
    trees = [key for key in tree if isinstance(tree[key], dict)]
    return unflatten({**flatten(tree), **{f"{key}/{name}": leaf for key in trees for name, leaf in frozen.items()}})


def _read_flat(path: Path, wanted: Params, read: Callable[[Path, Any], Any]) -> Params:
    return flatten(read(path, unflatten(wanted))) if wanted else {}


def _in_frozen(name: str) -> str:
    """A frozen leaf is its own average: one place for `params/…` and `ema_params/…`."""
    return "params/" + name.partition("/")[2]


def _frozen_folder(checkpoint: Path) -> Path | None:
    """Where the frozen leaves of a slim checkpoint are; None for a whole one."""
    marker = checkpoint / FROZEN_FILE
    if not marker.is_file():
        return None
    digest, run = _read_digest(marker), checkpoint.absolute().parent
    for root in (run, run.parent):  # the best checkpoint lies one folder deeper
        if (root / FROZEN_FOLDER / digest).is_dir():
            return root / FROZEN_FOLDER / digest
    raise CheckpointError(
        f"{checkpoint}: a slim checkpoint (--checkpoint_params trainable), expected its frozen leaves in "
        f"{run / FROZEN_FOLDER / digest}, found nothing there; copy the folder '{FROZEN_FOLDER}' of its run along with "
        "it, or make a whole one of it where it was trained: pistar-vf convert"
    )


def _read_digest(marker: Path) -> str:
    try:
        content = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    digest = content.get("digest") if isinstance(content, dict) else None
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{16}", digest):
        raise CheckpointError(f"{marker}: expected the digest of frozen leaves, got {content!r}; copy it again")
    return digest
