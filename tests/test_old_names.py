"""Modules under the names that they had before the rooms."""

import importlib
import sys

import pytest

from pistar_vf.data import MOVED
from pistar_vf.lerobot.camera_choice import choose_cameras
from pistar_vf.lerobot.dataset import load_lerobot


@pytest.mark.parametrize("old", sorted(MOVED))
def test_an_old_name_is_the_module_that_has_moved(old):
    sys.modules.pop(f"pistar_vf.data.{old}", None)
    with pytest.warns(DeprecationWarning, match=rf"pistar_vf\.data\.{old} has moved to pistar_vf\."):
        module = importlib.import_module(f"pistar_vf.data.{old}")
    for place in MOVED[old]:
        new = importlib.import_module(f"pistar_vf.{place}")
        public = [name for name in vars(new) if not name.startswith("_")]
        assert public
        assert [name for name in public if getattr(module, name) is not getattr(new, name)] == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_names_are_the_same_objects():
    from pistar_vf.data import lerobot

    assert lerobot.load_lerobot is load_lerobot
    assert lerobot.choose_cameras is choose_cameras


def test_what_never_was_is_not_there():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("pistar_vf.data.moon")
