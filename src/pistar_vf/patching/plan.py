"""What a patch is to a tree, and what all of them would change: nothing is written here."""

import dataclasses
import difflib
import io
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

import libcst as cst

from pistar_vf.patching import definition_edits, file_edits, value_edits
from pistar_vf.patching.checks import holds
from pistar_vf.patching.patch_file import Patch, PatchError
from pistar_vf.patching.source_tree import SourceTree
from pistar_vf.patching.syntax import AnchorError

Status = Literal["needed", "applied", "fixed differently", "not applicable", "conflict"]

_FILE_EDITS: dict[str, Callable[..., None]] = {
    "add_file": file_edits.add_file,
    "add_line": file_edits.add_line,
    "add_package": file_edits.add_package,
}
_MODULE_EDITS: dict[str, Callable[..., cst.Module]] = {
    edit.__name__: edit
    for edit in (
        definition_edits.add_definition,
        definition_edits.add_member,
        definition_edits.add_import,
        definition_edits.drop_import,
        definition_edits.rename_import,
        definition_edits.add_parameters,
        definition_edits.rebase_class,
        definition_edits.replace_definition,
        definition_edits.insert_after,
        value_edits.set_value,
        value_edits.set_returned,
        value_edits.set_keyword,
        value_edits.quote_annotation,
        value_edits.extend_list,
    )
}
OPERATIONS = (*_FILE_EDITS, *_MODULE_EDITS)
"""What `[[edit]] do = …` may say."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One patch on a tree.

    Attributes:
        status: "needed": the fault is there, and the edits cure it. "applied": it is gone, and the tree is as the
            patch leaves it, or the patch was applied here. "fixed differently": the fault is gone otherwise.
            "not applicable": the tree has nothing that the patch is about. "conflict": the fault is there, but an
            edit finds no hold.
        reason: one line for people; for a conflict, what is missing and where.
        changes: file to (before, after); empty unless needed.
    """

    patch: Patch
    status: Status
    reason: str
    changes: dict[str, tuple[bytes | None, bytes | None]]


def make_plan(patches: Sequence[Patch], tree: SourceTree, applied: Collection[str] = ()) -> list[Step]:
    """One step for each patch, each on the tree as those before leave it.

    Args:
        patches: in order.
        tree: a checkout.
        applied: ids of patches that were applied to it; a later one may have changed what they left.
    """
    plan, current = [], tree
    for patch in patches:
        step, current = _step(patch, current)
        if step.status == "needed" and not _is_faulty(patch, tree):
            step = dataclasses.replace(step, reason=f"once {', '.join(patch.after)} is in")
        if step.status == "fixed differently" and patch.id in applied:
            step = dataclasses.replace(step, status="applied")
        plan.append(step)
    return plan


def all_changes(plan: Sequence[Step]) -> dict[str, tuple[bytes | None, bytes | None]]:
    """File to (before, after), over a whole plan."""
    total: dict[str, tuple[bytes | None, bytes | None]] = {}
    for step in plan:
        for file, (before, after) in step.changes.items():
            total[file] = (total[file][0] if file in total else before, after)
    return total


def refuse_conflicts(plan: Sequence[Step]) -> None:
    """Stops where a patch is needed and cannot be applied.

    Raises:
        PatchError: says for each such patch what is missing, and what to do by hand.
    """
    conflicts = [step for step in plan if step.status == "conflict"]
    if conflicts:
        listed = "\n".join(
            f"  patch {step.patch.id} ({step.patch.title}): {step.reason}\n    by hand: {_indented(step.patch.by_hand)}"
            for step in conflicts
        )
        others = ",".join(step.patch.id for step in plan if step.status == "needed")
        hint = f"; `--only {others}` applies the others" if others else ""
        raise PatchError(f"{len(conflicts)} patches are needed but find no hold, nothing was written{hint}:\n{listed}")


def unified_diff(plan: Sequence[Step]) -> str:
    """All changes of a plan, as `git apply` reads them."""
    parts = []
    for file, (before, after) in sorted(all_changes(plan).items()):
        old = f"a/{file}" if before is not None else "/dev/null"
        parts += difflib.unified_diff(_lines(before), _lines(after), old, f"b/{file}")
    return "".join(part if part.endswith("\n") else part + "\n\\ No newline at end of file\n" for part in parts)


def _step(patch: Patch, tree: SourceTree) -> tuple[Step, SourceTree]:
    if not all(holds(check, tree) for check in patch.applicable):
        return Step(patch, "not applicable", "", {}), tree
    trial = tree.copy()
    try:
        _edit(patch, trial)
    except AnchorError as error:
        status: Status = "conflict" if _is_faulty(patch, tree) else "fixed differently"
        return Step(patch, status, str(error) if status == "conflict" else "", {}), tree
    changes = trial.changes(tree)
    if not _is_faulty(patch, tree):
        return Step(patch, "fixed differently" if changes else "applied", "", {}), tree
    if _is_faulty(patch, trial):
        reason = f"{', '.join(patch.files)}: the fault is still there after the edits"
        return Step(patch, "conflict", reason, {}), tree
    return Step(patch, "needed", "", changes), trial


def _is_faulty(patch: Patch, tree: SourceTree) -> bool:
    return all(holds(check, tree) for check in (*patch.applicable, *patch.needed))


def _edit(patch: Patch, tree: SourceTree) -> None:
    """Makes every edit of a patch on the tree.

    Raises:
        AnchorError: an edit finds no hold.
    """
    for edit in patch.edits:
        fields: dict[str, Any] = dict(edit)
        do, file = fields.pop("do"), fields.pop("file")
        if do in _FILE_EDITS:
            _FILE_EDITS[do](tree, patch.folder, file, **fields)
            continue
        module = tree.module(file)
        if module is None:
            raise AnchorError(f"{file} is {'missing' if tree.read(file) is None else 'no valid Python'}")
        try:
            tree.write(file, _MODULE_EDITS[do](module, **fields).bytes)
        except AnchorError as error:
            raise AnchorError(f"{file}: {error}") from error


def _lines(content: bytes | None) -> list[str]:
    return io.StringIO((content or b"").decode(errors="replace"), newline="\n").readlines()


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")
