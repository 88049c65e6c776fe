"""Edits of imports, functions and classes. Each takes a module and returns it changed, or as it is where done."""

from collections.abc import Sequence

import libcst as cst

from pistar_vf.patching import syntax
from pistar_vf.patching.syntax import AnchorError

_TWO_LINES = (cst.EmptyLine(indent=False), cst.EmptyLine(indent=False))


def add_definition(module: cst.Module, code: str) -> cst.Module:
    """A function or a class at the end of the file."""
    (new,) = syntax.parse_statements(module, code)
    (name,) = syntax.bound_names(new)
    if _is_there(syntax.find(module, name), new):
        return module
    return module.with_changes(body=[*module.body, new.with_changes(leading_lines=_TWO_LINES)])


def add_member(module: cst.Module, owner: str, code: str) -> cst.Module:
    """A method or a field at the end of a class."""
    (new,) = syntax.parse_statements(module, code)
    (name,) = syntax.bound_names(new)
    scope = syntax.require_definition(module, owner)
    if _is_there(syntax.find(module, f"{owner}.{name}"), new):
        return module
    if not isinstance(scope.body, cst.IndentedBlock):
        raise AnchorError(f"`{owner}` stands on one line")
    if isinstance(new, cst.FunctionDef):
        new = new.with_changes(leading_lines=_TWO_LINES[:1])
    body = scope.body.with_changes(body=[*scope.body.body, new])
    return syntax.swap(module, scope.body, body)


def _is_there(found: cst.BaseStatement | None, new: cst.BaseStatement) -> bool:
    if found is None:
        return False
    if not syntax.same_code(found, new):
        raise AnchorError(f"`{syntax.bound_names(new)[0]}` is there already, but another one")
    return True


def add_import(module: cst.Module, code: str) -> cst.Module:
    """An import statement behind the last one at the top of the file."""
    (new,) = syntax.parse_statements(module, code)
    imports = [line for line in module.body if _is_import(line)]
    if any(syntax.same_code(line, new) for line in imports):
        return module
    if not imports:
        raise AnchorError("there is no import at the top of the file")
    return syntax.swap(module, imports[-1], imports[-1], new)


def _is_import(statement: cst.BaseStatement) -> bool:
    return isinstance(statement, cst.SimpleStatementLine) and isinstance(statement.body[0], cst.Import | cst.ImportFrom)


def drop_import(module: cst.Module, source: str, name: str) -> cst.Module:
    """Takes a name out of `from source import …`."""
    for line, statement in _imports_from(module, source):
        if isinstance(statement.names, cst.ImportStar):
            continue
        kept = [alias for alias in statement.names if syntax.dotted(alias.name) != name]
        if kept and len(kept) < len(statement.names):
            kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
            module = syntax.swap(module, statement, statement.with_changes(names=kept))
        elif not kept:
            module = syntax.swap(module, line)
    return module


def rename_import(module: cst.Module, source: str, to: str) -> cst.Module:
    """Imports from one module become imports from another one of its package, under the names that they had."""
    for _, statement in _imports_from(module, source):
        if statement.module is not None:
            module = syntax.swap(module, statement.module, cst.parse_expression(to))
    named = [alias for each in syntax.nodes(module, cst.Import) for alias in each.names if alias.asname is not None]
    for alias in named:
        if syntax.dotted(alias.name) == source:
            module = syntax.swap(module, alias.name, cst.parse_expression(to))
    package, _, last = source.rpartition(".")
    for _, statement in _imports_from(module, package):
        names = statement.names if not isinstance(statement.names, cst.ImportStar) else ()
        for alias in (each for each in names if syntax.dotted(each.name) == last):
            kept = alias.asname or cst.AsName(cst.Name(last))
            renamed = alias.with_changes(name=cst.Name(to.rpartition(".")[2]), asname=kept)
            module = syntax.swap(module, alias, renamed)
    return module


def _imports_from(module: cst.Module, source: str) -> list[tuple[cst.SimpleStatementLine, cst.ImportFrom]]:
    """The lines that import from a module, and their statements."""
    pairs = [(line, line.body[0]) for line in syntax.nodes(module, cst.SimpleStatementLine) if line.body]
    found = [(line, statement) for line, statement in pairs if isinstance(statement, cst.ImportFrom)]
    return [(line, each) for line, each in found if each.module is not None and syntax.dotted(each.module) == source]


def add_parameters(module: cst.Module, function: str, parameters: str) -> cst.Module:
    """Parameters behind those that a function has."""
    scope = syntax.require_definition(module, function)
    (wanted,) = cst.parse_module(f"def f({parameters}): ...").body
    if not isinstance(scope, cst.FunctionDef) or not isinstance(wanted, cst.FunctionDef):
        raise AnchorError(f"`{function}` is no function any more")
    old, new = scope.params, wanted.params
    have = set(parameter_names(old))
    params = [each for each in new.params if each.name.value not in have]
    kwonly = [each for each in new.kwonly_params if each.name.value not in have]
    if not params and not kwonly:
        return module
    old, comma = _without_last_comma(old, scope.whitespace_before_params)
    changed = old.with_changes(params=[*old.params, *params], kwonly_params=[*old.kwonly_params, *kwonly])
    if kwonly and isinstance(old.star_arg, cst.MaybeSentinel):
        changed = changed.with_changes(star_arg=new.star_arg)
    return syntax.swap(module, scope.params, _with_last_comma(changed, comma))


def parameter_names(parameters: cst.Parameters) -> list[str]:
    """The names of all parameters but `*args` and `**kwargs`."""
    every = (*parameters.posonly_params, *parameters.params, *parameters.kwonly_params)
    return [parameter.name.value for parameter in every]


def _last_kind(parameters: cst.Parameters) -> str:
    return "kwonly_params" if parameters.kwonly_params else "params"


def _without_last_comma(
    parameters: cst.Parameters, opening: cst.BaseParenthesizableWhitespace
) -> tuple[cst.Parameters, cst.Comma | cst.MaybeSentinel]:
    """The parameters, ready for one more, and the comma that closed them, with the line break behind it."""
    kind = _last_kind(parameters)
    *before, last = getattr(parameters, kind) or [None]
    if last is None or not isinstance(last.comma, cst.Comma) or parameters.star_kwarg is not None:
        return parameters, cst.MaybeSentinel.DEFAULT
    last_open = last.with_changes(comma=syntax.separator(before, opening))
    return parameters.with_changes(**{kind: [*before, last_open]}), last.comma


def _with_last_comma(parameters: cst.Parameters, comma: cst.Comma | cst.MaybeSentinel) -> cst.Parameters:
    kind = _last_kind(parameters)
    *before, last = getattr(parameters, kind)
    return parameters.with_changes(**{kind: [*before, last.with_changes(comma=comma)]})


def rebase_class(module: cst.Module, name: str, base: str, decorator: str) -> cst.Module:
    """Derives a class from `base`, and takes a decorator from it."""
    scope = syntax.require_definition(module, name)
    if not isinstance(scope, cst.ClassDef):
        raise AnchorError(f"`{name}` is no class any more")
    bases = list(scope.bases)
    if not any(syntax.is_named(each.value, base) for each in bases):
        bases.append(cst.Arg(cst.parse_expression(base)))
    kept = [each for each in scope.decorators if not syntax.is_named(_called(each.decorator), decorator)]
    if len(bases) == len(scope.bases) and len(kept) == len(scope.decorators):
        return module
    return syntax.swap(
        module,
        scope,
        scope.with_changes(bases=bases, decorators=kept, lpar=cst.LeftParen(), rpar=cst.RightParen()),
    )


def _called(decorator: cst.BaseExpression) -> cst.BaseExpression:
    return decorator.func if isinstance(decorator, cst.Call) else decorator


def replace_definition(module: cst.Module, name: str, code: str) -> cst.Module:
    """Our statements, the last of which binds the name, in the place of a function."""
    new = syntax.parse_statements(module, code)
    old = syntax.require(module, name)
    if syntax.same_code(old, new[-1]):
        return module
    if not isinstance(old, cst.FunctionDef):
        raise AnchorError(f"`{name}` is no function any more")
    return syntax.swap(module, old, new[0].with_changes(leading_lines=old.leading_lines), *new[1:])


def insert_after(module: cst.Module, anchor: str, code: str) -> cst.Module:
    """Our statements behind a definition or an assignment."""
    new = syntax.parse_statements(module, code)
    scope = syntax.require(module, anchor)
    if _follow(module, scope, new):
        return module
    taken = [
        name for each in new for name in syntax.bound_names(each) if "." not in anchor and syntax.find(module, name)
    ]
    if taken:
        raise AnchorError(f"`{taken[0]}` is there already, but another one")
    if "." not in anchor and isinstance(new[0], cst.FunctionDef | cst.ClassDef):
        new[0] = new[0].with_changes(leading_lines=_TWO_LINES)
    return syntax.swap(module, scope, scope, *new)


def _follow(module: cst.Module, scope: cst.BaseStatement, new: Sequence[cst.BaseStatement]) -> bool:
    for block in syntax.nodes(module, cst.IndentedBlock, cst.Module):
        if scope in block.body:
            start = list(block.body).index(scope) + 1
            behind = block.body[start : start + len(new)]
            return len(behind) == len(new) and all(map(syntax.same_code, behind, new))
    return False
