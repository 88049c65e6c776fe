"""Two processes, started as `accelerate launch` starts them, give the checkpoint that one gives."""

import os
import socket
import subprocess
import sys

import numpy as np
import orbax.checkpoint as ocp
import pytest

from pistar_vf.params import flatten

FLAGS = {
    "preset": "tiny",
    "image_size": 28,
    "batch_size": 4,
    "num_train_steps": 2,
    "val_interval": 0,
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


def start(data_dir, folder, cache_dir, environment):
    words = {**FLAGS, "data_dir": data_dir, "checkpoint_dir": folder, "cache_dir": cache_dir}
    flags = [word for name, value in words.items() for word in (f"--{name}", str(value))]
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", **environment}
    code = "import sys; from pistar_vf.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "train", *flags, "--no_augment"]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process) -> str:
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    return out


@pytest.mark.slow
def test_two_processes_give_the_checkpoint_of_one(tiny_dataset, frame_cache_dir, tmp_path):
    finish(start(tiny_dataset, tmp_path / "one", frame_cache_dir, {}))
    job = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    processes = [
        start(tiny_dataset, tmp_path / "two", frame_cache_dir, {**job, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
    outputs = [finish(process) for process in processes]
    for rank, output in enumerate(outputs):
        assert f"process {rank} of 2, 1 device(s) here" in output
        assert "local_batch_size: 2" in output
    for step in ("step_00000001", "step_00000002"):
        one, two = (flatten(ocp.PyTreeCheckpointer().restore(str(tmp_path / n / step))) for n in ("one", "two"))
        assert one.keys() == two.keys()
        # Adam divides by the gradient's size: where that is nearly 0, rounding decides; the rate is below 1e-3.
        close = [np.mean(np.abs(np.asarray(one[name]) - np.asarray(two[name])) < 1e-5) for name in one]
        assert min(close) > 0.9, step
        assert (tmp_path / "two" / "train_state" / step / "position.json").is_file()
