"""A fork in small that has every fault of upstream: the same files and names, a few lines each, written for the tests.

`scripts/train_value.py` and `scripts/label_advantage_from_vlm.py` run from end to end once all patches are in. `stubs`
stands for the packages that upstream pins: etils without ContextStack, kauldron without ktyping, LeRobot.
"""

import contextlib
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

FILES = {
    ".gitignore": "checkpoints/\ndata/\n",
    "stubs/etils/__init__.py": "",
    "stubs/etils/edc.py": "def field(): ...\n",
    "stubs/kauldron/__init__.py": "",
    "stubs/kauldron/typing.py": "Array = object\n",
    "stubs/lerobot_stub.py": '''
COLUMNS = {"observation.images.head_camera": 0, "value_label": -0.25, "task": "pick"}


def read(repo_id, sequences):
    """Three frames, with a sequence for each key."""
    if not repo_id.endswith("/episodes"):
        raise FileNotFoundError(repo_id)
    return [{**COLUMNS, **{key: [COLUMNS[key]] for key in sequences}} for _ in range(3)]
''',
    "gemma/gemma/__init__.py": '__version__ = "3.3.0"\n',
    "gemma/gemma/gm/__init__.py": "",
    "gemma/gemma/gm/text/__init__.py": "",
    "gemma/gemma/gm/text/_prefill.py": """
from gemma.gm.data import _functional
from gemma.gm.utils import _dtype_params


def encode(text, length):
    return _functional.pad([[ord(letter) for letter in text]], max_length=length)[0]
""",
    "gemma/gemma/gm/utils/__init__.py": "",
    "gemma/gemma/gm/utils/_dtype_params.py": """
from etils import edc
from etils.edc import ContextStack


def _should_replace_dtype(
  *,
  stack: edc.ContextStack[int],  # two spaces here, four elsewhere
) -> bool:
  return bool(stack)
""",
    "src/openpi/__init__.py": "",
    "src/openpi/models/__init__.py": "",
    "src/openpi/models/model.py": '''
import enum


class ModelType(enum.Enum):
    """Kinds of models."""

    PI0 = "pi0"
    PI05 = "pi05"


class Observation(dict):
    @classmethod
    def from_dict(cls, batch):
        return cls(tokens=batch["tokens"])
''',
    "src/openpi/models/value_model_config.py": """
import openpi.models.model as _model


class ValueModelConfig:
    action_horizon = 1

    @property
    def model_type(self):
        return _model.ModelType.VALUE
""",
    "src/openpi/shared/__init__.py": "",
    "src/openpi/policies/__init__.py": "",
    "src/openpi/policies/value_policy.py": """
class ValueInputs:
    def __call__(self, data):
        base_candidates = [
            "observation.image",
            "image",
        ]
        wrist_candidates = ["wrist_image"]
        for key in (*base_candidates, *wrist_candidates):
            if key in data:
                return {"image": data[key], "prompt": data.get("task"), "value": data.get("value_label")}
        raise KeyError(f"Missing base_image. Tried keys: {base_candidates}")
""",
    "src/openpi/transforms.py": """
class TokenizePrompt:
    adv_ind_dropout = True

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def __call__(self, data):
        tokens = self.tokenizer.tokenize(data.pop("prompt"), None, None, adv_ind_dropout=self.adv_ind_dropout)
        return {**data, "tokens": tokens}
""",
    "src/openpi/training/__init__.py": "",
    "src/openpi/training/config.py": """
import dataclasses


@dataclasses.dataclass
class DataConfig:
    repo_id: str | None = None
    action_sequence_keys: tuple = ("actions",)
    transforms: tuple = ()
    prompt_from_task: bool = False
""",
    "src/openpi/training/data_loader.py": """
import lerobot_stub

import openpi.models.model as _model


def create_torch_dataset(data_config, action_horizon, model_config):
    frames = lerobot_stub.read(data_config.repo_id, data_config.action_sequence_keys)
    for transform in data_config.transforms:
        frames = [transform(frame) for frame in frames]
    return frames


def create_torch_data_loader(data_config, model_config, action_horizon, batch_size, *, shuffle=False):
    dataset = create_torch_dataset(data_config, action_horizon, model_config)
    return DataLoaderImpl(data_config, TorchDataLoader(dataset))


class TorchDataLoader:
    def __init__(self, dataset):
        self.dataset = dataset

    @property
    def torch_loader(self):
        return self

    def __len__(self):
        return len(self.dataset)

    def __iter__(self):
        return iter(self.dataset)


class DataLoaderImpl:
    def __init__(self, data_config, data_loader):
        self._data_config = data_config
        self._data_loader = data_loader

    def data_config(self):
        return self._data_config

    def __iter__(self):
        for batch in self._data_loader:
            yield _model.Observation.from_dict(batch), batch["actions"]
""",
    "src/openpi/training/sharding.py": """
import jax


def make_mesh():
    return jax.make_mesh((1, 1), ("batch", "fsdp"))
""",
    "src/openpi/training/weight_loaders.py": """
import dataclasses

import flax.traverse_util


@dataclasses.dataclass(frozen=True)
class NoOpWeightLoader:
    def load(self, params):
        return params
""",
    "scripts/train_value.py": '''
"""Trains, in small."""

import dataclasses
import datetime
import sys
from pathlib import Path

import jax
import jax.numpy as jnp

from openpi.models.value_model_config import ValueModelConfig
from openpi.policies import value_policy
from openpi.shared import console
from openpi.shared import progress
import openpi.training.config as _config
import openpi.training.data_loader as _data_loader
import openpi.training.sharding as sharding
from openpi.training.weight_loaders import ValueModelWeightLoader
import openpi.transforms as _transforms


class GemmaValueTokenizer:
    def tokenize(self, prompt: str, state=None):
        from gemma.gm.text import _prefill

        return _prefill.encode(prompt, 8)


def build_value_data_config(local_data_dir: str, config):
    return _config.DataConfig(
        local_data_dir=local_data_dir,
        prompt_from_task=True,
        transforms=(value_policy.ValueInputs(), _transforms.TokenizePrompt(GemmaValueTokenizer())),
    )


@dataclasses.dataclass
class TrainState:
    step: int
    model_def: tuple
    params: dict


def main(data_dir, fsdp_devices=1):
    print(console.info("start"), console.ok("ok"), console.warn("warn"), console.error("error"), console.bold("bold"))
    config = ValueModelConfig()
    data_config = build_value_data_config(data_dir, config)
    data_loader = _data_loader.create_value_data_loader(data_config, model_config=config, batch_size=1, shuffle=True)
    print("frames:", len(data_loader.dataset), "batches:", min(3, len(data_loader)))
    train_state = TrainState(step=0, model_def=("definition",), params={"w": jnp.ones(2)})
    mesh = sharding.make_mesh()
    replicated = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    if fsdp_devices > 1:
        train_state = jax.tree.map(
            lambda x: sharding.apply_fsdp_sharding(mesh, x) if hasattr(x, "shape") else x, train_state
        )
    else:
        train_state = jax.tree.map(
            lambda x: jax.device_put(x, replicated), train_state, is_leaf=lambda x: hasattr(x, "shape")
        )
    # where a resumed run goes on
    start_step = train_state.step
    datetime.timedelta(seconds=start_step)
    progress.sync_pbar_color(None)
    observation, value = next(iter(data_loader))
    print("value:", value, "tokens:", [int(token) for token in observation["tokens"]])
    print("replicated:", train_state.params["w"].sharding.is_fully_replicated)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
''',
    "scripts/label_advantage_from_vlm.py": '''
"""Labels, in small."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import openpi.training.config as _config
import openpi.training.data_loader as _data_loader
import openpi.transforms as _transforms


class GemmaValueTokenizer:
    def tokenize(self, prompt: str, state=None) -> list:
        return [len(prompt)]


def _build_inference_dataset(*, data_dir):
    data_config = _config.DataConfig(
        local_data_dir=str(data_dir),
        prompt_from_task=False,
        transforms=(_as_prompt, _transforms.TokenizePrompt(GemmaValueTokenizer())),
    )
    return _data_loader.create_torch_dataset(data_config, 1, None)


def _as_prompt(frame):
    return {"prompt": frame["task"]}


def _compute_values_with_dataloader(*, dataset, model, supports, batch_size):
    cache = []

    @jax.jit
    def infer_fn(observation):
        logits = model(observation, train=False)
        probs = jax.nn.softmax(logits, axis=-1)
        return jnp.sum(probs * supports[None], axis=-1)

    for start in range(0, len(dataset.state), batch_size):
        batch = jax.tree.map(lambda leaf: leaf[start : start + batch_size], dataset)
        cache.extend(np.asarray(infer_fn(batch)).tolist())
    return cache
''',
}


def write_mini_upstream(root: Path, line_end: str = "\n") -> Path:
    """Writes the faulty tree."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.removeprefix("\n").replace("\n", line_end).encode())
    return root


@contextlib.contextmanager
def packages_of(root: Path) -> Iterator[None]:
    """Has this process import the tree's packages while the block runs."""
    ours = ("etils", "kauldron", "lerobot_stub", "gemma", "openpi")
    modules, paths = dict(sys.modules), list(sys.path)
    for module in [each for each in modules if each.split(".")[0] in ours]:
        del sys.modules[module]
    sys.path[:0] = [str(root / folder) for folder in ("stubs", "gemma", "src")]
    try:
        yield
    finally:
        sys.path[:] = paths
        for module in [each for each in sys.modules if each.split(".")[0] in ours]:
            del sys.modules[module]
        sys.modules.update({each: module for each, module in modules.items() if each.split(".")[0] in ours})


def run_script(root: Path, script: str, *argv: str, name: str = "__main__") -> dict:
    """Runs a script of the tree in this process, with the tree's packages, and returns its globals."""
    words, sys.argv = sys.argv, [script, *argv]
    try:
        with packages_of(root):
            return runpy.run_path(str(root / script), run_name=name)
    finally:
        sys.argv = words
