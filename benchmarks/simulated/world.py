"""Meta-World: its simulator, episodes acted out in it, and pictures of them."""

import dataclasses
import os
import warnings
from collections.abc import Callable

import numpy as np

from pistar_vf.typing import Bool, Float, UInt8

os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("LP_NUM_THREADS", "1")
warnings.filterwarnings("ignore", module="metaworld|gymnasium|glfw|mujoco")

import metaworld  # noqa: E402
import mujoco  # noqa: E402
from metaworld.policies import ENV_POLICY_MAP  # noqa: E402

from simulated.script import GOOD, LONGEST, SHORTEST_SUCCESS, Manner, Script  # noqa: E402
from simulated.tasks import Progress, Task  # noqa: E402

SIDE = 112
"""Pixels of a picture."""
CAMERAS = ("observation.images.corner", "observation.images.wrist")
_ATTEMPTS = 300


@dataclasses.dataclass(frozen=True)
class Acted:
    """One episode as the simulator knows it.

    Attributes:
        kind: see `simulated.script`.
        onset: the first frame that went wrong, -1 where none did.
        succeeded: whether it ended in success.
        observation: Meta-World's, of every frame.
        action: of every frame.
        progress: of every frame, see `Progress`.
        snapshots: positions of joints and mocap bodies, for drawing.
    """

    kind: str
    onset: int
    succeeded: bool
    observation: Float[np.ndarray, "t 39"]
    action: Float[np.ndarray, "t 4"]
    progress: Float[np.ndarray, " t"]
    snapshots: list[tuple[np.ndarray, ...]]


class World:
    """One task's simulator, with starts drawn from a seed."""

    def __init__(self, task: Task, seed: int):
        benchmark = metaworld.MT1(task.name, seed=seed)
        self.task, self._starts = task, benchmark.train_tasks
        self.env = benchmark.train_classes[task.name]()
        self.env._freeze_rand_vec = True
        self.env.max_path_length = 10_000
        self.env.model.vis.quality.offsamples = 0
        self._renderer: mujoco.Renderer | None = None

    def reset(self, start: int) -> np.ndarray:
        """Begins an episode; returns the first observation."""
        self.env.set_task(self._starts[start % len(self._starts)])
        return self.env.reset()[0]

    def draw_starts(self, seed: int) -> None:
        """Other ones, 50 of a seed."""
        self._starts = metaworld.MT1(self.task.name, seed=seed).train_tasks

    def act_out(self, kind: str, start: int, rng: np.random.Generator) -> Acted:
        """An episode of this kind.

        Raises:
            RuntimeError: no attempt of many came out as the kind says.
        """
        for _ in range(_ATTEMPTS):
            acted = self.attempt(kind, start, rng)
            if _is_as_wanted(acted, self.task):
                return acted
        raise RuntimeError(f"{self.task.name}, {kind}: expected an episode of this kind in {_ATTEMPTS} attempts")

    def attempt(self, kind: str, start: int, rng: np.random.Generator) -> Acted:
        """An episode that was to be of this kind, however it came out."""
        observation = self.reset(start)
        manner = Manner.draw(rng, kind, self.task.speed)
        script, progress = Script(kind, manner, self.task.grasps, rng), Progress(observation)
        own, other = ENV_POLICY_MAP[self.task.name](), ENV_POLICY_MAP[rng.choice(self.task.others)]()
        shift = manner.shift if kind == "wrong_goal" and self.task.grasps else np.zeros(3)
        frames, succeeded, succeeded_at = [], False, None
        for frame in range(manner.length):
            seen = np.append(observation[:-3], observation[-3:] + shift)
            way = progress.way(observation)
            action = script.act(frame, own.get_action(seen), other.get_action(seen.copy()), way)
            frames.append((observation, action, progress.of(observation, succeeded), self._snapshot()))
            was = succeeded
            observation, _, _, _, info = self.env.step(action)
            succeeded = bool(info["success"])
            succeeded_at = frame if succeeded and succeeded_at is None else succeeded_at
            if script.is_over(frame, succeeded_at):
                break
        observations, actions, far, snapshots = zip(*frames)
        onset = -1 if script.onset is None else script.onset
        return Acted(
            kind,
            onset,
            was,
            np.array(observations, np.float32),
            np.array(actions, np.float32),
            np.array(far, np.float32),
            list(snapshots),
        )

    def hurry(self) -> None:
        """Leaves out what takes two thirds of a step and no policy sees: the reward, and rotations of objects."""
        nothing, env, task = np.zeros(4), self.env, self.task

        def only_success(observation: np.ndarray, action: np.ndarray) -> tuple[float, dict[str, float]]:
            return 0.0, {"success": float(task.succeeded(observation[4:7], env._target_pos))}

        env._get_quat_objects = lambda: nothing
        env.evaluate_state = only_success

    def roll(self, act: Callable[[np.ndarray], np.ndarray], start: int, longest: int) -> bool:
        """Whether a policy succeeds within so many steps."""
        observation = self.reset(start)
        for _ in range(longest):
            observation, _, _, _, info = self.env.step(act(observation).astype(np.float32))
            if info["success"]:
                return True
        return False

    def _snapshot(self) -> tuple[np.ndarray, ...]:
        data = self.env.data
        return data.qpos.copy(), data.mocap_pos.copy(), data.mocap_quat.copy()

    def draw(self, acted: Acted) -> dict[str, UInt8[np.ndarray, "t h w 3"]]:
        """Pictures of an episode by every camera, without shadows and reflections."""
        if self._renderer is None:
            self._renderer = mujoco.Renderer(self.env.model, SIDE, SIDE)
        views = dict(zip(CAMERAS, (_corner(), "gripperPOV")))
        pictures: dict[str, list[np.ndarray]] = {name: [] for name in CAMERAS}
        data = self.env.data
        for joints, mocap_position, mocap_quaternion in acted.snapshots:
            data.qpos[:], data.mocap_pos[:], data.mocap_quat[:] = joints, mocap_position, mocap_quaternion
            mujoco.mj_forward(self.env.model, data)
            for name, camera in views.items():
                self._renderer.update_scene(data, camera=camera)
                self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
                self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
                pictures[name].append(self._renderer.render().copy())
        return {name: np.stack(frames) for name, frames in pictures.items()}


def _corner() -> mujoco.MjvCamera:
    """A camera that looks at the table; Meta-World's own ones show a puck of 4 cm in a pixel or two."""
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    camera.lookat[:] = [0.0, 0.68, 0.12]
    camera.distance, camera.azimuth, camera.elevation = 0.9, 135, -30
    return camera


def _is_as_wanted(acted: Acted, task: Task) -> bool:
    ever: Bool[np.ndarray, ""] = (acted.progress >= 1.0).any()
    if acted.kind in GOOD:
        length = len(acted.progress)
        disturbed = acted.kind == "clean" or acted.onset >= 0
        return acted.succeeded and SHORTEST_SUCCESS <= length < LONGEST and disturbed
    went_wrong = acted.onset >= 0 or acted.kind == "noise" or (acted.kind == "wrong_goal" and task.grasps)
    return not ever and went_wrong
