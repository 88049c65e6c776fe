"""Questions about how a script opens its dataset: `DataConfig`, and the columns that it asks for."""

import ast
import dataclasses

from pistar_vf.faults.code import Code
from pistar_vf.faults.config_calls import CONFIG, ConfigCall, config_calls, find_field, names_of
from pistar_vf.faults.definitions import find_class
from pistar_vf.faults.finding import Finding, absent, fault, fixed, place, unknown, worst
from pistar_vf.faults.source_tree import SourceTree
from pistar_vf.faults.value_datasets import LOADER, READER, fixed_columns, value_datasets

_LOADER_MODULE = "openpi.training.data_loader"
_CREATES = f"{_LOADER_MODULE}.create_"
_COLLECTIONS = {"tuple", "list", "set", "frozenset"}
_FOLDER, _SEQUENCES = "local_data_dir", "action_sequence_keys"


def folder_keyword(tree: SourceTree, script: str) -> Finding:
    """A script gives `DataConfig` the keyword `local_data_dir`, which it does not take."""
    code = tree.existing(script)
    calls = config_calls(tree, code)
    own = _own_dataset(code)
    return own or worst([_folder_keyword(tree, code, call) for call in calls] or [_no_config(code)])


def _own_dataset(code: Code) -> Finding | None:
    """What a script asks of LeRobot that opens its dataset itself; None where the loader opens it."""
    opened = code.calls("LeRobotDataset")
    by_loader = [call for call in code.all(ast.Call) if (code.origin(call.func) or "").startswith(_CREATES)]
    if not opened or by_loader:
        return None
    at = place(code.file, opened[0])
    if any(each.arg in (None, "delta_timestamps") for call in opened for each in call.keywords):
        return unknown("look whether sequences of `actions` are asked for here", at)
    return fixed("the script opens its dataset itself, by its folder, and asks for no sequences", at)


def _no_config(code: Code) -> Finding:
    """A script that uses the loader gets its `DataConfig` from somewhere."""
    used = [node for node in code.all(ast.Name, ast.Attribute) if (code.origin(node) or "").startswith(_LOADER_MODULE)]
    if used:
        text = "look where the `DataConfig` of this loader is made, and with which keywords"
        return unknown(text, place(code.file, used[0]))
    return absent(f"{code.file} makes no `DataConfig`")


def _folder_keyword(tree: SourceTree, code: Code, call: ConfigCall) -> Finding:
    at = place(code.file, call.node)
    if _FOLDER in call.keywords:
        if call.owner is None:
            return unknown(f"look whether `DataConfig` in {CONFIG} has a field `{_FOLDER}`", at)
        names = {} if _FOLDER in call.unpacked else names_of(code, call)
        field = find_field(tree, call.owner, _FOLDER)
        if field is not None:
            taken = fixed(f"`{call.owner[0].name}` takes `{_FOLDER}`", place(field[1].file, field[0]))
            return dataclasses.replace(taken, names=names)
        return fault(f"`DataConfig` has no field `{_FOLDER}`", at, **names)
    if not call.complete:
        return unknown(f"look whether the keywords that are not written out here hold `{_FOLDER}`", at)
    if "repo_id" in call.keywords:
        return fixed("the dataset is opened by `repo_id`", at)
    return unknown("look how this `DataConfig` knows its dataset", at)


def folder_field(tree: SourceTree) -> Finding:
    """The loader reads `local_data_dir` of a `DataConfig` that has no such field."""
    loader = tree.existing(LOADER)
    reads = [node for node in loader.all(ast.Attribute) if node.attr == _FOLDER and isinstance(node.ctx, ast.Load)]
    reads = [node for node in reads if not loader.guarded(node)]
    if not reads:
        return absent(f"{LOADER} does not read `{_FOLDER}`")
    owner = find_class(tree, tree.existing(CONFIG), "DataConfig")
    if owner is None:
        return unknown(f"look whether `DataConfig` in {CONFIG} has a field `{_FOLDER}`", place(LOADER, reads[0]))
    field = find_field(tree, owner, _FOLDER)
    if field is not None:
        return fixed(f"`DataConfig` has `{_FOLDER}`", place(field[1].file, field[0]))
    return fault(f"the loader reads `{_FOLDER}`, and `DataConfig` has no such field", place(LOADER, reads[0]))


def value_dataset(tree: SourceTree, script: str) -> Finding:
    """A script's folder leads to `ValueDataset`, which reads columns of its own and a tokenizer by its path."""
    code, makes = tree.existing(script), value_datasets(tree)
    if not makes:
        return absent(f"{LOADER} opens no `ValueDataset`")
    calls = config_calls(tree, code)
    if not calls:
        return _no_config(code)
    if any(not call.complete and _FOLDER not in call.keywords for call in calls):
        return unknown(f"look whether `{_FOLDER}` is among the keywords of `DataConfig`", place(script, calls[0].node))
    leading = [call for call in calls if _FOLDER in call.keywords]
    if not leading:
        return fixed(f"`{_FOLDER}` is not given", place(script, calls[0].node))
    reader = tree.existing(tree.file_of(READER) or LOADER)
    wanted = fixed_columns(reader)
    if not wanted:
        text = "`ValueDataset` does not ask for a column `image` or `value`"
        return fixed(text, place(reader.file, reader.tree.body[0]))
    names = {} if _FOLDER in leading[0].unpacked else names_of(code, leading[0])
    text = f"`{_FOLDER}` leads to `ValueDataset`, which asks for the columns {', '.join(wanted)}"
    return fault(text, place(LOADER, makes[0]), **names)


def action_sequences(tree: SourceTree, script: str) -> Finding:
    """A script's dataset asks LeRobot for sequences of a column `actions`."""
    code = tree.existing(script)
    calls = config_calls(tree, code)
    own = _own_dataset(code)
    return own or worst([_action_sequences(tree, code, call) for call in calls] or [_no_config(code)])


def _action_sequences(tree: SourceTree, code: Code, call: ConfigCall) -> Finding:
    at = place(code.file, call.node)
    if _SEQUENCES in call.keywords:
        return _given_sequences(code, call)
    if not call.complete:
        return unknown(f"look whether the keywords that are not written out here hold `{_SEQUENCES}`", at)
    if _FOLDER in call.keywords and value_datasets(tree):
        return dataclasses.replace(absent("`ValueDataset` asks for no sequences"), names=names_of(code, call))
    field = None if call.owner is None else find_field(tree, call.owner, _SEQUENCES)
    if field is None:
        return unknown(f"look what `DataConfig` has as `{_SEQUENCES}`", at)
    if _is_empty(getattr(field[0], "value", None)):
        return fixed(f"`{_SEQUENCES}` is empty unless it is given", place(field[1].file, field[0]))
    return _sequences_in_loader(tree.existing(LOADER), names_of(code, call))


def _given_sequences(code: Code, call: ConfigCall) -> Finding:
    """What a script gives as the keys, written out or as a constant of the file."""
    at = place(code.file, call.node)
    value = call.keywords[_SEQUENCES]
    meant = code.aliases.get(value.id) if isinstance(value, ast.Name) else value
    if _is_empty(meant):
        return fixed(f"`DataConfig` is given no `{_SEQUENCES}`", at)
    if not isinstance(meant, ast.Tuple | ast.List | ast.Set):
        return unknown(f"look whether what is given as `{_SEQUENCES}` holds `actions`", at)
    if not any(isinstance(each, ast.Constant) and each.value == "actions" for each in meant.elts):
        return fixed(f"`DataConfig` is given `{_SEQUENCES}` of its own", at)
    names = {} if _SEQUENCES in call.unpacked else names_of(code, call)
    return fault("LeRobot is asked for sequences of `actions`, which many datasets do not have", at, **names)


def _is_empty(node: ast.AST | None) -> bool:
    if isinstance(node, ast.Call):
        factories = {
            each.value.id
            for each in node.keywords
            if each.arg == "default_factory" and isinstance(each.value, ast.Name)
        }
        made = getattr(node.func, "id", "") in _COLLECTIONS and not node.args
        return made or bool(factories & _COLLECTIONS)
    return isinstance(node, ast.Tuple | ast.List) and not node.elts


def _sequences_in_loader(loader: Code, names: dict[str, str]) -> Finding:
    """What the loader does with the keys."""
    emptied = [
        each
        for call in loader.all(ast.Call)
        for each in call.keywords
        if each.arg == _SEQUENCES and _is_empty(each.value)
    ]
    if emptied:
        return fixed(f"the loader takes `{_SEQUENCES}` away", place(loader.file, emptied[0].value))
    reads = [node for node in loader.all(ast.Attribute) if node.attr == _SEQUENCES]
    if not reads:
        return fixed(f"the loader does not read `{_SEQUENCES}`", f"{loader.file}:1")
    changed = [node for node in reads if isinstance(loader.parents[_copied(loader, node)], ast.For | ast.BinOp)]
    if changed:
        return unknown(f"look whether `actions` is left out of `{_SEQUENCES}` here", place(loader.file, changed[0]))
    unfiltered = [node for node in reads if not _is_filtered(loader, node)]
    if not unfiltered:
        return fixed("the loader asks only for columns that are there", place(loader.file, reads[0]))
    return fault(
        "LeRobot is asked for sequences of `actions`, which many datasets do not have",
        place(loader.file, unfiltered[0]),
        **names,
    )


def _copied(loader: Code, node: ast.AST) -> ast.AST:
    """What is computed with: an expression, or the copy that is made of it first."""
    holder = loader.parents[node]
    return holder if isinstance(holder, ast.Call) and getattr(holder.func, "id", "") in _COLLECTIONS else node


def _is_filtered(loader: Code, node: ast.AST) -> bool:
    """Whether the keys are looked up in the dataset first, or one that is missing is caught."""
    holder = loader.parents[node]
    if isinstance(holder, ast.comprehension):
        return bool(holder.ifs)
    above = list(loader.above(node))
    caught = [each for each in above if isinstance(each, ast.Try) and any(map(_catches_keys, each.handlers))]
    return bool(caught) or any(isinstance(each, ast.If | ast.IfExp) and node in ast.walk(each.test) for each in above)


def _catches_keys(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or any(name in ast.dump(handler.type) for name in ("KeyError", "Exception"))


def labelling_data(tree: SourceTree, script: str) -> Finding:
    """Stage 5's dataset: the faults of `folder_keyword` and of `action_sequences`."""
    found = [folder_keyword(tree, script), action_sequences(tree, script)]
    names = {key: value for each in found for key, value in each.names.items()}
    return dataclasses.replace(worst(found), names=names)
