"""The most used old names of modules that moved into rooms of their own; they warn, and go with the next version.

`from pistar_vf.data.lerobot import load_lerobot` goes on working. What is meant to last is on the page of the API.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from types import ModuleType

MOVED = {
    "episode": ("lerobot.episode",),
    "episode_decoder": ("frames.episode_decoder",),
    "frame_cache": ("frames.cache",),
    "labels": ("labels.value_labels",),
    "lerobot": ("lerobot.dataset", "lerobot.camera_choice"),
    "loader": ("frames.loader", "lerobot.episode_rows"),
    "open_table": ("frames.open_table",),
    "outcomes": ("labels.outcomes",),
    "split": ("labels.split",),
    "state_stats": ("frames.state_stats",),
    "targets": ("labels.targets",),
    "tokenizer": ("tokenizer",),
    "video": ("video.decoding",),
}
"""Old module to the modules that hold its names now."""


class _OldNames(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes a module of an old name out of those that hold its names now."""

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        old = fullname.removeprefix(f"{__name__}.")
        return importlib.machinery.ModuleSpec(fullname, self) if old in MOVED and old != fullname else None

    def exec_module(self, module: ModuleType) -> None:
        places = [f"pistar_vf.{name}" for name in MOVED[module.__name__.removeprefix(f"{__name__}.")]]
        warnings.warn(f"{module.__name__} has moved to {' and '.join(places)}", DeprecationWarning, stacklevel=2)
        for place in places:
            names = vars(importlib.import_module(place))
            vars(module).update({name: value for name, value in names.items() if not name.startswith("__")})


sys.meta_path.append(_OldNames())
