"""The exceptions a caller may want to catch; every one is a `ValueError`.

Messages follow one form: what was expected, what was found, where (file, episode, key), what to do.
"""

from typing import Any


class PistarError(ValueError):
    """Base of every error this library raises on purpose.

    Attributes:
        downloads: the files on the hub that would cure it (`hub.files.HubFiles`); empty where none would.
    """

    downloads: tuple[Any, ...] = ()


class ConfigError(PistarError):
    """A flag or a configuration value that cannot work."""


class DatasetError(PistarError):
    """A dataset that is missing, damaged, or does not fit what was asked of it."""


class VideoError(DatasetError):
    """A video file that cannot be decoded, or whose frames do not match the table."""


class LabelError(DatasetError):
    """Value labels or outcomes that are missing, non-finite or out of range."""


class TokenizerError(PistarError):
    """A tokenizer that is missing or unreadable, or a prompt that does not fit."""


class CheckpointError(PistarError):
    """A checkpoint that is missing, incomplete, or does not fit the model or the data."""


class NonFiniteLossError(PistarError):
    """The loss or the gradients became NaN or infinite."""


class HubError(PistarError):
    """Something that cannot be downloaded from the hub."""


class GateError(PistarError):
    """A value function that is not fit to label data; nothing was written."""


class GateNotShownError(GateError):
    """Too little evidence to say whether a value function is fit to label data; nothing was written."""


class MessageError(PistarError):
    """A message of a robot client that cannot be read or answered."""
