"""What was compiled once is found by the next command."""

import os
import subprocess
import sys
from types import SimpleNamespace

import jax
import pytest

from pistar_vf.cli import programs

PROGRAM = """
import logging, sys
from pathlib import Path
import jax
from pistar_vf.cli.programs import keep_programs
keep_programs(Path(sys.argv[1]))
print(jax.config.jax_compilation_cache_dir)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
print(jax.jit(lambda x: (x * x).sum())(jax.numpy.arange(8.0)))
"""


def run(folder, **environment):
    env = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    return subprocess.run(
        command, env={**env, **environment}, capture_output=True, text=True, check=True
    ).stdout.split()


@pytest.mark.skipif(jax.__version_info__ < (0, 6), reason="this JAX runs programs from its cache wrongly")
def test_programs_are_kept_and_found_again(tmp_path):
    place, result = run(tmp_path)
    assert place.startswith(str(tmp_path / "programs"))
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*-cache")}
    assert files
    assert run(tmp_path) == [place, result]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*-cache")} == files


def test_another_cache_is_left_alone(tmp_path):
    place, _ = run(tmp_path / "ours", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "theirs"))
    assert place == str(tmp_path / "theirs")
    assert not (tmp_path / "ours").exists()


def test_a_jax_that_runs_kept_programs_wrongly_gets_none(monkeypatch, tmp_path):
    updates = []
    config = SimpleNamespace(jax_compilation_cache_dir=None, update=lambda *pair: updates.append(pair))
    monkeypatch.setattr(programs, "jax", SimpleNamespace(config=config, __version_info__=(0, 5, 3)))
    programs.keep_programs(tmp_path)
    assert updates == []
    monkeypatch.setattr(programs, "jax", SimpleNamespace(config=config, __version_info__=(0, 10, 2)))
    programs.keep_programs(tmp_path)
    assert [name for name, _ in updates] == [
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
    ]


def test_processors_with_other_instructions_keep_other_programs(tmp_path):
    facts = tmp_path / "cpuinfo"
    found = []
    for text in ("flags : avx2\nbogomips : 1\n", "flags : avx2\nbogomips : 2\n", "flags : avx2 avx512f\n"):
        facts.write_text(text)
        found.append(programs.processor_digest(facts))
    assert found[0] == found[1] != found[2]
    assert programs.processor_digest(tmp_path / "none") == programs.processor_digest(tmp_path / "none")
