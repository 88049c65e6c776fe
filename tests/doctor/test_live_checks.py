"""Live checks, each with what it stands on broken. Oracle: the damage done by hand."""

import types
from pathlib import Path

import numpy as np
import pytest

from pistar_vf import tokenizer
from pistar_vf.checkpoints import orbax_tree
from pistar_vf.doctor import media_checks
from pistar_vf.doctor.examination import LIVE_CHECKS, run_check
from pistar_vf.errors import DatasetError, VideoError
from pistar_vf.frames.settings import cache_root
from pistar_vf.lerobot import parquet
from pistar_vf.lerobot.metadata import find_dataset
from pistar_vf.video import decoding

CHECKS = {check.name: check for check in LIVE_CHECKS}
INSTALLED = {"av": "18.1.0", "orbax-checkpoint": "0.12.8", "sentencepiece": "0.2.3"}


def found(name):
    return run_check(CHECKS[name], INSTALLED)


def raiser(error):
    def raise_it(*args, **kwargs):
        raise error

    return raise_it


@pytest.mark.parametrize("name", [name for name in CHECKS if not name.endswith("cache")])
def test_all_is_well(name):
    finding = found(name)
    assert (finding.name, finding.state, finding.fix) == (name, "ok", "")
    assert finding.detail


# --- what computes ---------------------------------------------------------------------------------------------


def test_a_wrong_matrix_product(monkeypatch):
    import jax.numpy as jnp

    exact = jnp.matmul
    monkeypatch.setattr(jnp, "matmul", lambda a, b: exact(a, b) * (1.2 if a.dtype == jnp.bfloat16 else 1.0))
    finding = found("accelerator")
    assert finding.state == "failed"
    assert finding.detail.startswith("ValueError: a matrix product in bfloat16 is off by 2.")
    assert finding.fix == "update the driver, or export JAX_PLATFORMS=cpu"


def test_a_product_that_is_nan(monkeypatch):
    import jax.numpy as jnp

    monkeypatch.setattr(jnp, "matmul", lambda a, b: a * jnp.nan)
    assert "a matrix product in float32 is off by nan" in found("accelerator").detail


def test_a_wrong_sum_over_all_devices(monkeypatch):
    import jax.numpy as jnp

    monkeypatch.setattr(jnp, "sum", jnp.max)
    finding = found("all devices")
    assert finding.state == "failed"
    assert finding.detail.startswith("ValueError: a sum over ")
    assert finding.fix == "export CUDA_VISIBLE_DEVICES=0 to use one"


def test_a_checkpoint_that_cannot_be_written(monkeypatch):
    monkeypatch.setattr(orbax_tree, "write_tree", raiser(TypeError("no context manager\nsecond line")))
    finding = found("checkpoint")
    assert (finding.state, finding.detail) == ("failed", "TypeError: no context manager")
    assert finding.fix == "pip install --force-reinstall --no-deps 'orbax-checkpoint==0.12.8'"


def test_a_checkpoint_that_comes_back_changed(monkeypatch):
    monkeypatch.setattr(orbax_tree, "read_tree", lambda path, shapes: {"large": np.zeros(3, np.float32)})
    assert found("checkpoint").detail == "ValueError: the large array came back changed"


# --- what reads a dataset --------------------------------------------------------------------------------------


def test_a_video_that_cannot_be_decoded(monkeypatch):
    monkeypatch.setattr(decoding, "decode_video", raiser(VideoError("cannot be decoded")))
    for name in ("video", "AV1 video"):
        finding = found(name)
        assert (finding.state, finding.detail) == ("failed", "VideoError: cannot be decoded")
        assert finding.fix == "pip install --force-reinstall --no-deps 'av==18.1.0'"


def test_frames_in_each_others_places(monkeypatch):
    decode = decoding.decode_video
    monkeypatch.setattr(decoding, "decode_video", lambda *args, **kwargs: list(decode(*args, **kwargs))[::-1])
    assert "expected the frames that were encoded, got others: 160." in found("video").detail


def test_an_ffmpeg_without_x264(monkeypatch):
    import av

    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    assert "5 frames through mpeg4" in found("video").detail


@pytest.mark.parametrize(
    ("codecs", "state", "detail"),
    [
        ({"av1", "libsvtav1"}, "failed", "this PyAV was built without libdav1d and libaom"),
        ({"av1", "libdav1d"}, "ok", "decoder libdav1d; not tried, as there is no encoder here"),
    ],
)
def test_an_ffmpeg_without_av1(codecs, state, detail, monkeypatch):
    import av

    monkeypatch.setattr(av, "codecs_available", codecs)
    finding = found("AV1 video")
    assert (finding.state, finding.detail) == (state, detail)
    assert ("--only-binary av av" in finding.fix) == (state == "failed")


def test_tables_that_cannot_be_read(monkeypatch):
    monkeypatch.setattr(parquet, "read_parquet_table", raiser(DatasetError("corrupt")))
    finding = found("tables")
    assert (finding.state, finding.detail, finding.fix) == ("failed", "DatasetError: corrupt", "pip install pyarrow")


def test_tables_that_come_back_changed(monkeypatch):
    read = parquet.read_parquet_table
    monkeypatch.setattr(parquet, "read_parquet_table", lambda path: read(path).slice(1))
    assert found("tables").detail == "ValueError: a table came back changed"


def test_a_tokenizer_that_cannot_be_trained(monkeypatch):
    monkeypatch.setattr(tokenizer, "train_prompt_tokenizer", raiser(RuntimeError()))
    finding = found("tokenizer")
    assert (finding.state, finding.detail) == ("failed", "RuntimeError")
    assert finding.fix == "pip install --force-reinstall --no-deps 'sentencepiece==0.2.3'"


def test_a_tokenizer_that_loses_text(monkeypatch):
    monkeypatch.setattr(tokenizer.PromptTokenizer, "decode", lambda self, ids: "put")
    assert "got 'put'" in found("tokenizer").detail


# --- folders ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "variable", "state"),
    [("frame cache", "PISTAR_VF_CACHE", "failed"), ("LeRobot cache", "HF_LEROBOT_HOME", "warning")],
)
def test_folders(name, variable, state, tmp_path, monkeypatch):
    monkeypatch.setenv(variable, str(tmp_path / "not" / "yet"))
    usage = types.SimpleNamespace(free=10 * 2**30)
    monkeypatch.setattr(media_checks.shutil, "disk_usage", lambda path: usage)
    finding = found(name)
    assert (finding.state, finding.detail) == ("ok", f"{tmp_path / 'not' / 'yet'} (not made yet): 10.0 GiB free")
    assert list(tmp_path.iterdir()) == []

    usage.free = 2**30
    finding = found(name)
    assert (finding.state, finding.detail[-14:]) == ("warning", ": 1.0 GiB free")
    assert finding.fix.startswith(f"export {variable}=<")

    (tmp_path / "not").touch()  # a file where a folder should be; permissions do not stop root
    finding = found(name)
    assert finding.state == state
    assert finding.detail.endswith("GiB free, but cannot be written: Not a directory")
    assert finding.fix.startswith(f"export {variable}=<")


def test_a_folder_that_cannot_be_asked(monkeypatch):
    monkeypatch.setattr(media_checks.shutil, "disk_usage", raiser(OSError("stale handle")))
    finding = found("frame cache")
    assert (finding.state, finding.detail) == ("failed", "OSError: stale handle")
    assert finding.fix == "export PISTAR_VF_CACHE=<another folder>"


@pytest.mark.parametrize("variables", [{"HF_LEROBOT_HOME": "a"}, {"HF_HOME": "b"}, {}])
def test_the_folders_are_those_the_library_uses(variables, tmp_path, monkeypatch):
    for name in ("HF_LEROBOT_HOME", "HF_HOME", "PISTAR_VF_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, folder in variables.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    dataset = Path(found("LeRobot cache").detail.split(" (not made yet)")[0], "org", "name")
    dataset.mkdir(parents=True)
    assert find_dataset("org/name") == dataset
    assert found("frame cache").detail.startswith(f"{cache_root(None)} ")
