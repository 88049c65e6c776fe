"""A checkpoint of upstream, without a spec, labels like the same weights with one; and as upstream's script does.

PISTAR_VF_UPSTREAM_LABELS is <checkpoint>:<dataset>:<labelled>:<tokenizer>: a checkpoint of upstream's train_value.py, a
dataset, a copy of it that upstream's label_advantage_from_vlm.py labelled with --lookahead 5 and the cameras
observation.images.head_camera and observation.images.left_wrist_camera, and the tokenizer.model of both.
"""

import dataclasses
import json
import logging
import os
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pistar_vf.checkpoints.orbax_tree import write_tree
from pistar_vf.errors import ConfigError
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.lerobot.rewrite import file_metadata
from pistar_vf.params import unflatten
from pistar_vf.relabel.config import RelabelConfig
from pistar_vf.relabel.run import run_relabel
from pistar_vf.relabel.write import PROVENANCE
from pistar_vf.testing.fake_weights import random_params
from pistar_vf.testing.tiny import tiny_model_config
from pistar_vf.tokenizer import train_prompt_tokenizer
from pistar_vf.upstream.load import load_any_value_model
from pistar_vf.upstream.spec import UpstreamInputs

FRONT, WRIST = "observation.images.front", "observation.images.wrist"


@pytest.fixture(scope="module")
def checkpoint(tiny_dataset, tmp_path_factory):
    """Arrays of upstream's names in a step directory, and a tokenizer beside it."""
    sizes = tiny_model_config(state_encoding="none")
    gemma = dataclasses.replace(sizes.gemma, vocab_size=512, global_every=6)
    params = unflatten(random_params(dataclasses.replace(sizes, gemma=gemma)))
    root = tmp_path_factory.mktemp("upstream") / "run"
    root.mkdir()
    leaves = {"params": params, "ema_params": params, "step": np.int64(5)}
    write_tree(root / "step_00000005", _arrays(leaves))
    model = train_prompt_tokenizer(load_lerobot(tiny_dataset).prompts).model
    (root / "tokenizer.model").write_bytes(model)
    return root / "step_00000005"


def _arrays(tree):
    return {k: _arrays(v) for k, v in tree.items()} if isinstance(tree, dict) else jnp.asarray(tree)


@pytest.fixture
def settings(checkpoint, tiny_dataset, frame_cache_dir, tmp_path):
    return RelabelConfig.of(
        data_dir=str(tiny_dataset),
        checkpoint_dir=(checkpoint,),
        tokenizer_path=checkpoint.parent / "tokenizer.model",
        base_image_col=FRONT,
        wrist_image_col=WRIST,
        output_dir=tmp_path / "out",
        report_dir=tmp_path / "report",
        cache_dir=frame_cache_dir,
        num_workers=0,
        lookahead=10,
        force=True,
        compat="upstream",
    )


def relabel(settings, **changes):
    return run_relabel(settings.replace(**changes), progress=False)


@pytest.fixture
def demonstrated(tiny_dataset, tmp_path):
    """The dataset, driven by the operator throughout episode 0, which is not labelled yet."""
    root = tmp_path / "demonstrated"
    shutil.copytree(tiny_dataset, root)
    path = load_lerobot(root).episodes[0].parquet
    table = pq.read_table(path)
    for name, value in (("intervention", 1), ("adv_ind", "none")):
        position = table.column_names.index(name)
        column = pa.array([value] * len(table), table.schema.field(name).type)
        table = table.set_column(position, table.schema.field(name), column)
    pq.write_table(table, path)
    return root


@pytest.fixture
def with_a_spec(checkpoint, tmp_path):
    """The same arrays with what this library's training writes beside them."""
    cameras = {"base_0_rgb": FRONT, "wrist_0_rgb": WRIST}
    inputs = UpstreamInputs(cameras, checkpoint.parent / "tokenizer.model")
    predictor = load_any_value_model(checkpoint, upstream=inputs)
    root = tmp_path / "step_00000007"
    write_tree(root, {"ema_params": predictor.params})
    (root / "value_spec.json").write_text(predictor.spec.to_json(), encoding="utf-8")
    (root / "tokenizer.model").write_bytes(predictor.tokenizer.model)
    return root


@pytest.mark.usefixtures("small_and_fast")
class TestWithoutASpec:
    def test_labels_are_those_of_the_same_weights_with_a_spec(self, settings, with_a_spec):
        bare = relabel(settings, dry_run=True)
        told = {"base_image_col": None, "wrist_image_col": None, "tokenizer_path": None}
        expected = relabel(settings, dry_run=True, checkpoint_dir=(with_a_spec,), **told)
        np.testing.assert_array_equal(bare.labels.advantage, expected.labels.advantage)
        np.testing.assert_array_equal(bare.labels.code, expected.labels.code)
        assert np.ptp(bare.labels.advantage) > 0

    def test_the_labels_say_what_the_checkpoint_does_not(self, settings):
        written = load_lerobot(relabel(settings).written)
        (identity,) = json.loads(file_metadata(written.episodes[0].parquet)[PROVENANCE])["checkpoints"]
        assert identity["camera_keys"] == {"base_0_rgb": FRONT, "wrist_0_rgb": WRIST}
        assert len(identity["tokenizer_sha256"]) == 64

    def test_it_labels_by_our_rules_too(self, settings):
        """In steps of an episode's own length, from its outcomes."""
        ours, theirs = (relabel(settings, dry_run=True, compat=compat) for compat in ("none", "upstream"))
        assert (ours.labels.code != theirs.labels.code).any()

    def test_no_wrist_camera_is_upstreams_black_one(self, settings, caplog):
        both = relabel(settings, dry_run=True)
        with caplog.at_level(logging.WARNING):
            one = relabel(settings, dry_run=True, wrist_image_col=None)
        assert "scoring without a wrist camera" in caplog.text
        assert (one.labels.advantage != both.labels.advantage).any()

    def test_a_third_camera_is_read_where_it_is_named(self, settings):
        two = relabel(settings, dry_run=True)
        three = relabel(settings, dry_run=True, right_wrist_image_col=WRIST)
        assert (three.labels.advantage != two.labels.advantage).any()

    def test_another_tokenizer_gives_other_values(self, settings, tmp_path):
        """From the same folder of values: they must not be taken for the first ones."""
        first = relabel(settings, dry_run=True)
        (tmp_path / "other.model").write_bytes(train_prompt_tokenizer(["something else"]).model)
        other = relabel(settings, dry_run=True, tokenizer_path=tmp_path / "other.model")
        assert (first.labels.advantage != other.labels.advantage).any()

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"base_image_col": None}, "name them with --base_image_col"),
            ({"copy_wrist_to_right": True}, r"right_wrist_0_rgb \(--copy_wrist_to_right\)"),
        ],
    )
    def test_what_is_not_said_is_refused(self, settings, changes, message):
        with pytest.raises(ConfigError, match=message):
            relabel(settings, **changes)

    @pytest.mark.parametrize(("compat", "word"), [("upstream", "none"), ("none", "positive")])
    def test_upstream_leaves_demonstrations_alone(self, settings, demonstrated, compat, word):
        written = load_lerobot(relabel(settings, data_dir=str(demonstrated), compat=compat).written)
        first = slice(0, written.episodes[0].length)
        assert set(written.read_column("adv_ind")[first]) == {word}

    def test_as_a_fold_it_is_refused(self, settings, checkpoint, with_a_spec):
        with pytest.raises(ConfigError, match=r"which episodes they were trained on, .* pass it alone"):
            relabel(settings, checkpoint_dir=(with_a_spec, checkpoint))


@pytest.fixture
def upstreams():
    """(checkpoint, dataset, labelled dataset, tokenizer)."""
    paths = [Path(path) for path in os.environ.get("PISTAR_VF_UPSTREAM_LABELS", "").split(os.pathsep) if path]
    if len(paths) != 4:
        pytest.skip("set PISTAR_VF_UPSTREAM_LABELS to <checkpoint>:<dataset>:<labelled>:<tokenizer>")
    return paths


def test_every_label_is_upstreams(upstreams, tmp_path):
    checkpoint, data, labelled, tokenizer = upstreams
    result = run_relabel(
        RelabelConfig.of(
            data_dir=str(data),
            checkpoint_dir=(checkpoint,),
            tokenizer_path=tokenizer,
            base_image_col="observation.images.head_camera",
            wrist_image_col="observation.images.left_wrist_camera",
            output_dir=tmp_path / "out",
            report_dir=tmp_path / "report",
            cache_dir=tmp_path / "cache",
            num_workers=0,
            lookahead=5,
            force=True,
            compat="upstream",
        )
    )
    ours, theirs = (load_lerobot(root).read_column("adv_ind").tolist() for root in (result.written, labelled))
    assert ours == theirs
    assert len(set(theirs)) > 1
