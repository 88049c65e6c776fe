"""The whole command on a small dataset: judged first, written after, refused with a reason."""

import dataclasses
import html
import json
import logging
import math
import os
import re
import shutil

import numpy as np
import pytest
from support.folders import contents

from pistar_vf.changes.lock import dataset_lock
from pistar_vf.changes.recovery import undo
from pistar_vf.cli.main import EXIT_GATE_FAILED, EXIT_GATE_NOT_SHOWN, main
from pistar_vf.errors import ConfigError, DatasetError, GateError, GateNotShownError, LabelError
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.lerobot.rewrite import file_metadata
from pistar_vf.relabel import judgement
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.gate import examine
from pistar_vf.relabel.label import KEPT
from pistar_vf.relabel.run import run_relabel
from pistar_vf.relabel.value_folder import dataset_folder
from pistar_vf.relabel.verdict import Criterion, Finding, Verdict
from pistar_vf.relabel.write import PROVENANCE

pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture
def rollouts(tiny_dataset, tmp_path):
    shutil.copytree(tiny_dataset, tmp_path / "rollouts", copy_function=os.link)
    return tmp_path / "rollouts"


@pytest.fixture
def settings(rollouts, trained_run, frame_cache_dir, tmp_path):
    """Relabels with a model of four steps, which no gate lets through."""
    return RelabelConfig.of(
        data_dir=str(rollouts),
        checkpoint_dir=(trained_run.checkpoint,),
        output_dir=tmp_path / "out",
        report_dir=tmp_path / "report",
        cache_dir=frame_cache_dir,
        num_workers=0,
        lookahead=10,
    )


def relabel(settings, **changes):
    return run_relabel(settings.replace(**changes), progress=False)


def test_the_gate_stops_an_untrained_model(settings, rollouts, tmp_path):
    before = contents(rollouts)
    with pytest.raises(GateError, match=r"the gate failed \(V varies.*Nothing was written"):
        relabel(settings)
    assert contents(rollouts) == before
    assert not (tmp_path / "out").exists()
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["verdict"] == "FAILED"
    assert report["passed"] is False
    assert "V varies" in report["failed"]
    page = (tmp_path / "report" / "report.html").read_text()
    assert "gate: FAILED" in page


def test_force_writes_and_says_so(settings, tmp_path, capsys):
    result = relabel(settings, force=True)
    assert result.written == tmp_path / "out"
    written = load_lerobot(tmp_path / "out")
    facts = json.loads(file_metadata(written.episodes[0].parquet)[PROVENANCE])
    assert facts["gate"].startswith("failed and forced: V varies")
    assert re.search(r"; judged on \d+ unseen of \d+ episodes$", facts["gate"])
    assert facts["checkpoints"][0]["name"] == "step_00000004"
    assert len(facts["checkpoints"][0]["sha256"]) == 64
    assert facts["rule"]["lookahead"] == 10
    assert set(facts["thresholds"]) == set(written.prompts)
    words = written.read_column("adv_ind")
    intervention = written.read_column("intervention") == 1
    assert (words[intervention] != "negative").all()
    assert "relabelled dataset: " in capsys.readouterr().out


def test_the_report_shows_what_was_written(settings, tmp_path):
    """Every episode of the page against the dataset that came of it, and the gate's whole evidence."""
    result = relabel(settings, force=True)
    page = result.report.read_text(encoding="utf-8")
    written, source = load_lerobot(tmp_path / "out"), load_lerobot(settings.data_dir)
    words, target = written.read_column("adv_ind"), source.read_column("value_label")
    episodes = json.loads(re.search(r'id="episodes">(.*?)</script>', page)[1])
    assert sorted(one["index"] for one in episodes) == [e.index for e in written.episodes]
    for one in episodes:
        episode = written.episodes[one["index"]]
        own = slice(episode.start, episode.start + episode.length)
        labels = one["labels"]
        assert [labels["words"][word] for word in labels["word"]] == words[own].tolist()
        assert one["target"] == pytest.approx(target[own].tolist(), abs=1e-4)
        assert labels["advantage"] == pytest.approx(result.labels.advantage[own].tolist(), abs=1e-4)
        assert one["disagreement"] == pytest.approx(np.abs(np.subtract(one["value"], one["target"])).mean(), abs=2e-4)
    order = [one["disagreement"] for one in episodes]
    assert order == sorted(order, reverse=True)
    for criterion in result.gate.criteria:
        assert html.escape(criterion.name) in page
        assert html.escape(criterion.found) in page
    for title in ("Measures", "Labels", "Ranking of episodes", "Training", "Dataset"):
        assert f"<h2>{title}</h2>" in page
    assert page.count("<svg") > 5


def open_verdict(*args, **kwargs):
    """One good criterion, and one that is not shown."""
    findings = (Finding("", "a figure", Verdict.PASSED), Finding("task", "another", Verdict.NOT_SHOWN))
    good, open_ = (Criterion(f.where or "good", (f,), "more", "bad", "record more") for f in findings)
    return dataclasses.replace(examine(*args, **kwargs), criteria=(good, open_), num_judged=2, num_episodes=6)


def test_too_little_evidence_stops_with_a_code_of_its_own(settings, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(judgement, "examine", open_verdict)
    with pytest.raises(GateNotShownError, match=r"too little for a verdict \(task\).*Or pass --accept_not_shown"):
        relabel(settings)
    assert not (tmp_path / "out").exists()
    assert "not shown  task  task: another; wanted more" in capsys.readouterr().out
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert (report["verdict"], report["not_shown"], report["passed"]) == ("NOT SHOWN", ["task"], False)
    words = ["relabel", "--data_dir", settings.data_dir, "--checkpoint_dir", str(settings.checkpoint_dir[0])]
    words += ["--output_dir", str(settings.output_dir), "--cache_dir", str(settings.cache_dir), "--num_workers", "0"]
    assert main([*words, "--report_dir", str(settings.report_dir)]) == EXIT_GATE_NOT_SHOWN


def test_too_little_evidence_can_be_accepted_which_is_recorded(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(judgement, "examine", open_verdict)
    relabel(settings, accept_not_shown=True)
    written = load_lerobot(tmp_path / "out")
    facts = json.loads(file_metadata(written.episodes[0].parquet)[PROVENANCE])
    assert facts["gate"] == "not shown and accepted: task; judged on 2 unseen of 6 episodes"


def test_accepting_too_little_evidence_does_not_force_a_failure(settings):
    with pytest.raises(GateError, match="the gate failed"):
        relabel(settings, accept_not_shown=True)


def test_the_horizon_in_frames_and_seconds(settings, rollouts, capsys, caplog):
    """Episodes of this dataset have about 40 frames at 10 fps."""
    caplog.set_level(logging.INFO)
    fifth = math.ceil(np.median([episode.length for episode in load_lerobot(rollouts).episodes]) / 5)
    relabel(settings, dry_run=True, lookahead=None)
    assert f"lookahead: N = {fifth} frames = {fifth / 10:.2f} s at 10 fps" in capsys.readouterr().out
    assert f"N is {fifth} frames, a fifth of the median episode" in caplog.text
    relabel(settings, dry_run=True, lookahead=None, lookahead_seconds=1.5)
    assert "N = 15 frames = 1.50 s" in capsys.readouterr().out
    relabel(settings, dry_run=True, lookahead=None, compat="upstream")
    assert "N = 50 frames" in capsys.readouterr().out


def test_a_dry_run_writes_the_report_only(settings, rollouts, tmp_path, capsys):
    before = contents(rollouts)
    result = relabel(settings, dry_run=True)
    assert result.written is None
    assert result.num_changed > 0
    assert contents(rollouts) == before
    assert not (tmp_path / "out").exists()
    assert f"adv_ind: {result.num_changed:,} of " in capsys.readouterr().out


def test_in_place_twice_and_back(settings, rollouts):
    before = contents(rollouts)
    in_place = settings.replace(output_dir=None, in_place=True, force=True)
    assert relabel(in_place).num_changed > 0
    after = contents(rollouts)
    assert after != before
    assert relabel(in_place).num_changed == 0  # the same labels from the same source
    assert contents(rollouts) == after
    undo(rollouts)
    assert contents(rollouts) == before


def test_another_share_computes_no_values(settings, monkeypatch):
    first = relabel(settings, dry_run=True)
    monkeypatch.setattr("pistar_vf.relabel.values.FramePredictor", None)
    second = relabel(settings, dry_run=True, top_percent=60.0, estimator="gae")
    assert (second.labels.code != first.labels.code).any()


def test_abstaining(settings):
    plain, careful = relabel(settings, dry_run=True), relabel(settings, dry_run=True, abstain=0.45)
    changed = careful.labels.code != plain.labels.code
    assert changed.any()
    assert (careful.labels.code[changed] == 0).all()


def test_upstreams_labels(settings, rollouts):
    result = relabel(settings, dry_run=True, compat="upstream", top_percent=30.0)
    dataset = load_lerobot(rollouts)
    again = relabel(settings, dry_run=True, compat="upstream", top_percent=30.0)
    np.testing.assert_array_equal(result.labels.code, again.labels.code)
    assert (result.labels.code != KEPT).all()
    autonomous = dataset.read_column("intervention") == 0
    # Ties aside, 30 % of the autonomous frames; the numbers themselves are in test_upstream.py.
    share = (result.labels.code[autonomous] == 2).mean()
    assert share == pytest.approx(0.3, abs=0.01)


def test_both_at_once_is_refused_by_name(settings, rollouts):
    """The second of two that compute values of one dataset."""
    folder = dataset_folder(load_lerobot(rollouts), settings.cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with dataset_lock(folder, "values"), pytest.raises(DatasetError, match=rf"@.*process {os.getpid()}"):
        relabel(settings)


def test_two_in_place_at_once_is_refused_by_name(settings, rollouts):
    with dataset_lock(rollouts, "relabel"), pytest.raises(DatasetError, match=rf"@.*process {os.getpid()}"):
        relabel(settings, output_dir=None, in_place=True, force=True)


def test_an_output_that_exists_is_refused_before_anything_is_computed(settings, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").touch()
    monkeypatch.setattr(judgement, "load_scoring_models", None)
    with pytest.raises(DatasetError, match="expected a new or empty output folder"):
        relabel(settings)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"in_place": True}, ConfigError, "--in_place: expected no --output_dir"),
        ({"top_percent": 0.0}, ConfigError, "--top_percent"),
        (
            {"compat": "upstream", "estimator": "gae", "takeover_frames": 5},
            ConfigError,
            "got --estimator, --takeover_frames, which upstream's rule does not have",
        ),
        ({"lookahead_seconds": 1.0}, ConfigError, r"got both \(10 frames and 1 s\)"),
        ({"lookahead": None, "lookahead_seconds": 0.0}, ConfigError, "--lookahead_seconds: expected a number above 0"),
        ({"still_tolerance": -0.1}, ConfigError, "--still_tolerance: expected 0 or more"),
        ({"right_wrist_image_col": "observation.images.front"}, ConfigError, "pictures it never saw"),
        ({"copy_wrist_to_right": True}, ConfigError, r"right_wrist_0_rgb \(--copy_wrist_to_right\)"),
        ({"base_image_col": "image"}, DatasetError, r"it lacks base_0_rgb \('image'\)"),
        ({"human_col": "frame_index"}, LabelError, "expected 0 or 1 in every frame"),
        ({"reward_col": "rewards"}, LabelError, "no reward column 'rewards'"),
        ({"outcome": "success"}, LabelError, "outcome"),
    ],
)
def test_what_cannot_work_is_refused(settings, rollouts, changes, error, message):
    before = contents(rollouts)
    with pytest.raises(error, match=message):
        relabel(settings, **changes)
    assert contents(rollouts) == before


def test_the_command_and_its_exit_code(settings, capsys):
    words = ["relabel", "--data_dir", settings.data_dir, "--checkpoint_dir", str(settings.checkpoint_dir[0])]
    words += ["--output_dir", str(settings.output_dir), "--cache_dir", str(settings.cache_dir), "--lookahead", "10"]
    words += ["--report_dir", str(settings.report_dir), "--num_workers", "0"]
    assert main(words) == EXIT_GATE_FAILED
    assert "error: the gate failed" in capsys.readouterr().err
    assert main([*words, "--force"]) == 0
    written, report = capsys.readouterr().out.splitlines()[-2:]
    assert written == f"relabelled dataset: {settings.output_dir}"
    assert report == f"report: {settings.report_dir / 'report.html'} (open it in a browser)"


def test_both_layouts_of_a_dataset_get_the_same_labels(settings, tiny_dataset, tiny_dataset_v30):
    found = [
        relabel(settings, data_dir=str(data_dir), output_dir=settings.output_dir / name, force=True)
        for name, data_dir in (("v21", tiny_dataset), ("v30", tiny_dataset_v30))
    ]
    np.testing.assert_array_equal(found[0].labels.advantage, found[1].labels.advantage)
    words = [load_lerobot(result.written).read_column("adv_ind") for result in found]
    assert words[0].tolist() == words[1].tolist()


def test_out_of_fold(settings, trained_run, monkeypatch):
    """Two copies of one model that claim to know one half of the episodes each."""
    original = judgement.load_scoring_models

    def halves(checkpoints, dataset, **options):
        (model,) = original(checkpoints[:1], dataset, **options)
        indices = [episode.index for episode in dataset.episodes]
        first, second = frozenset(indices[::2]), frozenset(indices[1::2])
        known = dataclasses.replace(model, episodes=second, trained_on=first)
        return known, dataclasses.replace(model, episodes=first, trained_on=second)

    together = relabel(settings, dry_run=True)
    monkeypatch.setattr(judgement, "load_scoring_models", halves)
    apart = relabel(settings, dry_run=True, checkpoint_dir=(trained_run.checkpoint,) * 2)
    np.testing.assert_allclose(apart.labels.advantage, together.labels.advantage, atol=1e-6)


def test_an_ensemble_has_seen_what_one_of_its_models_has(rollouts, trained_run):
    dataset = load_lerobot(rollouts)
    (model,) = judgement.load_scoring_models([trained_run.checkpoint], dataset)
    first, other = (dataclasses.replace(model, trained_on=frozenset(trained)) for trained in ((0, 1), (1, 2)))
    alone, both = (judgement._seen(dataset, rounds) for rounds in (((first,),), ((first,), (other,))))
    assert np.flatnonzero(alone).tolist() == [0, 1]
    assert np.flatnonzero(both).tolist() == [0, 1, 2]
