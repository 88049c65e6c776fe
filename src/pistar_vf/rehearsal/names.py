"""Whether a file of the checkout gets the names that it takes from others."""

import types
from collections.abc import Iterator, Sequence
from typing import TypeGuard

from pistar_vf.faults.finding import Finding, fault, fixed, worst
from pistar_vf.rehearsal.configs import run_functions
from pistar_vf.rehearsal.forgiving import open_any_dataset, take_any_folder
from pistar_vf.rehearsal.seen import raised_at, said
from pistar_vf.rehearsal.world import World


def missing_name(world: World, user: str, module: str, name: str) -> Finding | None:
    """Whether a file that takes a name from a module runs."""
    return _runs(world, user, f"{module}.{name}")


def missing_module(world: World, users: Sequence[str], package: str, name: str) -> Finding | None:
    """Whether the files that import a module run."""
    found = [_runs(world.again(), user, f"{package}.{name}") for user in users]
    seen = [each for each in found if each is not None]
    return worst(seen) if seen else None


def _runs(world: World, user: str, wanted: str) -> Finding | None:
    """Runs a file and its functions; None where nothing was asked for that is not there."""
    world.strict = wanted
    take_any_folder(world)
    open_any_dataset(world)
    loaded = world.attempt(world.load_file, user)
    errors = [loaded.error] if loaded.error else list(run_functions(world, loaded.value))
    last = wanted.rpartition(".")[2]
    raised = [each for error in errors for each in _with_its_cause(error)]
    wrong = [each for each in raised if isinstance(each, ImportError | AttributeError) and last in str(each)]
    if wrong:
        return fault(said(wrong[0]), raised_at(wrong[0]))
    if world.asked:
        return fixed(f"`{last}` is not there, and {user} runs without it", "")
    found = world.attempt(world.get, wanted).value
    return fixed(f"`{last}` is there", "") if isinstance(found, type | types.FunctionType) else None


def _with_its_cause(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that were being handled when it was raised: a handler that raises cures nothing."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def missing_member(world: World, user: str, module: str, owner: str, name: str) -> Finding | None:
    """Whether the properties of a file's classes find a member of a class of another module."""
    world.attempt(world.load, module)
    loaded = world.attempt(world.load_file, user)
    kinds = [each for each in vars(loaded.value or types.ModuleType("none")).values() if isinstance(each, type)]
    for kind in [each for each in kinds if each.__module__ == getattr(loaded.value, "__name__", "")]:
        made = world.attempt(world.call_blindly, kind).value
        for attribute in [key for key, value in vars(kind).items() if isinstance(value, property)]:
            error = world.attempt(getattr, made, attribute).error
            if _misses(error, owner, name):
                return fault(f"`{owner}` has no `{name}`", raised_at(error))
    enumeration = world.get(f"{module}.{owner}")
    found = isinstance(enumeration, type) and hasattr(enumeration, name)
    return fixed(f"`{owner}.{name}` is there", "") if found else None


def _misses(error: BaseException | None, owner: str, name: str) -> TypeGuard[BaseException]:
    """Whether an error is that of a member that a class lacks, asked for by its name or by its value."""
    if isinstance(error, ValueError):
        return owner in str(error) and name.lower() in str(error).lower()
    return isinstance(error, AttributeError | KeyError) and name in (str(error).strip("'"), *str(error).split("'"))
