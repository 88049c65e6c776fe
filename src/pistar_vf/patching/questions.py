"""The question that each patch asks of a tree, by the name that its file gives it in `[fault]`."""

import ast
import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any

from pistar_vf.faults import (
    dataset_faults,
    import_faults,
    input_faults,
    labelling_faults,
    loader_faults,
    module_faults,
    path_faults,
    state_faults,
    step_faults,
)
from pistar_vf.faults.finding import Finding, absent, unknown
from pistar_vf.faults.source_tree import SourceTree, TreeError
from pistar_vf.patching.patch_file import Patch
from pistar_vf.rehearsal.asking import rehearse
from pistar_vf.rehearsal.rehearsals import REHEARSALS

QUESTIONS: dict[str, Callable[..., Finding]] = {
    question.__name__: question
    for question in (
        import_faults.missing_name,
        import_faults.missing_member,
        module_faults.missing_module,
        module_faults.missing_package,
        import_faults.unavailable_import,
        import_faults.evaluated_name,
        dataset_faults.folder_keyword,
        dataset_faults.folder_field,
        dataset_faults.value_dataset,
        dataset_faults.action_sequences,
        dataset_faults.labelling_data,
        input_faults.tokenizer_arguments,
        input_faults.camera_names,
        loader_faults.loader_size,
        loader_faults.loader_items,
        state_faults.state_leaf,
        step_faults.step_number,
        labelling_faults.closed_over_weights,
        labelling_faults.ragged_batch,
        path_faults.fixed_paths,
    )
}
"""What `[fault] question = …` may say."""

_VENDORED = "gemma/gemma/gm"


def judge(patch: Patch, tree: SourceTree, doubted: bool = False) -> Finding:
    """Whether a patch's fault is in a tree.

    Args:
        patch: whose question is asked.
        tree: the checkout.
        doubted: whether code is also run in memory where reading it has an answer; where it has none, it always is.
    """
    found, (question, fields) = judge_by_reading(patch, tree), _asked(patch)
    runs = question in REHEARSALS and not _is_elsewhere(patch, tree) and (doubted or found.verdict == "unknown")
    seen = rehearse(question, tree, fields) if runs else None
    return found if seen is None else joined(found, seen.finding, went_there=_ran(tree, found.place, seen.ran))


def judge_by_reading(patch: Patch, tree: SourceTree) -> Finding:
    """What the code of a tree says of a patch's fault, without being run."""
    if _is_elsewhere(patch, tree):
        return absent(f"gemma is not in the checkout (no folder {_VENDORED})")
    question, fields = _asked(patch)
    return QUESTIONS[question](tree, **fields)


def _asked(patch: Patch) -> tuple[str, dict[str, Any]]:
    """A patch's question, and what it is about."""
    fields = dict(patch.fault)
    return fields.pop("question"), fields


def joined(read: Finding, seen: Finding, went_there: bool) -> Finding:
    """What is said of a fault where code was read, and run too.

    Args:
        read: what reading says.
        seen: what running says; "unknown" is a fault that comes only under conditions of which nobody knows.
        went_there: whether the function ran in which reading sees what it says.

    Returns:
        What reading says, where running says the same, or less. A fault that came when the code ran is one. What ran
        without it has none where reading has no answer, or has seen it in a function that ran. Else unknown.
    """
    if read.verdict == "fault" and seen.verdict != "fixed":
        return read
    if read.verdict in ("fixed", "absent") and seen.verdict == "fixed":
        return read
    names, at = seen.names or read.names, seen.place or read.place
    if seen.verdict == "fault" or (seen.verdict == "fixed" and (went_there or read.verdict == "unknown")):
        return dataclasses.replace(seen, place=at, names=names)
    text = f"look at it: its code says that {read.text}; run in memory, {seen.text}"
    if read.verdict == "unknown":
        text = f"{read.text}; run in memory, {seen.text}"
    return dataclasses.replace(unknown(text, at), names=names)


def _ran(tree: SourceTree, place: str, ran: Collection[str]) -> bool:
    """Whether the function ran that holds a line, or the file where no function does."""
    file, _, line = place.rpartition(":")
    code = tree.code(file) if file else None
    if code is None:
        return False
    holding = [each for each in code.all(ast.FunctionDef, ast.AsyncFunctionDef) if _holds(each, int(line))]
    return (f"{file}:{holding[-1].lineno}" if holding else file) in ran


def _holds(function: ast.FunctionDef | ast.AsyncFunctionDef, line: int) -> bool:
    return function.lineno <= line <= (function.end_lineno or function.lineno)


def _is_elsewhere(patch: Patch, tree: SourceTree) -> bool:
    return any(file.startswith(_VENDORED) for file in patch.reads) and not (tree.root / _VENDORED).is_dir()


def require_files(patches: Sequence[Patch], tree: SourceTree) -> None:
    """Stops where a file that patches are judged by is missing or no valid Python.

    Raises:
        TreeError: lists all of them.
    """
    files = dict.fromkeys(file for patch in patches if not _is_elsewhere(patch, tree) for file in patch.reads)
    wrong = [text for text in (_wrong(tree, file) for file in files) if text]
    if wrong:
        raise TreeError(
            f"{tree.root}: nothing can be said about this checkout, and nothing was written; put these files right "
            "first:\n" + "\n".join(f"  {text}" for text in wrong)
        )


def _wrong(tree: SourceTree, file: str) -> str:
    """What is wrong with a file; "" for nothing."""
    try:
        if tree.code(tree.located(file)) is None:
            return f"{file}: expected this file of the value-model pipeline, found none"
    except TreeError as error:
        hint = "; a merge is not resolved in it" if b"\n<<<<<<< " in b"\n" + (tree.read(file) or b"") else ""
        return f"{error}{hint}"
    return ""
