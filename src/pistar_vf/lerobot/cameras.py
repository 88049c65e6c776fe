"""What `meta/info.json` says about pictures: whether they are colour pictures at all, and their size."""

from collections.abc import Iterator, Mapping
from typing import Any

from pistar_vf.errors import DatasetError

PICTURE_DTYPES = ("video", "image")
_COLOURS = (3, 4)
_GREY_FORMATS = ("gray", "y16", "y10", "y12", "y8", "ya8", "ya16", "z16")


def no_colour_picture(feature: Mapping[str, Any]) -> str | None:
    """What the pictures of a feature are instead of colour pictures; None where nothing says so.

    LeRobot has written the flag and the format beside the shape, in `info` and in `video_info`, with and without the
    prefix `video.`.

    Returns:
        "a depth map" or "a picture of 1 channel", say.
    """
    facts = list(_facts(feature))
    if any(name == "is_depth_map" and _is_true(value) for name, value in facts):
        return "a depth map"
    for name, value in facts:
        if name == "pix_fmt" and str(value).lower().startswith(_GREY_FORMATS):
            return f"a grey picture ({value})"
        if name == "channels" and str(value) in ("1", "1.0", "2", "2.0"):
            return f"a picture of {str(value)[0]} channel{'s' * (str(value)[0] == '2')}"
    return _of_shape(feature)


def stated_size(feature: Mapping[str, Any], where: str) -> tuple[int, int]:
    """Height and width of a camera's pictures, pixels.

    Args:
        feature: as in `meta/info.json`.
        where: what errors call it.

    Raises:
        DatasetError: the stated shape is not that of a colour picture.
    """
    shape = tuple(feature.get("shape", ()))
    if len(shape) == 3 and shape[0] == 3 and (_channels_first(feature) or shape[2] != 3):
        return shape[1], shape[2]
    if len(shape) == 3 and shape[2] == 3:
        return shape[0], shape[1]
    raise DatasetError(f"{where}: expected a shape [height, width, 3] or [3, height, width], got {list(shape)}")


def described(feature: Mapping[str, Any], name: str) -> Any:
    """What a feature says about its video, such as "fps"; None where it does not."""
    return next((value for found, value in _facts(feature) if found == name), None)


def axis_names(names: Any) -> list[str]:
    """Axis names, which datasets store as a list, a list of lists, a dict of lists, or null."""
    if isinstance(names, str):
        return [names]
    if not isinstance(names, (Mapping, list, tuple)):
        return []
    inner = names.values() if isinstance(names, Mapping) else names
    return [name for entry in inner for name in axis_names(entry)]


def _facts(feature: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for source in (feature, feature.get("info"), feature.get("video_info")):
        for name, value in source.items() if isinstance(source, Mapping) else ():
            yield name.removeprefix("video."), value


def _is_true(value: Any) -> bool:
    return value is True or str(value).strip().lower() in ("true", "1", "1.0", "yes")


def _of_shape(feature: Mapping[str, Any]) -> str | None:
    shape = list(feature.get("shape", ()))
    if len(shape) == 2:
        return "a picture of 1 channel"
    if len(shape) != 3 or _COLOURS[0] in (shape[0], shape[2]):
        return None
    channels = shape[0] if _channels_first(feature) or shape[2] not in (1, 2) else shape[2]
    return f"a picture of {channels} channel{'s' * (channels == 2)}" if channels in (1, 2) else None


def _channels_first(feature: Mapping[str, Any]) -> bool:
    return axis_names(feature.get("names"))[:1] in (["channel"], ["channels"])
