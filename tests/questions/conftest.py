"""The same generated pictures in every layout."""

import dataclasses
from pathlib import Path

import pytest

from pistar_vf.questions.answer_encoder import ANSWER_SUFFIX, AnswerEncoder
from pistar_vf.questions.open_source import open_vqa_source
from pistar_vf.testing.vqa_dataset import (
    ShapePicture,
    create_shape_pictures,
    write_cauldron,
    write_datasets_cache,
    write_jsonl,
    write_llava,
)
from pistar_vf.tokenizer import PromptTokenizer, train_prompt_tokenizer

NUM_PICTURES = 40


@pytest.fixture(scope="session")
def pictures() -> list[ShapePicture]:
    return create_shape_pictures(NUM_PICTURES, image_size=28)


@dataclasses.dataclass(frozen=True)
class Layouts:
    """Where each layout was written."""

    parquet: Path
    arrow: Path
    llava: Path
    jsonl: Path


@pytest.fixture(scope="session")
def layouts(pictures, tmp_path_factory) -> Layouts:
    folder = tmp_path_factory.mktemp("layouts")
    return Layouts(
        parquet=write_cauldron(folder / "parquet", pictures, num_files=3, rows_per_group=4),
        arrow=write_datasets_cache(folder / "arrow", pictures),
        llava=write_llava(folder / "llava", pictures),
        jsonl=write_jsonl(folder / "jsonl", pictures),
    )


@pytest.fixture(scope="session", params=["parquet", "arrow", "llava", "jsonl"])
def source(request, layouts):
    return open_vqa_source(getattr(layouts, request.param))


@pytest.fixture(scope="session")
def parquet_source(layouts):
    """Twelve row groups, of which two are a window."""
    num_bytes = sum(block.num_bytes for block in open_vqa_source(layouts.parquet).blocks)
    return open_vqa_source(layouts.parquet, window_bytes=num_bytes // 5)


@pytest.fixture(scope="session")
def tokenizer(pictures) -> PromptTokenizer:
    return train_prompt_tokenizer([f"{q}{ANSWER_SUFFIX} {a}" for picture in pictures for q, a in picture.turns])


@pytest.fixture(scope="session")
def encoder(tokenizer) -> AnswerEncoder:
    return AnswerEncoder(tokenizer, max_token_len=16)
