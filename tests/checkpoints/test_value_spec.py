"""The spec inside a checkpoint: there and back, and what it refuses."""

import dataclasses
import json

import pytest

from pistar_vf.categorical import Support
from pistar_vf.checkpoints.provenance import RecordedDataset, TrainedOn
from pistar_vf.checkpoints.value_spec import ValueSpec, load_value_spec
from pistar_vf.errors import CheckpointError
from pistar_vf.frames.state_stats import StateStatistics
from pistar_vf.returns import Normaliser
from pistar_vf.testing.tiny import tiny_model_config

SPEC = ValueSpec(
    model=tiny_model_config(support=Support(num_atoms=11)),
    camera_keys={"base_0_rgb": "observation.images.front", "wrist_0_rgb": None},
    image_fit="pad",
    state=StateStatistics("observation.state", (0.5, 1.0, 2.0, -1.0), (1.0, 0.25, 3.0, 1e-3)),
    tokenizer_sha256="ab" * 32,
    label_column="value_label",
    label_conventions=("recap", "libero_rollout"),
    trained_on=TrainedOn(
        (RecordedDataset("π-demo", "somewhere/π-demo", train=(0,), val=(1,), digests={0: "ab", 1: "cd"}),), num_frames=3
    ),
)


PAPER = Normaliser("paper", {"fold the π-shirt": 812, "push": 90}, failure_penalty=400.0)

OLD = """{
  "format": 1,
  "model": {
    "siglip": {"width": 16, "depth": 1, "mlp_dim": 24, "num_heads": 2, "patch_size": 14, "image_size": 28,
      "head": false},
    "gemma": {"width": 32, "depth": 2, "mlp_dim": 48, "num_heads": 2, "num_kv_heads": 1, "head_dim": 16,
      "vocab_size": 64, "sliding_window": 512, "global_every": 2, "local_rope_base": 10000.0,
      "global_rope_base": 1000000.0, "bidirectional": true},
    "support": {"v_min": -1.0, "v_max": 0.0, "num_atoms": 201},
    "cameras": ["base_0_rgb"], "state_dim": 4, "state_encoding": "token", "cross_attention_heads": 8,
    "max_token_len": 6, "dtype": "float32", "remat": false
  },
  "camera_keys": {"base_0_rgb": "observation.images.front"}, "image_fit": "pad", "state": null,
  "tokenizer_sha256": "abab", "label_column": "value_label", "label_convention": "episode_ramp",
  "dataset": {"name": "old"}, "prompt_suffix": "\\nValue:", "versions": {"pistar-vf": "0.1.0"}
}"""
"""As version 0.1.0 wrote it, before there was a normaliser."""


@pytest.mark.parametrize(
    "spec", [SPEC, dataclasses.replace(SPEC, state=None), dataclasses.replace(SPEC, normaliser=PAPER)]
)
def test_there_and_back(spec, tmp_path):
    (tmp_path / "value_spec.json").write_text(spec.to_json(), encoding="utf-8")
    assert load_value_spec(tmp_path) == spec


def test_the_normaliser_is_stored_in_numbers():
    raw = json.loads(dataclasses.replace(SPEC, normaliser=PAPER).to_json())["normaliser"]
    assert raw == {
        "rule": "paper",
        "max_lengths": {"fold the π-shirt": 812, "push": 90},
        "failure_penalty": 400.0,
    }


def test_old_specs_are_read():
    """The one convention that was recognised then divides by the episode's own length; of others nothing is known."""
    spec = ValueSpec.from_json(OLD, "x.json")
    assert (spec.label_conventions, spec.normaliser) == (("episode_ramp",), Normaliser("episode_ramp"))
    unknown = OLD.replace('"episode_ramp"', '"unknown"')
    assert ValueSpec.from_json(unknown, "x.json").normaliser is None
    assert spec.trained_on == TrainedOn((RecordedDataset("old"),))
    # Models and what is known of the data gain settings.
    kept = {
        name: value for name, value in json.loads(OLD).items() if name not in ("model", "dataset", "label_convention")
    }
    assert kept.items() <= json.loads(spec.to_json()).items()


def test_a_person_can_read_it():
    """The names a reader will look for, spelled out here."""
    raw = json.loads(SPEC.to_json())
    assert raw["format"] == 1
    assert raw["camera_keys"]["wrist_0_rgb"] is None
    assert raw["model"]["support"] == {"v_min": -1.0, "v_max": 0.0, "num_atoms": 11}
    assert raw["prompt_suffix"] == "\nValue:"
    assert {"jax", "flax", "orbax-checkpoint", "pistar-vf"} <= set(raw["versions"])
    assert "π-demo" in SPEC.to_json()


def test_a_checkpoint_without_spec_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"value_spec.json: not found; a checkpoint without it"):
        load_value_spec(tmp_path)


def test_another_format_is_refused():
    text = SPEC.to_json().replace('"format": 1', '"format": 2')
    with pytest.raises(CheckpointError, match=r"x.json: expected format 1; update pistar_vf"):
        ValueSpec.from_json(text, "x.json")


def without(key):
    return json.dumps({name: value for name, value in json.loads(SPEC.to_json()).items() if name != key})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '"text"',
        "null",
        "{}",
        without("model"),
        without("camera_keys"),
        without("dataset"),
        '{"format": 1, "model": 3}',
    ],
)
def test_what_is_no_spec_is_refused(text):
    with pytest.raises(CheckpointError, match=r"x.json: expected the spec of a value model, got something else"):
        ValueSpec.from_json(text, "x.json")
