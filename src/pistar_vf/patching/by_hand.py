"""What a patch's edits are for a person: the file, the place and the code of each."""

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pistar_vf.patching.patch_file import Patch, filled

Edit = Mapping[str, Any]

_PLACES: dict[str, Callable[[Edit], str]] = {
    "add_import": lambda edit: "with the imports at the top:",
    "add_definition": lambda edit: "at the end:",
    "add_member": lambda edit: f"at the end of the class `{edit['owner']}`:",
    "insert_after": lambda edit: f"behind `{edit['anchor']}`, at its indentation:",
    "replace_definition": lambda edit: f"in the place of the function `{edit['name']}`:",
    "drop_import": lambda edit: f"take `{edit['name']}` out of `from {edit['source']} import …`.",
    "rename_import": lambda edit: f"import from `{edit['to']}` what comes from `{edit['source']}`.",
    "add_parameters": lambda edit: f"let `{edit['function']}` take `{edit['parameters']}` too, behind its others.",
    "rebase_class": lambda edit: (
        f"`class {edit['name']}({edit['base']}):`, without its decorator `{edit['decorator']}`."
    ),
    "set_value": lambda edit: f"`{edit['name']}` is assigned `{_shown(edit['value'])}`.",
    "set_returned": lambda edit: f"`{edit['function']}` returns `{_shown(edit['value'])}`.",
    "set_keyword": lambda edit: _keyword(edit),
    "quote_annotations": lambda edit: f"put every annotation with `{edit['name']}` in it in quotation marks.",
    "extend_list": lambda edit: (
        f"add to the list `{edit['name']}`: {', '.join(f'`{each}`' for each in edit['items'])}."
    ),
    "add_line": lambda edit: f"add the line `{edit['line']}`.",
    "add_file": lambda edit: "a new file:",
    "add_package": lambda edit: f"the folder of that name of {edit['distribution']} {edit['version']}; or these files:",
}
"""Operation to where its code goes, or what it does."""


def steps(patch: Patch) -> str:
    """The edits of a patch as a list, with the code of each."""
    return "\n".join(_step(patch, edit) for edit in patch.edits)


def _step(patch: Patch, edit: Edit) -> str:
    known = {key: filled(each, patch.names) if isinstance(each, str) else each for key, each in edit.items()}
    code = "\n".join(_block(text) for text in _code(patch.folder, known))
    return f"* {known['file'].replace(' ', ', ')}: {_PLACES[known['do']](known)}\n" + (f"\n{code}" if code else "")


def _code(folder: Path, edit: Edit) -> list[str]:
    if edit["do"] == "add_file":
        return [(folder / edit["content"]).read_text(encoding="utf-8")]
    if edit["do"] == "add_package":
        files = sorted((folder / edit["content"]).glob("*.py"))
        return [f"# {file.name}\n{file.read_text(encoding='utf-8')}" for file in files]
    return [edit["code"]] if "code" in edit else []


def _block(code: str) -> str:
    return textwrap.indent(f"```text\n{code.strip()}\n```\n", "  ", lambda line: bool(line.strip()))


def _keyword(edit: Edit) -> str:
    given = f"`{edit['keyword']}={_shown(edit['value'])}`"
    place = f"give `{edit['call']}`, where `{edit['inside']}` calls it, {given}"
    return f"{place} instead of `{edit['instead_of']}`." if "instead_of" in edit else f"{place}."


def _quoted(item: str) -> str:
    return f'`"{item}"`'


def _shown(value: str) -> str:
    """A value on one line; `…` is what stands there."""
    return "".join(line.strip() for line in value.replace("{value}", "…").strip().splitlines())
