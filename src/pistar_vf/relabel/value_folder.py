"""Where the values of a dataset are kept, in a folder whose name changes with whatever decides a value."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from pistar_vf.frames.cache_folder import frame_digest
from pistar_vf.frames.open_table import read_state
from pistar_vf.frames.settings import cache_root
from pistar_vf.lerobot.dataset import LeRobotDataset
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.models import ScoringModel


def dataset_folder(dataset: LeRobotDataset, cache_dir: Path | None) -> Path:
    """The folder of a dataset's values; two datasets of one name have two."""
    digest = hashlib.sha256(str(dataset.root.resolve()).encode()).hexdigest()[:12]
    return cache_root(cache_dir) / "values" / f"{dataset.name}-{digest}"


def values_digest(
    config: RelabelConfig,
    dataset: LeRobotDataset,
    models: Sequence[ScoringModel],
    camera_keys: dict[str, str | None],
) -> str:
    """Changes with whatever decides a value: the models and their shares, pixels, states and prompts."""
    spec = models[0].predictor.spec
    look = (spec.model.siglip.image_size, spec.image_fit)
    digest = hashlib.sha256(spec.tokenizer_sha256.encode())
    for model in models:
        digest.update(json.dumps([model.digest, config.use_ema, sorted(model.episodes)]).encode())
    for name, key in sorted(camera_keys.items()):
        digest.update(f"{name} {key and frame_digest(dataset, key, *look)}".encode())
    digest.update(json.dumps(dataset.prompts).encode() + dataset.prompt_index().tobytes())
    if spec.state is not None:
        digest.update(read_state(dataset, spec.state.key).tobytes())
    return digest.hexdigest()[:16]
