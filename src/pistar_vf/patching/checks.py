"""The questions that `[[when.applicable]]` and `[[when.needed]]` ask of a tree.

A table names its question in `check`, and may turn the answer round with `not = true`. About a file that is missing
or no valid Python, every answer is False before it is turned round.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import libcst as cst

from pistar_vf.patching import syntax
from pistar_vf.patching.source_tree import SourceTree


def holds(check: Mapping[str, Any], tree: SourceTree) -> bool:
    """The answer to one check."""
    fields = dict(check)
    question, turned, file = fields.pop("check"), fields.pop("not", False), fields.pop("file")
    if question == "exists":
        return (tree.read(file) is not None) != turned
    module = tree.module(file)
    return (module is not None and _QUESTIONS[question](module, **fields)) != turned


def _defines(module: cst.Module, name: str) -> bool:
    """A definition or an assignment of a dotted name."""
    return syntax.find(module, name) is not None


def _imports(module: cst.Module, source: str, name: str | None = None) -> bool:
    """`from source import name`; without `name`, any import of or from the module."""
    for statement in syntax.nodes(module, cst.ImportFrom):
        if statement.module is not None and syntax.dotted(statement.module) == source:
            names = [] if isinstance(statement.names, cst.ImportStar) else statement.names
            if name is None or any(syntax.dotted(alias.name) == name for alias in names):
                return True
    plain = [alias for statement in syntax.nodes(module, cst.Import) for alias in statement.names]
    return name is None and any(syntax.dotted(alias.name) == source for alias in plain)


def _mentions(module: cst.Module, name: str, inside: str | None = None) -> bool:
    """The name, dotted or not, occurs in the code (of one definition); comments and strings do not count."""
    scope = module if inside is None else syntax.find(module, inside)
    found = frozenset() if scope is None else syntax.names_in(scope)
    return any(each == name or each.endswith("." + name) for each in found)


def _has_keyword(module: cst.Module, call: str, keyword: str) -> bool:
    """A call gives a keyword."""
    arguments = [arg for each in syntax.calls(module, call) for arg in each.args]
    return any(arg.keyword is not None and arg.keyword.value == keyword for arg in arguments)


def _has_parameter(module: cst.Module, function: str, parameter: str) -> bool:
    """A function takes a parameter of that name."""
    scope = syntax.find(module, function)
    return isinstance(scope, cst.FunctionDef) and parameter in parameter_names(scope.params)


def _returns_call(module: cst.Module, function: str, calls: Sequence[str]) -> bool:
    """A function returns what one of these calls returns."""
    scope = syntax.find(module, function)
    returned = [] if scope is None else [each.value for each in syntax.nodes(scope, cst.Return)]
    return any(
        isinstance(value, cst.Call) and any(syntax.is_named(value.func, name) for name in calls) for value in returned
    )


def _maps(module: cst.Module, inside: str, over: str, call: str) -> bool:
    """`jax.tree.map(lambda x: call(x, …), over, …)`: a function without exceptions over the leaves of a name."""
    scope = syntax.find(module, inside)
    found = [] if scope is None else syntax.calls(scope, "tree.map")
    pairs = [(each.args[0].value, each.args[1].value) for each in found if len(each.args) > 1]
    return any(
        isinstance(function, cst.Lambda)
        and isinstance(function.body, cst.Call)
        and syntax.is_named(function.body.func, call)
        and syntax.dotted(leaves) == over
        for function, leaves in pairs
    )


def _has_string(module: cst.Module, text: str) -> bool:
    """A string occurs in the code."""
    return any(string.evaluated_value == text for string in syntax.nodes(module, cst.SimpleString))


def parameter_names(parameters: cst.Parameters) -> list[str]:
    """The names of all parameters but `*args` and `**kwargs`."""
    every = (*parameters.posonly_params, *parameters.params, *parameters.kwonly_params)
    return [parameter.name.value for parameter in every]


_QUESTIONS: dict[str, Callable[..., bool]] = {
    "defines": _defines,
    "imports": _imports,
    "mentions": _mentions,
    "has_keyword": _has_keyword,
    "has_parameter": _has_parameter,
    "returns_call": _returns_call,
    "maps": _maps,
    "has_string": _has_string,
}
