"""Which questions of a source are used: one record per question, found by reading every text once."""

import array
import dataclasses
import hashlib
import itertools
import logging
from collections import Counter
from collections.abc import Iterator

import numpy as np

from pistar_vf.errors import ConfigError, DatasetError, TokenizerError
from pistar_vf.progress import progress_bar
from pistar_vf.questions.answer_encoder import AnswerEncoder
from pistar_vf.questions.sample import VqaSource
from pistar_vf.typing import Bool, Int

_log = logging.getLogger(__name__)
_CHUNK = 4096

NO_IMAGE, SEVERAL_IMAGES = "samples without a picture", "samples with several pictures"
BLANK, TOO_LONG = "questions that are blank or have a blank answer", "questions that are too long"


@dataclasses.dataclass(frozen=True)
class RecordIndex:
    """Record i is question `turn[i]` of sample `sample[i]`; records of one sample are neighbours.

    Attributes:
        sample: number of the sample in its source, ascending.
        turn: number of the question in its sample.
        held_out: True on validation records; all questions about a picture are on the same side.
        left_out: how many samples or questions are not used, by reason.
    """

    sample: Int[np.ndarray, " n"]
    turn: Int[np.ndarray, " n"]
    held_out: Bool[np.ndarray, " n"]
    left_out: dict[str, int]


def index_records(
    source: VqaSource, encoder: AnswerEncoder, *, val_fraction: float = 0.0, seed: int = 0, progress: bool = True
) -> RecordIndex:
    """Reads and tokenises every text once.

    Args:
        source: the data.
        encoder: what is longer than its `max_token_len` is left out, never cut.
        val_fraction: share of the pictures to hold out, in [0, 1); at least one when it is above 0.
        seed: decides which.
        progress: whether to show progress.

    Raises:
        ConfigError: the fraction is out of range or leaves nothing to train on.
        DatasetError: a sample is damaged, or no question is left.
        TokenizerError: more than half of the questions are too long.
    """
    if not 0.0 <= val_fraction < 1.0:
        raise ConfigError(f"val_fraction: expected a number in [0, 1), got {val_fraction}")
    sample, turn, keys = array.array("i"), array.array("i"), array.array("Q")
    left_out: Counter[str] = Counter()
    stream = _records(source, seed, left_out, progress)
    while records := list(itertools.islice(stream, _CHUNK)):
        numbers, turns, images, questions, answers = zip(*records)
        fits = encoder.count_tokens(questions, answers) <= encoder.max_token_len
        if not fits.all():
            left_out[TOO_LONG] += int(np.sum(~fits))
        for column, values, kind in ((sample, numbers, "i4"), (turn, turns, "i4"), (keys, images, "u8")):
            column.frombytes(np.array(values, kind)[fits].tobytes())
    _report(source, encoder, len(sample), left_out)
    held_out = _hold_out(np.array(keys, np.uint64), val_fraction)
    return RecordIndex(np.array(sample, np.int32), np.array(turn, np.int32), held_out, dict(left_out))


def _records(
    source: VqaSource, seed: int, left_out: Counter[str], progress: bool
) -> Iterator[tuple[int, int, int, str, str]]:
    """Sample, turn, key of the picture, question and answer; counts what is passed over."""
    bar = progress_bar(source.scan(), total=len(source), desc="questions", unit=" samples", disable=not progress)
    for number, sample in enumerate(bar):
        if sample.num_images != 1:
            left_out[SEVERAL_IMAGES if sample.num_images else NO_IMAGE] += 1
            continue
        key = _image_key(sample.image_name, seed)
        for turn, (question, answer) in enumerate(sample.turns):
            if question and answer:
                yield number, turn, key, question, answer
            else:
                left_out[BLANK] += 1


def _image_key(name: str, seed: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest(), "little")


def _report(source: VqaSource, encoder: AnswerEncoder, kept: int, left_out: Counter[str]) -> None:
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    if kept + left_out[TOO_LONG] == 0:
        raise DatasetError(
            f"{source.path}: expected questions about pictures, got none in {len(source)} samples "
            f"(left out: {reasons}); check the data"
        )
    share = left_out[TOO_LONG] / (kept + left_out[TOO_LONG])
    limit = f"have more than max_token_len={encoder.max_token_len} tokens with their answer"
    if share > 0.5:
        raise TokenizerError(
            f"{source.path}: {left_out[TOO_LONG]} of {kept + left_out[TOO_LONG]} questions ({share:.0%}) {limit}; "
            "raise it (nothing is ever cut)"
        )
    if left_out:
        _log.warning(
            "%s: %d questions are used; left out: %s; %.2g %% %s", source.path, kept, reasons, 100 * share, limit
        )


def _hold_out(keys: np.ndarray, val_fraction: float) -> Bool[np.ndarray, " n"]:
    """The pictures whose keys are lowest: more data moves few pictures to the other side."""
    if val_fraction == 0.0:
        return np.zeros(len(keys), np.bool_)
    pictures = np.unique(keys)
    count = max(1, round(val_fraction * len(pictures)))
    if count >= len(pictures):
        raise ConfigError(
            f"val_fraction {val_fraction} of {len(pictures)} picture(s) leaves none to train on; set it to 0"
        )
    return keys < pictures[count]
