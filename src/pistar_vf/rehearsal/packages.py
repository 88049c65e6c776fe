"""What of packages is not a stand-in: what only computes, and what is known of some functions."""

import dataclasses
import functools
import importlib
import types
from typing import Any

from pistar_vf.rehearsal.stand_in import Setting, StandIn

COMPUTES = {
    name: importlib.import_module(name)
    for name in (
        *("abc", "bisect", "collections", "collections.abc", "contextlib", "copy", "dataclasses", "enum", "functools"),
        *("inspect", "itertools", "math", "numbers", "operator", "re", "string", "textwrap", "types", "typing"),
        *("__future__", "typing_extensions"),
    )
}
"""What runs as it is; nothing more is imported once the process is closed in."""
LACKING = ("etils.edc.ContextStack", "kauldron.ktyping")
"""What the pinned versions of packages do not have (patches 3, 4, 5)."""


def tolerant_dataclasses(setting: Setting) -> types.ModuleType:
    """`dataclasses`, whose functions take stand-ins too."""
    module = types.ModuleType("dataclasses")
    vars(module).update(vars(dataclasses))
    for name in ("asdict", "astuple", "replace", "fields"):
        setattr(module, name, functools.partial(_of_dataclass, setting, getattr(dataclasses, name)))
    return module


def _of_dataclass(setting: Setting, function: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(value, StandIn):
        return StandIn(setting, "dataclasses")
    return function(value, *args, **kwargs)


def _not_set(name: str, default: Any = None) -> Any:
    """A variable of the environment: nobody has set one."""
    return "/home" if name == "HOME" else default


def _field(pytree_node: bool = True, **rest: Any) -> Any:
    return dataclasses.field(metadata={"pytree_node": pytree_node}, **rest)


KNOWN = {"flax.struct.field": _field, "os.environ.get": _not_set, "os.getenv": _not_set}
"""Dotted name to what is there."""
