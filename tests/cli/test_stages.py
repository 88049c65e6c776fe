"""The scripts of the stitched system: which words reach which stage, and what is refused before anything runs."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.places import ROOT

from pistar_vf.cli import robot, stages
from pistar_vf.cli.parsing import parse
from pistar_vf.cli.train import parse_config
from pistar_vf.errors import ConfigError, DatasetError
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.recipes.config import AlignmentConfig

TMUX_SCRIPT = ROOT / "scripts" / "start_train_tmux.sh"


def dataset(folder):
    """What is recognised as a dataset before it is read."""
    for name in ("meta", "data/chunk-000", "videos"):
        (folder / name).mkdir(parents=True)
    (folder / "meta" / "info.json").write_text("{}")
    return folder


# --- whose flag ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "first", "second"),
    [
        ("--cauldron_subset vqav2", "--cauldron_subset vqav2", ""),
        ("--lora_rank 8 --parquet_dir p --video_root v", "", "--lora_rank 8 --parquet_dir p --video_root v"),
        ("--batch_size 4", "--batch_size 4", "--batch_size 4"),
        ("--stage1.batch_size 4 --stage2.batch_size 8", "--batch_size 4", "--batch_size 8"),
        ("--stage1.peak_lr=1.5e-3 --decay_lr=0.1", "--peak_lr=1.5e-3 --decay_lr=0.1", "--decay_lr=0.1"),
        (
            "--pretrained_path a.b c --template plain",
            "--pretrained_path a.b c --template plain",
            "--pretrained_path a.b c",
        ),
        ("--data_dir=../a.b=c --seed -1", "--seed -1", "--data_dir=../a.b=c --seed -1"),
        ("--no-remat --no_augment --stage2.no-remat", "--no_remat", "--no_remat --no_augment --no_remat"),
        ("--cauldron-subset x --parquet-dir p", "--cauldron_subset x", "--parquet_dir p"),
        ("--load_pretrained", "", "--load_pretrained"),
        ("", "", ""),
    ],
)
def test_each_flag_goes_to_the_stages_that_know_it(words, first, second):
    assert stages.split_flags(words.split()) == (first.split(), second.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--nonsense 1", "--nonsense: expected a flag of stage 1 or stage 2, see --help"),
        ("--stage1.lora_rank 8", "--stage1.lora_rank: expected a flag of stage 1 or stage 2"),
        ("--stage3.batch_size 8", "--stage3.batch_size: expected a flag of stage 1 or stage 2"),
        ("stray --batch_size 8", "stray: expected a flag of stage 1 or stage 2"),
        ("--checkpoint_dir c", "--checkpoint_dir: results go to OUTPUT_BASE/alignment and OUTPUT_BASE/robot_vf"),
        ("--stage2.projector_path p", "--stage2.projector_path: pass --projector_path as it is, with --stage 2"),
    ],
)
def test_words_that_no_stage_can_have(words, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        stages.split_flags(words.split())


# --- which stages run ------------------------------------------------------------------------------------------


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """The command lines that the stages get; stage 1 leaves a projector and its tokenizer."""
    lines = []

    def align(words):
        lines.append(("1", words))
        folder = Path(words[-1])
        folder.mkdir(parents=True)
        for name in ("best_projector.safetensors", "tokenizer.model"):
            (folder / name).write_bytes(b"")

    monkeypatch.setattr(stages, "align", align)
    monkeypatch.setattr(stages, "train_robot", lambda words: lines.append(("2", words)))
    monkeypatch.chdir(tmp_path)
    dataset(tmp_path / "vials")
    return lines


STAGE_1 = ["--batch_size", "4", "--checkpoint_dir", "outputs/alignment"]
PROJECTOR = ["--projector_path", "outputs/alignment/best_projector.safetensors"]
STAGE_2 = ["--batch_size", "4", "--data_dir", "vials", "--checkpoint_dir", "outputs/robot_vf", *PROJECTOR]
TOKENIZER = ["--tokenizer_path", "outputs/alignment/tokenizer.model"]
WORDS = ["--batch_size", "4", "--data_dir", "vials"]


def test_both_stages(ran):
    stages.main(WORDS)
    assert ran == [("1", STAGE_1), ("2", [*STAGE_2, *TOKENIZER])]


def test_stage_1_then_stage_2(ran):
    stages.main([*WORDS, "--stage", "1"])
    assert ran == [("1", STAGE_1)]
    stages.main([*WORDS, "--stage=2"])
    assert ran[1:] == [("2", [*STAGE_2, *TOKENIZER])]


def test_stage_2_by_hand_finds_the_projector_under_its_documented_name(ran, capsys):
    stages.main([*WORDS, "--stage", "1", "--output_base", "./outputs"])
    documented = Path("outputs_alignment/best_projector.safetensors")
    assert documented.resolve() == Path("outputs/alignment/best_projector.safetensors").resolve()
    stages.main([*WORDS, "--stage", "2", "--output_base", "./outputs", "--projector_path", f"./{documented}"])
    assert ran[-1][1][-2:] == ["--tokenizer_path", "outputs_alignment/tokenizer.model"]
    assert capsys.readouterr().out == ""


def test_a_folder_of_that_name_is_left_alone(ran, capsys):
    Path("outputs_alignment").mkdir()
    stages.main([*WORDS, "--stage", "1"])
    assert not Path("outputs_alignment").is_symlink()
    assert "outputs_alignment: not made a link to outputs/alignment (File exists)" in capsys.readouterr().out


def test_another_output_base_and_projector(ran, tmp_path):
    projector = tmp_path / "elsewhere.safetensors"
    projector.touch()
    stages.main([*WORDS, "--stage", "2", "--output_base", "out", "--projector_path", str(projector)])
    assert ran == [("2", [*WORDS, "--checkpoint_dir", "out/robot_vf", "--projector_path", str(projector)])]


@pytest.mark.parametrize(
    "words", [["--tokenizer_path", "t.model"], ["--tokenizer_path=t.model"], ["--tokenizer-path=t"]]
)
def test_a_tokenizer_that_is_named_stays(ran, words):
    stages.main([*WORDS, *words])
    assert not [word for word in ran[1][1] if word == TOKENIZER[1]]


def test_a_missing_projector(ran):
    with pytest.raises(
        ConfigError, match=r"best_projector.safetensors: no such file; run --stage 1 first, or name one"
    ):
        stages.main([*WORDS, "--stage", "2"])
    assert ran == []


@pytest.mark.parametrize("stage", ["1", "both"])
def test_a_projector_that_stage_1_would_not_use(ran, stage):
    with pytest.raises(ConfigError, match=r"--projector_path p: expected --stage 2 with it"):
        stages.main([*WORDS, "--projector_path", "p", "--stage", stage])
    assert ran == []


def test_stage_2_is_looked_at_before_stage_1_runs(ran):
    with pytest.raises(DatasetError, match="no dataset 'nowhere'"):
        stages.main(["--data_dir", "nowhere"])
    with pytest.raises(DatasetError, match="--parquet_dir nowhere: expected a folder, found none"):
        stages.main(["--parquet_dir", "nowhere"])
    with pytest.raises(SystemExit):
        stages.main([])
    assert ran == []


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        stages.main(["--help"])
    out = capsys.readouterr().out
    for word in (
        "--stage ",
        "--output_base",
        "--projector_path",
        "--stage1.num_train_steps 2000",
        "OUTPUT_BASE/robot_vf",
    ):
        assert word in out


# --- stage 2 ---------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(monkeypatch):
    """The command lines that `pistar-vf train` gets."""
    lines = []
    monkeypatch.setattr(robot, "train", lines.append)
    return lines


def test_the_preset_is_stitched_unless_another_is_named(trained):
    for words in (["--data_dir", "d"], ["--preset", "tiny_stitched"], ["--preset=tiny_stitched"]):
        robot.main(words)
    assert trained == [
        ["--preset", "stitched", "--data_dir", "d"],
        ["--preset", "tiny_stitched"],
        ["--preset=tiny_stitched"],
    ]


@pytest.mark.parametrize("flags", [("--parquet_dir", "--video_root"), ("--parquet-dir", "--video-root")])
def test_the_published_folders_mean_their_dataset(trained, tiny_dataset, flags):
    root = tiny_dataset.resolve()
    robot.main([flags[0], str(root / "data" / "chunk-000"), "--seed", "1", flags[1], str(root / "videos")])
    robot.main([flags[0], str(root)])
    assert trained == [
        ["--preset", "stitched", "--seed", "1", "--data_dir", str(root)],
        ["--preset", "stitched", "--data_dir", str(root)],
    ]


def test_folders_without_metadata_become_a_dataset(trained, tiny_dataset, tmp_path):
    for path in (tiny_dataset / "data").rglob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.append_column("task", pa.array(["push"] * len(table))), tmp_path / path.name)
    videos, cache = tiny_dataset / "videos", tmp_path / "cache"
    robot.main(["--parquet_dir", str(tmp_path), "--video_root", str(videos), "--cache_dir", str(cache)])
    ((*words, root),) = trained
    assert words == ["--preset", "stitched", "--cache_dir", str(cache), "--data_dir"]
    assert Path(root).is_relative_to(cache)
    assert len(load_lerobot(root).episodes) == 6


def test_folders_that_cannot_be_meant(trained):
    for flag in ("--data_dir", "--data-dir"):
        with pytest.raises(ConfigError, match="--parquet_dir: expected either it or --data_dir, got both"):
            robot.main(["--parquet_dir", "p", flag, "d"])
    with pytest.raises(ConfigError, match="--video_root v: expected --parquet_dir with it, or --data_dir for both"):
        robot.main(["--video_root", "v"])
    assert trained == []


def test_help_of_stage_2_says_what_it_adds(trained, capsys):
    robot.main(["--help"])
    out = capsys.readouterr().out
    assert "--parquet_dir" in out
    assert "--video_root" in out
    assert trained == [["--preset", "stitched", "--help"]]


# --- the documentation -----------------------------------------------------------------------------------------


def documented(script):
    """Command lines of docs/stitched.md, without those that leave something out (…)."""
    text = (ROOT / "docs" / "stitched.md").read_text().replace("\\\n", " ")
    return [
        shlex.split(line.split(script, 1)[1])
        for line in text.splitlines()
        if f"{script} --" in line and "…" not in line and "--demo" not in line
    ]


def test_the_documented_commands_are_understood(tmp_path, monkeypatch):
    def parsed(words):
        return parse(AlignmentConfig, words, "align")

    (alone,) = documented("pistar-vf align")
    (words,) = [words for words in documented("scripts/train.py") if "both" in words]
    first, second = stages.split_flags(words[words.index("--pretrained_source") :])
    assert parsed(alone) == parsed([*first, "--checkpoint_dir", "outputs/alignment"])
    assert parse_config([*robot.train_words(second), "--checkpoint_dir", "c"]).train_ratio == 0.8
    (words,) = documented("scripts/train_robot_vf.py")
    monkeypatch.setattr("pistar_vf.curation.free_folders.open.dataset_of_folders", lambda *folders: tmp_path)
    config = parse_config(robot.train_words(words))
    assert (config.architecture, config.data_dir, len(config.pretrained_path)) == ("stitched", str(tmp_path), 2)


# --- tmux ------------------------------------------------------------------------------------------------------

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


@pytest.fixture
def start(tmp_path):
    """Runs the script with stand-ins for tmux (which runs its command at once) and Python (which prints its words)."""
    programs = tmp_path / "programs"
    programs.mkdir()
    stand_ins = {
        "tmux": '[ "$1" = has-session ] && exit "${SESSIONS:-1}"\nshift 6\n"${@/exec bash/}"',
        "python": 'echo "gpu=$CUDA_VISIBLE_DEVICES"\nprintf "<%s>" "${@:2}"',
    }
    for name, body in stand_ins.items():
        (programs / name).write_text(f"#!{shutil.which('bash')}\n{body}\n")
        (programs / name).chmod(0o755)
    for name in ("bash", "dirname", "mkdir", "env", "tee"):
        (programs / name).symlink_to(shutil.which(name))

    def call(*words, without=None, **variables):
        if without:
            (programs / without).unlink()
        environment = {"PATH": str(programs), "HOME": os.environ["HOME"], **variables}
        return subprocess.run([TMUX_SCRIPT, *words], env=environment, cwd=tmp_path, capture_output=True, text=True)

    return call


@needs_bash
def test_the_tmux_script_is_sound_bash():
    subprocess.run(["bash", "-n", TMUX_SCRIPT], check=True)
    assert os.access(TMUX_SCRIPT, os.X_OK)


@needs_bash
def test_the_tmux_script_starts_stage_2(start, tmp_path):
    data = dataset(tmp_path / "my vials")
    found = start("--note", "two words", DATA_DIR=str(data), CUDA_VISIBLE_DEVICES="1,2", SESSION="s")
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "result: outputs/robot_vf, log in outputs/s.log"
    log = (tmp_path / "outputs" / "s.log").read_text()
    words = ["--stage", "2", "--output_base", "outputs", "--data_dir", str(data), "--note", "two words"]
    assert log == "gpu=1,2\n" + "".join(f"<{word}>" for word in words)


@needs_bash
def test_the_tmux_script_takes_the_published_folders(start, tmp_path):
    data = dataset(tmp_path / "vials")
    found = start(PARQUET_DIR=str(data / "data" / "chunk-000"), VIDEO_ROOT=str(data / "videos"), OUTPUT_BASE="o")
    assert found.returncode == 0, found.stderr
    log = (tmp_path / "o" / "robot_vf.log").read_text()
    assert log.endswith(f"<--parquet_dir><{data / 'data' / 'chunk-000'}><--video_root><{data / 'videos'}>")
    assert log.startswith("gpu=0\n")


@needs_bash
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "error: expected a dataset: set DATA_DIR, or PARQUET_DIR and VIDEO_ROOT, at the top of "),
        ({"DATA_DIR": "nowhere"}, "error: DATA_DIR=nowhere: no such folder"),
        ({"PARQUET_DIR": "nowhere"}, "error: PARQUET_DIR=nowhere: no such folder"),
        ({"PARQUET_DIR": ".", "VIDEO_ROOT": "nowhere"}, "error: VIDEO_ROOT=nowhere: no such folder"),
        ({"DATA_DIR": ".", "PARQUET_DIR": "."}, "error: expected DATA_DIR or PARQUET_DIR, got both"),
        ({"DATA_DIR": ".", "SESSIONS": "0"}, "error: the tmux session robot_vf is there already"),
        ({"DATA_DIR": ".", "without": "tmux"}, "error: tmux is not installed; install it, or run scripts/train.py"),
        ({"DATA_DIR": ".", "PYTHON": "snake"}, "error: PYTHON=snake: no such program"),
    ],
)
def test_what_the_tmux_script_refuses(start, tmp_path, variables, message):
    found = start(**variables)
    assert found.returncode == 2
    assert found.stderr.startswith(message)
    assert not (tmp_path / "outputs").exists()
