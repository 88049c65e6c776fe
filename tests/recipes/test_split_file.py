"""The split that a run trains on is written down, and a resumed run must have the same."""

import dataclasses
import json
import shutil

import pytest

from pistar_vf.checkpoints.provenance import TrainedOn
from pistar_vf.checkpoints.value_spec import load_value_spec
from pistar_vf.errors import ConfigError, PistarError
from pistar_vf.labels.split import SplitRatios, episode_strata, split_by_ratio, split_episodes
from pistar_vf.labels.targets import read_targets
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.recipes import split
from pistar_vf.recipes.prepare import prepare_data
from pistar_vf.recipes.run import run_training
from pistar_vf.recipes.split import keep_split_file
from pistar_vf.testing.tiny import tiny_train_config

RATIOS = {"train_ratio": 0.5, "val_ratio": 0.25, "test_ratio": 0.25}


@pytest.fixture
def settings(tiny_dataset, frame_cache_dir, tmp_path):
    return tiny_train_config(tiny_dataset, tmp_path / "run", cache_dir=frame_cache_dir, val_interval=2, **RATIOS)


def written(config):
    return json.loads((config.checkpoint_dir / "split.json").read_text())


def prepare(config):
    """What a run does with its split before it trains."""
    data = prepare_data(config)
    keep_split_file(config, data.trained_on)
    return data


def resuming(config):
    """The same run after a checkpoint."""
    (config.checkpoint_dir / "step_00000002").mkdir()
    return config.replace(resume_from_checkpoint="latest")


def test_the_file_says_who_is_where(settings, tiny_dataset):
    data = prepare(settings)
    found = written(settings)
    dataset = load_lerobot(tiny_dataset)
    # The labels of time-outs are those of failures, see the fixture.
    strata = [("success" if e.metadata["outcome"] == "success" else "failure", e.tasks[0]) for e in dataset.episodes]
    expected = split_by_ratio(dataset.episodes, SplitRatios(0.5, 0.25, 0.25), 42, strata)
    for part, chosen in zip(("train", "val", "test"), expected):
        assert found[f"{part}_episodes"] == [episode.index for episode in chosen]
    assert [len(found[f"{part}_episodes"]) for part in ("train", "val", "test")] == [3, 2, 1]
    assert (found["name"], found["path"]) == (tiny_dataset.name, str(tiny_dataset))
    drawn = {"train": 0.5, "val": 0.25, "test": 0.25, "seed": 42, "stratified_by": ["outcome", "task"]}
    assert found["split"] == drawn
    assert TrainedOn.from_facts(found) == data.trained_on
    trained = {episode.index for episode in data.train_rows.episodes}
    assert (trained, len(data.val_rows.episodes)) == (set(found["train_episodes"]), 2)


def test_without_ratios_outcomes_keep_their_shares_too(settings, tiny_dataset):
    plain = settings.replace(train_ratio=None, val_ratio=None, test_ratio=None, val_fraction=0.4)
    prepare(plain)
    found, dataset = written(plain), load_lerobot(tiny_dataset)
    targets = read_targets(dataset)
    strata = episode_strata(dataset, targets.labels, targets.outcomes)
    train, val = split_episodes(dataset.episodes, plain.val_fraction, plain.seed, strata)
    assert {targets.outcomes[episode.index] for episode in val} == {"success", "failure"}
    expected = [[episode.index for episode in part] for part in (train, val, ())]
    assert [found[f"{part}_episodes"] for part in ("train", "val", "test")] == expected
    assert found["split"] is None


def test_a_run_that_drew_otherwise_goes_on_with_what_it_drew(settings, tiny_dataset, trained_run, monkeypatch):
    """Runs before this version drew their validation part from all episodes alike."""
    dataset = load_lerobot(tiny_dataset)
    fraction, seed = next(
        (fraction, seed)
        for fraction in (0.2, 0.4)
        for seed in range(20)
        if split_episodes(dataset.episodes, fraction, seed) != drawn(plain_of(settings, fraction, seed), dataset)
    )
    then, _ = split_episodes(dataset.episodes, fraction, seed)
    spec = load_value_spec(trained_run.checkpoint)
    recorded = dataclasses.replace(spec.trained_on.datasets[0], train=tuple(episode.index for episode in then), val=())
    old = dataclasses.replace(spec, trained_on=dataclasses.replace(spec.trained_on, datasets=(recorded,)))
    monkeypatch.setattr(split, "load_value_spec", lambda _: old)
    config = plain_of(settings, fraction, seed).replace(checkpoint_dir=trained_run.checkpoint.parent)
    resumed = config.replace(resume_from_checkpoint="latest")
    assert split.split_dataset(resumed, dataset, read_targets(dataset)).train == then
    assert split.split_dataset(config, dataset, read_targets(dataset)).train != then


def plain_of(settings, fraction, seed):
    """Settings without ratios."""
    return settings.replace(train_ratio=None, val_ratio=None, test_ratio=None, val_fraction=fraction, seed=seed)


def drawn(config, dataset):
    """(train, validation) as a new run draws them."""
    found = split.split_dataset(config, dataset, read_targets(dataset))
    return found.train, found.val


def test_the_checkpoint_records_it_too(trained_run):
    trained_on = load_value_spec(trained_run.checkpoint).trained_on
    facts = json.loads((trained_run.checkpoint / "value_spec.json").read_text())["dataset"]
    assert facts == trained_on.facts() == json.loads((trained_run.checkpoint.parent / "split.json").read_text())
    assert facts["test_episodes"] == []


def test_held_out_episodes_stay_held_out_without_validation(settings):
    data = prepare(settings.replace(val_interval=0))
    assert (len(data.train_rows.episodes), data.val_rows) == (3, None)


@pytest.mark.parametrize(
    "changes",
    [{"split_seed": 1}, {"train_ratio": 0.75, "val_ratio": 0.125, "test_ratio": 0.125}, dict.fromkeys(RATIOS)],
)
def test_a_resume_with_another_split_is_refused(settings, changes):
    prepare(settings)
    before = written(settings)
    message = r"expected the split in .*split.json, got another one; pass --train_ratio 0.5 --val_ratio 0.25 "
    with pytest.raises(ConfigError, match=message + "--test_ratio 0.25 --split_seed 42"):
        prepare(resuming(settings).replace(**changes))
    assert written(settings) == before


def test_a_resume_with_ratios_where_there_were_none_is_refused(settings):
    prepare(settings.replace(**dict.fromkeys(RATIOS)))
    with pytest.raises(ConfigError, match="pass no --train_ratio, --val_ratio and --test_ratio and the same data"):
        prepare(resuming(settings))


def test_a_resume_with_the_same_split_goes_on(settings):
    first = prepare(settings).trained_on
    again = resuming(settings)
    assert prepare(again).trained_on == first
    shutil.rmtree(again.checkpoint_dir / "step_00000002")


def test_other_data_under_the_same_flags_is_another_split(settings):
    prepare(settings)
    path = settings.checkpoint_dir / "split.json"
    kept = written(settings)
    path.write_text(json.dumps({**kept, "test_episodes": [9]}))
    with pytest.raises(ConfigError, match="got another one"):
        prepare(resuming(settings))


def test_the_file_of_a_run_is_not_touched_by_one_that_does_not_resume(settings):
    prepare(settings)
    before = written(settings)
    resuming(settings)
    with pytest.raises(ConfigError, match="already holds checkpoints"):
        prepare(settings.replace(split_seed=7))
    assert written(settings) == before


@pytest.mark.parametrize("other", [{"val_episodes": "1"}, {"train_episodes": "0"}, {"val_data_dir": "x"}])
def test_two_ways_of_holding_out(settings, other):
    (name,) = other
    with pytest.raises(ConfigError, match=f"--{name}: expected no --train_ratio, --val_ratio and --test_ratio with it"):
        prepare(settings.replace(**other))


def test_ratios_that_do_not_sum_to_one_write_nothing(settings):
    with pytest.raises(ConfigError, match=r"shares that sum to 1, .* got 0.5 \+ 0.25 \+ 0$"):
        prepare(settings.replace(test_ratio=None))
    assert not settings.checkpoint_dir.exists()


def test_a_run_that_cannot_begin_leaves_no_file(settings, tmp_path):
    missing = {"pretrained_source": "checkpoint", "pretrained_path": (tmp_path / "nothing",)}
    with pytest.raises(PistarError, match="nothing"):
        run_training(settings.replace(**missing))
    assert not (settings.checkpoint_dir / "split.json").exists()
