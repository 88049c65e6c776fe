"""Two processes, started by a launcher or by flags, give what one gives, and speak once."""

import itertools
import json
import logging
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from support.places import ROOT

from pistar_vf import launch, multihost
from pistar_vf.checkpoints.orbax_tree import read_arrays, tree_metadata
from pistar_vf.cli.train import join_quietly
from pistar_vf.errors import ConfigError
from pistar_vf.params import flatten
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.training import engine

FLAGS = {
    "preset": "tiny",
    "image_size": 28,
    "batch_size": 4,
    "num_train_steps": 2,
    "val_interval": 1,
    "save_interval": 1,
    "num_workers": 0,
}


def free_port() -> int:
    """A port whose upper neighbour, JAX's, is free as well."""
    for _ in range(50):
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            try:
                other.bind(("127.0.0.1", one.getsockname()[1] + 1))
            except OSError:
                continue
            return one.getsockname()[1]
    raise AssertionError("no two neighbouring free ports")


def start(data_dir, folder, cache_dir, environment, *bare, before="", **changes):
    """A training in a process of its own: with flags that take no value, and code to run before the command."""
    words = {**FLAGS, **changes, "data_dir": data_dir, "checkpoint_dir": folder, "cache_dir": cache_dir}
    flags = [word for name, value in words.items() for word in (f"--{name}", str(value))]
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", **environment}
    code = f"import sys; {before}from pistar_vf.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "train", *flags, "--no_augment", *bare]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def start_two_without_end(data_dir, run, cache_dir):
    """Two processes of a run that is too long to end, once it has logged a step."""
    job = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    endless = {"num_train_steps": 100_000, "val_interval": 0, "save_interval": 100_000, "log_interval": 1}
    both = [
        start(data_dir, run, cache_dir, {**job, "RANK": str(rank), "LOCAL_RANK": str(rank)}, **endless)
        for rank in range(2)
    ]
    wait_until(lambda: (run / "metrics.jsonl").is_file() and (run / "metrics.jsonl").read_text(), both)
    return both


def finish(process) -> str:
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    return out


def wait_until(condition, processes, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        assert [process.poll() for process in processes] == [None, None], [p.stdout.read() for p in processes]
        time.sleep(0.1)


def as_a_launcher_does(rank: int, port: int, count: int = 2) -> tuple[dict[str, str], dict[str, object]]:
    """(environment, flags) of a process of `accelerate launch` or `torchrun`."""
    job = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return {**job, "RANK": str(rank), "LOCAL_RANK": str(rank)}, {}


def by_flags(rank: int, port: int, count: int = 2) -> tuple[dict[str, str], dict[str, object]]:
    return {}, {"coordinator": f"127.0.0.1:{port}", "num_processes": count, "process_id": rank}


def losses(commands, environments) -> list[str]:
    """What `joined_process.py` prints, one process for each (environment, words)."""
    program = ROOT / "tests" / "support" / "joined_process.py"
    quick = {**os.environ, "JAX_PLATFORMS": "cpu"}
    processes = [
        subprocess.Popen(
            [sys.executable, program, *words],
            env={**quick, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for environment, words in zip(environments, commands, strict=True)
    ]
    return [finish(process) for process in processes]


@pytest.mark.parametrize(
    ("how", "count"),
    [
        (as_a_launcher_does, 2),
        (by_flags, 2),
        pytest.param(as_a_launcher_does, 8, marks=pytest.mark.slow),
        pytest.param(by_flags, 8, marks=pytest.mark.slow),
    ],
)
def test_several_processes_give_the_losses_of_one(how, count):
    """Each has its share of every batch; the first one alone prints, and each says that it is there."""
    port = free_port()
    started = [how(rank, port, count) for rank in range(count)]
    words = [[str(value) for value in flags.values()] for _, flags in started]
    outputs = losses(words, [environment for environment, _ in started])
    (alone,) = losses([[]], [{}])
    found = [[line for line in text.splitlines() if line.startswith("losses:")] for text in (alone, *outputs)]
    assert [len(lines) for lines in found] == [1, 1, *[0] * (count - 1)]
    one, two = (json.loads(lines[0].removeprefix("losses:")) for lines in found[:2])
    assert two == pytest.approx(one, rel=1e-5)
    assert len(set(one)) == 4
    for rank, text in enumerate(outputs):
        assert f"process {rank} of {count}, 1 device(s) here" in text
    assert "process " not in alone


@pytest.mark.slow
@pytest.mark.parametrize("how", [as_a_launcher_does, by_flags])
def test_two_processes_give_the_checkpoint_of_one(how, tiny_dataset, frame_cache_dir, tmp_path):
    finish(start(tiny_dataset, tmp_path / "one", frame_cache_dir, {}))
    port = free_port()
    jobs = [how(rank, port) for rank in range(2)]
    processes = [
        start(tiny_dataset, tmp_path / "two", frame_cache_dir, environment, **flags) for environment, flags in jobs
    ]
    outputs = [finish(process) for process in processes]
    for rank, output in enumerate(outputs):
        assert f"process {rank} of 2, 1 device(s) here" in output
        assert ("local_batch_size: 2" in output) == (rank == 0)
    places = ("one", "two")
    for step in ("step_00000001", "step_00000002"):
        one, two = (flatten(read_arrays(path, tree_metadata(path))) for path in (tmp_path / n / step for n in places))
        assert one.keys() == two.keys()
        # Adam divides by the gradient's size: where that is nearly 0, rounding decides; the rate is below 1e-3.
        close = [np.mean(np.abs(np.asarray(one[name]) - np.asarray(two[name])) < 1e-5) for name in one]
        assert min(close) > 0.9, step
        assert (tmp_path / "two" / "train_state" / step / "position.json").is_file()
    validated = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines() if '"val"' in line]
        for name in ("one", "two")
    ]
    for one, two in zip(*validated, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-3)
        assert two["mae"] == pytest.approx(one["mae"], abs=1e-3)
    best = [sorted(path.name for path in (tmp_path / name / "best").glob("step_*")) for name in ("one", "two")]
    assert best[0] == best[1] != []


@pytest.mark.parametrize("text", ["UNKNOWN: Gloo all-reduce failed: Connection reset by peer", "heartbeat timeout"])
def test_a_lost_process_ends_the_others(monkeypatch, capsys, text):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    multihost.end_where_others_are_lost(RuntimeError(text))
    assert ended == [1]
    message = capsys.readouterr().err
    assert message.startswith(f"error: process 0 of 2 lost another one of this job ({text})")
    assert "--resume_from_checkpoint latest" in message


@pytest.mark.parametrize(("count", "text"), [(1, "Connection reset by peer"), (2, "RESOURCE_EXHAUSTED: 3 GiB")])
def test_other_errors_end_nobody(monkeypatch, count, text):
    monkeypatch.setattr(os, "_exit", lambda code: pytest.fail("ended"))
    monkeypatch.setattr(jax, "process_count", lambda: count)
    multihost.end_where_others_are_lost(RuntimeError(text))


@pytest.mark.slow
def test_the_first_process_ends_when_the_second_is_killed(tiny_dataset, frame_cache_dir, tmp_path):
    run = tmp_path / "run"
    both = start_two_without_end(tiny_dataset, run, frame_cache_dir)
    both[1].kill()
    output, _ = both[0].communicate(timeout=60)
    assert both[0].returncode == 1, output
    assert "error: process 0 of 2 lost another one of this job" in output


@pytest.mark.slow
def test_features_of_weights_that_two_processes_share(tiny_dataset, frame_cache_dir, tmp_path):
    """One fills the table while the other waits. Leaves of this size are shared only if the least one is nought."""
    shared = "import pistar_vf.sharding as s; s.state_sharding.__defaults__ = (0,); "
    port, bare = free_port(), ("--cache_features", "--allow_random_towers")
    both = [
        start(
            *(tiny_dataset, tmp_path / "run", tmp_path / "cache", environment, *bare),
            **{**flags, "before": shared, "freeze_mode": "siglip_only", "fsdp_devices": 2},
        )
        for environment, flags in (by_flags(rank, port) for rank in range(2))
    ]
    for process in both:
        finish(process)
    tables = [path.read_bytes() for path in (tmp_path / "cache").glob("features/*/done.u8")]
    assert len(tables) == 2  # of two cameras
    assert {flag for table in tables for flag in table} == {1}


@pytest.mark.slow
def test_one_process_goes_on_where_two_were(tiny_dataset, frame_cache_dir, tmp_path):
    """From the first of two steps; both ends are the same run's."""
    port = free_port()
    both = [
        start(tiny_dataset, tmp_path / "two", frame_cache_dir, environment, **flags)
        for environment, flags in (by_flags(rank, port) for rank in range(2))
    ]
    for process in both:
        finish(process)
    shutil.copytree(tmp_path / "two", tmp_path / "one")
    for last in (tmp_path / "one").rglob("step_00000002"):
        shutil.rmtree(last)
    finish(start(tiny_dataset, tmp_path / "one", frame_cache_dir, {}, resume_from_checkpoint="step_00000001"))
    paths = (tmp_path / name / "step_00000002" for name in ("one", "two"))
    one, two = (flatten(read_arrays(path, tree_metadata(path))) for path in paths)
    assert one.keys() == two.keys()
    close = [np.mean(np.abs(np.asarray(one[name]) - np.asarray(two[name])) < 1e-5) for name in one]
    assert min(close) > 0.9  # see above


def documented_line(**places) -> list[str]:
    """The words of docs/training.md's accelerate line, on two processes and with a run of two small steps."""
    text = (ROOT / "docs" / "training.md").read_text()
    (block,) = re.findall(r"```sh\n(accelerate launch .*?)```", text, re.DOTALL)
    words = shlex.split(block.replace("\\\n", " "))
    assert "--num_processes=8" in words
    words = ["--num_processes=2" if word == "--num_processes=8" else word for word in words]
    words = words[: words.index("--load_pretrained")]
    for flag, value in places.items():
        words[words.index(f"--{flag}") + 1] = str(value)
    return words


@pytest.mark.slow
@pytest.mark.parametrize("asked", [0, 1])
def test_one_process_that_is_asked_to_stop_stops_all(tiny_dataset, frame_cache_dir, tmp_path, asked):
    """Both save the same step and end as one does; neither waits for the other for ever."""
    run = tmp_path / "run"
    processes = start_two_without_end(tiny_dataset, run, frame_cache_dir)
    processes[asked].send_signal(signal.SIGINT)
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [130, 130], outputs
    (checkpoint,) = run.glob("step_*")
    step = int(checkpoint.name.removeprefix("step_"))
    assert 0 < step < 100_000
    assert step % engine._STOP_INTERVAL == 0
    assert f"stopped at step {step}" in outputs[0]


@pytest.mark.slow
def test_the_documented_accelerate_line(tiny_dataset, frame_cache_dir, tmp_path):
    """Every line that is printed once comes once: from the first process."""
    accelerate = Path(sys.executable).with_name("accelerate")
    if not accelerate.is_file():
        pytest.skip(f"accelerate is not installed beside {sys.executable}")
    places = {"data_dir": tiny_dataset, "checkpoint_dir": tmp_path / "run", "batch_size": 4, "num_train_steps": 2}
    small = {**FLAGS, "cache_dir": frame_cache_dir}
    words = documented_line(**places) + [w for k, v in small.items() if k not in places for w in (f"--{k}", str(v))]
    launch = [str(accelerate), words[1], "--main_process_port", str(free_port()), *words[2:], "--no_augment"]
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    run = subprocess.run(launch, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    output = run.stdout + run.stderr
    assert run.returncode == 0, output
    assert (tmp_path / "run" / "step_00000002").is_dir()
    assert sum("process " in line and " of 2, 1 device(s) here" in line for line in output.splitlines()) == 2
    for once in ("local_batch_size: 2", "数据集大小", "value targets:", "训练完成!", "result: "):
        assert output.count(once) == 1, once


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        (
            ("10.0.0.1:12345", 2, None),
            r"--coordinator host:port, --num_processes and --process_id together.*--process_id",
        ),
        ((None, 2, None), "got none for --coordinator and --process_id"),
        (("10.0.0.1", 2, 0), "--coordinator 10.0.0.1: expected host:port"),
        (("10.0.0.1:1", 2, 2), "--process_id 2: expected a number from 0 to 1"),
    ],
)
def test_flags_that_describe_no_job_are_refused(flags, match):
    with pytest.raises(ConfigError, match=match):
        launch.job_of_flags(*flags)


def test_a_launcher_has_its_port_for_itself(monkeypatch):
    environment, _ = as_a_launcher_does(1, 29_500)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launch.job_of_environment() == launch.Job("127.0.0.1:29501", 2, 1, local_device=1)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert launch.job_of_environment() is None


def test_flags_come_before_the_environment(monkeypatch):
    for name, value in as_a_launcher_does(1, 29_500)[0].items():
        monkeypatch.setenv(name, value)
    flags = {"coordinator": "10.0.0.1:7", "num_processes": 3, "process_id": 0}
    config = TrainConfig.of(data_dir="d", checkpoint_dir=Path("c"), **flags)
    assert join_quietly(config) == launch.Job("10.0.0.1:7", 3, 0)


def test_what_is_said_once_is_said_by_the_first(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "0")
    before = logging.getLogger().level
    try:
        with warnings.catch_warnings():
            launch.be_quiet_unless_first(launch.Job("10.0.0.1:7", 2, 1))
        print("said")
        assert os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1"
        assert not logging.getLogger("pistar_vf.recipes.run").isEnabledFor(logging.WARNING)
        assert logging.getLogger("pistar_vf.recipes.run").isEnabledFor(logging.ERROR)
    finally:
        logging.getLogger().setLevel(before)
    assert capsys.readouterr().out == ""


def test_alone_nobody_waits():
    multihost.wait_for_all("here")


def test_one_place_may_be_waited_at_again(monkeypatch):
    """JAX's coordinator takes each name once; folds wait at one place once per fold."""
    names = []
    client = SimpleNamespace(wait_at_barrier=lambda name, timeout_in_ms: names.append(name))
    monkeypatch.setattr(multihost.distributed.global_state, "client", client)
    for _ in range(3):
        multihost.wait_for_all("here")
    assert len(set(names)) == 3
    assert all(name.startswith("here ") for name in names)


def test_alone_the_answer_is_ones_own():
    assert multihost.any_process(True, "stop")
    assert not multihost.any_process(False, "stop")


def test_what_one_process_says_all_hear(monkeypatch):
    """Process 1 says yes to the second of four questions; its yes is not heard again at the later ones."""
    said = {}

    def barrier(name, timeout_in_ms):
        if len(answers) == 1:
            said["pistar_vf/stop/1/1"] = "yes"

    client = SimpleNamespace(
        wait_at_barrier=barrier,
        key_value_set=said.__setitem__,
        key_value_dir_get=lambda place: [pair for pair in said.items() if pair[0].startswith(place)],
    )
    monkeypatch.setattr(multihost.distributed.global_state, "client", client)
    monkeypatch.setattr(multihost, "_questions", itertools.count())
    answers = []
    for own in (False, False, False, True):
        answers.append(multihost.any_process(own, "stop"))
    assert answers == [False, True, False, True]
