"""Takes the faults of other patches out of a world, so that they do not hide the one that is looked at."""

import inspect
import types
from typing import Any

from pistar_vf.rehearsal.stand_in import StandIn
from pistar_vf.rehearsal.world import World

CONFIG, LOADER = "openpi.training.config", "openpi.training.data_loader"
FOLDER = "local_data_dir"
_CHANGES_FRAMES = (("openpi.transforms", "TokenizePrompt"), ("openpi.policies.value_policy", "ValueInputs"))


def leave_frames_alone(world: World) -> None:
    """Has the transforms with faults of their own give back the frame that they get."""

    def replace(name: str, module: types.ModuleType) -> None:
        for holder, kind in _CHANGES_FRAMES:
            if name == holder and isinstance(getattr(module, kind, None), type):
                getattr(module, kind).__call__ = lambda self, frame: frame

    world.when_loaded(replace)


def take_any_folder(world: World) -> None:
    """Has `DataConfig` take the keyword that it may not know, as the name of the dataset."""
    world.when_loaded(_take_any_folder)


def _take_any_folder(name: str, module: types.ModuleType) -> None:
    kind: Any = getattr(module, "DataConfig", None)
    if name != CONFIG or not isinstance(kind, type) or _takes_folder(kind):
        return
    made = kind.__init__  # type: ignore[misc]

    def by_name(self: Any, *args: Any, **kwargs: Any) -> None:
        folder = {"repo_id": kwargs.pop(FOLDER)} if FOLDER in kwargs else {}
        made(self, *args, **{**folder, **kwargs})

    kind.__init__ = by_name  # type: ignore[misc]


def _takes_folder(kind: Any) -> bool:
    parameters = inspect.signature(kind.__init__).parameters.values()
    return any(each.name == FOLDER or each.kind is each.VAR_KEYWORD for each in parameters)


def open_any_dataset(world: World) -> None:
    """Has the loader's module open something that stands for a dataset."""

    def replace(name: str, module: types.ModuleType) -> None:
        if name == LOADER:
            module.create_torch_dataset = lambda *_, **__: StandIn(world, "dataset")  # type: ignore[attr-defined]

    world.when_loaded(replace)
