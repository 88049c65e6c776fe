"""Entries of JSON files, against `json.loads` of the whole file and entries written by hand."""

import json

import numpy as np
import pytest

from pistar_vf.errors import DatasetError
from pistar_vf.questions import json_source
from pistar_vf.questions.open_source import open_vqa_source

ENTRY = {"image": "a.png", "question": "what?", "answer": "red"}
HUMAN, GPT = {"from": "human", "value": "what?\n<image>"}, {"from": "gpt", "value": "red"}


def write(folder, text, name="data.json"):
    (folder / "a.png").touch()
    (folder / name).write_text(text, "utf-8")
    return folder / name


@pytest.mark.parametrize("chunk", [1, 7, 2**20])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("as_list", [True, False])
def test_entries_are_found_whatever_the_chunks(tmp_path, monkeypatch, chunk, indent, as_list):
    monkeypatch.setattr(json_source, "_CHUNK", chunk)
    entries = [{**ENTRY, "question": text, "n": [{"}": n}]} for n, text in enumerate(['"]}', "把瓶子", "ﬁ\\", "a\n{["])]
    parts = [json.dumps(entry, indent=indent, ensure_ascii=n % 2 == 0) for n, entry in enumerate(entries)]
    text = f" \n[{', '.join(parts)}]\n" if as_list else "\n".join(parts) + "\n\n"
    source = open_vqa_source(write(tmp_path, text))
    assert [sample.turns for sample in source.scan()] == [((entry["question"], "red"),) for entry in entries]
    assert [sample.turns[0][0] for sample in source.read(np.array([2, 1]))] == ["ﬁ\\", "把瓶子"]


def test_a_conversation_is_its_turns(tmp_path):
    second = [{"from": "human", "value": " where? "}, {"from": "gpt", "value": "left\n"}]
    path = write(tmp_path, json.dumps([{"id": "0", "image": "a.png", "conversations": [HUMAN, GPT, *second]}]))
    (sample,) = open_vqa_source(path).scan()
    assert sample.turns == (("what?", "red"), ("where?", "left"))
    assert (sample.num_images, sample.image_name, sample.image) == (1, "a.png", None)


def test_conversations_may_come_in_lines(tmp_path):
    line = json.dumps({"image": "a.png", "conversations": [HUMAN, GPT]})
    source = open_vqa_source(write(tmp_path, f"{line}\n{line}\n", "data.jsonl"))
    assert [sample.turns for sample in source.scan()] == [(("what?", "red"),)] * 2


@pytest.mark.parametrize(("image", "count"), [(None, 0), ([], 0), (["a.png"], 1), (["a.png", "a.png"], 2)])
def test_samples_without_one_picture_have_no_turns(tmp_path, image, count):
    entries = [{**ENTRY, "image": image}, {"id": "text only", "conversations": [GPT]}]
    first, second = open_vqa_source(write(tmp_path, json.dumps(entries))).scan()
    assert (first.num_images, len(first.turns)) == (count, int(count == 1))
    assert (second.num_images, second.turns) == (0, ())


def test_pictures_are_in_the_folder_given(tmp_path):
    path = write(tmp_path, json.dumps(ENTRY))
    (sample,) = open_vqa_source(path).read(np.array([0]))
    assert sample.image == {"bytes": None, "path": str(tmp_path / "a.png")}
    (tmp_path / "other").mkdir()
    source = open_vqa_source(path, image_dir=tmp_path / "other")
    with pytest.raises(DatasetError, match=r"data\.json: entry 1 \(byte 0\): no image at .*/other/a\.png; download it"):
        list(source.scan())


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({**ENTRY, "answer": None}, "expected a text in 'answer', got None"),
        ({"image": "a.png", "question": "what?"}, "expected a text in 'answer', got None"),
        ({"image": "a.png", "answer": "red"}, "expected a text in 'question', got None"),
        ({**ENTRY, "answer": 3}, "expected a text in 'answer', got 3"),
        (
            {"image": "a.png", "q": "what?"},
            r"expected the keys 'image' and 'conversations', or .*, got \['image', 'q'\]",
        ),
        ({**ENTRY, "image": 3}, "expected the path of a picture in 'image', got 3"),
        ({**ENTRY, "image": ""}, "expected the path of a picture in 'image', got ''"),
        ({"image": "a.png", "conversations": "hi"}, "expected a list in 'conversations', got 'hi'"),
        ({"image": "a.png", "conversations": []}, r"expected human and gpt in turn and gpt last, got \[\]"),
        ({"image": "a.png", "conversations": [HUMAN]}, r"human and gpt in turn and gpt last, got \['human'\]"),
        ({"image": "a.png", "conversations": [GPT, HUMAN]}, r"gpt last, got \['gpt', 'human'\]"),
        ({"image": "a.png", "conversations": [HUMAN, "red"]}, r"gpt last, got \['human', None\]"),
        ({"image": "a.png", "conversations": [HUMAN, {"from": "gpt"}]}, "expected a text in 'value', got None"),
    ],
)
def test_broken_entries_are_named(tmp_path, entry, message):
    first = json.dumps(ENTRY)
    path = write(tmp_path, f"{first}\n{json.dumps(entry)}", "data.jsonl")
    with pytest.raises(DatasetError, match=rf"data\.jsonl: entry 2 \(byte {len(first) + 1}\): .*{message}"):
        list(open_vqa_source(path).scan())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"b": ', r"entry 2 \(byte 9\): expected a JSON object, got .*; truncated\?"),
        ('[{"a": 1}, {"b": 2}', r"entry 3 \(byte 19\): expected a JSON object, got .*; truncated\?"),
        ('{"a": 1}\n{b}', r"entry 2 \(byte 9\): expected a JSON object, got .*"),
        ("[1, 2]", r"entry 1 \(byte 1\): expected a JSON object, got int"),
        ("", "expected entries with an image, a question and an answer, got none"),
        (" []", "expected entries with an image, a question and an answer, got none"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path, text, message):
    with pytest.raises(DatasetError, match=rf"data\.json: {message}"):
        open_vqa_source(write(tmp_path, text))


def test_other_encodings_are_refused(tmp_path):
    path = write(tmp_path, "")
    path.write_bytes(json.dumps({**ENTRY, "answer": "é"}, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(DatasetError, match=r"entry 1 \(byte 0\): expected UTF-8, got .*can't decode byte 0xe9"):
        list(open_vqa_source(path).scan())
