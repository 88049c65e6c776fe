"""Two rounds as a user gives them. Oracles: the datasets themselves, counted by hand here."""

import dataclasses
import json
import os

import numpy as np
import pytest

from pistar_vf.cli import round as command
from pistar_vf.cli.main import main
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.rounds.record import STAGES, RoundRecord, RoundResult

TRAIN = ["--train.preset=tiny", "--train.num_train_steps=2", "--train.batch_size=4", "--train.val_interval=0"]
FORCED = ["--relabel.force", "--relabel.lookahead=3"]


@pytest.fixture(scope="module")
def rounds(tiny_dataset, tiny_dataset_v30, frame_cache_dir, tmp_path_factory):
    """The folder of two rounds, each of six episodes, with models shrunk as everywhere in the tests."""
    from support.small_runs import small_and_fast as shrunk

    folder = tmp_path_factory.mktemp("rounds")
    cache = [word for stage in ("train", "relabel") for word in (f"--{stage}.cache_dir", str(frame_cache_dir))]
    first = ["--data_dir", str(tiny_dataset), "--output_dir", str(folder / "1"), "--policy", "v0", "--folds", "2"]
    second = ["--data_dir", str(tiny_dataset_v30), "--output_dir", str(folder / "2"), "--policy", "v1", "--folds", "2"]
    with shrunk():
        assert main(["round", *first, *TRAIN, *FORCED, *cache]) == 0
        assert main(["round", *second, "--previous", str(folder / "1"), "--merge.reencode"]) == 0
    return folder


def test_the_chain(rounds, tiny_dataset):
    first, second = (RoundRecord.read(rounds / name) for name in "12")
    assert (first.number, first.policy, first.previous) == (1, "v0", None)
    assert (second.number, second.policy, second.previous) == (2, "v1", os.path.join("..", "1"))
    assert second.flags["train"] == first.flags["train"]
    assert (first.result.num_episodes, second.result.num_episodes) == (6, 12)
    assert sum(second.result.new_outcomes.values()) == 6
    assert len(first.result.models) == len(second.result.models) == 2
    assert set(first.result.models).isdisjoint(second.result.models)


def test_the_figures_are_those_of_the_labels(rounds):
    first, second = (load_lerobot(rounds / name / "labelled").read_column("adv_ind") for name in "12")
    result = RoundRecord.read(rounds / "2").result
    assert result.positive == pytest.approx(np.mean(second == "positive"))
    assert result.positive_new == pytest.approx(np.mean(second[len(first) :] == "positive"))
    assert result.agreement == pytest.approx(np.mean(second[: len(first)] == first))
    assert RoundRecord.read(rounds / "1").result.agreement is None


def test_given_again_it_says_what_came_of_it(rounds, tiny_dataset, capsys):
    before = {path: path.stat().st_mtime_ns for path in rounds.rglob("*") if path.is_file()}
    words = ["--data_dir", str(tiny_dataset), "--output_dir", str(rounds / "1"), "--policy", "v0", "--folds", "2"]
    assert main(["round", *words]) == 0
    out = capsys.readouterr().out
    assert "6 of 6" in out
    assert out.splitlines()[-1] == f"result: {rounds / '1' / 'labelled'}"
    assert before == {path: path.stat().st_mtime_ns for path in rounds.rglob("*") if path.is_file()}


def test_another_round_in_its_folder(rounds, tiny_dataset, capsys):
    words = ["--data_dir", str(tiny_dataset), "--output_dir", str(rounds / "1"), "--folds", "3"]
    assert main(["round", *words]) == 2
    assert "− folds: 2\n  + folds: 3" in capsys.readouterr().err


def test_a_record_that_somebody_changed(rounds, tiny_dataset_v30, tmp_path, capsys):
    """The chain is the provenance of the labels."""
    for name in "12":
        (tmp_path / name).mkdir()
        (tmp_path / name / "round.json").write_text((rounds / name / "round.json").read_text())
    record = json.loads((tmp_path / "1" / "round.json").read_text())
    (tmp_path / "1" / "round.json").write_text(json.dumps({**record, "policy": "another"}))
    words = ["--data_dir", str(tiny_dataset_v30), "--output_dir", str(tmp_path / "3"), "--previous"]
    assert main(["round", *words, str(tmp_path / "2")]) == 2
    assert "expected the record that round 2 was built on" in capsys.readouterr().err
    assert not (tmp_path / "3").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--train.checkpoint_dir=elsewhere"], "--train.checkpoint_dir: expected no such flag, the round decides it"),
        (["--relabel.force", "--relabel.in-place"], "--relabel.in-place: expected no such flag"),
        (["--previous", "nowhere"], "expected the folder of a round with a round.json, found none"),
    ],
)
def test_what_is_refused_at_once(tiny_dataset, tmp_path, capsys, words, complaint):
    common = ["--data_dir", str(tiny_dataset), "--output_dir", str(tmp_path / "round")]
    assert main(["round", *common, *words]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "round").exists()


@pytest.mark.parametrize("word", ["--merge.fil", "--train.num_train_stps", "--relabel.lookahed"])
def test_a_misspelt_flag_of_a_stage_costs_no_stage(tiny_dataset, tmp_path, capsys, word):
    common = ["--data_dir", str(tiny_dataset), "--output_dir", str(tmp_path / "round")]
    with pytest.raises(SystemExit):
        main(["round", *common, word, "1"])
    assert f"Unrecognized options: --{word.partition('.')[2]}" in capsys.readouterr().err
    assert not (tmp_path / "round").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"result": 3}', '{"result": null, "number": 1}'])
def test_a_damaged_record(tmp_path, capsys, content):
    (tmp_path / "round.json").write_text(content)
    assert main(["round", "--data_dir", "x", "--output_dir", str(tmp_path / "n"), "--previous", str(tmp_path)]) == 2
    assert "round.json: expected the record of a round, got something else" in capsys.readouterr().err


def unfinished(number, flags):
    return RoundRecord(number, "v0", None, None, ("demos",), 2, {stage: flags.get(stage, []) for stage in STAGES})


def test_flags_that_the_next_round_takes_over(tmp_path, monkeypatch):
    """Those of merging speak of one round's datasets: `--fill` is refused where no dataset lacks the column."""
    own = {"merge": ["--fill", "intervention=1"], "train": ["--preset", "tiny"], "relabel": ["--lookahead", "3"]}
    result = RoundResult({}, 0, "PASSED", None, 0.3, 0.3, None, ())
    dataclasses.replace(unfinished(1, own), result=result).write(tmp_path / "1")
    began = []
    monkeypatch.setattr(command, "_merge", lambda record, folder, words: began.append(record))
    monkeypatch.setattr(command, "_run_stages", lambda record, folder, words: result)
    words = ["--data_dir", "x", "--previous", str(tmp_path / "1"), "--output_dir"]
    command.main([*words, str(tmp_path / "2")])
    command.main([*words, str(tmp_path / "3"), "--train.batch_size=8", "--merge.drop", "y"])
    assert [record.flags for record in began] == [
        {**own, "merge": []},
        {"merge": ["--drop", "y"], "train": ["--batch_size", "8"], "relabel": own["relabel"]},
    ]


def test_what_merging_refuses_leaves_no_round(tiny_dataset, tmp_path, capsys):
    """So that the same folder may be given again with the right datasets."""
    wrong = ["round", "--data_dir", str(tmp_path / "nowhere"), "--output_dir", str(tmp_path / "round")]
    for _ in range(2):
        assert main(wrong) == 2
        assert "nowhere" in capsys.readouterr().err
        assert not list(tmp_path.glob("round/*"))


def test_a_folder_that_holds_something_else(tiny_dataset, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    assert main(["round", "--data_dir", str(tiny_dataset), "--output_dir", str(tmp_path)]) == 2
    assert "expected a new or empty folder, or that of a round" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_an_unfinished_round_has_no_next_one(tmp_path, capsys):
    unfinished(1, {}).write(tmp_path / "1")
    words = ["--data_dir", "x", "--output_dir", str(tmp_path / "2"), "--previous", str(tmp_path / "1")]
    assert main(["round", *words]) == 2
    assert "expected a finished round, its labels are not written yet" in capsys.readouterr().err
