"""Several datasets as one: where their rows go, and in which units their labels must be."""

import jax
import numpy as np
import pytest
from support.labelled_sets import OUTCOMES, label, write_unlabelled

from pistar_vf.errors import ConfigError
from pistar_vf.frames.loader import FrameTable
from pistar_vf.frames.mixture import JoinedTable, join_targets, name_rows, place
from pistar_vf.labels.targets import read_targets
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.returns import Normaliser, Outcome


@pytest.fixture(scope="module")
def datasets(tmp_path_factory) -> list[LeRobotDataset]:
    folder = tmp_path_factory.mktemp("mixture")
    raw = write_unlabelled(folder / "raw")
    return [label(raw, folder / "one"), label(raw, folder / "two", convention="libero_rollout"), raw]


def test_each_dataset_comes_after_the_one_before(datasets) -> None:
    """Twelve frames, three episodes each."""
    places = place(datasets)
    assert [(p.first_number, p.first_row) for p in places] == [(0, 0), (3, 12), (6, 24)]
    moved = places[1].of(datasets[1].episodes)
    assert [(e.index, e.start, e.length) for e in moved] == [(3, 12, 4), (4, 16, 5), (5, 21, 3)]


def test_rows_have_names(datasets) -> None:
    """Episodes of 4, 5 and 3 frames; -1 is padding."""
    found = name_rows(datasets, place(datasets), np.array([13, 0, -1, 35, 5, 3, 13, 4]))
    assert found == (
        "one episode 0 frames 0, 3; one episode 1 frames 0, 1; two episode 0 frames 1; raw episode 2 frames 2"
    )


def test_targets_are_joined(datasets) -> None:
    outcomes = {**OUTCOMES, 1: Outcome.TIMEOUT}
    targets = [read_targets(dataset, outcomes=outcomes) for dataset in datasets[:2]]
    joined = join_targets(targets, place(datasets[:2]), ["one", "two"])
    np.testing.assert_array_equal(joined.labels, np.concatenate([t.labels for t in targets]))
    assert joined.outcomes == {**outcomes, **{index + 3: outcome for index, outcome in outcomes.items()}}
    assert joined.timeouts.last_rows.tolist() == [8, 20]
    # The successes of both look alike, and the one failure of each is a time-out here.
    assert (joined.column, joined.conventions) == ("value_label", ("recap", "libero_rollout"))
    assert joined.normaliser == Normaliser("episode_ramp")


def test_conventions_of_the_same_unit_may_be_mixed(datasets) -> None:
    targets = [read_targets(dataset) for dataset in datasets[:2]]
    joined = join_targets(targets, place(datasets[:2]), ["one", "two"])
    assert joined.conventions == ("recap", "libero_rollout")
    assert [str(joined.outcomes[index]) for index in range(6)] == ["success", "failure", "success"] * 2


def test_labels_in_different_units_are_refused(datasets) -> None:
    targets = [read_targets(datasets[0]), read_targets(datasets[2], "paper", outcomes=OUTCOMES)]
    message = r"(?s)same unit in every --data_dir, got\n  one: recap, .*\n  three: paper, .*pass --target episode_ramp"
    with pytest.raises(ConfigError, match=message):
        join_targets(targets, place([datasets[0], datasets[2]]), ["one", "three"])


def small_table(first: int, count: int, camera: bool, prompts: int) -> FrameTable:
    number = np.arange(first, first + count)
    pixels = np.broadcast_to(number.astype(np.uint8)[:, None, None, None], (count, 2, 2, 3))
    return FrameTable(
        cameras={"base_0_rgb": pixels, "wrist_0_rgb": pixels if camera else None},
        image_size=2,
        labels=(-number / 100).astype(np.float32),
        prompt_index=(number % prompts).astype(np.int32),
        tokens=np.arange(prompts * 3, dtype=np.int32).reshape(prompts, 3) + first,
        token_mask=np.ones((prompts, 3), bool),
    )


def test_frames_come_from_their_own_tables() -> None:
    """Against each table asked by itself; the second lacks the wrist camera."""
    tables = [small_table(0, 5, True, 2), small_table(50, 7, False, 3), small_table(90, 4, True, 1)]
    joined = JoinedTable(tables, np.concatenate([table.labels for table in tables]))
    rows = np.array([13, 0, 5, -1, 4, 11, 12, 5])
    batch = joined.gather(rows)
    own = [(2, 1), (0, 0), (1, 0), (0, 0), (0, 4), (1, 6), (2, 0), (1, 0)]
    assert batch.frame.tolist() == rows.tolist()
    for position, (number, row) in enumerate(own):
        expected = tables[number].gather(np.array([row]))
        for got, wanted in zip(jax.tree.leaves(batch.observation), jax.tree.leaves(expected.observation), strict=True):
            np.testing.assert_array_equal(got[position], wanted[0])
        assert batch.observation.images["base_0_rgb"][position, 0, 0, 0] == (0, 50, 90)[number] + row
        assert batch.observation.image_masks["wrist_0_rgb"][position] == (number != 1)
        assert batch.target[position] == expected.target[0]
