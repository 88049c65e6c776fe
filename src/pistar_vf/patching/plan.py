"""What a patch is to a tree, and what all of them would change: nothing is written here."""

import dataclasses
import difflib
import io
from collections.abc import Collection, Sequence
from typing import Literal

from pistar_vf.faults.soundness import broken, taken_away
from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.patching.edits import try_edits
from pistar_vf.patching.patch_file import Patch, PatchError
from pistar_vf.patching.questions import judge, judge_by_reading, require_files

Status = Literal["needed", "applied", "fixed differently", "not applicable", "cannot tell", "conflict"]


@dataclasses.dataclass(frozen=True)
class Step:
    """One patch on a tree.

    Attributes:
        status: "needed": the fault is there, and the edits cure it. "applied": it is gone, and the tree is as the
            patch leaves it, or the patch was applied here. "fixed differently": the fault is gone otherwise.
            "not applicable": the tree has nothing that the patch is about. "cannot tell": neither the fault nor a
            cure was seen. "conflict": the fault is there, but an edit finds no hold.
        reason: one line for people; for a conflict, what is missing and where.
        place: `file:line` of what decided, or "".
        changes: file to (before, after); empty unless needed.
    """

    patch: Patch
    status: Status
    reason: str
    place: str
    changes: dict[str, tuple[bytes | None, bytes | None]]


def make_plan(patches: Sequence[Patch], tree: SourceTree, applied: Collection[str] = ()) -> list[Step]:
    """One step for each patch, each on the tree as those before leave it.

    Args:
        patches: in order.
        tree: a checkout.
        applied: ids of patches that were applied to it; a later one may have changed what they left.

    Raises:
        TreeError: a file that must be judged is missing or no valid Python.
    """
    require_files(patches, tree)
    plan: list[Step] = []
    current = tree
    for patch in patches:
        differs = current is not tree
        step, current = _step(patch, current)
        if differs:
            step = _before_others(step, tree, plan)
        refused = [each.patch.id for each in plan if each.status == "conflict" and each.patch.id in patch.after]
        if step.status == "not applicable" and refused:
            text = f"look again once {', '.join(refused)} is in; now {step.reason}"
            step = dataclasses.replace(step, status="cannot tell", reason=text)
        if step.status in ("fixed differently", "not applicable") and patch.id in applied:
            step = dataclasses.replace(step, status="applied")
        plan.append(step)
    return plan


def _before_others(step: Step, tree: SourceTree, plan: Sequence[Step]) -> Step:
    """A step of a tree that other patches have changed; people want to know what it was before them."""
    patch, needed = step.patch, [each for each in plan if each.status == "needed"]
    sound = ("applied", "fixed differently")
    before = _step(patch, tree)[0] if step.status in sound else step
    if before.status in sound:
        return before
    changed = [each.patch.id for each in needed if step.place.rpartition(":")[0] in each.changes]
    if step.status in sound and before.status in ("needed", "conflict") and changed:
        return dataclasses.replace(step, reason=f"once {', '.join(changed)} is in: {step.reason}")
    others = [each.patch.id for each in needed if each.patch.id in patch.after]
    if step.status == "needed" and others and judge(patch, tree, doubted=True).verdict != "fault":
        return dataclasses.replace(step, reason=f"once {', '.join(others)} is in")
    return step


def all_changes(plan: Sequence[Step]) -> dict[str, tuple[bytes | None, bytes | None]]:
    """File to (before, after), over a whole plan."""
    total: dict[str, tuple[bytes | None, bytes | None]] = {}
    for step in plan:
        for file, (before, after) in step.changes.items():
            total[file] = (total[file][0] if file in total else before, after)
    return total


def refuse_conflicts(plan: Sequence[Step]) -> None:
    """Stops where a patch is needed and cannot be applied; optional ones are left out instead.

    Raises:
        PatchError: says for each such patch what is missing, and what to do by hand.
    """
    conflicts = [step for step in plan if step.status == "conflict" and not step.patch.optional]
    if conflicts:
        listed = "\n".join(
            f"  patch {step.patch.id} ({step.patch.title}): {step.reason}\n    by hand: {_indented(step.patch.by_hand)}"
            for step in conflicts
        )
        others = ",".join(_independent(plan, {step.patch.id for step in conflicts}))
        hint = f"; `--only {others}` applies the others" if others else ""
        raise PatchError(f"{len(conflicts)} patches are needed but find no hold, nothing was written{hint}:\n{listed}")


def _independent(plan: Sequence[Step], refused: set[str]) -> list[str]:
    """The patches that are needed and come after none that is refused."""
    kept = []
    for step in plan:
        if refused.intersection(step.patch.after):
            refused = refused | {step.patch.id}
        elif step.status == "needed":
            kept.append(step.patch.id)
    return kept


def unified_diff(plan: Sequence[Step]) -> str:
    """All changes of a plan, as `git apply` reads them."""
    parts: list[str] = []
    for file, (before, after) in sorted(all_changes(plan).items()):
        old = f"a/{file}" if before is not None else "/dev/null"
        parts += difflib.unified_diff(_lines(before), _lines(after), old, f"b/{file}")
    return "".join(part if part.endswith("\n") else part + "\n\\ No newline at end of file\n" for part in parts)


def _step(patch: Patch, tree: SourceTree) -> tuple[Step, SourceTree]:
    finding = judge(patch, tree, doubted=True)
    if finding.verdict in ("absent", "unknown"):
        status: Status = "not applicable" if finding.verdict == "absent" else "cannot tell"
        return Step(patch, status, finding.text, finding.place, {}), tree
    trial = tree.copy()
    is_fault = finding.verdict == "fault"
    refusal = try_edits(patch, trial, finding.names if is_fault else {**patch.names, **finding.names})
    changes = trial.changes(tree)
    if not is_fault:
        status = "fixed differently" if changes or refusal else "applied"
        return Step(patch, status, finding.text, finding.place, {}), tree
    refusal = refusal or _still_wrong(patch, tree, trial)
    if refusal:
        return Step(patch, "conflict", f"{finding.text}, and {refusal}", finding.place, {}), tree
    return Step(patch, "needed", finding.text, finding.place, changes), trial


def _still_wrong(patch: Patch, tree: SourceTree, trial: SourceTree) -> str:
    """What speaks against the edits that were made; "" for nothing."""
    for file in trial.changes(tree):
        if file.endswith(".py") and (text := broken(tree.read(file), trial.read(file))):
            return f"{file}: {text}"
        if file.endswith(".py") and (text := taken_away(tree, trial, file)):
            return text
    only_seen = judge_by_reading(patch, tree).verdict != "fault"
    after = judge(patch, trial, doubted=only_seen)  # who saw it must see it gone
    if after.verdict in ("fault", "unknown"):
        return f"{after.place or ', '.join(patch.files)}: the fault is still there after the edits"
    return ""


def _lines(content: bytes | None) -> list[str]:
    return io.StringIO((content or b"").decode(errors="replace"), newline="\n").readlines()


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")
