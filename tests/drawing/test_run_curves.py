"""Curves of runs: what is read of `metrics.jsonl`, and what is drawn of it."""

import json

import matplotlib.figure
import numpy as np
import pytest
from PIL import Image

from pistar_vf.cli.main import main
from pistar_vf.drawing.run_curves import draw_own_curves, draw_run_curves, read_metrics
from pistar_vf.errors import ConfigError


def run(folder, *records):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"step": step, "split": split, **values}) for step, split, values in records]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return folder


RECORDS = [
    (10, "train", {"loss": 5.0, "grad_norm": 1.0}),
    (20, "train", {"loss": 4.0, "grad_norm": 1.0}),
    (20, "val", {"loss": 4.5, "mae": 0.3, "mae_images_shuffled": 0.4}),
    (30, "train", {"loss": 9.0, "grad_norm": 1.0}),
    (30, "train", {"loss": 3.0, "grad_norm": 1.0}),
]


def test_of_a_step_that_was_trained_twice_the_later_record_counts(tmp_path):
    metrics = read_metrics(run(tmp_path / "vials", *RECORDS))
    steps, values = metrics.series["train", "loss"]
    assert (metrics.name, steps.tolist(), values.tolist()) == ("vials", [10, 20, 30], [5.0, 4.0, 3.0])
    assert metrics.series["val", "mae"][1].tolist() == [0.3]
    assert metrics.has("mae")
    assert not metrics.has("spearman")


@pytest.fixture
def drawn(monkeypatch):
    """The panels of the figures that are saved: title to [(steps, values, style)]."""
    panels = {}
    saved = matplotlib.figure.Figure.savefig

    def save(figure, *arguments, **options):
        for axes in figure.axes:
            lines = [line for line in axes.lines if len(line.get_xdata())]
            panels[axes.get_title()] = [(line.get_xdata(), line.get_ydata(), line.get_linestyle()) for line in lines]
        saved(figure, *arguments, **options)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", save)
    return panels


def test_a_panel_per_measure_and_a_line_per_split(tmp_path, drawn):
    first = read_metrics(run(tmp_path / "a", *RECORDS))
    second = read_metrics(run(tmp_path / "b", (10, "val", {"spearman": 0.5})))
    path = draw_run_curves([first, second], tmp_path / "out" / "curves.png")
    with Image.open(path) as picture:
        assert picture.size[0] > 900
    assert [title.split(" ")[0] for title in drawn] == ["loss", "error", "rank"]
    train, val = drawn["loss (validation dashed)"]
    np.testing.assert_array_equal(train[1], [5.0, 4.0, 3.0])
    assert (train[2], val[2], val[1].tolist()) == ("-", "--", [4.5])
    assert [line[2] for line in drawn["error of V; dotted: with other frames' images"]] == ["-", ":"]


def test_the_command(tmp_path, drawn, capsys):
    runs = [run(tmp_path / name, *RECORDS) for name in "ab"]
    assert main(["curves", str(runs[0]), str(runs[1] / "metrics.jsonl")]) == 0
    assert capsys.readouterr().out == f"result: {runs[0] / 'curves.png'}\n"
    assert len(drawn["loss (validation dashed)"]) == 4
    assert main(["curves", str(runs[1]), "--output", str(tmp_path / "own.png")]) == 0
    assert (tmp_path / "own.png").is_file()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, r"metrics\.jsonl: expected the metrics\.jsonl of a run, found nothing; name a training directory"),
        ("", r"metrics\.jsonl: expected records, it is empty"),
        ('{"step": 1, "split": "val", "loss": 1}\n{"step": 2\n', r"line 2: expected a record with step and split, got"),
        ("[]\n", r"line 1: expected a record"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path, text, error):
    (tmp_path / "run").mkdir()
    if text is not None:
        (tmp_path / "run" / "metrics.jsonl").write_text(text)
    with pytest.raises(ConfigError, match=error):
        read_metrics(tmp_path / "run")


def test_curves_that_cannot_be_drawn_do_not_end_a_run(tmp_path, caplog):
    draw_own_curves(tmp_path)
    assert f"curves.png was not drawn: {tmp_path}" in caplog.text
    draw_own_curves(run(tmp_path, *RECORDS))
    assert (tmp_path / "curves.png").is_file()


def test_a_run_leaves_its_curves(trained_run):
    with Image.open(trained_run.checkpoint.parent / "curves.png") as picture:
        assert picture.size[0] > 900
