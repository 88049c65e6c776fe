"""docs/results.md holds the figures that benchmarks recorded, and no other."""

import importlib
import json
import re
import sys

import numpy as np
import pytest
from support.places import ROOT

BENCHMARKS = ROOT / "benchmarks"

EXEMPT = (
    r"8 : 1 : 1",  # the split's ratios
    r"\(42\)|\(seed 1\)",  # names of splits
    r"95 % over|loss of 5 % or more|`--peak_lr 2e-3`|`--vqa_weight 0.5`",  # definitions and flags
    r"^\| (40|160|640) \|",  # sizes that the command is given
    r"at 56 px",
    r"median, 95 %, 99 %|\bmp4\b| to v[23]\.\d",
    r"top-[15]|[Ss]tage [12]|\bG1\b|\bAV1\b|\bb?float(16|32)\b|\bx264\b|LeRobot v3\.0",  # names
)
"""Numbers of the template that no run has found."""


@pytest.fixture(scope="module")
def modules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("recording"), importlib.import_module("render_results")
        for name in ("recording", "render_results"):
            sys.modules.pop(name, None)


def test_the_page_is_what_the_records_say(modules):
    recording, render_results = modules
    assert "results.md.in" in {template.name for template in render_results.TEMPLATES}
    for template in render_results.TEMPLATES:
        page = render_results.render(template, recording.read_records())
        assert render_results.page_of(template).read_text(encoding="utf-8") == page, "run benchmarks/render_results.py"


def figures(template: str, placeholder: re.Pattern) -> list[str]:
    """Lines with a number that is none of a record, a command's or exempt."""
    text = re.sub(r"^```.*?^```", "", template, flags=re.MULTILINE | re.DOTALL)
    text = placeholder.sub("", text)
    for pattern in EXEMPT:
        text = re.sub(pattern, "", text, flags=re.MULTILINE)
    return [line for line in re.sub(r"`[^`]*`", "", text).splitlines() if re.search(r"\d", line)]


def test_the_template_holds_no_figure(modules):
    _, render_results = modules
    for template in render_results.TEMPLATES:
        assert figures(template.read_text(encoding="utf-8"), render_results.FIGURE) == []
    assert figures("MAE 0.1 and {{a.b:.2f}}\nfine {{a.c}}\n", render_results.FIGURE) == ["MAE 0.1 and "]


def test_every_record_says_where_it_is_from():
    records = sorted((BENCHMARKS / "results").glob("*.json"))
    assert len(records) > 5
    for path in records:
        about = json.loads(path.read_text(encoding="utf-8"))
        assert {"command", "commit", "date", "machine", "figures"} <= about.keys(), path
        assert all(isinstance(about[key], str) and about[key] for key in ("command", "commit", "date", "machine"))


def test_rendering(modules, tmp_path):
    _, render_results = modules
    records = {
        "a": {"command": "make x", "commit": "c", "date": "d", "machine": "m", "figures": {"b": [{"c": -0.125}]}}
    }
    template = tmp_path / "page.md.in"
    records["other"] = {**records["a"], "figures": {"two words, and more": 2}}
    template.write_text("{{a.b.0.c:.1%}} {{a.b.0.c:.2f}} {{other.two words, and more}}\n{{records:a}}")
    page = render_results.render(template, records)
    assert page.splitlines()[1] == "−12.5 % −0.12 2"
    assert page.splitlines()[-1] == "| a | `make x` | c | d | m |"
    with pytest.raises(KeyError, match=r"a.b.0.d: no such figure in results/a.json"):
        render_results.look_up(records, "a.b.0.d")
    with pytest.raises(KeyError, match=r"b\.x: no such figure in results/b.json"):
        render_results.look_up(records, "b.x")


def test_recording(modules, monkeypatch, tmp_path):
    recording, _ = modules
    monkeypatch.setattr(recording, "RESULTS", tmp_path / "repository" / "benchmarks" / "results")
    (tmp_path / "repository" / "benchmarks").mkdir(parents=True)
    script = tmp_path / "repository" / "benchmarks" / "x.py"
    monkeypatch.setattr(sys, "argv", [str(script), "outputs/x", str(tmp_path / "data"), "--record"])
    path = recording.record("x", {"mae": np.float32(0.123456789), "none": float("nan"), "list": [np.int64(3), "word"]})
    about = recording.read_records(path.parent)["x"]
    assert about["figures"] == {"mae": 0.123457, "none": None, "list": [3, "word"]}
    assert about["command"] == "python benchmarks/x.py outputs/x …/data --record"
    assert about["commit"] == "unknown"
    assert re.fullmatch(r"\d+ CPU cores, \d+ GiB, load [\d.]+", about["machine"])
