"""`--download` does what the preflight's `hf download` lines name, and the run says which commits it read."""

import json

import pytest

from pistar_vf.errors import ConfigError, PistarError
from pistar_vf.hub.unfinished import is_unfinished
from pistar_vf.questions.resolve import find_vqa_data
from pistar_vf.recipes.config import AlignmentConfig, TrainConfig
from pistar_vf.recipes.from_hub import check_with_downloads, revisions_of
from pistar_vf.recipes.settings_file import settings_text

TOWERS = ("siglip-so400m-patch14-384", "gemma-3-270m-it")


def publish(hub, folder, repository, names, kind="models"):
    """A repository of files that only have names; returns its commit."""
    place = folder / "served" / repository
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(f"{repository} {name}")
    return hub.publish(repository, place, kind=kind)


@pytest.fixture
def commits(hub, tmp_path):
    """Repository to commit, of everything that the preflight can name."""
    files = {
        "google/siglip-so400m-patch14-384": ("config.json", "model.safetensors", "preprocessor_config.json"),
        "google/gemma-3-270m-it": ("config.json", "model.safetensors", "tokenizer.model", "tokenizer.json"),
        "google/siglip2-so400m-patch14-224-jax": ("siglip2_so400m14_224.npz",),
        "ybpy/vlm_ckpt": ("tokenizer.model", "gemma-3-270m/step_00020000/_METADATA"),
    }
    found = {repository: publish(hub, tmp_path, repository, names) for repository, names in files.items()}
    data = {
        "HuggingFaceM4/the_cauldron": ("vqav2/train-00000.parquet", "vqav2/train-00001.parquet", "ai2d/train.parquet"),
        "liuhaotian/LLaVA-Instruct-150K": ("llava_instruct_150k.json", "detail_23k.json"),
    }
    return found | {name: publish(hub, tmp_path, name, files, "datasets") for name, files in data.items()}


def alignment(tmp_path, **changes) -> AlignmentConfig:
    paths = tuple(tmp_path / name for name in TOWERS)
    settings = {"pretrained_source": "huggingface", "pretrained_path": paths, "checkpoint_dir": tmp_path / "run"}
    return AlignmentConfig.of(**{"download": True, **settings, **changes})


def test_stage_1_has_everything_afterwards(commits, hub, tmp_path):
    """The documented quick start on an empty machine; of The Cauldron, VQAv2 alone."""
    config = alignment(tmp_path)
    assert not check_with_downloads(config)
    wanted = {"config.json", "model.safetensors", "tokenizer.model"}
    assert set(hub.downloaded()) == wanted | {"vqav2/train-00000.parquet", "vqav2/train-00001.parquet"}
    for name in TOWERS:
        assert (tmp_path / name / "model.safetensors").read_text().startswith(f"google/{name}")
    assert (tmp_path / "home" / "Downloads" / "vlm_ckpt" / "tokenizer.model").is_file()
    hub.requests.clear()
    assert not check_with_downloads(config)
    assert hub.requests == []


def test_the_run_says_which_commits_it_read(commits, tmp_path):
    config = alignment(tmp_path)
    assert not check_with_downloads(config)
    content = json.loads(settings_text(config, {}, revisions_of(config)))
    assert content["revisions"] == {
        str(find_vqa_data("HuggingFaceM4/the_cauldron")): commits["HuggingFaceM4/the_cauldron"],
        **{str(tmp_path / name): commits[f"google/{name}"] for name in TOWERS},
        str(tmp_path / "home" / "Downloads" / "vlm_ckpt" / "tokenizer.model"): commits["google/gemma-3-270m-it"],
    }
    assert "revisions" not in json.loads(settings_text(config, {}))


def test_the_bundle_brings_its_tokenizer(commits, hub, tmp_path):
    """So nobody has to accept Gemma's terms twice."""
    hub.gated.add("google/gemma-3-270m-it")
    settings = {"data_dir": str(tmp_path), "checkpoint_dir": tmp_path / "run", "load_pretrained": True}
    config = TrainConfig.of(download=True, **settings)
    assert not check_with_downloads(config)
    bundle = tmp_path / "home" / "Downloads" / "vlm_ckpt"
    assert (bundle / "gemma-3-270m" / "step_00020000" / "_METADATA").is_file()
    assert revisions_of(config)[str(bundle / "tokenizer.model")] == commits["ybpy/vlm_ckpt"]


def test_base_weights_come_to_where_they_are_looked_for(commits, tmp_path):
    settings = {"data_dir": str(tmp_path), "checkpoint_dir": tmp_path / "run", "pretrained_source": "base"}
    assert not check_with_downloads(TrainConfig.of(download=True, **settings))
    folder = tmp_path / "home" / "Downloads" / "vlm_ckpt" / "siglip2-so400m-patch14-224-jax"
    assert (folder / "siglip2_so400m14_224.npz").is_file()


def test_llava_comes_without_its_pictures_and_says_so(commits, hub, tmp_path):
    config = alignment(tmp_path, dataset_name="liuhaotian/LLaVA-Instruct-150K")
    with pytest.raises(PistarError, match=r"COCO's train2017, which are not on the hub.*--image_dir"):
        check_with_downloads(config.replace(download=False)).refuse()
    assert not check_with_downloads(config)
    assert "llava_instruct_150k.json" in hub.downloaded()
    assert "detail_23k.json" not in hub.downloaded()


def test_an_address_of_questions_is_downloaded_at_its_revision(commits, hub, tmp_path):
    commit = commits["HuggingFaceM4/the_cauldron"]
    config = alignment(tmp_path, dataset_name=f"hf://HuggingFaceM4/the_cauldron@{commit}", cauldron_subset="ai2d")
    assert not check_with_downloads(config)
    assert "ai2d/train.parquet" in hub.downloaded()
    assert "vqav2/train-00000.parquet" not in hub.downloaded()


def test_nothing_is_downloaded_for_a_run_that_is_refused(commits, hub, tmp_path):
    """The documented quick start of stage 1, verbatim: what it lacks is named at once, the weights among it."""
    problems = check_with_downloads(AlignmentConfig.of(checkpoint_dir=tmp_path / "run", download=True))
    with pytest.raises(ConfigError) as error:
        problems.refuse()
    for words in ("expected weights for the vision tower and the language model", "found no tokenizer", "the_cauldron"):
        assert words in str(error.value)
    assert hub.requests == []


def test_without_the_flag_nothing_is_downloaded(commits, hub, tmp_path):
    problems = check_with_downloads(alignment(tmp_path, download=False))
    assert len(problems.downloads) == 4
    assert hub.requests == []


def test_what_cannot_be_downloaded_is_said_beside_what_is_missing(commits, hub, tmp_path):
    hub.gated.add("google/gemma-3-270m-it")
    problems = check_with_downloads(alignment(tmp_path))
    with pytest.raises(ConfigError) as error:
        problems.refuse()
    assert "google/gemma-3-270m-it: expected access to this model, got refused" in str(error.value)
    assert f"--pretrained_path {tmp_path}/gemma-3-270m-it: no such file or folder" in str(error.value)
    assert (tmp_path / "siglip-so400m-patch14-384" / "model.safetensors").is_file()


def test_a_stopped_download_goes_on(commits, hub, tmp_path, monkeypatch):
    """What it left is not taken for all there is, neither of questions nor of weights."""
    from pistar_vf.hub import client

    def stop(*arguments, **options):
        place = options["local_dir"] or options["cache_dir"] / "datasets--HuggingFaceM4--the_cauldron" / "snapshots"
        (place / (commits["HuggingFaceM4/the_cauldron"] if options["local_dir"] is None else "")).mkdir(
            parents=True, exist_ok=True
        )
        raise KeyboardInterrupt

    config = alignment(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(client._client(), "snapshot_download", stop)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                check_with_downloads(config)
    assert (tmp_path / TOWERS[0]).is_dir()
    assert is_unfinished(tmp_path / TOWERS[0])
    assert len(check_with_downloads(config.replace(download=False)).downloads) == 4
    assert not check_with_downloads(config)
    assert not is_unfinished(tmp_path / TOWERS[0])
    assert len(list(find_vqa_data("HuggingFaceM4/the_cauldron").rglob("*.parquet"))) == 2


def test_progress_is_shown(commits, tmp_path, capsys):
    check_with_downloads(alignment(tmp_path))
    assert "%|" in capsys.readouterr().err


def test_stage_2_takes_the_flag_too(commits, tmp_path):
    from pistar_vf.cli.stages import split_flags

    first, second = split_flags(["--download", "--batch_size", "4"])
    assert "--download" in first
    assert "--download" in second
