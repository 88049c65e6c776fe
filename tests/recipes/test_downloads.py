"""What a run needs and does not find is named at once, each with where it was looked for and how to get it."""

import pytest

from pistar_vf.errors import PistarError
from pistar_vf.recipes.alignment import run_alignment
from pistar_vf.recipes.config import AlignmentConfig, TrainConfig
from pistar_vf.recipes.preflight import check_flags
from pistar_vf.recipes.run import run_training


@pytest.fixture(autouse=True)
def empty_home(tmp_path, monkeypatch):
    for name in ("OPENPI_VLM_CKPT_DIR", "OPENPI_VALUE_TOKENIZER_PATH", "GEMMA_TOKENIZER_PATH", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "HF_HOME", "HF_LEROBOT_HOME"):
        monkeypatch.setenv(name, str(tmp_path))


def test_stage_1_names_weights_tokenizer_and_questions_at_once(tmp_path):
    """The documented quick start on an empty machine, with a tower by its repository's name."""
    settings = AlignmentConfig.of(
        checkpoint_dir=tmp_path / "run",
        cauldron_subset="vqav2",
        dataset_name="HuggingFaceM4/the_cauldron",
        pretrained_source="huggingface",
        pretrained_path=(tmp_path / "siglip-so400m-patch14-384", tmp_path / "gemma-3-270m-it"),
    )
    with pytest.raises(PistarError) as error:
        run_alignment(settings)
    text = str(error.value)
    siglip = "hf download google/siglip-so400m-patch14-384 config.json model.safetensors --local-dir"
    assert f"{siglip} {tmp_path}/siglip-so400m-patch14-384" in text
    assert f"{tmp_path}/Downloads/vlm_ckpt/tokenizer.model: no such file" in text
    tokenizer = f"hf download google/gemma-3-270m-it tokenizer.model --local-dir {tmp_path}/Downloads/vlm_ckpt"
    assert tokenizer in text
    assert "hf download HuggingFaceM4/the_cauldron --repo-type dataset --include 'vqav2/*'" in text
    assert text.endswith("With --download, this command runs the `hf download` lines above itself, and goes on.")
    assert not (tmp_path / "run").exists()


def test_stage_4_names_weights_tokenizer_and_every_dataset(tmp_path):
    settings = TrainConfig.of(data_dir=("a", "b"), checkpoint_dir=tmp_path / "run", load_pretrained=True)
    with pytest.raises(PistarError) as error:
        run_training(settings)
    for words in ("of the VLM bundle at", "found no tokenizer", "no dataset 'a'", "no dataset 'b'"):
        assert words in str(error.value)
    assert f"hf download ybpy/vlm_ckpt --local-dir {tmp_path}/Downloads/vlm_ckpt" in str(error.value)


def test_base_weights_are_googles_and_the_bundles(tmp_path):
    settings = TrainConfig.of(data_dir="a", checkpoint_dir=tmp_path / "run", pretrained_source="base")
    with pytest.raises(PistarError) as error:
        run_training(settings)
    siglip = "hf download google/siglip2-so400m-patch14-224-jax siglip2_so400m14_224.npz --local-dir"
    assert f"{siglip} {tmp_path}/Downloads/vlm_ckpt/siglip2-so400m-patch14-224-jax" in str(error.value)


def test_the_bundle_is_found_beside_its_tokenizer(tmp_path):
    """The documented smoke test: the bundle at ~/vlm_ckpt, named by its tokenizer alone."""
    bundle = tmp_path / "vlm_ckpt"
    (bundle / "gemma-3-270m" / "step_00020000").mkdir(parents=True)
    (bundle / "tokenizer.model").write_bytes(b"")
    tokenizer = {"load_pretrained": True, "tokenizer_path": "~/vlm_ckpt/tokenizer.model"}
    problems = check_flags(TrainConfig.of(data_dir="nowhere", checkpoint_dir=tmp_path / "run", **tokenizer))
    with pytest.raises(PistarError, match="no dataset 'nowhere'") as error:
        problems.refuse()
    assert "VLM bundle" not in str(error.value)
