"""`pistar-vf train`: every documented flag, and every documented failure as one clear message."""

import json
import re
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pistar_vf.checkpoints.value_spec import load_value_spec
from pistar_vf.cli.main import main
from pistar_vf.cli.train import parse_config
from pistar_vf.errors import ConfigError
from pistar_vf.recipes import execute, run
from pistar_vf.recipes.config import TrainConfig
from pistar_vf.testing.tiny import TINY_RUN

pytestmark = pytest.mark.usefixtures("small_and_fast")

REQUIRED = ["--data_dir", "d", "--checkpoint_dir", "c"]

# (flag, documented default, words to pass, what they must give), as upstream's script documents them.
FLAGS = [
    ("val_data_dir", None, ["x"], "x"),
    ("batch_size", 32, ["8"], 8),
    ("num_train_steps", 30_000, ["5"], 5),
    ("log_interval", 100, ["7"], 7),
    ("val_interval", 100, ["0"], 0),
    ("save_interval", 1_000, ["3"], 3),
    ("num_workers", 2, ["0"], 0),
    ("wandb_project", "openpi", ["p"], "p"),
    ("wandb_entity", None, ["e"], "e"),
    ("wandb_run_name", None, ["r"], "r"),
    ("wandb_tags", None, ["a,b"], "a,b"),
    ("wandb_mode", "online", ["offline"], "offline"),
    ("seed", 42, ["1"], 1),
    ("gemma_variant", "gemma3_270m", ["gemma3_tiny"], "gemma3_tiny"),
    ("siglip_variant", "So400m/14", ["tiny/14"], "tiny/14"),
    ("fsdp_devices", 1, ["8"], 8),
    ("load_pretrained", False, [], True),
    ("resume_from_checkpoint", None, ["step_00000002"], "step_00000002"),
    ("tokenizer_path", None, ["t.model"], "t.model"),
    ("peak_lr", 2.5e-5, ["1e-5"], 1e-5),
    ("decay_lr", 2.5e-6, ["1e-6"], 1e-6),
    ("warmup_steps", None, ["10"], 10),
    ("grad_clip_norm", 1.0, ["0.5"], 0.5),
    ("freeze_mode", "all_backbones", ["none"], "none"),
]


@pytest.mark.parametrize(("flag", "default", "words", "expected"), FLAGS, ids=[row[0] for row in FLAGS])
def test_documented_flags_and_defaults(flag, default, words, expected):
    plain = parse_config(["--preset", "pistar", *REQUIRED])
    assert getattr(plain, flag) == default
    changed = parse_config([*REQUIRED, f"--{flag}", *words])
    assert changed == plain.replace(**{flag: expected})


def test_required_flags():
    config = parse_config(REQUIRED)
    assert (config.data_dir, config.checkpoint_dir) == ("d", Path("c"))


@pytest.mark.parametrize(
    "words",
    [
        ["--data_dir", "a", "--data_dir", "b", "--data_weight", "1", "--data_weight", "0.5"],
        ["--data_dir", "a", "b", "--data_weight", "1", "0.5"],
        ["--data_dir=a", "--data_weight=1", "--data-dir=b", "--data-weight", "0.5"],
    ],
)
def test_several_datasets_after_one_flag_or_a_flag_each(words):
    config = parse_config([*words, "--batch_size", "8", "--checkpoint_dir", "c"])
    assert (config.data_dir, config.data.data_dirs, config.data_weight) == (("a", "b"), ("a", "b"), (1.0, 0.5))
    assert (config.batch_size, config.checkpoint_dir) == (8, Path("c"))
    assert parse_config(REQUIRED).data.data_dirs == ("d",)


@pytest.mark.parametrize("missing", ["--data_dir", "--checkpoint_dir"])
def test_a_missing_required_flag_is_named(missing, capsys):
    words = REQUIRED[2:] if missing == "--data_dir" else REQUIRED[:2]
    with pytest.raises(SystemExit) as exit_info:
        main(["train", *words])
    assert exit_info.value.code == 2
    assert missing in capsys.readouterr().err


def test_latest_is_a_name():
    assert parse_config([*REQUIRED, "--resume_from_checkpoint", "latest"]).resume_from_checkpoint == "latest"


def test_flags_win_over_the_preset():
    config = parse_config([*REQUIRED, "--preset", "tiny", "--batch_size", "3"])
    assert (config.preset, config.batch_size, config.gemma_variant) == ("tiny", 3, "gemma3_tiny")


def test_an_unknown_preset_is_refused():
    presets = "pistar, tiny, stitched, tiny_stitched"
    with pytest.raises(ConfigError, match=f"--preset: expected one of {presets}, got 'huge'"):
        parse_config([*REQUIRED, "--preset", "huge"])


def test_help_mentions_every_flag(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = capsys.readouterr().out
    absent = [name for name in TrainConfig.names() if f"--{name}" not in out]
    assert absent == []
    assert "--demo" in out


# --- runs ------------------------------------------------------------------------------------------------------


@pytest.fixture
def train(tmp_path, frame_cache_dir, capsys, monkeypatch):
    """Runs the command and returns (exit code, stdout, stderr)."""
    monkeypatch.delenv("PISTAR_VF_TRACEBACK", raising=False)

    def call(data_dir, **flags):
        folder = {"checkpoint_dir": tmp_path / "run", "cache_dir": frame_cache_dir}
        words = {**TINY_RUN, "data_dir": data_dir, **folder, **flags}
        code = main(["train", *(word for name, value in words.items() for word in (f"--{name}", str(value)))])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def copy(tiny_dataset, tmp_path):
    return Path(shutil.copytree(tiny_dataset, tmp_path / "data"))


def fails(result, message):
    code, _, err = result
    assert code == 2, err
    assert "Traceback" not in err
    assert re.search(message, err.split("error: ", 1)[1], re.DOTALL), err


def parquet(folder, episode=0):
    return sorted(folder.rglob("*.parquet"))[episode]


def edit_labels(folder, change):
    table = pq.read_table(parquet(folder))
    index = table.schema.get_field_index("value_label")
    values = np.array(table["value_label"])
    changed = change(table, index, values)
    pq.write_table(changed, parquet(folder))


def set_label(value):
    def change(table, index, values):
        values = values.copy()
        values[3] = value
        return table.set_column(index, table.schema.field(index), pa.array(values, table.schema.field(index).type))

    return change


def test_a_run_prints_the_documented_lines(train, tiny_dataset, tmp_path):
    code, out, err = train(tiny_dataset)
    assert code == 0, err
    path = tmp_path / "run" / "step_00000004"
    places = []
    for line in (
        "local_batch_size: 4",
        "ℹ 数据集大小: 265 帧",
        "模型初始化完成",
        "预取前几个batch以优化GPU利用率...",
        "✓ 成功预取 3 个batch",
        "JIT编译预热...",
        "JIT编译完成,开始训练...",
        "训练进度 4.00it/4.00it",
        f"✓ 保存 checkpoint: {path}",
        "训练完成!",
    ):
        assert line in err, line
        places.append(err.index(line))
    assert places == sorted(places)
    assert f"result: {path}" in out
    assert "Step 2: " in out
    assert sorted(entry.name for entry in path.parent.glob("step_*")) == ["step_00000002", "step_00000004"]


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_labels_that_are_not_finite(train, copy, bad):
    edit_labels(copy, set_label(bad))
    fails(train(copy), rf"episode_000000.parquet, episode 0, frame 3: expected a finite value label, got {bad}")


@pytest.mark.parametrize("bad", [0.5, -1.2, 7.0])
def test_labels_out_of_range(train, copy, bad):
    edit_labels(copy, set_label(bad))
    fails(train(copy), rf"episode 0, frame 3: expected a value label in \[-1, 0\], got {bad}")


def test_no_value_column(train, tiny_dataset):
    unlabelled = tiny_dataset.parent / "raw"
    fails(train(unlabelled), r"expected the column 'value_label' in .*run `pistar-vf label --data_dir")


def test_the_papers_target(train, tiny_dataset, tmp_path):
    """Success, failure and time-out from the dataset's own outcomes, whatever its labels say."""
    code, out, err = train(tiny_dataset, target="paper", outcome_column="outcome", failure_penalty=30)
    assert code == 0, err
    assert re.search(r"value targets: 265 frames, \d successes, \d failures, \d time-outs \(bootstrapped", out)
    normaliser = load_value_spec(tmp_path / "run" / "step_00000004").normaliser
    assert (normaliser.rule, normaliser.failure_penalty) == ("paper", 30.0)
    lengths = {}
    for line in map(json.loads, (tiny_dataset / "meta" / "episodes.jsonl").read_text().splitlines()):
        lengths[line["tasks"][0]] = max(lengths.get(line["tasks"][0], 0), line["length"])
    assert normaliser.max_lengths == lengths


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"failure_penalty": 3}, r"--failure_penalty 3.0: expected --target paper with it"),
        ({"label_convention": "mine"}, r"label convention: expected one of recap, .*, got 'mine'"),
        ({"label_convention": "robot_collector"}, r"episode 0, frame 0: expected value_label -1 .*'robot_collector'"),
        ({"outcome_column": "hm"}, r"expected 'hm' in .* or in the tables"),
    ],
)
def test_target_flags_that_cannot_work(train, tiny_dataset, flags, message):
    fails(train(tiny_dataset, **flags), message)


def test_no_tokenizer(train, tiny_dataset, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("OPENPI_VALUE_TOKENIZER_PATH", "GEMMA_TOKENIZER_PATH", "OPENPI_VLM_CKPT_DIR"):
        monkeypatch.delenv(name, raising=False)
    fails(train(tiny_dataset, gemma_variant="gemma3_270m"), r"found no tokenizer; looked at")


def test_a_tokenizer_larger_than_the_model(train, tiny_dataset, tmp_path):
    from pistar_vf.tokenizer import train_prompt_tokenizer

    words = [f"{chr(0x4E00 + i)}{chr(0x5E00 + i)}" for i in range(200)]
    path = tmp_path / "big.model"
    path.write_bytes(train_prompt_tokenizer(words, vocab_size=700).model)
    fails(train(tiny_dataset, tokenizer_path=path), r"big.model: the tokenizer has \d+ tokens, but gemma3_tiny embeds")


def test_a_wrong_data_path(train, tmp_path):
    fails(train(tmp_path / "nowhere"), r"nowhere")


def test_an_empty_dataset(train, copy):
    (copy / "meta" / "episodes.jsonl").write_text("")
    fails(train(copy), r"episode")


def test_a_corrupt_video(train, copy):
    video = next(copy.rglob("*front*/episode_000001.mp4"))
    content = video.read_bytes()
    video.unlink()  # a hard link to the original
    video.write_bytes(content[: len(content) // 2])
    fails(train(copy), r"episode 1.*observation.images.front|episode_000001")


def test_a_truncated_table(train, copy):
    path = parquet(copy, 2)
    path.write_bytes(path.read_bytes()[:500])
    fails(train(copy), r"episode_000002.parquet")


def test_a_validation_set_smaller_than_a_batch(train, tiny_dataset):
    result = train(tiny_dataset, val_interval=2, val_episodes="1", batch_size=200)
    fails(result, r"the validation set has \d+ frames in 1 episode\(s\), fewer than one batch of 200; hold out more")


def test_the_same_episode_on_both_sides(train, tiny_dataset):
    result = train(tiny_dataset, train_episodes="0-3", val_episodes="3-5", val_interval=2)
    fails(result, r"episodes \[3\] are in both --train_episodes and --val_episodes")


def test_nothing_left_to_train_on(train, tiny_dataset):
    fails(train(tiny_dataset, val_episodes="0-5"), r"no episode is left to train on: --val_episodes holds out all")


@pytest.mark.parametrize("flag", ["siglip_variant", "gemma_variant"])
def test_an_unknown_variant(train, tiny_dataset, trained_run, flag):
    result = train(tiny_dataset, tokenizer_path=trained_run.checkpoint / "tokenizer.model", **{flag: "big"})
    fails(result, rf"--{flag}: expected one of .*tiny.*, got 'big'")


def test_a_validation_set_without_the_cameras(train, tiny_dataset, copy):
    info = copy / "meta" / "info.json"
    info.write_text(info.read_text().replace("observation.images.wrist", "observation.images.hand"))
    result = train(tiny_dataset, val_data_dir=copy, val_interval=2)
    fails(result, r"--val_data_dir .* lacks the cameras \['observation.images.wrist'\] of the training data")


def test_no_state_column(train, tiny_dataset):
    fails(
        train(tiny_dataset, state_key="pose"), r"no state column 'pose'; .* pass --state_key, or --state_encoding none"
    )


def test_a_batch_of_nothing(train, tiny_dataset):
    fails(train(tiny_dataset, batch_size=0), r"--batch_size: expected a multiple of the number of devices \(1\), got 0")


def test_a_checkpoint_directory_in_use(train, tiny_dataset, trained_run):
    result = train(tiny_dataset, checkpoint_dir=trained_run.config.checkpoint_dir)
    fails(result, r"already holds checkpoints \(last: step_00000004\); pass --resume_from_checkpoint latest to go on")


def test_a_nan_loss(train, tiny_dataset, tmp_path, monkeypatch):
    """The parameters are broken from the start."""
    create = execute.create_or_restore

    def broken(*args):
        state, frozen, position = create(*args)
        return state.replace(trainable=jax.tree.map(lambda leaf: leaf * jnp.nan, state.trainable)), frozen, position

    monkeypatch.setattr(execute, "create_or_restore", broken)
    result = train(tiny_dataset)
    fails(
        result,
        r"step 1: expected a finite loss and gradient, got loss nan .*In the batch: labelled episode \d frames \d+",
    )
    assert "Lower the peak learning rate" in result[2]
    assert list((tmp_path / "run").glob("step_*")) == []


def test_out_of_memory(train, tiny_dataset, monkeypatch):
    def fail(config):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes\ndetails")

    monkeypatch.setattr(run, "run_training", fail)
    result = train(tiny_dataset)
    fails(result, r"RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes")
    for advice in ("--batch_size", "--remat", "--freeze_mode all_backbones", "--fsdp_devices", "nvidia-smi"):
        assert advice in result[2]


def test_other_errors_of_xla_are_not_called_out_of_memory(train, tiny_dataset, monkeypatch):
    def fail(config):
        raise jax.errors.JaxRuntimeError("INTERNAL: a bug")

    monkeypatch.setattr(run, "run_training", fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL: a bug"):
        train(tiny_dataset)
