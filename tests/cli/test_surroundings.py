"""Paths, terminals and devices as people have them, for every command alike."""

import dataclasses
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import damages
from support.labelled_sets import LENGTHS, write_unlabelled

from pistar_vf.cli import main as main_module
from pistar_vf.cli.main import main, run_command
from pistar_vf.cli.parsing import parse
from pistar_vf.cli.paths import local_path
from pistar_vf.curation.repair import repair_dataset
from pistar_vf.errors import ConfigError
from pistar_vf.health import check_dataset
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.lerobot.episode import ALL_EPISODES, EpisodeChoice

# --- paths -------------------------------------------------------------------------------------------------------


_PLACES_TO_WRITE = [
    ("label", "--outcome", "success", "--data_dir", "in", "--output_dir", "{}"),
    ("train", "--data_dir", "in", "--checkpoint_dir", "{}"),
    ("relabel", "--data_dir", "in", "--checkpoint_dir", "{}"),
]


@pytest.mark.parametrize("words", _PLACES_TO_WRITE)
def test_a_place_on_the_hub_is_for_reading_only(tmp_path, monkeypatch, capsys, words):
    test_addresses_are_refused_before_anything_happens(tmp_path, monkeypatch, capsys, words, "hf://datasets/a/b")


@pytest.mark.parametrize("address", ["gs://bucket/run", "s3://bucket/run", "https://x.org/a", "s3://", "memory://a"])
@pytest.mark.parametrize(
    "words",
    [
        *_PLACES_TO_WRITE,
        ("label", "--outcome", "success", "--data_dir", "{}", "--output_dir", "out"),
        ("merge", "in", "{}", "--output_dir", "out"),
        ("train", "--data_dir={}", "--checkpoint_dir", "out"),
        ("repair", "{}", "--output_dir=out"),
        ("eval", "--data_dir", "in", "--checkpoint_dir", "{}"),
        ("inspect", "{}"),
    ],
)
def test_addresses_are_refused_before_anything_happens(tmp_path, monkeypatch, capsys, words, address):
    monkeypatch.chdir(tmp_path)
    assert main([word.format(address) for word in words]) == 2
    assert "expected a folder or file of this machine, got an address" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@dataclasses.dataclass(frozen=True)
class _Args:
    data_dir: tuple[Path, ...] = ()
    output_dir: Path | None = None
    checkpoint_path: str | None = None


@pytest.mark.parametrize("words", [("--output_dir", "~/a b"), ("--output_dir=~/a b",), ("--checkpoint_path=~/a b",)])
def test_the_home_folder_is_filled_in_everywhere(tmp_path, monkeypatch, words):
    monkeypatch.setenv("HOME", str(tmp_path))
    args = parse(_Args, words, "toy")
    assert str(args.output_dir or args.checkpoint_path) == str(tmp_path / "a b")
    args = parse(_Args, ("--data_dir", "~/x", "relative/y z"), "toy")
    assert args.data_dir == (tmp_path / "x", Path("relative/y z"))


def test_local_paths():
    assert local_path("C:/data", "--flag") == Path("C:/data")  # a drive is no address
    with pytest.raises(ConfigError, match=r"--flag gs:/b: expected a folder or file of this machine"):
        local_path(Path("gs://b"), "--flag")


@pytest.mark.parametrize("flag", ["--data_dir", "--output_dir", "--checkpoint_path"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("~nobody-of-this-name/x", "expected a user of this machine behind `~`"),
        ("x" * 300, "expected a path, got 'File name too long'"),
        ("/".join(["y" * 200] * 30), "expected a path, got 'File name too long'"),
        ("circle", "expected a path, got 'Too many levels of symbolic links'"),
        ("circle/x", "expected a path, got 'Too many levels of symbolic links'"),
    ],
)
def test_names_that_can_be_no_path(tmp_path, monkeypatch, flag, value, said):
    monkeypatch.chdir(tmp_path)
    Path("circle").symlink_to("circle")
    with pytest.raises(ConfigError, match=f"{flag} {value}: {said}"):
        parse(_Args, (flag, value), "toy")


@pytest.mark.parametrize("name", ["run:1", "2026-11-27T10:00:00", "a+b:c d", "hf:x"])
def test_a_colon_in_a_relative_name_makes_no_address(tmp_path, monkeypatch, capsys, name):
    data = write_unlabelled(tmp_path / "set").root
    monkeypatch.chdir(tmp_path)
    data.rename(name)
    assert main(["label", "--data_dir", name, "--output_dir", f"{name} labelled", "--outcome_column", "outcome"]) == 0
    assert main(["convert-dataset", "--data_dir", f"{name} labelled", "--output_dir", f"{name}3", "--to", "v3.0"]) == 0
    assert main(["check", name, f"{name}3"]) in (0, 1), capsys.readouterr().err
    assert {each.name for each in tmp_path.iterdir()} == {name, f"{name} labelled", f"{name}3"}


# --- terminals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_signs_that_a_terminal_lacks_are_replaced(monkeypatch, tmp_path, encoding):
    data = write_unlabelled(tmp_path / "set").root
    damages.edit_tasks(data, damages.each(task="拿起杯子"))
    for words in (
        ["check", str(data)],
        ["--help"],
        ["label", "--data_dir", str(data), "--output_dir", str(tmp_path / "out"), "--outcome_column", "outcome"],
    ):
        output = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", output)
            assert main(words) in (0, 1)
            output.flush()
        assert output.buffer.getvalue()


@pytest.mark.parametrize("closed", [("stdout",), ("stderr",), ("stdout", "stderr")])
def test_nobody_listens(monkeypatch, tmp_path, closed):
    """`>&-`, as services and schedulers start programs: Python has None for such a stream."""
    root = write_unlabelled(tmp_path / "set").root
    for name in closed:
        monkeypatch.setattr(sys, name, None)
    words = ["--data_dir", str(root), "--outcome_column", "outcome", "--output_dir", str(tmp_path / "out")]
    assert main(["label", *words]) == 0
    assert load_lerobot(tmp_path / "out").num_frames == 12
    assert main(["label", *words]) == 2  # an error has nowhere to go either: the folder holds files


# --- devices -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [RuntimeError, AssertionError])
@pytest.mark.parametrize("platform", ["cuda", "gpu", "tpu"])
def test_a_device_that_is_not_there(monkeypatch, capsys, kind, platform):
    """JAX raises either, deep in its search for devices."""
    source = "def search(kind):\n    raise kind('Unknown backend')\n"
    namespace: dict = {}
    exec(compile(source, "/jax/_src/xla_bridge.py", "exec"), namespace)
    monkeypatch.setenv("JAX_PLATFORMS", platform)
    assert run_command(lambda words: namespace["search"](kind), []) == 2
    error = capsys.readouterr().err
    assert f"JAX_PLATFORMS={platform}: expected a device of this kind" in error
    assert "pistar-vf doctor" in error
    monkeypatch.delenv("JAX_PLATFORMS")
    with pytest.raises(kind):
        run_command(lambda words: namespace["search"](kind), [])


_FIRST_ARRAY = """
import sys
import jax.numpy as jnp
from pistar_vf.cli.main import run_command
sys.exit(run_command(lambda words: print(jnp.zeros(3)), []))
"""


def test_a_device_that_the_first_array_asks_for():
    """There JAX takes the frames of its search out of the traceback. Oracle: JAX, in a process of its own."""
    environment = {**os.environ, "JAX_PLATFORMS": "nonsense"}
    run = subprocess.run([sys.executable, "-c", _FIRST_ARRAY], env=environment, capture_output=True, text=True)
    assert run.returncode == 2, run.stderr
    assert run.stderr.startswith("error: JAX_PLATFORMS=nonsense: expected a device of this kind")
    assert "Traceback" not in run.stderr


def test_other_failures_keep_their_traceback(monkeypatch):
    def fail(words: list[str]) -> None:
        raise AssertionError

    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(AssertionError):
        run_command(fail, [])
    assert main_module.EXIT_USER_ERROR == 2


# --- episodes that are left out ----------------------------------------------------------------------------------

BROKEN = {
    "video missing": lambda root: damages.videos(root)[1].unlink(),
    "video empty": lambda root: damages.videos(root)[1].write_bytes(b""),
    "table missing": lambda root: damages.tables(root)[1].unlink(),
    "no rows": lambda root: damages.edit_episodes(root, lambda e: [e[0], {**e[1], "length": 0}, e[2]]),
    "not listed": lambda root: damages.edit_episodes(root, lambda entries: [entries[0], entries[2]]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_episode_can_be_left_out_of_every_copy(tmp_path, capsys, name):
    root = write_unlabelled(tmp_path / "set").root
    BROKEN[name](root)
    leave = ["--leave_out", "1"]
    commands = {
        "merged": ["merge", str(root), *leave],
        "converted": ["convert-dataset", "--data_dir", str(root), *leave],
        "labelled": ["label", "--data_dir", str(root), "--outcome_column", "outcome", *leave],
        "repaired": ["repair", str(root), *leave],
        "chosen": ["merge", str(root), "--episodes", "0,2"] if name != "not listed" else ["merge", str(root), *leave],
    }
    for folder, words in commands.items():
        assert main([*words, "--output_dir", str(tmp_path / folder)]) == 0, capsys.readouterr().err
        dataset = load_lerobot(tmp_path / folder)
        assert [(e.index, e.length) for e in dataset.episodes] == [(0, LENGTHS[0]), (1, LENGTHS[2])]
        assert dataset.read_column("index").tolist() == list(range(LENGTHS[0] + LENGTHS[2]))
    assert not list(tmp_path.glob("*partial*"))


def test_choices_that_mean_nothing(tmp_path, capsys):
    root = write_unlabelled(tmp_path / "set").root
    for words, message in (
        (("--leave_out", "9"), "got 9, which it does not"),
        (("--episodes", "0,7"), "got 7, which it does not"),
        (("--leave_out", "2:1"), "expected <number of the dataset, 1 to 1>"),
        (("--leave_out", "x"), "expected indices and ranges"),
    ):
        assert main(["merge", str(root), "--output_dir", str(tmp_path / "out"), *words]) == 2
        assert message in capsys.readouterr().err


# --- repair ------------------------------------------------------------------------------------------------------

REPAIRED = (
    *("rows: frames from one on", "rows: times that drift", "rows: times of the day", "rows: times that jump"),
    *("rows: no index", "rows: no frame_index", "rows: no timestamp", "rows: no task_index", "rows: index wrong"),
    *("rows: no index in one file", "rows: times in words", "rows: times of the calendar"),
    *("rows: times as whole numbers", "rows: frames as float", "rows: null index", "rows: null time"),
)


@pytest.mark.parametrize("name", REPAIRED)
def test_repair_counts_anew(tmp_path, name):
    root = write_unlabelled(tmp_path / "set").root
    before = load_lerobot(root)
    names = ("timestamp", "frame_index", "index", "episode_index", "task_index", "observation.state")
    expected = {key: before.read_column(key) for key in names}
    damages.DAMAGES[name](root)
    assert main(["repair", str(root), "--output_dir", str(tmp_path / "out")]) == 0
    after = load_lerobot(tmp_path / "out")
    for key, values in expected.items():
        np.testing.assert_allclose(after.read_column(key), values, atol=1e-6, err_msg=key)
    assert after.features["timestamp"]["dtype"].startswith("float")
    assert [f for f in check_dataset(after.root, progress=False).findings if f.severity != "note"] == []


def test_repair_opens_a_file_as_often_whatever_it_holds(tiny_dataset_v30, tmp_path, opened):
    """Six episodes in one file, against one of them."""
    counts = []
    for i, choice in enumerate((ALL_EPISODES, EpisodeChoice(leave_out=(1, 2, 3, 4, 5)))):
        dataset = load_lerobot(tiny_dataset_v30, choice=choice)
        opened.clear()
        repair_dataset(dataset, tmp_path / str(i), progress=False)
        counts += [opened[path] for path in dataset.files()]
    assert counts[0] == counts[1]


def test_rows_in_disorder_are_not_repaired(tmp_path, capsys):
    root = write_unlabelled(tmp_path / "set").root
    damages.DAMAGES["rows: frames in disorder"](root)
    assert main(["repair", str(root), "--output_dir", str(tmp_path / "out")]) == 2
    assert "expected rows in the order of their numbers, got 0 after 1" in capsys.readouterr().err


def test_a_column_that_only_some_files_have_is_not_repaired(tmp_path, capsys):
    """The message names the user's own file, and a command that helps; after that it goes through."""
    root = write_unlabelled(tmp_path / "my set").root
    damages.drop(root, "intervention", first_only=True)
    words = ["--output_dir", str(tmp_path / "out")]
    assert main(["repair", str(root), *words]) == 2
    said = capsys.readouterr().err
    assert f"{root}/data/chunk-000/episode_000000.parquet: expected the column 'intervention'" in said
    assert f"pistar-vf merge '{root}' --fill intervention=<value>" in said
    assert main(["merge", str(root), "--fill", "intervention=0", "--output_dir", str(tmp_path / "filled")]) == 0
    assert main(["repair", str(tmp_path / "filled"), *words]) == 0
