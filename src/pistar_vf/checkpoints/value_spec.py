"""What a checkpoint means: everything besides the weights that decides a value.

A value is only as good as the agreement between training and use. The spec travels inside every checkpoint, is
readable as JSON, and is the only source of cameras, normalisation, prompt format and support at prediction time.
"""

import dataclasses
import json
import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from pistar_vf.categorical import Support
from pistar_vf.checkpoints.provenance import TrainedOn
from pistar_vf.errors import CheckpointError
from pistar_vf.foreign_files import object_of
from pistar_vf.frames.state_stats import StateStatistics
from pistar_vf.models.gemma3 import Gemma3Config
from pistar_vf.models.lora import LoraConfig
from pistar_vf.models.siglip import SiglipConfig
from pistar_vf.models.value_model import ValueModelConfig
from pistar_vf.returns import Normaliser
from pistar_vf.tokenizer import PROMPT_SUFFIX

FILE_NAME = "value_spec.json"
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class ValueSpec:
    """The semantics of one checkpoint.

    Attributes:
        model: architecture, support included.
        camera_keys: model-side camera name to the dataset's feature, None for a camera the data lacks.
        image_fit: how a picture becomes square: "pad" or "stretch"; "openpi" for checkpoints of upstream.
        state: normalisation of the robot state, None for a model without state.
        tokenizer_sha256: digest of the SentencePiece model stored beside this file.
        label_column: the column the targets came from, "" when they were computed from outcomes.
        label_conventions: names of the rules that may have made the targets, see `labels.targets.Targets`;
            "episode_ramp" also in checkpoints of older versions, which did not tell "recap" from "libero_rollout".
        trained_on: the datasets and episodes of the run; None where nobody knows, as of checkpoints of upstream. Called
            "dataset" in the file.
        normaliser: what scales the targets of any dataset that is compared with these values; None where the labels
            did not show it.
        random_towers: parts that were frozen at random values, so that the values mean nothing; none in a real run.
        prompt_suffix: what is appended to every prompt.
        prompts: of the training episodes, without the suffix; () in checkpoints of older versions.
        versions: of this library and of what computes.
    """

    model: ValueModelConfig
    camera_keys: dict[str, str | None]
    image_fit: str
    state: StateStatistics | None
    tokenizer_sha256: str
    label_column: str
    label_conventions: tuple[str, ...]
    trained_on: TrainedOn | None
    normaliser: Normaliser | None = None
    random_towers: tuple[str, ...] = ()
    prompt_suffix: str = PROMPT_SUFFIX
    prompts: tuple[str, ...] = ()
    versions: dict[str, str] = dataclasses.field(default_factory=lambda: _versions())

    def to_json(self) -> str:
        """Indented JSON."""
        facts = {**dataclasses.asdict(self), "dataset": self.trained_on.facts() if self.trained_on else {}}
        del facts["trained_on"]
        return json.dumps({"format": FORMAT, **facts}, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> "ValueSpec":
        """The inverse of `to_json`.

        Args:
            text: content of a `value_spec.json`.
            where: the file, for the error.

        Raises:
            CheckpointError: not a spec, or one of another format.
        """
        try:
            raw = object_of(text, where, "the spec of a value model", CheckpointError)
            if raw.pop("format") != FORMAT:
                raise CheckpointError(f"{where}: expected format {FORMAT}; update pistar_vf to read this checkpoint")
            nested = {
                "model": _model_from_dict(raw["model"]),
                "state": _state_from_dict(raw["state"]),
                "label_conventions": _conventions_from_dict(raw),
                "trained_on": _trained_on_from_dict(raw.pop("dataset")),
                "prompts": tuple(raw.get("prompts", ())),
                "normaliser": _normaliser_from_dict(raw.get("normaliser", _implied_normaliser(raw))),
            }
            raw["random_towers"] = tuple(raw.get("random_towers", ()))
            raw.pop("label_convention", None)
            return cls(**{**raw, **nested})
        except (AttributeError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{where}: expected the spec of a value model, got something else: {error}"
            ) from error


def unknown_prompts(spec: ValueSpec, prompts: Iterable[str]) -> tuple[str, ...]:
    """Prompts that the model was not trained on, each once; none where its checkpoint does not say what it was."""
    return tuple(dict.fromkeys(prompt for prompt in prompts if spec.prompts and prompt not in spec.prompts))


def load_value_spec(checkpoint: Path) -> ValueSpec:
    """Reads the spec inside a checkpoint directory.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    path = checkpoint / FILE_NAME
    if not path.is_file():
        raise CheckpointError(
            f"{path}: not found; a checkpoint without it (of another program, say) does not say which cameras, "
            "normalisation and tokenizer its values belong to; `pistar-vf relabel` reads upstream's all the same, see "
            "docs/relabel.md"
        )
    return ValueSpec.from_json(path.read_bytes(), str(path))


def _model_from_dict(raw: dict[str, Any]) -> ValueModelConfig:
    nested = {
        "siglip": SiglipConfig(**raw["siglip"]),
        "gemma": Gemma3Config(**raw["gemma"]),
        "support": Support(**raw["support"]),
        "cameras": tuple(raw["cameras"]),
        "lora": None if raw.get("lora") is None else LoraConfig(**raw["lora"]),
    }
    return ValueModelConfig(**{**raw, **nested})


def _state_from_dict(raw: dict[str, Any] | None) -> StateStatistics | None:
    return None if raw is None else StateStatistics(raw["key"], tuple(raw["mean"]), tuple(raw["std"]))


def _normaliser_from_dict(raw: dict[str, Any] | None) -> Normaliser | None:
    return None if raw is None else Normaliser(**raw)


def _conventions_from_dict(raw: dict[str, Any]) -> tuple[str, ...]:
    """Older versions joined the names: "recap or paper" where the data could not tell, "and" for several datasets."""
    names = raw["label_conventions"] if "label_conventions" in raw else re.split(" or | and ", raw["label_convention"])
    return tuple(name for name in names if name != "unknown")


def _trained_on_from_dict(raw: dict[str, Any]) -> TrainedOn | None:
    return TrainedOn.from_facts(raw) if raw else None


def _implied_normaliser(raw: dict[str, Any]) -> dict[str, Any] | None:
    """Of specs from before there was a normaliser: the one rule that was recognised then needs no numbers."""
    return {"rule": "episode_ramp"} if raw.get("label_convention") == "episode_ramp" else None


def _versions() -> dict[str, str]:
    names = ("pistar-vf", "jax", "flax", "optax", "orbax-checkpoint", "av", "sentencepiece")
    return {name: metadata.version(name) for name in names}
