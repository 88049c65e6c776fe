"""The documented row RESOURCE_EXHAUSTED, provoked: a step that needs more memory than the process may take."""

import os
import subprocess
import sys

import pytest
from support.places import ROOT

WORDS = "--preset tiny --batch_size 1024 --num_train_steps 2 --val_fraction 0 --val_interval 0"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, and needs a limit of the address space")
def test_a_step_that_does_not_fit(tiny_dataset, tmp_path):
    places = ["--data_dir", tiny_dataset, "--checkpoint_dir", tmp_path / "run", "--cache_dir", tmp_path / "cache"]
    script = ROOT / "tests" / "support" / "little_memory.py"
    command = [sys.executable, script, *map(str, places), *WORDS.split(), "--num_workers", "0"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert run.returncode == 2, run.stderr
    assert "JIT编译完成" in run.stderr
    message = run.stderr[run.stderr.index("error: ") :]
    assert "expected the run to fit into the accelerator's memory, got: " in message
    assert "Out of memory" in message
    for advice in ("nvidia-smi", "--batch_size", "--freeze_mode all_backbones", "--remat", "--fsdp_devices"):
        assert advice in message
    assert "Traceback" not in message
    assert not list((tmp_path / "run").glob("step_*"))
