"""Which keys of a batch the second part of what a loader yields is read from."""

import ast

from pistar_vf.faults.code import Code, Function


class YieldedKeys:
    """Follows what the methods of one class yield, through each other and through variables.

    Args:
        code: the file of the class.
        scope: the class.
    """

    def __init__(self, code: Code, scope: ast.ClassDef):
        self._code, self._scope = code, scope

    def of(self, method: Function, depth: int = 3) -> set[str]:
        """The keys that the second part of each pair that a method yields is read from."""
        code = self._code
        found = {
            key
            for node in code.all(ast.Yield, inside=method)
            if node.value is not None
            for key in self._pair(method, node.value, depth)
        }
        handed_on = [node.value for node in code.all(ast.YieldFrom, inside=method)]
        handed_on += [node.value for node in code.all(ast.Return, inside=method) if node.value is not None]
        return found | {key for each in handed_on for key in self._many(method, each, depth)}

    def _many(self, method: Function, node: ast.expr, depth: int) -> set[str]:
        """The keys of all pairs that an expression makes: a generator, a `map`, or another method's."""
        code = self._code
        if isinstance(node, ast.GeneratorExp | ast.ListComp):
            return self._pair(method, node.elt, depth)
        if not isinstance(node, ast.Call) or not depth:
            return set()
        if code.origin(node.func) in ("iter", "list", "tuple") and node.args:
            return self._many(method, node.args[0], depth - 1)
        if code.origin(node.func) == "map" and node.args:
            mapped = node.args[0]
            if isinstance(mapped, ast.Lambda):
                return self._pair(mapped, mapped.body, depth - 1)
            target = self._method(mapped)
            return set() if target is None else self._returned(target, depth - 1)
        target = self._method(node.func)
        return set() if target is None else self.of(target, depth - 1)

    def _pair(self, method: Function, node: ast.expr, depth: int) -> set[str]:
        """The keys of the second part of a pair."""
        if isinstance(node, ast.Tuple) and len(node.elts) == 2:
            return self._keys(method, node.elts[1], depth)
        if not depth:
            return set()
        if isinstance(node, ast.Name):
            found = {key for value in self._assigned(method, node.id) for key in self._pair(method, value, depth - 1)}
            return found | self._looped(method, node.id, depth, second=False)
        target = self._method(node.func) if isinstance(node, ast.Call) else None
        return set() if target is None else self._returned(target, depth - 1)

    def _returned(self, function: Function, depth: int) -> set[str]:
        returned = [each.value for each in self._code.all(ast.Return, inside=function) if each.value is not None]
        return {key for each in returned for key in self._pair(function, each, depth)}

    def _method(self, called: ast.expr) -> ast.FunctionDef | None:
        """A method of the class, or a function of the file."""
        name = (self._code.origin(called) or "").removeprefix("self.")
        found = self._code.definition(f"{self._code.path(self._scope)}.{name}") or self._code.definition(name)
        return found if isinstance(found, ast.FunctionDef) else None

    def _keys(self, method: Function, node: ast.expr, depth: int) -> set[str]:
        constants = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
        found = {value for value in constants if isinstance(value, str)}
        names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        found |= {text for each in ast.walk(node) if isinstance(each, ast.Attribute) for text in self._held(each)}
        found |= {text for name in names for text in self._texts(method, name)}
        if found or not depth:
            return found
        values = [value for name in names for value in self._assigned(method, name)]
        found = {key for value in values for key in self._keys(method, value, depth - 1)}
        return found | {key for name in names for key in self._looped(method, name, depth, second=True)}

    def _looped(self, method: Function, name: str, depth: int, second: bool) -> set[str]:
        """The keys of the pairs that a loop goes through, where its name is a pair, or the second part of one."""
        found = set()
        for loop in self._code.all(ast.For, ast.comprehension, inside=method):
            pair = loop.target.elts if isinstance(loop.target, ast.Tuple) else ()
            target = loop.target if not second else pair[1] if len(pair) == 2 else None
            if isinstance(target, ast.Name) and target.id == name:
                found |= self._many(method, loop.iter, depth - 1)
        return found

    def _held(self, node: ast.Attribute) -> set[str]:
        """The strings that an attribute of the object is set to in its class."""
        if getattr(node.value, "id", "") != "self":
            return set()
        stored = [each for each in self._code.all(ast.Attribute, inside=self._scope) if isinstance(each.ctx, ast.Store)]
        values = [getattr(self._code.parents[each], "value", None) for each in stored if each.attr == node.attr]
        return {each.value for each in values if isinstance(each, ast.Constant) and isinstance(each.value, str)}

    def _texts(self, method: Function, name: str) -> set[str]:
        """What a name stands for: a constant of the file, or a parameter that is given as one."""
        values = [self._code.aliases[name]] if name in self._code.aliases else []
        given = [each for each in _parameters(method) if each != "self"]
        if name in given and isinstance(method, ast.FunctionDef):
            place = given.index(name)
            calls = [call for call in self._code.all(ast.Call) if self._method(call.func) is method]
            values += [call.args[place] for call in calls if len(call.args) > place]
            values += [each.value for call in calls for each in call.keywords if each.arg == name]
        return {each.value for each in values if isinstance(each, ast.Constant) and isinstance(each.value, str)}

    def _assigned(self, method: Function, name: str) -> list[ast.expr]:
        return assigned(self._code, method, name)


def _parameters(method: Function) -> list[str]:
    return [each.arg for each in method.args.args]


def assigned(code: Code, function: ast.AST, name: str) -> list[ast.expr]:
    """What a name is assigned in a function."""
    found = []
    for node in code.all(ast.Assign, ast.AnnAssign, inside=function):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if node.value is not None and any(isinstance(each, ast.Name) and each.id == name for each in targets):
            found.append(node.value)
    return found
