"""Which questions are used, counted by hand; the split against its definition."""

import json
import logging

import numpy as np
import pytest

from pistar_vf.errors import ConfigError, DatasetError, TokenizerError
from pistar_vf.questions.answer_encoder import AnswerEncoder
from pistar_vf.questions.open_source import open_vqa_source
from pistar_vf.questions.record_index import index_records

FILES = {"image": "a.png", "question": "what?", "answer": "red"}


def write(folder, entries):
    for entry in entries:
        if isinstance(entry.get("image"), str):
            (folder / entry["image"]).touch()
    path = folder / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, entries)))
    return open_vqa_source(path)


def test_every_question_is_a_record(source, encoder, pictures):
    index = index_records(source, encoder, progress=False)
    samples = list(source.scan())
    texts = [samples[sample].turns[turn] for sample, turn in zip(index.sample, index.turn)]
    assert texts == [turn for picture in pictures for turn in picture.turns]
    assert (index.sample.dtype, index.turn.dtype, index.held_out.dtype) == (np.int32, np.int32, np.bool_)
    assert not index.held_out.any()
    assert index.left_out == {}


def test_more_questions_than_are_tokenised_at_once(source, encoder, monkeypatch):
    whole = index_records(source, encoder, val_fraction=0.2, progress=False)
    monkeypatch.setattr("pistar_vf.questions.record_index._CHUNK", 7)
    parts = index_records(source, encoder, val_fraction=0.2, progress=False)
    for name in ("sample", "turn", "held_out"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_what_is_left_out_is_counted_and_said(tmp_path, tokenizer, caplog):
    long = {**FILES, "question": "what shape " * 20}
    entries = [FILES, {**FILES, "image": None}, {**FILES, "image": ["a", "b"]}, {**FILES, "answer": " "}, long]
    entries += [{**FILES, "question": "<image>"}, FILES, FILES]
    with caplog.at_level(logging.WARNING):
        index = index_records(write(tmp_path, entries), AnswerEncoder(tokenizer, max_token_len=20), progress=False)
    assert index.sample.tolist() == [0, 6, 7]
    assert index.left_out == {
        "samples without a picture": 1,
        "samples with several pictures": 1,
        "questions that are blank or have a blank answer": 2,
        "questions that are too long": 1,
    }
    assert "3 questions are used; left out: 1 samples without a picture, 1 samples with several" in caplog.text
    assert "1 questions that are too long; 25 % have more than max_token_len=20 tokens" in caplog.text


def test_nothing_is_said_when_all_is_used(source, encoder, caplog):
    index_records(source, encoder, progress=False)
    assert caplog.text == ""


def test_exactly_what_fits_is_kept(source, encoder, pictures, tokenizer):
    questions, answers = zip(*[turn for picture in pictures for turn in picture.turns])
    counts = encoder.count_tokens(questions, answers)
    limit = int(counts.max()) - 1
    index = index_records(source, AnswerEncoder(tokenizer, max_token_len=limit), progress=False)
    assert len(index.sample) == np.sum(counts <= limit) < len(counts)


def test_mostly_too_long_is_an_error(source, tokenizer):
    with pytest.raises(TokenizerError, match=r"\d+ of \d+ questions \(\d+%\) have more than max_token_len=9 tokens"):
        index_records(source, AnswerEncoder(tokenizer, max_token_len=9), progress=False)


def test_no_question_left_is_an_error(tmp_path, encoder):
    source = write(tmp_path, [{"id": "text only"}, {"id": "text only"}])
    message = r"got none in 2 samples \(left out: 2 samples without a picture\); check the data"
    with pytest.raises(DatasetError, match=message):
        index_records(source, encoder, progress=False)


# --- the split -------------------------------------------------------------------------------------------------


def held_out_names(source, index) -> set[str]:
    names = [sample.image_name for sample in source.scan()]
    return {names[sample] for sample in index.sample[index.held_out]}


@pytest.mark.parametrize(("val_fraction", "count"), [(0.0, 0), (0.001, 1), (0.25, 10), (0.5, 20)])
def test_the_share_of_pictures_is_held_out(source, encoder, val_fraction, count):
    index = index_records(source, encoder, val_fraction=val_fraction, progress=False)
    names = held_out_names(source, index)
    assert len(names) == count
    training = {sample.image_name for sample in source.scan()} - names
    assert len(training) == 40 - count  # no picture is on both sides


def test_the_split_follows_from_the_seed(source, encoder):
    first, again, other = (
        index_records(source, encoder, val_fraction=0.3, seed=seed, progress=False).held_out for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_more_data_moves_few_pictures(tmp_path, encoder):
    """Half held out of 50 and of 60 pictures: of the first 50, five change sides if all ten are on one side."""
    entries = [{**FILES, "image": f"{number}.png"} for number in range(60)]
    splits = []
    for count in (50, 60):
        source = write(tmp_path, entries[:count])
        splits.append(index_records(source, encoder, val_fraction=0.5, progress=False).held_out[:50])
    assert np.sum(splits[0] != splits[1]) <= 5


@pytest.mark.parametrize("val_fraction", [-0.1, 1.0])
def test_a_fraction_out_of_range_is_refused(source, encoder, val_fraction):
    with pytest.raises(ConfigError, match=rf"val_fraction: expected a number in \[0, 1\), got {val_fraction}"):
        index_records(source, encoder, val_fraction=val_fraction, progress=False)


def test_holding_out_everything_is_refused(tmp_path, encoder):
    source = write(tmp_path, [FILES, FILES])
    with pytest.raises(ConfigError, match=r"val_fraction 0.5 of 1 picture\(s\) leaves none to train on; set it to 0"):
        index_records(source, encoder, val_fraction=0.5, progress=False)
