"""The generated shapes: every question has the answer that the pixels show, and none can be guessed."""

from collections import Counter

import numpy as np
import pytest

from pistar_vf.testing.vqa_dataset import ANSWERS, COLOURS, NUMBERS, SHAPES, SIDES, ShapePicture, create_shape_pictures
from pistar_vf.tokenizer import train_prompt_tokenizer


@pytest.fixture(scope="module")
def pictures() -> list[ShapePicture]:
    return create_shape_pictures(600)


def shown(picture: ShapePicture) -> dict[str, tuple[str, str]]:
    """Colour to shape and side, from the pixels alone: where they are and how much of their bounding box they fill."""
    found = {}
    for name, rgb in COLOURS.items():
        rows, columns = np.nonzero((picture.pixels == rgb).all(axis=2))
        if not len(rows):
            continue
        box = np.zeros((np.ptp(rows) + 1, np.ptp(columns) + 1), bool)
        box[rows - rows.min(), columns - columns.min()] = True
        upper = box[: len(box) // 2].mean()
        shape = "square" if box.all() else "circle" if upper > 0.6 else "triangle"
        found[name] = shape, "left" if columns.max() < 28 else "right"
    return found


def test_answers_are_what_the_pixels_show(pictures):
    for picture in pictures[:200]:
        expected = {"how many shapes?": NUMBERS[len(shown(picture)) - 1]}
        for colour, (shape, side) in shown(picture).items():
            expected |= {f"what colour is on the {side}?": colour}
            expected |= {f"where is {colour}?": side, f"what shape is {colour}?": shape}
        assert dict(picture.turns) == expected
        assert len(picture.turns) == len(expected)


def test_questions_alone_do_not_tell_the_answer(pictures):
    """Every answer of a question comes up about equally often: within 4 standard deviations of even."""
    answers: dict[str, Counter] = {}
    for picture in pictures:
        for question, answer in picture.turns:
            answers.setdefault(question, Counter())[answer] += 1
    choices = {"what colour": tuple(COLOURS), "where is": SIDES, "what shape": SHAPES, "how many": NUMBERS}
    assert len(answers) == len(SIDES) + 2 * len(COLOURS) + 1
    for question, counts in answers.items():
        options = choices[" ".join(question.split()[:2])]
        assert set(counts) == set(options)
        expected = counts.total() / len(options)
        deviation = np.sqrt(expected * (1 - 1 / len(options)))
        assert max(abs(count - expected) for count in counts.values()) < 4 * deviation


def test_pictures_follow_from_seed_and_number(pictures):
    again = create_shape_pictures(5)
    for one, other in zip(again, pictures):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert one.turns == other.turns
    assert not np.array_equal(create_shape_pictures(1, seed=1)[0].pixels, pictures[0].pixels)
    assert len({picture.pixels.tobytes() for picture in pictures}) == len(pictures)


def test_size_and_noise():
    (picture,) = create_shape_pictures(1, image_size=96)
    assert (picture.pixels.shape, picture.pixels.dtype) == ((96, 96, 3), np.uint8)
    assert len(np.unique(picture.pixels[0])) > 30


def test_every_answer_is_one_piece_of_a_small_vocabulary(pictures):
    tokenizer = train_prompt_tokenizer([f"{q}\nAnswer: {a}" for picture in pictures for q, a in picture.turns])
    assert len(ANSWERS) == 13
    assert tokenizer.vocab_size <= 512
    assert [len(ids) for ids in tokenizer.encode([f" {answer}" for answer in ANSWERS])] == [1] * 13
