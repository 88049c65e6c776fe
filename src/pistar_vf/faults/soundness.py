"""Whether an edit leaves a file that runs: it compiles, and no name loses what it meant."""

import ast
import builtins


def broken(before: bytes | None, after: bytes | None) -> str:
    """What an edit would break in a Python file; "" for nothing."""
    if after is None:
        return ""
    try:
        compile(after, "patched", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        return f"line {getattr(error, 'lineno', 1)} would be no valid Python ({getattr(error, 'msg', error)})"
    lost = _unbound(after) - (_unbound(before) if before is not None else set())
    return f"`{min(lost)}` would be used without being defined" if lost else ""


def _unbound(source: bytes) -> set[str]:
    """Names that are read and nowhere bound; scopes are not told apart."""
    read: set[str] = set()
    bound = set(dir(builtins)) | {"__file__", "__name__"}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return read - bound
