"""Texts of `meta/` in other encodings go through label, relabel's writer and the export like those in UTF-8."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from support.labelled_sets import OUTCOMES, episode, label

from pistar_vf.curation.convert_dataset import convert_dataset
from pistar_vf.exports.run import ExportConfig, run_export
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.relabel.write import NewWords, write_in_place, write_new_dataset
from pistar_vf.testing.lerobot_writer import write_lerobot_v21

ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-32")
PROMPT = "push\u2028the\x85cup ☕"
"""Signs that end a line for Python and not for JSON."""


def written(folder: Path, version: str, encoding: str = "utf-8") -> LeRobotDataset:
    episodes = [dataclasses.replace(episode(length), task=PROMPT) for length in (4, 5, 3)]
    root = write_lerobot_v21(folder / "v21", episodes, fps=10, codec="mpeg4")
    if version == "v3.0":
        root = convert_dataset(load_lerobot(root), folder / "v30", progress=False)
    for path in [*root.glob("meta/*.json"), *root.glob("meta/*.jsonl")]:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".jsonl":  # as writers do that leave signs as they are
            text = "".join(json.dumps(json.loads(line), ensure_ascii=False) + "\n" for line in text.split("\n") if line)
        path.write_bytes(text.encode(encoding))
    return load_lerobot(root)


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_writer_reads_them(tmp_path: Path, version: str, encoding: str) -> None:
    dataset = written(tmp_path, version, encoding)
    assert dataset.prompts == (PROMPT,)
    words = np.array(["positive", "negative", "none"] * 4, object)
    new = NewWords("adv_ind", np.full(12, "none", object), words)
    write_new_dataset(dataset, new, {}, tmp_path / "new", progress=False)
    assert write_in_place(dataset, new, {}, progress=False) > 1
    assert write_in_place(load_lerobot(dataset.root), new, {}, progress=False) == 0  # it holds them already
    for root in (tmp_path / "new", dataset.root):
        found = load_lerobot(root)
        assert found.prompts == (PROMPT,)
        assert found.read_column("adv_ind").tolist() == words.tolist()
        assert found.features["adv_ind"]["dtype"] == "string"
    copy = load_lerobot(run_export(ExportConfig(str(tmp_path / "new"), "prompts", tmp_path / "prompts")))
    assert set(copy.prompts) == {PROMPT, f"{PROMPT}, Advantage: positive", f"{PROMPT}, Advantage: negative"}
    assert [set(own.tasks) for own in copy.episodes] == [set(copy.prompts)] * 3


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_labelled_copy_of_them(tmp_path: Path, version: str, encoding: str) -> None:
    copy = label(written(tmp_path, version, encoding), tmp_path / "copy", outcomes=OUTCOMES)
    plain = label(written(tmp_path / "plain", version), tmp_path / "plain-copy", outcomes=OUTCOMES)
    np.testing.assert_array_equal(copy.read_column("value_label"), plain.read_column("value_label"))
    assert (copy.prompts, copy.features) == ((PROMPT,), plain.features)
