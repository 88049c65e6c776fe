"""Edits of values, arguments and annotations. Each takes a module and returns it changed, or as it is where done.

A `value` may hold `{value}`, which stands for what was there.
"""

from collections.abc import Sequence

import libcst as cst

from pistar_vf.patching import syntax
from pistar_vf.patching.syntax import AnchorError

_SLOT = "{value}"


def set_value(module: cst.Module, name: str, value: str) -> cst.Module:
    """What an assignment or a field assigns."""
    statement = syntax.assignment(module, name)
    if statement.value is None:
        equal = cst.AssignEqual(cst.SimpleWhitespace(" "), cst.SimpleWhitespace(" "))
        new = statement.with_changes(value=cst.parse_expression(value), equal=equal)
        return syntax.swap(module, statement, new)
    return _fill(module, statement.value, value)


def set_returned(module: cst.Module, function: str, value: str) -> cst.Module:
    """What a function returns, in each of its own `return` statements, or a `lambda` under that name."""
    made = _lambda(syntax.require(module, function))
    if made is not None:
        return _fill(module, made.body, value)
    scope = syntax.require_definition(module, function)
    returned = _returned(scope)
    if not returned:
        raise AnchorError(f"`{function}` returns nothing")
    for place in range(len(returned)):  # each edit makes new nodes
        module = _fill(module, _returned(syntax.require_definition(module, function))[place], value)
    return module


def _lambda(statement: cst.BaseStatement) -> cst.Lambda | None:
    """What `name = lambda …: …` assigns."""
    small = statement.body[0] if isinstance(statement, cst.SimpleStatementLine) else None
    value = small.value if isinstance(small, cst.Assign | cst.AnnAssign) else None
    return value if isinstance(value, cst.Lambda) else None


def _returned(scope: cst.FunctionDef | cst.ClassDef) -> list[cst.BaseExpression]:
    """What a function's own `return` statements return."""
    closed = syntax.nodes(scope.body, cst.FunctionDef, cst.ClassDef)
    inner = [each for definition in closed for each in syntax.nodes(definition, cst.Return)]
    own = [each for each in syntax.nodes(scope, cst.Return) if not any(each is other for other in inner)]
    return [each.value for each in own if each.value is not None]


def _fill(module: cst.Module, old: cst.BaseExpression, value: str) -> cst.Module:
    """`value` in the place of an expression, unless it is there."""
    code = syntax.code_of(old)
    before, _, after = value.partition(_SLOT)
    if code == value or (_SLOT in value and code.startswith(before) and code.endswith(after)):
        return module
    return syntax.swap(module, old, cst.parse_expression(value.replace(_SLOT, code)))


def set_keyword(
    module: cst.Module,
    inside: str,
    call: str,
    keyword: str,
    value: str,
    instead_of: str | None = None,
) -> cst.Module:
    """A keyword of a call inside a definition, in the place of another one or at the end.

    Where the call has the keyword, its value becomes this one.
    """
    scope = syntax.require_definition(module, inside)
    found = syntax.calls(scope, call)
    if len(found) != 1:
        raise AnchorError(f"`{inside}` calls `{call}` {len(found)} times, expected once")
    arguments = {arg.keyword.value: arg for arg in found[0].args if arg.keyword is not None}
    if keyword in arguments:
        return _fill(module, arguments[keyword].value, value)
    if instead_of is None:
        return syntax.swap(module, found[0], _with_argument(found[0], keyword, value))
    if instead_of not in arguments:
        raise AnchorError(f"the call of `{call}` in `{inside}` has no keyword `{instead_of}`")
    old = arguments[instead_of]
    expression = cst.parse_expression(value.replace(_SLOT, syntax.code_of(old.value)))
    return syntax.swap(module, old, old.with_changes(keyword=cst.Name(keyword), value=expression))


def _with_argument(call: cst.Call, keyword: str, value: str) -> cst.Call:
    """One more keyword, laid out as the last argument is."""
    close = cst.SimpleWhitespace("")
    new = cst.Arg(
        cst.parse_expression(value),
        keyword=cst.Name(keyword),
        equal=cst.AssignEqual(whitespace_before=close, whitespace_after=close),
    )
    if not call.args:
        return call.with_changes(args=[new])
    *before, last = call.args
    if isinstance(last.comma, cst.Comma):
        between = syntax.separator(before, call.whitespace_before_args)
        return call.with_changes(args=[*before, last.with_changes(comma=between), new.with_changes(comma=last.comma)])
    after = last.whitespace_after_arg
    last = last.with_changes(comma=cst.Comma(whitespace_after=cst.SimpleWhitespace(" ")), whitespace_after_arg=close)
    return call.with_changes(args=[*before, last, new.with_changes(whitespace_after_arg=after)])


def quote_annotations(module: cst.Module, name: str) -> cst.Module:
    """The annotations that mention a name as strings, which are not evaluated at the definition.

    Raises:
        AnchorError: no annotation of the file mentions the name.
    """
    found = [each for each in syntax.nodes(module, cst.Annotation) if _mentions(each.annotation, name)]
    if not found:
        texts = [each.annotation for each in syntax.nodes(module, cst.Annotation)]
        if any(name in each.evaluated_value for each in texts if isinstance(each, cst.SimpleString)):
            return module
        raise AnchorError(f"no annotation mentions `{name}`")
    for _ in found:  # each edit makes new nodes
        old = next(a.annotation for a in syntax.nodes(module, cst.Annotation) if _mentions(a.annotation, name))
        module = syntax.swap(module, old, cst.SimpleString(_quoted(syntax.code_of(old))))
    return module


def _mentions(annotation: cst.BaseExpression, name: str) -> bool:
    return any(each == name or each.endswith(f".{name}") for each in syntax.names_in(annotation))


def _quoted(text: str) -> str:
    return repr(text) if '"' in text else f'"{text}"'


def extend_list(module: cst.Module, name: str, items: Sequence[str]) -> cst.Module:
    """Strings at the end of an assigned list, those that it does not have."""
    old = syntax.assignment(module, name).value
    if not isinstance(old, cst.List):
        raise AnchorError(f"`{name}` is no list any more")
    have = {each.evaluated_value for each in syntax.nodes(old, cst.SimpleString)}
    missing = [item for item in items if item not in have]
    if not missing:
        return module
    before, last = list(old.elements[:-1]), old.elements[-1] if old.elements else None
    between = syntax.separator(before, old.lbracket.whitespace_after)
    new = [cst.Element(cst.SimpleString(f'"{item}"'), comma=between) for item in missing]
    new[-1] = new[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT if last is None else last.comma)
    old_elements = [] if last is None else [*before, last.with_changes(comma=between)]
    return syntax.swap(module, old, old.with_changes(elements=[*old_elements, *new]))
