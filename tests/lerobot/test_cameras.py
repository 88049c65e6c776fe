"""Which camera of a dataset becomes which camera of the model. Oracle: hand-written choices."""

from pathlib import Path

import pytest

from pistar_vf.errors import ConfigError
from pistar_vf.lerobot.camera_choice import choose_cameras
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.lerobot.schema import TableSchema


def _with_cameras(*keys: str) -> LeRobotDataset:
    """A dataset of which only the cameras matter; half of them stored as images."""
    features = {key: {"dtype": ("video", "image")[i % 2]} for i, key in enumerate(keys)}
    features["observation.state"] = {"dtype": "float32"}
    return LeRobotDataset(Path("toy"), "toy", "v2.1", 10.0, None, features, {}, (), 0, TableSchema({}, {}), None, 1000)


@pytest.mark.parametrize(
    ("keys", "arguments", "expected"),
    [
        (["top"], {}, {"base_0_rgb": "top"}),
        (["a_wrist"], {}, {"base_0_rgb": "a_wrist"}),
        (["top", "left_wrist"], {}, {"base_0_rgb": "top", "wrist_0_rgb": "left_wrist"}),
        (["Hand_cam", "front"], {}, {"base_0_rgb": "front", "wrist_0_rgb": "Hand_cam"}),
        (["gripper", "front"], {}, {"base_0_rgb": "front", "wrist_0_rgb": "gripper"}),
        (["top"], {"wrist_image_key": "missing"}, {"base_0_rgb": "top", "wrist_0_rgb": None}),
        (["top", "left_wrist"], {"image_key": "top"}, {"base_0_rgb": "top"}),
        (
            ["a", "b", "c", "d"],
            {"image_key": "b", "wrist_image_key": "missing", "extra_image_keys": ("d", "a")},
            {"base_0_rgb": "b", "wrist_0_rgb": None, "extra_0_rgb": "d", "extra_1_rgb": "a"},
        ),
    ],
)
def test_choose_cameras(keys, arguments, expected):
    assert choose_cameras(_with_cameras(*keys), **arguments) == expected


@pytest.mark.parametrize(
    ("keys", "arguments", "message"),
    [
        (["a", "b"], {}, r"which of 2 cameras is which; cameras: a, b; choose with --image_key and --wrist_image_key"),
        (["l_wrist", "r_wrist"], {}, "which of 2 cameras is which"),
        (["a", "b", "a_wrist"], {}, "which of 3 cameras is which"),
        (["a", "b_wrist"], {"wrist_image_key": "missing"}, "which of 2 cameras is which"),
        ([], {}, "which of 0 cameras is which; cameras: none"),
        (["a", "b"], {"image_key": "c"}, "'c' is not a camera of .*toy; cameras: a, b"),
        (["a", "b"], {"image_key": "a", "wrist_image_key": "a"}, "camera 'a' is given twice"),
        (["a", "b"], {"wrist_image_key": "b"}, "but not the base camera; cameras: a, b"),
        (["a", "b"], {"extra_image_keys": ("b",)}, "but not the base camera"),
    ],
)
def test_choose_cameras_refuses(keys, arguments, message):
    with pytest.raises(ConfigError, match=message):
        choose_cameras(_with_cameras(*keys), **arguments)


NO_CAMERAS = {
    "flag": {"is_depth_map": True},
    "flag in info": {"info": {"is_depth_map": True}},
    "flag with its prefix": {"video_info": {"video.is_depth_map": True}},
    "flag as text": {"info": {"video.is_depth_map": "true"}},
    "one channel": {"shape": [48, 64, 1], "names": ["height", "width", "channels"]},
    "one channel first": {"shape": [1, 48, 64], "names": ["channels", "height", "width"]},
    "no channel": {"shape": [48, 64]},
    "channels": {"info": {"video.channels": 1}},
    "grey of 12 bits": {"info": {"video.pix_fmt": "gray12le"}},
    "grey": {"video_info": {"pix_fmt": "gray"}},
    "grey of 16 bits": {"info": {"video.pix_fmt": "gray16be"}},
}


def _with_depth(**about) -> LeRobotDataset:
    features = {key: {"dtype": "video", "shape": [48, 64, 3]} for key in ("front", "wrist", "front_depth")}
    features["front_depth"] |= about
    return LeRobotDataset(Path("toy"), "toy", "v2.1", 10.0, None, features, {}, (), 0, TableSchema({}, {}), None, 1000)


@pytest.mark.parametrize("name", NO_CAMERAS)
def test_what_is_no_colour_picture_is_no_candidate(name):
    dataset = _with_depth(**NO_CAMERAS[name])
    assert dataset.camera_keys == ("front", "wrist")
    assert dataset.video_keys == ("front", "wrist", "front_depth")
    assert choose_cameras(dataset) == {"base_0_rgb": "front", "wrist_0_rgb": "wrist"}
    with pytest.raises(ConfigError, match=r"'front_depth' of toy: expected a camera with colour pictures, got a "):
        choose_cameras(dataset, "front_depth")


@pytest.mark.parametrize(
    "about",
    [
        {"is_depth_map": False, "info": {"video.channels": 3, "video.is_depth_map": False, "video.pix_fmt": "yuv420p"}},
        {"shape": [3, 48, 64], "names": ["channels", "height", "width"]},
        {"shape": [48, 64, 4]},
        {"info": None, "video_info": None},
    ],
)
def test_colour_cameras_stay_candidates(about):
    assert _with_depth(**about).camera_keys == ("front", "wrist", "front_depth")
