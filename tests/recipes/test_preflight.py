"""Every mistake that flags, folders, metadata and headers show is named before a frame is decoded, all at once."""

import re
import subprocess
import sys
from pathlib import Path

import jaxtyping
import pytest

from pistar_vf.errors import ConfigError, PistarError
from pistar_vf.frames.cache import FrameCache
from pistar_vf.recipes import alignment, run
from pistar_vf.recipes.config import AlignmentConfig
from pistar_vf.recipes.plan import plan_data
from pistar_vf.recipes.preflight import check_flags
from pistar_vf.testing.tiny import tiny_train_config

pytestmark = pytest.mark.usefixtures("small_and_fast")


@pytest.fixture
def config(tiny_dataset, tmp_path):
    return tiny_train_config(tiny_dataset, tmp_path / "run")


@pytest.fixture(autouse=True)
def nothing_heavy_begins(trained_run, monkeypatch):
    """Neither a frame is decoded nor are weights read."""
    for owner, name in ((FrameCache, "open_with"), (run, "pretrained_params"), (alignment, "_pretrained_towers")):
        monkeypatch.setattr(owner, name, lambda *args, **kwargs: pytest.fail("frames or weights were read"))
    for name in ("OPENPI_VALUE_TOKENIZER_PATH", "GEMMA_TOKENIZER_PATH", "OPENPI_VLM_CKPT_DIR"):
        monkeypatch.delenv(name, raising=False)


# Of each mistake: the settings that make it, and what the message says.
MISTAKES = {
    "resume step": ({"resume_from_checkpoint": "step_00000003"}, r"step_00000003: .* holds no checkpoints"),
    "pretrained path": (
        {"pretrained_source": "checkpoint", "pretrained_path": ("nowhere",)},
        r"--pretrained_path nowhere: no such file or folder",
    ),
    "variant": ({"siglip_variant": "big"}, r"--siglip_variant: expected one of .*, got 'big'"),
    "LoRA targets": ({"lora_rank": 2, "lora_targets": "q_proj"}, r"lora targets 'q_proj': expected a pattern"),
    "LoRA pattern": ({"lora_rank": 2, "lora_targets": "("}, r"lora targets: expected a regular expression"),
    "freeze mode": ({"freeze_mode": "all"}, r"--freeze_mode: expected one of none, .*, got 'all'"),
    "prompt": (
        {"max_token_len": 3, "gemma_variant": "gemma3_270m"},
        r"expected at most 3 tokens, got \d+ for the prompt",
    ),
    "validation part": (
        {"val_interval": 2, "val_episodes": "1", "batch_size": 200},
        r"the validation set has \d+ frames in 1 episode\(s\), fewer than one batch of 200",
    ),
    "weights": ({"data_weight": (1.0, 2.0)}, r"--data_weight: expected 1 number\(s\) above 0"),
    "ratios": ({"train_ratio": 0.5}, r"expected shares that sum to 1"),
    "projector": ({"projector_path": "p.pt"}, r"--projector_path p.pt: no such file"),
    "questions": ({"vqa_data": "/nowhere/vqa"}, r"no question-answer data '/nowhere/vqa'"),
    "interval": ({"save_interval": 0}, r"--save_interval: expected at least 1 step, got 0"),
    "camera": ({"image_key": "observation.images.top"}, r"observation.images.top"),
    "state": ({"state_key": "pose"}, r"no state column 'pose'"),
    "value column": ({"value_column": "worth"}, r"worth"),
}


def mistaken(config, settings):
    """The configuration with mistakes, among them words that the type checker of the tests would stop."""
    paths = {name: Path(value) for name, value in settings.items() if name == "projector_path"}
    several = {name: tuple(map(Path, value)) for name, value in settings.items() if name == "pretrained_path"}
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        return config.replace(**{**settings, **paths, **several})
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_alone(config, trained_run, name):
    settings, message = MISTAKES[name]
    if name == "prompt":  # the tiny language model takes prompts of any length
        settings = {**settings, "tokenizer_path": str(trained_run.checkpoint / "tokenizer.model")}
    with pytest.raises(PistarError, match=message) as error:
        run.run_training(mistaken(config, settings))
    assert "problems" not in str(error.value)


def test_all_mistakes_in_one_message(config, trained_run):
    """But those that hide behind another: of two patterns only one can be given."""
    hidden = ("LoRA pattern", "state", "validation part", "ratios", "value column")
    names = [name for name in MISTAKES if name not in hidden]
    settings = {key: value for name in names for key, value in MISTAKES[name][0].items()}
    # Without one that is there, nobody could say how long a prompt is.
    settings["tokenizer_path"] = str(trained_run.checkpoint / "tokenizer.model")
    with pytest.raises(ConfigError, match=r"expected a run that can begin, found") as error:
        run.run_training(mistaken(config, settings))
    missing = [name for name in names if not re.search(MISTAKES[name][1], str(error.value))]
    assert missing == []
    assert f"found {len(names)} problems" in str(error.value)


def test_a_folder_in_use(config, trained_run):
    with pytest.raises(ConfigError, match=r"already holds checkpoints \(last: step_00000004\)"):
        run.run_training(config.replace(checkpoint_dir=trained_run.config.checkpoint_dir))


@pytest.mark.parametrize("below", ["", "run"])
def test_a_file_in_the_folders_place(config, tmp_path, below):
    (tmp_path / "a file").write_text("")
    with pytest.raises(ConfigError, match=r"expected a folder, but \S*/a file is a file; name another one"):
        run.run_training(config.replace(checkpoint_dir=tmp_path / "a file" / below))


def test_a_missing_bundle(config, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENPI_VLM_CKPT_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(PistarError, match=r"nowhere"):
        plan_data(config.replace(load_pretrained=True))


def test_a_path_without_a_source(config, tmp_path):
    with pytest.raises(ConfigError, match=r"expected --pretrained_source with it, to say what it is: one of "):
        plan_data(config.replace(pretrained_path=(tmp_path,)))


def test_adapters_that_nothing_would_train(config):
    problems = check_flags(config.replace(lora_rank=2, freeze_mode="all_but_projector"))
    with pytest.raises(ConfigError, match=r"--lora_rank: expected 0 with --freeze_mode all_but_projector, got 2"):
        problems.refuse()


def test_no_tokenizer(config, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(PistarError, match=r"found no tokenizer; looked at"):
        plan_data(config.replace(gemma_variant="gemma3_270m"))


@pytest.mark.parametrize("flag", ["train_episodes", "val_episodes", "val_data_dir"])
def test_two_ways_to_split(config, flag):
    settings = {flag: "0", "train_ratio": 0.8, "val_ratio": 0.1, "test_ratio": 0.1}
    problems = check_flags(config.replace(**settings))
    with pytest.raises(PistarError, match=rf"--{flag}: expected no --train_ratio, --val_ratio and --test"):
        problems.refuse()


def test_no_data_costs_no_jax(tmp_path):
    code = (
        "import sys; from pistar_vf.cli.main import main; "
        f"code = main(['train', '--data_dir', '{tmp_path}/no', '--checkpoint_dir', 'c', '--siglip_variant', 'x']); "
        "sys.exit(9 if 'jax' in sys.modules else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--siglip_variant: expected one of" in done.stderr
    assert "no dataset" in done.stderr


def test_a_folder_without_a_dataset_is_one_problem(config, tmp_path):
    """Not one more for the prompts that nobody could read."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(PistarError, match=r"no meta/info\.json") as error:
        plan_data(config.replace(data_dir=(str(tmp_path / "empty"),)))
    assert "problems" not in str(error.value)


# --- stage 1 ---------------------------------------------------------------------------------------------------


def test_stage_1_is_looked_at_too(tmp_path):
    config = AlignmentConfig.of(
        dataset_name="/nowhere/vqa",
        checkpoint_dir=tmp_path,
        gemma_variant="gemma3_big",
        pretrained_source="huggingface",
        tokenizer_path="no.model",
    )
    (tmp_path / "best_projector.safetensors").touch()
    with pytest.raises(ConfigError, match="found 5 problems") as error:
        alignment.run_alignment(config)
    for text in (
        "no question-answer data '/nowhere/vqa'",
        "--gemma_variant: expected one of",
        "--pretrained_source huggingface expects the folders of a SigLIP",
        "expected a SentencePiece model at no.model",
        "best_projector.safetensors exists already",
    ):
        assert text in str(error.value)
