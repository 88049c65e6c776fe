"""`pistar-vf report`: with and without a model, with labels that are there already, and what it refuses."""

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest

from pistar_vf.cli.main import main
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.run import run_relabel

pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture
def report(tmp_path, frame_cache_dir, capsys, monkeypatch):
    """Runs the command; gives the exit code, stdout and stderr, and the page (None where there is none)."""
    monkeypatch.delenv("PISTAR_VF_TRACEBACK", raising=False)

    def call(*words):
        path = tmp_path / "new" / "report.html"
        options = ["--output", str(path), "--cache_dir", str(frame_cache_dir), "--num_workers", "0"]
        code = main(["report", *map(str, words), *options])
        out, err = capsys.readouterr()
        if code == 0:
            assert out.rstrip().endswith(f"report: {path} (open it in a browser)")
        return code, out, err, path.read_text(encoding="utf-8") if path.is_file() else None

    return call


def episodes(page: str) -> list[dict]:
    return json.loads(re.search(r'id="episodes">(.*?)</script>', page)[1])


def headings(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


@pytest.fixture(scope="module")
def labelled(tiny_dataset, trained_run, frame_cache_dir, tmp_path_factory):
    """The dataset with labels of a model of four steps, and a sidecar of the same."""
    folder = tmp_path_factory.mktemp("labelled")
    settings = RelabelConfig.of(
        data_dir=str(tiny_dataset),
        checkpoint_dir=(trained_run.checkpoint,),
        report_dir=folder / "report",
        cache_dir=frame_cache_dir,
        num_workers=0,
        force=True,
        lookahead=10,
    )
    run_relabel(settings.replace(output_dir=folder / "dataset"), progress=False)
    run_relabel(settings.replace(output_dir=folder / "sidecar", output="sidecar"), progress=False)
    return folder


def test_a_dataset_alone(report, tiny_dataset):
    code, _, err, page = report(tiny_dataset)
    assert code == 0, err
    assert headings(page) == ["Episodes", "Dataset"]
    dataset = load_lerobot(tiny_dataset)
    assert [one["index"] for one in episodes(page)] == list(range(6))
    first, target = episodes(page)[0], dataset.read_column("value_label")[: dataset.episodes[0].length]
    assert first["target"] == pytest.approx(target.tolist(), abs=1e-4)
    assert first["value"] is None
    assert "Health: 0 errors" in page


def test_a_dataset_and_a_run(report, tiny_dataset, trained_run):
    code, _, err, page = report(tiny_dataset, "--run", trained_run.config.checkpoint_dir)
    assert code == 0, err
    expected = ["Episodes", "Gate", "Measures", "Labels", "Ranking of episodes", "Training", "Dataset"]
    assert headings(page) == [*expected, "What made the labels"]
    assert "gate: FAILED" in page
    assert "Health: 0 errors" in page
    assert all(one["strip"] and one["labels"] for one in episodes(page))


@pytest.mark.parametrize(("words", "shown"), [(["--episodes", "1,4"], [1, 4]), (["--episodes", "3"], [3])])
def test_named_episodes(report, tiny_dataset, trained_run, words, shown):
    for more in ([], ["--run", trained_run.checkpoint]):
        _, _, _, page = report(tiny_dataset, *more, *words)
        assert sorted(one["index"] for one in episodes(page)) == shown
        assert f"{len(shown)} of 6 episodes, as named" in page


def test_a_folder_is_no_place_for_the_file(report, tiny_dataset, tmp_path):
    """It is refused before anything is computed."""
    (tmp_path / "new" / "report.html").mkdir(parents=True)
    code, _, err, _ = report(tiny_dataset)
    assert code == 2
    assert "--output" in err
    assert "expected a file to write, got a folder" in err
    assert "reading" not in err


def test_so_many_episodes(report, tiny_dataset):
    _, _, _, page = report(tiny_dataset, "--num_episodes", "2")
    assert len(episodes(page)) == 2
    assert "2 of 6 episodes, as the videos of all would" in page


def test_labels_of_the_dataset_itself(report, labelled):
    _, _, err, page = report(labelled / "dataset")
    words = load_lerobot(labelled / "dataset").read_column("adv_ind")
    shown = [one["labels"]["words"][word] for one in episodes(page) for word in one["labels"]["word"]]
    assert shown == words.tolist(), err
    assert "What made the labels" in headings(page)
    assert "failed and forced" in page


@pytest.mark.parametrize("name", ["dataset", "sidecar", "sidecar/meta/advantages_pistar_vf.parquet"])
def test_labels_from_elsewhere(report, tiny_dataset, trained_run, labelled, name):
    """Nothing is computed, though a run is named: its curves are shown."""
    _, _, err, page = report(tiny_dataset, "--run", trained_run.config.checkpoint_dir, "--labels", labelled / name)
    assert headings(page) == ["Episodes", "Dataset", "Training", "What made the labels"], err
    words = load_lerobot(labelled / "dataset").read_column("adv_ind")
    by_index = {one["index"]: one for one in episodes(page)}
    shown = [by_index[i]["labels"]["words"][word] for i in range(6) for word in by_index[i]["labels"]["word"]]
    assert shown == words.tolist()
    if name != "dataset":
        table = pq.read_table(labelled / "sidecar" / "meta" / "advantages_pistar_vf.parquet")
        for column, key in (("value", "value"), ("advantage_continuous", "advantage")):
            parts = [one[key] if key == "value" else one["labels"][key] for _, one in sorted(by_index.items())]
            assert np.concatenate(parts) == pytest.approx(table[column].to_numpy(), abs=1e-4)
        assert episodes(page)[0]["labels"]["threshold"] is not None
        assert [one["disagreement"] for one in episodes(page)] == sorted(
            (one["disagreement"] for one in episodes(page)), reverse=True
        )


def test_without_outcomes_values_are_left_out(report, tiny_dataset, trained_run):
    code, _, err, page = report(tiny_dataset.parent / "raw", "--run", trained_run.config.checkpoint_dir)
    assert code == 0
    assert "neither values nor a verdict are shown: " in err
    assert headings(page) == ["Episodes", "Dataset", "Training"]


def test_outcomes_can_be_named(report, tiny_dataset, trained_run):
    _, _, err, page = report(
        *(tiny_dataset.parent / "raw", "--run", trained_run.config.checkpoint_dir),
        *("--outcome_column", "outcome", "--timeout_as", "failure"),
    )
    assert "Gate" in headings(page), err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--episodes", "9"], r"--episodes: the dataset has no episodes \[9\]"),
        (["--num_episodes", "0"], "--num_episodes: expected at least 1, got 0"),
        (["--labels", "{raw}"], "expected the column 'adv_ind', got none; run `pistar-vf relabel`"),
        (["--labels", "{parquet}"], "expected a sidecar of `pistar-vf relabel`, it lacks "),
        (["--labels", "{text}"], "expected a sidecar of `pistar-vf relabel`, it cannot be read"),
        (["--labels", "{short}"], "expected a row for every frame of .*, in its order, got other frames"),
        (["--labels", "{other}"], "expected the episodes of .*, got others; name a copy of it"),
    ],
)
def test_what_cannot_be_shown(report, tiny_dataset, labelled, tmp_path, words, message):
    from pistar_vf.testing.demo_dataset import write_demo_dataset

    places = {
        "raw": tiny_dataset.parent / "raw",
        "text": tmp_path / "text.parquet",
        "short": tmp_path / "short.parquet",
    }
    places["text"].write_text("not a table")
    sidecar = pq.read_table(labelled / "sidecar" / "meta" / "advantages_pistar_vf.parquet")
    pq.write_table(sidecar.slice(1), places["short"])
    places["parquet"] = load_lerobot(tiny_dataset).episodes[0].parquet
    if "{other}" in words:
        places["other"] = write_demo_dataset(tmp_path / "other", num_episodes=2, image_size=48)
    code, _, err, page = report(tiny_dataset, *(word.format(**places) for word in words))
    assert code == 2
    assert re.search(message, err), err
    assert page is None
