"""Which of a dataset's cameras is the base and which the wrist."""

from collections.abc import Sequence

from pistar_vf.errors import ConfigError
from pistar_vf.lerobot.dataset import LeRobotDataset

_WRIST_WORDS = ("wrist", "hand", "gripper")


def choose_cameras(
    dataset: LeRobotDataset,
    image_key: str | None = None,
    wrist_image_key: str | None = None,
    extra_image_keys: Sequence[str] = (),
) -> dict[str, str | None]:
    """Maps the model's camera names to the dataset's.

    Without any key, a single camera becomes the base, and of two cameras the only one named after a wrist, hand
    or gripper becomes the wrist. As soon as one key is given, exactly the cameras named are used.

    Args:
        dataset: the dataset.
        image_key: the camera that sees the scene.
        wrist_image_key: the camera on the wrist; "missing" declares one that is always masked.
        extra_image_keys: further cameras.

    Returns:
        `base_0_rgb`, `wrist_0_rgb`, `extra_0_rgb`, ... to a feature key, or to None for a missing camera.

    Raises:
        ConfigError: a key is not a camera, is given twice, or the choice is not obvious.
    """
    wrist_missing = wrist_image_key == "missing"
    if image_key is None:
        if (wrist_image_key is None or wrist_missing) and not extra_image_keys:
            image_key, inferred = _infer_cameras(dataset, want_wrist=not wrist_missing)
            wrist_image_key = wrist_image_key or inferred
        else:
            raise ConfigError(f"other cameras are given, but not the base camera; {_candidates(dataset)}")
    chosen: dict[str, str | None] = {"base_0_rgb": image_key}
    if wrist_image_key is not None:
        chosen["wrist_0_rgb"] = None if wrist_missing else wrist_image_key
    chosen |= {f"extra_{i}_rgb": key for i, key in enumerate(extra_image_keys)}
    keys = [key for key in chosen.values() if key is not None]
    for key in keys:
        if key in dataset.picture_keys and (why := dataset.why_no_camera(key)) is not None:
            raise ConfigError(
                f"'{key}' of {dataset.root}: expected a camera with colour pictures, got {why} (meta/info.json); "
                f"{_candidates(dataset)}"
            )
        if key not in dataset.camera_keys:
            raise ConfigError(f"'{key}' is not a camera of {dataset.root}; {_candidates(dataset)}")
        if keys.count(key) > 1:
            raise ConfigError(f"camera '{key}' is given twice; {_candidates(dataset)}")
    return chosen


def _infer_cameras(dataset: LeRobotDataset, *, want_wrist: bool) -> tuple[str, str | None]:
    cameras = dataset.camera_keys
    wrists = [key for key in cameras if any(word in key.lower() for word in _WRIST_WORDS)]
    if len(cameras) == 1:
        return cameras[0], None
    if want_wrist and len(cameras) == 2 and len(wrists) == 1:
        return next(key for key in cameras if key not in wrists), wrists[0]
    raise ConfigError(f"cannot tell which of {len(cameras)} cameras is which; {_candidates(dataset)}")


def _candidates(dataset: LeRobotDataset) -> str:
    keys = ", ".join(dataset.camera_keys) or "none: meta/info.json has no feature of dtype video or image"
    others = [f"{key} ({dataset.why_no_camera(key)})" for key in dataset.picture_keys if key not in dataset.camera_keys]
    left_out = f" (not among them: {', '.join(others)})" if others else ""
    return f"cameras: {keys}{left_out}; choose with --image_key and --wrist_image_key (a key, or 'missing')"
