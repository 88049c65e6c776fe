"""Questions about how a script opens its dataset: `DataConfig`, and the columns that it asks for."""

import ast
import dataclasses

from pistar_vf.faults.code import Code, Definition
from pistar_vf.faults.finding import Finding, absent, fault, fixed, place, unknown, worst
from pistar_vf.faults.source_tree import SourceTree

CONFIG = "src/openpi/training/config.py"
LOADER = "src/openpi/training/data_loader.py"
VALUE_DATASET = "openpi.training.value_data_loader.ValueDataset"
_FOLDER, _SEQUENCES = "local_data_dir", "action_sequence_keys"


@dataclasses.dataclass(frozen=True)
class ConfigCall:
    """One call of `DataConfig`.

    Attributes:
        node: the call.
        keywords: keyword to its value, those of a dictionary that is unpacked too; None where the value is not seen.
        complete: whether every keyword is known.
        unpacked: the keywords that come from a dictionary.
    """

    node: ast.Call
    keywords: dict[str, ast.expr | None]
    complete: bool
    unpacked: frozenset[str]


def config_calls(code: Code) -> list[ConfigCall]:
    """The calls of `DataConfig` in a script."""
    return [_config_call(code, call) for call in code.calls("openpi.training.config.DataConfig")]


def _config_call(code: Code, call: ast.Call) -> ConfigCall:
    keywords = {each.arg: each.value for each in call.keywords if each.arg is not None}
    unpacked, complete = {}, True
    for each in (each.value for each in call.keywords if each.arg is None):
        inner = _dictionary(code, each)
        complete &= inner is not None
        unpacked |= inner or {}
    return ConfigCall(call, keywords | unpacked, complete, frozenset(unpacked))


def _dictionary(code: Code, node: ast.expr) -> dict[str, ast.expr | None] | None:
    """The keys of a dictionary that the file writes out; None where they are not all known."""
    if isinstance(node, ast.Name):
        made = code.aliases.get(node.id)
        inner = None if made is None else _dictionary(code, made)
        return None if inner is None else inner | _added_keys(code, node.id)
    if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
        return {key.value: value for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.Call) and code.origin(node.func) == "dict" and not node.args:
        return (
            {each.arg: each.value for each in node.keywords if each.arg}
            if all(each.arg for each in node.keywords)
            else None
        )
    return None


def _added_keys(code: Code, name: str) -> dict[str, ast.expr | None]:
    """Keys that are set one by one, `kw["key"] = …`, or by `kw.update(key=…)`."""
    found: dict[str, ast.expr | None] = {}
    for node in code.all(ast.Subscript):
        if isinstance(node.ctx, ast.Store) and _is_name(node.value, name) and isinstance(node.slice, ast.Constant):
            found[node.slice.value] = getattr(code.parents[node], "value", None)
    for call in code.all(ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "update" and _is_name(call.func.value, name):
            found |= {each.arg: each.value for each in call.keywords if each.arg}
    return found


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _config_class(tree: SourceTree) -> tuple[Code, ast.ClassDef | None]:
    code = tree.code(CONFIG)
    scope = code.definition("DataConfig")
    return code, scope if isinstance(scope, ast.ClassDef) else None


def _field(code: Code, scope: ast.ClassDef, name: str) -> ast.AST | None:
    """Where a class takes a field, itself or through a base class of the same file."""
    for node in scope.body:
        if isinstance(node, ast.AnnAssign | ast.Assign) and any(
            _is_name(each, name) for each in (node.targets if isinstance(node, ast.Assign) else [node.target])
        ):
            return node
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            if arguments.kwarg or any(each.arg == name for each in every):
                return node
    bases = [code.definition(base.id) for base in scope.bases if isinstance(base, ast.Name)]
    found = (_field(code, base, name) for base in bases if isinstance(base, ast.ClassDef))
    return next((each for each in found if each is not None), None)


def _function_of(code: Code, node: ast.AST) -> str:
    outer = [each for each in code.above(node) if isinstance(each, Definition)]
    return code.path(outer[0]) if outer else ""


def _names(code: Code, call: ConfigCall) -> dict[str, str]:
    """What the script calls `DataConfig`, and the function that does."""
    spelled = getattr(call.node.func, "attr", getattr(call.node.func, "id", ""))
    return {"config_function": _function_of(code, call.node), "config_call": spelled}


def folder_keyword(tree: SourceTree, script: str) -> Finding:
    """A script gives `DataConfig` the keyword `local_data_dir`, which it does not take."""
    code, calls = tree.code(script), config_calls(tree.code(script))
    config, scope = _config_class(tree)
    if not calls:
        return absent(f"{script} makes no `DataConfig`")
    return worst([_folder_keyword(code, call, config, scope) for call in calls])


def _folder_keyword(code: Code, call: ConfigCall, config: Code, scope: ast.ClassDef | None) -> Finding:
    at = place(code.file, call.node)
    if _FOLDER in call.keywords:
        field = None if scope is None else _field(config, scope, _FOLDER)
        if scope is None:
            return unknown(f"look whether `DataConfig` in {CONFIG} has a field `{_FOLDER}`", at)
        if field is not None:
            return fixed(f"`DataConfig` takes `{_FOLDER}`", place(CONFIG, field))
        names = {} if _FOLDER in call.unpacked else _names(code, call)
        return fault(f"`DataConfig` has no field `{_FOLDER}`", at, **names)
    if not call.complete:
        return unknown(f"look whether the keywords that are unpacked here hold `{_FOLDER}`", at)
    if "repo_id" in call.keywords:
        return fixed("the dataset is opened by `repo_id`", at)
    return unknown("look how this `DataConfig` knows its dataset", at)


def folder_field(tree: SourceTree) -> Finding:
    """The loader reads `local_data_dir` of a `DataConfig` that has no such field."""
    loader = tree.code(LOADER)
    reads = [node for node in loader.all(ast.Attribute) if node.attr == _FOLDER and isinstance(node.ctx, ast.Load)]
    reads = [node for node in reads if not loader.guarded(node)]
    if not reads:
        return absent(f"{LOADER} does not read `{_FOLDER}`")
    config, scope = _config_class(tree)
    if scope is None:
        return unknown(f"look whether `DataConfig` in {CONFIG} has a field `{_FOLDER}`", place(LOADER, reads[0]))
    field = _field(config, scope, _FOLDER)
    if field is not None:
        return fixed(f"`DataConfig` has `{_FOLDER}`", place(CONFIG, field))
    return fault(f"the loader reads `{_FOLDER}`, and `DataConfig` has no such field", place(LOADER, reads[0]))


def value_dataset(tree: SourceTree, script: str) -> Finding:
    """A script's folder leads to `ValueDataset`, which reads columns of its own and a tokenizer by its path."""
    loader, code = tree.code(LOADER), tree.code(script)
    makes = [call for call in loader.calls(VALUE_DATASET) if _function_of(loader, call) == "create_torch_dataset"]
    if not makes:
        return absent(f"{LOADER} opens no `ValueDataset`")
    calls = config_calls(code)
    if any(not call.complete and _FOLDER not in call.keywords for call in calls):
        return unknown(f"look whether `{_FOLDER}` is among the keywords of `DataConfig`", place(script, calls[0].node))
    leading = [call for call in calls if _FOLDER in call.keywords]
    if not leading:
        return (
            fixed(f"`{_FOLDER}` is not given", place(script, calls[0].node))
            if calls
            else absent(f"{script} makes no `DataConfig`")
        )
    reader = tree.code(tree.file_of("openpi.training.value_data_loader") or LOADER)
    wanted = _fixed_columns(reader)
    if not wanted:
        return fixed(
            "`ValueDataset` does not ask for a column `image` or `value`", place(reader.file, reader.tree.body[0])
        )
    names = {} if _FOLDER in leading[0].unpacked else _names(code, leading[0])
    text = f"`{_FOLDER}` leads to `ValueDataset`, which asks for the columns {', '.join(wanted)}"
    return fault(text, place(LOADER, makes[0]), **names)


def _fixed_columns(reader: Code) -> list[str]:
    scope = reader.definition("ValueDataset") or reader.tree
    keys = [node.slice for node in reader.all(ast.Subscript, inside=scope)]
    found = {key.value for key in keys if isinstance(key, ast.Constant)} & {"image", "value"}
    return sorted(f"`{name}`" for name in found)


def action_sequences(tree: SourceTree, script: str) -> Finding:
    """A script's dataset asks LeRobot for sequences of a column `actions`."""
    code, calls = tree.code(script), config_calls(tree.code(script))
    if not calls:
        return absent(f"{script} makes no `DataConfig`")
    return worst([_action_sequences(tree, code, call) for call in calls])


def _action_sequences(tree: SourceTree, code: Code, call: ConfigCall) -> Finding:
    at = place(code.file, call.node)
    if _SEQUENCES in call.keywords:
        return fixed(f"`DataConfig` is given `{_SEQUENCES}`", at)
    if not call.complete:
        return unknown(f"look whether the keywords that are unpacked here hold `{_SEQUENCES}`", at)
    if _leads_to_value_dataset(tree, call):
        return absent("`ValueDataset` asks for no sequences")
    config, scope = _config_class(tree)
    default = None if scope is None else _field(config, scope, _SEQUENCES)
    if default is None:
        return unknown(f"look what `DataConfig` has as `{_SEQUENCES}`", at)
    if _is_empty(getattr(default, "value", None)):
        return fixed(f"`{_SEQUENCES}` is empty unless it is given", place(CONFIG, default))
    return _sequences_in_loader(tree.code(LOADER), _names(code, call))


def _leads_to_value_dataset(tree: SourceTree, call: ConfigCall) -> bool:
    return _FOLDER in call.keywords and bool(tree.code(LOADER).calls(VALUE_DATASET))


def _is_empty(node: ast.AST | None) -> bool:
    if isinstance(node, ast.Call):
        factories = {
            each.value.id
            for each in node.keywords
            if each.arg == "default_factory" and isinstance(each.value, ast.Name)
        }
        return bool(factories & {"tuple", "list"}) or (not node.args and not node.keywords)
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
    unfiltered = [node for node in reads if not _is_filtered(loader, node)]
    if not unfiltered:
        return fixed("the loader asks only for columns that are there", place(loader.file, reads[0]))
    return fault(
        "LeRobot is asked for sequences of `actions`, which many datasets do not have",
        place(loader.file, unfiltered[0]),
        **names,
    )


def _is_filtered(loader: Code, node: ast.AST) -> bool:
    """Whether the keys are looked up in the dataset first: `… for key in keys if key in features`."""
    holder = loader.parents[node]
    if isinstance(holder, ast.comprehension):
        return bool(holder.ifs)
    return any(isinstance(each, ast.If | ast.IfExp) and node in ast.walk(each.test) for each in loader.above(node))


def labelling_data(tree: SourceTree, script: str) -> Finding:
    """Stage 5's dataset: the faults of `folder_keyword` and of `action_sequences`."""
    found = [folder_keyword(tree, script), action_sequences(tree, script)]
    decides = worst(found)
    names = {key: value for each in found for key, value in each.names.items()}
    return dataclasses.replace(decides, names=names)
