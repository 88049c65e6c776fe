"""The synthetic robot dataset: what the simulator says, what the pictures show, what a model could cheat with."""

import collections
import hashlib
import json
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from pistar_vf.returns import Outcome
from pistar_vf.testing import demo_dataset as demo
from pistar_vf.testing.arm_render import View, render
from pistar_vf.testing.arm_world import BIN_BOTTOM, BIN_X, BLOCK, LINK, MOUNT, WRIST_HEIGHT, ArmWorld, Snapshot
from pistar_vf.testing.arm_world import progress as progress_of
from pistar_vf.testing.lerobot_writer import EpisodeData

NUM_EPISODES = 8
SIZE = 48
BEHAVIOURS = (
    demo.FAST,
    demo.SLOW,
    demo.CORRECTED,
    demo.WRONG_BIN,
    demo.WRONG_BLOCK,
    demo.DROPPED,
    demo.STUCK,
    demo.LOST,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "set"
    return demo.write_demo_dataset(path, num_episodes=NUM_EPISODES, image_size=SIZE)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def play(goal: demo.Goal, behaviour: demo.Behaviour, seed: int) -> list[Snapshot]:
    rng = np.random.default_rng(seed)
    world = ArmWorld(rng, speed=rng.uniform(0.1, 0.14))
    behaviour.act(world, goal)
    world.go_home()
    return world.history


def digest(root: Path) -> dict[str, str]:
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()
    }


def test_files_hold_what_was_played(root: Path) -> None:
    episodes = lines(root / "meta/episodes.jsonl")
    assert len(episodes) == NUM_EPISODES
    for line in episodes:
        table = pq.read_table(root / f"data/chunk-000/episode_{line['episode_index']:06d}.parquet")
        assert table.num_rows == line["length"]
        assert table["observation.state"].type.list_size == 6
        assert table["action"].type.list_size == 3
        assert str(table["intervention"].type) == "int64"
        assert str(table["progress"].type) == "float"
        # Success, and only success, ends with the simulator's progress at 1.
        assert (table["progress"].to_pylist()[-1] == 1) == (line["outcome"] == "success")
    assert {line["outcome"] for line in episodes} == {"success", "failure", "timeout"}
    for camera in (demo.FRONT, demo.WRIST):
        with av.open(str(root / f"videos/chunk-000/{camera}/episode_000003.mp4")) as container:
            sizes = [(frame.height, frame.width) for frame in container.decode(video=0)]
        assert sizes == [(SIZE, SIZE)] * episodes[3]["length"]


def test_same_seed_same_bytes_other_seed_other_data(root: Path, tmp_path: Path) -> None:
    again = demo.write_demo_dataset(tmp_path / "again", num_episodes=NUM_EPISODES, image_size=SIZE)
    assert digest(again) == digest(root)
    other = demo.write_demo_dataset(tmp_path / "other", num_episodes=1, seed=1, image_size=SIZE)
    name = "data/chunk-000/episode_000000.parquet"
    assert digest(other)[name] != digest(root)[name]


def test_schedule_keeps_the_promised_mix() -> None:
    count = collections.Counter(behaviour.outcome for behaviour in demo._SCHEDULE)
    assert count == {Outcome.SUCCESS: 14, Outcome.FAILURE: 8, Outcome.TIMEOUT: 2}
    assert set(demo._SCHEDULE) == set(BEHAVIOURS) - {demo.WRONG_BLOCK}


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.act.__name__)
@pytest.mark.parametrize("goal", demo.GOALS, ids=lambda goal: f"{goal.colour}-{goal.side}")
def test_every_behaviour_ends_as_it_says(goal: demo.Goal, behaviour: demo.Behaviour) -> None:
    for seed in range(20):
        history = play(goal, behaviour, seed)
        assert 25 <= len(history) <= 70
        last = history[-1]
        in_goal_bin = np.hypot(
            last.blocks[goal.colour][0] - (-BIN_X if goal.side == "left" else BIN_X),
            last.blocks[goal.colour][1] - (BIN_BOTTOM + BLOCK / 2),
        )
        assert (in_goal_bin < 0.1) == (behaviour.outcome is Outcome.SUCCESS)
        assert abs(last.x) < 0.2  # home again ...
        assert abs(last.y - 1.25) < 0.2
        late = history[-len(history) // 5 :]
        assert all(s.bin_of(goal.colour) == last.bin_of(goal.colour) for s in late)  # ... with the outcome in view
        assert any(s.operator for s in history) == (behaviour is demo.CORRECTED)


def test_first_half_of_a_wrong_bin_is_a_success_of_the_other_prompt() -> None:
    """The same seed gives the very same pictures: only the prompt can tell."""
    goal = demo.GOALS[0]
    wrong = demo.create_episode(goal, demo.WRONG_BIN, np.random.default_rng(5), SIZE)
    right = demo.create_episode(goal.other_bin, demo.FAST, np.random.default_rng(5), SIZE)
    assert wrong.task == demo.swap_prompt(right.task) != right.task
    assert (wrong.metadata["outcome"], right.metadata["outcome"]) == ("failure", "success")
    for camera in (demo.FRONT, demo.WRIST):
        np.testing.assert_array_equal(wrong.images[camera], right.images[camera])
    np.testing.assert_array_equal(wrong.columns["observation.state"], right.columns["observation.state"])


def test_operator_fixes_what_the_arm_began_wrong() -> None:
    goal = demo.GOALS[0]
    for seed in range(6):
        history = play(goal, demo.CORRECTED, seed)
        start = next(i for i, snapshot in enumerate(history) if snapshot.operator)
        before = history[start - 1]
        over_wrong_block = before.held is None and abs(before.x - before.blocks[goal.other_block.colour][0]) < 0.15
        over_wrong_bin = before.held == goal.colour and before.x * (-1 if goal.side == "left" else 1) < -0.6
        assert over_wrong_block or over_wrong_bin
        assert not history[-1].operator


def test_the_clock_is_not_enough() -> None:
    """Frames to success spread widely, and failures are not shorter or longer as a rule."""
    done = [
        next(i for i, s in enumerate(history) if s.bin_of(goal.colour) == goal.side)
        for goal in demo.GOALS
        for behaviour in (demo.FAST, demo.SLOW, demo.CORRECTED)
        for history in (play(goal, behaviour, seed) for seed in range(8))
    ]
    assert max(done) > 1.8 * min(done)


def test_joints_put_the_wrist_where_the_gripper_is() -> None:
    """Oracle: forward kinematics from the two angles."""
    for snapshot in play(demo.GOALS[0], demo.SLOW, 0):
        shoulder, elbow = snapshot.joints
        x = MOUNT[0] + LINK * np.sin(shoulder) + LINK * np.sin(shoulder + elbow)
        y = MOUNT[1] - LINK * np.cos(shoulder) - LINK * np.cos(shoulder + elbow)
        np.testing.assert_allclose((x, y - WRIST_HEIGHT), (snapshot.x, snapshot.y), atol=1e-6)


def test_progress_by_hand() -> None:
    blocks = {"red": (0.0, 0.46), "blue": (0.25, 0.46)}
    over_red = Snapshot(0.0, 1.06, 1.0, None, blocks, False)
    assert progress_of(over_red, "red", "left") == pytest.approx(0.4 * (1 - 0.6 / 1.2))
    assert progress_of(over_red, "blue", "left") < progress_of(over_red, "red", "left")
    carrying = Snapshot(-0.84, 0.62, 0.3, "red", {**blocks, "red": (-0.84, 0.62)}, False)
    assert progress_of(carrying, "red", "left") == pytest.approx(0.9)
    assert progress_of(carrying, "blue", "left") == 0
    in_left = Snapshot(0.0, 1.25, 1.0, None, {**blocks, "red": (-0.84, 0.15)}, False)
    assert [progress_of(in_left, "red", side) for side in ("left", "right")] == [1, 0]
    dropped = Snapshot(0.0, 1.25, 1.0, None, {**blocks, "red": (0.495, 0.11)}, False)
    assert progress_of(dropped, "red", "right") == 0


def test_progress_of_a_success_rises() -> None:
    values = demo.create_episode(demo.GOALS[0], demo.FAST, np.random.default_rng(0), 8).columns["progress"]
    assert values[0] < 0.25
    assert values[-1] == 1
    assert np.diff(values).min() > -0.15  # lifting and trembling cost a little, nothing costs much


def test_pictures_show_the_outcome_at_56_pixels() -> None:
    """Oracle: colour counts in the part of the picture where each bin is."""
    blocks = {"red": (-BIN_X, BIN_BOTTOM + BLOCK / 2), "blue": (0.0, 0.46)}
    picture = render(Snapshot(0.0, 1.25, 1.0, None, blocks, False), View(0.0, 1.0, 1.1), 56).astype(int)
    red = (picture[..., 0] > 150) & (picture[..., 1] < 100)
    blue = (picture[..., 2] > 150) & (picture[..., 0] < 100)
    assert red[:, :14].sum() >= 16
    assert red[:, 14:].sum() == 0
    assert blue[:, 20:36].sum() >= 16
    # World to pixels by hand: x = -0.84 of [-1.1, 1.1] is column 6.6, y = 0.15 of [-0.1, 2.1] is row 49.6.
    np.testing.assert_allclose(np.argwhere(red).mean(0), [49.6, 6.6], atol=1.0)


def test_wrist_camera_follows_the_gripper() -> None:
    data = demo.create_episode(demo.GOALS[0], demo.FAST, np.random.default_rng(0), SIZE)
    held = np.flatnonzero(data.columns["observation.state"][:, 5])
    for frame in data.images[demo.WRIST][held]:
        centre = frame[SIZE // 2, SIZE // 2].astype(int)
        assert centre[0] > 2 * centre[2]  # the red block is in the middle while it is held


def test_columns_are_not_a_clock_and_do_not_name_the_goal() -> None:
    """Before the first pick-up the state of both prompts for one scene is the same."""
    left, right = (
        demo.create_episode(goal, demo.FAST, np.random.default_rng(3), 8)
        for goal in (demo.Goal("red", s) for s in demo.SIDES)
    )
    states = [data.columns["observation.state"] for data in (left, right)]
    until = int(np.argmax(states[0][:, 5]))
    np.testing.assert_array_equal(states[0][:until], states[1][:until])


def test_action_is_where_the_gripper_goes_next() -> None:
    columns = demo.create_episode(demo.GOALS[1], demo.SLOW, np.random.default_rng(0), 8).columns
    np.testing.assert_array_equal(columns["action"][:-1, :2], columns["observation.state"][1:, 3:5])
    np.testing.assert_array_equal(columns["action"][:-1, 2], columns["observation.state"][1:, 2])


def test_swap_prompt() -> None:
    assert demo.swap_prompt("put the red block in the left bin") == "put the red block in the right bin"
    assert {demo.swap_prompt(goal.prompt) for goal in demo.GOALS} == {goal.prompt for goal in demo.GOALS}


def test_episode_is_plain_data() -> None:
    data = demo.create_episode(demo.GOALS[0], demo.DROPPED, np.random.default_rng(0), 8)
    assert isinstance(data, EpisodeData)
    assert data.images[demo.FRONT].shape == (len(data), 8, 8, 3)
