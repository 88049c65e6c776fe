"""The repairs that gemma 3.3.0 needs beside newer versions of what it stands on, one named `Shim` each.

Each was measured with the packages themselves; `cures` holds the error as Python prints it.
"""

import dataclasses
import importlib.machinery
import importlib.util
import sys
import typing
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from types import ModuleType
from typing import Any, Literal

State = Literal["not tried", "not needed", "applied", "removed"]


@dataclasses.dataclass
class Shim:
    """One repair.

    Attributes:
        name: the module or symbol it supplies.
        cures: the error without it.
        needed: whether that error would occur here; may import the package that raises it.
        patch: makes the repair, and leaves on the stack what takes it back.
        import_only: needed while gemma is imported, not afterwards.
        state: what `apply` found, and whether the repair is in place.
    """

    name: str
    cures: str
    needed: Callable[[], bool]
    patch: Callable[[ExitStack], None]
    import_only: bool = False
    state: State = dataclasses.field(default="not tried", init=False)
    _undo: ExitStack = dataclasses.field(default_factory=ExitStack, init=False, repr=False)

    def apply(self) -> None:
        """Makes the repair where it is needed; a second call does nothing."""
        if self.state == "applied":
            return
        needed = self.needed()
        if needed:
            self.patch(self._undo)
        self.state = "applied" if needed else "not needed"

    def remove(self) -> None:
        """Takes the repair back, if it is in place."""
        if self.state == "applied":
            self._undo.close()
            self.state = "removed"


def _stand_in(undo: ExitStack, name: str, **content: Any) -> None:
    """A module of that name which holds nothing but `content`."""
    module = importlib.util.module_from_spec(importlib.machinery.ModuleSpec(name, loader=None))
    vars(module).update(content)
    sys.modules[name] = module
    undo.callback(sys.modules.pop, name, None)


def _set(undo: ExitStack, owner: ModuleType | type, name: str, value: Any) -> None:
    """`owner.name` is `value`, until undone."""
    if name in vars(owner):
        undo.callback(setattr, owner, name, vars(owner)[name])
    else:
        undo.callback(delattr, owner, name)
    setattr(owner, name, value)


def _fails(text: str, action: Callable[..., Any], *args: Any) -> bool:
    """Whether the action raises an error that says `text`; any other error is the caller's."""
    try:
        action(*args)
    except Exception as error:
        if text in str(error):
            return True
        raise
    return False


class _Tensor:
    """Nothing is one: kauldron's array annotations name `tf.Tensor`, gemma's models never see any."""


class _AnchoredPolicyLoader:
    """In the place of gemma's own, whose annotations import kauldron's training loop with all of TensorFlow."""

    def __init__(self, **_: Any):
        raise NotImplementedError("gm.ckpts.AnchoredPolicyLoader needs TensorFlow, which is not installed")


def _import_kauldron_random(undo: ExitStack) -> None:
    """Shows kauldron the module that holds the symbol now; its own patch of JAX then lands where JAX looks."""
    del undo
    with ExitStack() as during_import:
        _set(during_import, import_module("jax._src"), "random", import_module("jax._src.random.core"))
        import_module("kauldron.random")


def _call_a_checked_function() -> None:
    # Not a def: jaxtyping's import hook decorates those, and kauldron refuses what is decorated already.
    identity = lambda x: x  # noqa: E731
    identity.__annotations__ = {"x": int, "return": int}
    import_module("kauldron.typing").typechecked(identity)(0)


def _restore_typeguard(undo: ExitStack) -> None:
    """Both checks that kauldron calls; of the second one hears only when the first works."""
    functions = import_module("typeguard._functions")
    for name in ("check_argument_types", "check_return_type"):
        _set(undo, functions, name, getattr(functions, f"{name}_internal"))


def _restore_partial_loader(undo: ExitStack) -> None:
    checkpoints = import_module("kauldron.checkpoints")
    _set(undo, checkpoints, "AbstractPartialLoader", checkpoints.InitTransform)


def _metadata_may_be_a_bare_tree() -> bool:
    """Newer orbax promises a StepMetadata, which holds the tree's metadata as `item_metadata`."""
    promised = typing.get_type_hints(import_module("orbax.checkpoint").Checkpointer.metadata)["return"]
    return promised is not import_module("orbax.checkpoint._src.metadata.checkpoint").StepMetadata


def _restore_item_metadata(undo: ExitStack) -> None:
    tree_metadata = import_module("orbax.checkpoint._src.metadata.tree")._TreeMetadataImpl
    _set(undo, tree_metadata, "item_metadata", property(lambda self: self))


TENSORFLOW = Shim(
    name="tensorflow",
    cures="ModuleNotFoundError: No module named 'tensorflow'",
    needed=lambda: importlib.util.find_spec("tensorflow") is None,
    patch=lambda undo: _stand_in(undo, "tensorflow", Tensor=_Tensor),
    import_only=True,
)

SHIMS = (
    TENSORFLOW,
    Shim(  # kauldron <= 1.4.1 on jax >= 0.10
        name="jax._src.random._check_prng_key",
        cures="AttributeError: module 'jax._src.random' has no attribute '_check_prng_key'",
        needed=lambda: _fails("has no attribute '_check_prng_key'", import_module, "kauldron.random"),
        patch=_import_kauldron_random,
    ),
    Shim(  # kauldron < 1.4.0 with typeguard >= 4.5; raised at the first call
        name="typeguard._functions.check_argument_types",
        cures="TypeCheckError: Unknown error 'check_argument_types() got an unexpected keyword argument 'memo''",
        needed=lambda: _fails("unexpected keyword argument 'memo'", _call_a_checked_function),
        patch=_restore_typeguard,
    ),
    Shim(  # kauldron >= 1.4.0
        name="kauldron.checkpoints.AbstractPartialLoader",
        cures="AttributeError: module 'kauldron.checkpoints' has no attribute 'AbstractPartialLoader'",
        needed=lambda: not hasattr(import_module("kauldron.checkpoints"), "AbstractPartialLoader"),
        patch=_restore_partial_loader,
    ),
    Shim(  # orbax-checkpoint 0.11.13; raised by gm.ckpts.load_params
        name="orbax.checkpoint.Checkpointer.metadata",
        cures="AttributeError: '_TreeMetadataImpl' object has no attribute 'item_metadata'",
        needed=_metadata_may_be_a_bare_tree,
        patch=_restore_item_metadata,
    ),
    Shim(  # behind the stand-in for TensorFlow
        name="gemma.gm.ckpts._policy",
        cures="ModuleNotFoundError: No module named 'tensorboard'",
        needed=lambda: TENSORFLOW.state == "applied",
        patch=lambda undo: _stand_in(undo, "gemma.gm.ckpts._policy", AnchoredPolicyLoader=_AnchoredPolicyLoader),
        import_only=True,
    ),
)
"""In the order in which the errors come up."""
