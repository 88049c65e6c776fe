"""What a run leaves behind about itself, and which changes a resumed run may not have."""

import json
import logging
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.places import ROOT

from pistar_vf.cli.align import parse_alignment
from pistar_vf.cli.train import parse_config
from pistar_vf.errors import ConfigError
from pistar_vf.frames.cache import FrameCache
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.recipes import run, towers
from pistar_vf.recipes.config import AlignmentConfig, TrainConfig
from pistar_vf.recipes.plan import plan_data
from pistar_vf.recipes.settings_file import MAY_CHANGE, _differences, check_settings, read_settings, settings_text
from pistar_vf.tokenizer import train_prompt_tokenizer

_MUST_BE_GIVEN = ("data_dir", "checkpoint_dir")
pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture
def resuming(trained_run):
    return trained_run.config.replace(resume_from_checkpoint="step_00000002")


@pytest.fixture(autouse=True)
def nothing_is_decoded(trained_run, monkeypatch):
    monkeypatch.setattr(FrameCache, "open_with", lambda *args, **kwargs: pytest.fail("frames were decoded"))


def test_the_run_and_every_checkpoint_hold_it(trained_run):
    root = trained_run.checkpoint.parent
    texts = {path.relative_to(root).as_posix(): path.read_text() for path in sorted(root.rglob("settings.json"))}
    assert {"settings.json", "step_00000002/settings.json", "step_00000004/settings.json"} < texts.keys()
    assert len(set(texts.values())) == 1
    content = json.loads(texts["settings.json"])
    assert content["settings"]["peak_lr"] == 1e-3
    assert content["settings"].keys() == set(TrainConfig.names())
    assert content["inputs"].keys() == {"cameras", "frames", "labels", "prompts", "state_statistics", "tokenizer"}


@pytest.mark.parametrize("place", ["settings.json", "", "step_00000004"])
def test_the_same_flags_again(trained_run, place):
    path = str(trained_run.checkpoint.parent / place)
    assert parse_config(["--settings", path]) == trained_run.config
    assert parse_config(["--settings", path, "--batch_size", "2"]) == trained_run.config.replace(batch_size=2)


def test_stage_1_takes_its_settings_up_again(tmp_path):
    config = AlignmentConfig.of(checkpoint_dir=tmp_path, dataset_name="vqa", seed=7)
    (tmp_path / "settings.json").write_text(settings_text(config, {}))
    assert parse_alignment(["--settings", str(tmp_path)]) == config
    assert parse_alignment(["--settings", str(tmp_path), "--seed", "8"]) == config.replace(seed=8)


def test_every_kind_of_value_comes_back():
    config = parse_config(
        ["--data_dir", "a", "b", "--data_weight", "1", "2", "--checkpoint_dir", "c", "--cache_dir", "d"]
    )
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json())), "here") == config
    assert AlignmentConfig.from_json(AlignmentConfig().to_json(), "here") == AlignmentConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"settings.json: expected JSON, got "),
        ("[]", r"settings.json: expected the settings of a run, got something else"),
        (
            '{"settings": {"colour": 1}}',
            r"settings.json: expected settings of this version, got colour; leave them out",
        ),
        ('{"settings": {}}', r"settings.json: expected the settings of a run, got something else: .*data_dir"),
        (
            '{"settings": {"data_dir": "d", "checkpoint_dir": "c", "batch_size": [8]}}',
            r"settings.json: expected the settings of a run, got something else: the list \[8\] for one value",
        ),
    ],
)
def test_files_that_are_no_settings(tmp_path, text, message):
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_settings(path, TrainConfig)


def test_no_settings_and_two_sources(tmp_path, trained_run):
    with pytest.raises(ConfigError, match=r"--settings .*: expected a settings.json, or a folder that holds one"):
        parse_config(["--settings", str(tmp_path)])
    with pytest.raises(ConfigError, match=r"--preset: expected either it or --settings, got both"):
        parse_config(["--settings", str(trained_run.checkpoint), "--preset", "tiny"])


def test_the_documentation_lists_what_may_change():
    text = (ROOT / "docs" / "checkpoints.md").read_text().split("may change:")[1].split("Checkpoints of older")[0]
    assert set(re.findall(r"`(\w+)`", text)) == MAY_CHANGE


# --- resume ----------------------------------------------------------------------------------------------------


def test_the_run_itself_goes_on(resuming):
    plan_data(resuming.replace(log_interval=1, num_workers=1, save_interval=3, wandb_tags="a"))


@pytest.mark.parametrize(
    ("name", "value", "lines"),
    [
        ("image_fit", "stretch", "− image_fit: pad\n+ image_fit: stretch"),
        ("label_encoding", "one_hot", "− label_encoding: two_hot\n+ label_encoding: one_hot"),
        ("peak_lr", 0.5, "− peak_lr: 0.001\n+ peak_lr: 0.5"),
        ("augment", False, "− augment: True\n+ augment: False"),
        ("ema_decay", 0.1, "− ema_decay: 0.99\n+ ema_decay: 0.1"),
        ("state_noise", 3.0, "− state_noise: 0.0\n+ state_noise: 3.0"),
        ("image_key", "observation.images.wrist", "− image_key: None\n+ image_key: observation.images.wrist"),
        ("seed", 7, "− seed: 42\n+ seed: 7"),
        ("pretrained_key", "ema_params", "− pretrained_key: params\n+ pretrained_key: ema_params"),
    ],
)
def test_a_changed_setting_is_refused_with_both_values(resuming, name, value, lines):
    with pytest.raises(ConfigError, match=re.escape(lines)) as error:
        plan_data(resuming.replace(**{name: value}))
    assert "step_00000002/settings.json --resume_from_checkpoint step_00000002" in str(error.value)


def test_every_other_setting_is_compared(trained_run, resuming):
    """All of them in one report; those that may change are in none."""
    other = {bool: lambda v: not v, int: lambda v: v + 1, float: lambda v: v + 0.5, str: lambda v: f"{v}x"}
    values = {name: value for name, value in trained_run.config.to_json().items() if type(value) in other}
    path = trained_run.checkpoint.parent / "step_00000002" / "settings.json"
    changed = {name: other[type(value)](value) for name, value in values.items()}

    lines = _differences(
        json.loads(path.read_text())["settings"], {**trained_run.config.to_json(), **changed}, MAY_CHANGE
    )
    assert {line.split()[1].rstrip(":") for line in lines} == changed.keys() - MAY_CHANGE
    assert {*TrainConfig.names(), *AlignmentConfig.names()} >= MAY_CHANGE


def test_a_setting_that_the_file_is_older_than_has_its_default(tmp_path):
    config = AlignmentConfig.of(checkpoint_dir=tmp_path, dataset_name="vqa")
    content = json.loads(settings_text(config, {}))
    assert content["settings"].pop("seed") == AlignmentConfig().seed != 7
    (tmp_path / "settings.json").write_text(json.dumps(content))
    check_settings(tmp_path, config)
    with pytest.raises(ConfigError, match=rf"(?s)− seed: {AlignmentConfig().seed}\n\+ seed: 7"):
        check_settings(tmp_path, config.replace(seed=7))


def test_defaults_are_those_of_the_settings():
    """Of the blocks as the command has them; what must be given has none."""
    config = TrainConfig.of(data_dir="d", checkpoint_dir=Path("c")).to_json()
    assert TrainConfig.defaults() == {name: config[name] for name in TrainConfig.names() if name not in _MUST_BE_GIVEN}
    assert AlignmentConfig.defaults() == AlignmentConfig().to_json()


@pytest.fixture
def copy(tiny_dataset, tmp_path):
    """The same data in another place."""
    return shutil.copytree(tiny_dataset, tmp_path / "elsewhere")


def edit_table(root, name, change):
    path = sorted(root.rglob("data/**/*.parquet"))[0]
    table = pq.read_table(path)
    position = table.schema.get_field_index(name)
    path.unlink()
    column = change(table[name].to_numpy())
    pq.write_table(table.set_column(position, name, [column]), path)


def test_the_same_data_elsewhere_goes_on(resuming, copy):
    plan_data(resuming.replace(data_dir=str(copy)))


def flip_labels(root):
    edit_table(root, "value_label", lambda values: (-1 - values).astype("float32"))


def edit_prompts(root):
    path = root / "meta" / "tasks.jsonl"
    path.write_text(path.read_text().replace("the", "teh"))


def move_states(root):
    for path in sorted(root.rglob("data/**/*.parquet")):
        table = pq.read_table(path)
        states = [[number + 1 for number in state] for state in table["observation.state"].to_pylist()]
        position = table.schema.get_field_index("observation.state")
        field = table.schema.field(position)
        path.unlink()
        pq.write_table(table.set_column(position, field, [pa.array(states, field.type)]), path)


def another_video(root):
    videos = sorted(root.rglob("*front*/*.mp4"))
    content = videos[1].read_bytes()
    videos[0].unlink()
    videos[0].write_bytes(content)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (flip_labels, {"labels"}),
        (edit_prompts, {"prompts"}),
        (move_states, {"frames", "state_statistics"}),
        (another_video, {"frames"}),
    ],
)
def test_other_data_is_refused(resuming, copy, change, names):
    change(copy)
    with pytest.raises(ConfigError, match=r"expected the run that wrote .*, got another one") as error:
        plan_data(resuming.replace(data_dir=str(copy)))
    found = re.findall(r"^− (\w+): ", str(error.value), re.MULTILINE)
    assert set(found) == names


def test_another_tokenizer_is_refused(resuming, tmp_path):
    path = tmp_path / "other.model"
    prompts = load_lerobot(resuming.data_dir).prompts
    path.write_bytes(train_prompt_tokenizer((*prompts, "and other words")).model)
    with pytest.raises(ConfigError, match=r"− tokenizer: \w{16}\n\+ tokenizer: \w{16}"):
        plan_data(resuming.replace(tokenizer_path=str(path)))


def test_the_checkpoints_own_tokenizer_is_used(resuming, monkeypatch):
    monkeypatch.setattr(towers, "train_prompt_tokenizer", lambda texts: pytest.fail("trained a tokenizer"))
    own = (resuming.run.checkpoint_dir / "step_00000002" / "tokenizer.model").read_bytes()
    assert plan_data(resuming).tokenizer.model == own


def test_a_checkpoint_without_settings_goes_on_with_a_word(resuming, tmp_path, caplog):
    folder = shutil.copytree(resuming.run.checkpoint_dir, tmp_path / "old")
    for path in folder.rglob("settings.json"):
        path.unlink()
    with caplog.at_level(logging.WARNING):
        plan_data(resuming.replace(checkpoint_dir=folder, peak_lr=0.5))
    assert "no settings.json, as in checkpoints of older versions: seed, batch size" in caplog.text
    assert "learning rates, EMA, augmentation, cameras, prompts and labels cannot be" in caplog.text


def test_a_longer_run_only_warns(resuming, caplog):
    with caplog.at_level(logging.WARNING):
        plan_data(resuming.replace(num_train_steps=8))
    assert caplog.messages == ["num_train_steps was 4 and is now 8: the learning-rate schedule changes"]


def test_nothing_is_written_before_a_run_can_begin(trained_run, tmp_path):
    with pytest.raises(ConfigError, match="--data_weight"):
        run.run_training(trained_run.config.replace(checkpoint_dir=tmp_path / "run", data_weight=(1.0, 2.0)))
    assert not (tmp_path / "run").exists()
