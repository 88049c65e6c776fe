"""Where the numbers go: metrics.jsonl, and wandb without ever a prompt."""

import json
import logging
import sys
import types

import pytest

from pistar_vf.testing.tiny import tiny_train_config
from pistar_vf.training.records import Recorder, peak_memory_gib


@pytest.fixture
def wandb(monkeypatch):
    """A stand-in that notes what it is given and has no credentials."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    module = types.ModuleType("wandb")
    module.api = types.SimpleNamespace(api_key=None)
    module.started, module.logged, module.finished = [], [], []
    started = types.SimpleNamespace(
        define_metric=lambda *args, **kwargs: None,
        log=module.logged.append,
        finish=lambda: module.finished.append(True),
    )
    module.init = lambda **kwargs: module.started.append(kwargs) or started
    module.login = lambda *args, **kwargs: pytest.fail("login would prompt")
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def record(folder, **overrides):
    config = tiny_train_config("d", folder, **overrides)
    recorder = Recorder(folder, config.wandb, {**config.as_text(), "dataset_frames": 9})
    recorder.write(2, "train", {"loss": 0.5})
    recorder.write(2, "val", {"loss": 0.75})
    recorder.close()


def test_the_file_has_one_line_per_record_and_grows(tmp_path):
    record(tmp_path)
    record(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [{"step": 2, "split": "train", "loss": 0.5}, {"step": 2, "split": "val", "loss": 0.75}] * 2


def test_disabled_touches_no_wandb(tmp_path, wandb):
    record(tmp_path, wandb_mode="disabled")
    assert wandb.started == []


def test_without_wandb_there_is_a_notice(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "wandb", None)
    record(tmp_path, wandb_mode="online")
    assert "wandb is not installed (pip install 'wandb>=0.18'); metrics go to metrics.jsonl only" in caplog.text


def test_online_without_credentials_is_offline_with_a_notice(tmp_path, wandb, caplog):
    with caplog.at_level(logging.WARNING):
        record(tmp_path, wandb_mode="online")
    assert "wandb has no credentials: logging offline" in caplog.text
    assert wandb.started[0]["mode"] == "offline"


def test_what_wandb_is_given(tmp_path, wandb, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "x")
    flags = {"wandb_project": "p", "wandb_entity": "e", "wandb_run_name": "r", "wandb_tags": "a,b"}
    record(tmp_path, wandb_mode="online", **flags)
    started = wandb.started[0]
    assert {name: started[name] for name in ("project", "entity", "name", "tags", "mode")} == {
        "project": "p",
        "entity": "e",
        "name": "r",
        "tags": ["a", "b"],
        "mode": "online",
    }
    assert started["config"]["dataset_frames"] == 9
    assert wandb.logged == [{"step": 2, "train/loss": 0.5}, {"step": 2, "val/loss": 0.75}]
    assert wandb.finished == [True]


def test_peak_memory_of_this_process_is_plausible():
    """Python with JAX needs between 0.05 and 64 GiB; a wrong unit is off by 1024."""
    assert 0.05 < peak_memory_gib() < 64
