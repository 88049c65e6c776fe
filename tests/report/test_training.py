"""Which runs a page shows the curves of."""

import pytest

from pistar_vf.report.charts import Plot
from pistar_vf.report.training import runs_of, training_section

RECORD = '{"step": 10, "split": "train", "loss": 5.0}\n'


def test_the_run_of_a_checkpoint_once(tmp_path):
    (tmp_path / "vials" / "step_10").mkdir(parents=True)
    (tmp_path / "vials" / "metrics.jsonl").write_text(RECORD)
    runs = runs_of([tmp_path / "vials" / "step_10", tmp_path / "vials"])
    assert [run.name for run in runs] == ["vials"]
    (plot,) = training_section(runs).parts
    assert isinstance(plot, Plot)
    assert plot.lines[0].y.tolist() == [5.0]


@pytest.mark.parametrize("text", [b"", RECORD.encode() + b'{"step": 20, "sp', b"\xff\n"])
def test_records_that_cannot_be_read_are_no_reason_to_lose_a_report(tmp_path, caplog, text):
    (tmp_path / "metrics.jsonl").write_bytes(text)
    assert runs_of([tmp_path]) == []
    assert f"the curves of this run are not shown: {tmp_path / 'metrics.jsonl'}" in caplog.text
    assert "No metrics.jsonl that can be read" in training_section([]).parts[0].text
