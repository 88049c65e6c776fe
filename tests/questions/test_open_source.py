"""What is recognised, and that all layouts of the same pictures read the same."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from pistar_vf.errors import DatasetError
from pistar_vf.questions.json_source import JsonSource
from pistar_vf.questions.open_source import open_vqa_source
from pistar_vf.questions.sample import VqaSource
from pistar_vf.questions.table_source import ArrowSource, ParquetSource


def questions(source: VqaSource) -> list[tuple[int, str, str]]:
    """(picture, question, answer); a JSONL file has one sample per question."""
    names = list(dict.fromkeys(sample.image_name for sample in source.scan()))
    return [(names.index(sample.image_name), *turn) for sample in source.scan() for turn in sample.turns]


def test_every_layout_has_the_questions_that_were_written(source, pictures):
    assert questions(source) == [(i, *turn) for i, picture in enumerate(pictures) for turn in picture.turns]


def test_every_layout_has_the_pictures_that_were_written(source, pictures):
    """PNG keeps every pixel."""
    numbers = np.arange(len(source))[::-1]
    for scanned, sample in zip(reversed(list(source.scan())), source.read(numbers)):
        assert sample.turns == scanned.turns
        image = sample.image
        pixels = np.asarray(Image.open(image["path"] if image["bytes"] is None else io.BytesIO(image["bytes"])))
        (picture,) = [p for p in pictures if np.array_equal(p.pixels, pixels)]
        assert set(sample.turns) <= set(picture.turns)


def test_every_layout_is_a_source(source):
    assert isinstance(source, VqaSource)
    assert sum(1 for _ in source.scan()) == len(source)


def test_a_folder_stands_for_the_one_json_file_in_it(layouts):
    source = open_vqa_source(str(layouts.llava.parent))
    assert isinstance(source, JsonSource)
    assert source.path == layouts.llava


def test_one_file_of_many_may_be_named(layouts):
    path = layouts.parquet / "shapes" / "train-00001-of-00003.parquet"
    source = open_vqa_source(path)
    assert isinstance(source, ParquetSource)
    assert len(source) == 13
    assert next(source.scan()).where == f"{path}: row 0"


def test_results_that_datasets_cached_are_passed_over(layouts, tmp_path):
    copy = tmp_path / "cache"
    shutil.copytree(layouts.arrow, copy)
    (file,) = copy.rglob("*.arrow")
    shutil.copy(file, file.parent / "cache-0123.arrow")
    source = open_vqa_source(copy)
    assert isinstance(source, ArrowSource)
    assert len(source) == len(open_vqa_source(layouts.arrow))


def test_names_do_not_depend_on_where_the_data_is(layouts, tmp_path):
    """Else the held-out pictures would."""
    shutil.copytree(layouts.parquet, tmp_path / "moved")
    names = [sample.image_name for sample in open_vqa_source(tmp_path / "moved").scan()]
    assert names == [sample.image_name for sample in open_vqa_source(layouts.parquet).scan()]
    assert names[14] == "shapes/train-00001-of-00003.parquet:0"


def test_nothing_there(tmp_path):
    with pytest.raises(DatasetError, match=r"absent: no such file or folder; expected a folder of parquet or arrow"):
        open_vqa_source(tmp_path / "absent")


def test_an_unknown_layout_lists_what_was_found(tmp_path):
    with pytest.raises(
        DatasetError, match=r"expected a folder of parquet .*'image' and 'conversations'.*; got an empty"
    ):
        open_vqa_source(tmp_path)
    for name in ("a.tar", "b.tar", "README", "dataset_info.json"):
        (tmp_path / name).touch()
    with pytest.raises(DatasetError, match=r"; got 2 \.tar, 1 no suffix, 1 \.json"):
        open_vqa_source(tmp_path)


def test_several_json_files_are_ambiguous(tmp_path):
    for name in ("a.json", "b.jsonl"):
        (tmp_path / name).touch()
    with pytest.raises(DatasetError, match=r"expected one .json or .jsonl file, got \['a.json', 'b.jsonl'\]; name the"):
        open_vqa_source(tmp_path)
