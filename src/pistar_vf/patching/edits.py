"""The edits of a patch, made on a checkout in memory."""

from collections.abc import Callable, Mapping
from typing import Any

import libcst as cst

from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.patching import definition_edits, file_edits, value_edits
from pistar_vf.patching.patch_file import Patch, filled
from pistar_vf.patching.syntax import AnchorError

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
        value_edits.quote_annotations,
        value_edits.extend_list,
    )
}
OPERATIONS = (*_FILE_EDITS, *_MODULE_EDITS)
"""What `[[edit]] do = …` may say."""


def try_edits(patch: Patch, trial: SourceTree, names: Mapping[str, str]) -> str:
    """Makes the edits of a patch on a tree, with what the tree calls its parts; why one finds no hold, or ""."""
    try:
        _edit(patch, trial, names)
    except AnchorError as error:
        return str(error)
    return ""


def _edit(patch: Patch, tree: SourceTree, names: Mapping[str, str]) -> None:
    """Makes every edit of a patch on the tree.

    Raises:
        AnchorError: an edit finds no hold.
    """
    for edit in patch.edits:
        fields: dict[str, Any] = {
            key: filled(each, names) if isinstance(each, str) else each for key, each in edit.items()
        }
        if (part := fields.pop("if_named", "")) and part not in names:
            continue
        if missing := [part for part in patch.names if any(f"<{part}>" in str(each) for each in fields.values())]:
            part = missing[0]
            raise AnchorError(f"{patch.files[0]}: nothing here takes the place of `{patch.names[part]}`")
        do, files = fields.pop("do"), fields.pop("file").split()
        for file in files:
            _edit_file(patch, tree, do, tree.located(file), fields)


def _edit_file(patch: Patch, tree: SourceTree, do: str, file: str, fields: Mapping[str, Any]) -> None:
    if do in _FILE_EDITS:
        _FILE_EDITS[do](tree, patch.folder, file, **fields)
        return
    module = tree.module(file)
    if module is None:
        raise AnchorError(f"{file} is {'missing' if tree.read(file) is None else 'no valid Python'}")
    try:
        tree.write(file, _MODULE_EDITS[do](module, **fields).bytes)
    except AnchorError as error:
        raise AnchorError(f"{file}: {error}") from error
