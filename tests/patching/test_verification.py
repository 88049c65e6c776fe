"""Running the stages. Oracle: Python's own errors in the small fork, which runs in processes of its own."""

import functools
import sys
from pathlib import Path

import pytest
from support.forks import patch

from pistar_vf.patching import verification
from pistar_vf.patching.patch_file import load_patches
from pistar_vf.patching.verification import STAGES, Stage, fork_python, verify

PATCHES = load_patches()
OPEN = "import runpy; runpy.run_path('scripts/label_advantage_from_vlm.py')['_build_inference_dataset'](data_dir='/episodes')"  # noqa: E501
SMALL = (STAGES[0], Stage("train", ("scripts/train_value.py", "/episodes", "1")), Stage("label", ("-c", OPEN)))
"""The scripts of the small fork take no flags."""


@pytest.fixture
def places(tmp_path) -> dict[str, Path]:
    (tmp_path / "data").mkdir()
    (tmp_path / "out").mkdir()
    return {"data": tmp_path / "data", "tokenizer": tmp_path / "tokenizer.model", "out": tmp_path / "out"}


def test_each_fault_is_seen_and_seen_to_go(fork, apply, contents, places):
    apply(fork, but=("7", "13b", "15"))
    before, said = contents(fork), []
    sights, left = verify(fork, Path(sys.executable), PATCHES, places, SMALL, said.append)
    assert left == ""
    found = {sight.patch: sight.text for sight in sights}
    assert {sight.patch for sight in sights if sight.seen} == {"7", "13b", "15"}
    assert found["7"].startswith("seen: ImportError: cannot import name 'progress' from 'openpi.shared'")
    assert found["13b"].startswith("seen: TypeError: unsupported type for timedelta")
    assert found["6"] == "not seen: imports ran"
    assert found["14"] == "not seen: label ran"
    assert found["L2"] == "not looked at: no stage shows it"
    assert [line.split(":")[0] for line in said] == ["imports"] * 2 + ["train"] * 2 + ["label"] * 2
    assert contents(fork) == before


def test_a_patch_that_goes_in_with_another(fork, apply, places):
    apply(fork, but=("4", "5"))
    sights, left = verify(fork, Path(sys.executable), PATCHES, places, SMALL[:2], print)
    found = {sight.patch: sight for sight in sights}
    assert left == ""
    assert found["4"].seen
    assert not found["5"].seen
    assert found["5"].text == "not seen: it went in with patch 4, which it comes before"


def test_an_error_that_no_patch_is_for(fork, apply, places):
    apply(fork)
    path = fork / "scripts/train_value.py"
    path.write_text(path.read_text().replace("    config = ValueModelConfig()", "    raise OSError('no disk')"))
    sights, left = verify(fork, Path(sys.executable), PATCHES, places, SMALL, print)
    assert left == "OSError: no disk"
    found = {sight.patch: sight.text for sight in sights}
    assert found["1"] == "not seen: imports ran"
    assert found["14"] == "not reached: train stopped with OSError: no disk"


def test_a_stage_that_does_not_end(fork, apply, places, monkeypatch):
    apply(fork)
    monkeypatch.setattr(verification, "_TIMEOUT_SECONDS", 0.1)
    _, left = verify(fork, Path(sys.executable), PATCHES, places, SMALL, print)
    assert left == "TimeoutError: no end after 0 s"


def test_the_forks_python(tmp_path):
    assert fork_python(tmp_path, "") is None
    assert fork_python(tmp_path, "missing") is None
    assert fork_python(tmp_path, sys.executable) == Path(sys.executable)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert fork_python(tmp_path, "") == python  # the link: it is what makes it a virtual environment


def test_the_model_is_made_smaller(fork, tmp_path):
    gemma, siglip = fork / "gemma/gemma/gm/nn/_gemma.py", fork / "src/openpi/models/siglip.py"
    gemma.parent.mkdir()
    gemma.write_text(
        "_NUM_LAYERS_GEMMA3_270M = 18\n\nclass Gemma3_270M(T):\n  config = C(\n      num_embed=262144,\n  )\n\n"
        "class Gemma3_1B(T):\n  config = C(num_embed=262144)\n"
    )
    siglip.write_text('x = {"width": {"So400m": 1152}, "depth": {"H": 32, "So400m": 27, "g": 40}}\n')
    copy = verification._copy(fork, tmp_path / "copy")
    small = (copy / "gemma/gemma/gm/nn/_gemma.py").read_text()
    assert "_NUM_LAYERS_GEMMA3_270M = 2\n" in small
    assert [line.strip(" ,)") for line in small.splitlines() if "num_embed" in line] == [
        "num_embed=512",
        "config = C(num_embed=262144",
    ]
    expected = '{"width": {"So400m": 1152}, "depth": {"H": 32, "So400m": 1, "g": 40}}'
    assert expected in (copy / "src/openpi/models/siglip.py").read_text()


def test_the_command_without_the_forks_python(fork, capsys):
    assert patch(fork, "--verify") == 3
    assert "--verify did not look: expected the fork's Python at " in capsys.readouterr().out


def test_the_command_runs_a_generated_dataset(fork, apply, capsys, monkeypatch):
    apply(fork)
    columns = ("outcome", "value_label", "reward_label", "adv_ind", "intervention")
    seen = {}

    def look(stage, copy, python, places):
        seen.update(places, info=(places["data"] / "meta" / "info.json").read_text())
        return "" if stage.name != "label" else "OSError: no disk"

    monkeypatch.setattr(verification, "run_stage", look)
    assert patch(fork, "--verify", "--python", sys.executable) == 3
    printed = capsys.readouterr().out
    assert "imports: ran\ntrain: ran\nlabel: OSError: no disk\n" in printed
    assert "14   not reached: label stopped with OSError: no disk" in printed
    assert "no patch is for this error: OSError: no disk" in printed
    assert '"observation.images.head_camera"' in seen["info"]
    assert sum(f'"{name}"' in seen["info"] for name in columns) >= 3
    monkeypatch.setattr(verification, "run_stage", lambda *args: "")
    assert patch(fork, "--verify", "--python", sys.executable) == 0
    assert "every stage ran" in capsys.readouterr().out


def test_the_interpreter_goes_with_verifying(fork, capsys):
    assert patch(fork, "--check", "--python", "x") == 2
    assert "--python goes with --verify" in capsys.readouterr().err


def test_the_command_keeps_its_dataset_apart_from_what_it_writes(fork, capsys, monkeypatch):
    look = Stage("label", ("-c", "import sys; sys.exit(0 if len(sys.argv) == 3 else 1)", "{data}", "{copy}"))
    monkeypatch.setattr(verification, "verify", functools.partial(verify, stages=(look, look)))
    assert patch(fork, "--verify", "--python", sys.executable) == 0
    assert "label: ran\nlabel: ran\n" in capsys.readouterr().out


def test_links_that_lead_nowhere_are_left_out(fork, tmp_path):
    (fork / "src" / "data").symlink_to("/mnt/nobody/data")
    assert not (verification._copy(fork, tmp_path / "copy") / "src" / "data").exists()


def test_an_error_in_bytes_that_are_no_text(fork, places):
    bad = Stage("imports", ("-c", r"import sys; sys.stderr.buffer.write(b'\xff\nOSError: no disk\n'); sys.exit(1)"))
    assert verification.run_stage(bad, fork, Path(sys.executable), places) == "OSError: no disk"
