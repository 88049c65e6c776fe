"""Joining statistics. Oracle: numpy on all rows at once."""

import numpy as np
import pytest
from support.labelled_sets import label, write

from pistar_vf.curation.convert_dataset import convert_dataset
from pistar_vf.errors import DatasetError
from pistar_vf.lerobot.dataset import load_lerobot
from pistar_vf.lerobot.dataset_stats import aggregate_stats
from pistar_vf.lerobot.v21 import column_stats


def test_joined_statistics_against_numpy():
    rng = np.random.default_rng(0)
    parts = [rng.normal(i, 1 + i, (length, 3)) for i, length in enumerate((4, 9, 2))]
    joined = aggregate_stats([{"state": column_stats(part)} for part in parts])["state"]
    whole = column_stats(np.concatenate(parts))
    assert joined["count"] == [15]
    for kind in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(joined[kind], whole[kind], rtol=1e-12)


def test_joining_in_steps_is_joining_at_once():
    stats = [{"x": column_stats(np.arange(i, 3.0 * i).reshape(-1, 1))} for i in (1, 2, 3)]
    stepwise = aggregate_stats([aggregate_stats(stats[:2]), stats[2]])["x"]
    for kind, value in aggregate_stats(stats)["x"].items():
        np.testing.assert_allclose(stepwise[kind], value, rtol=1e-12)


def test_shapes_of_pictures_and_features_of_some_episodes():
    picture = {kind: [[[0.25]], [[0.5]], [[1.0]]] for kind in ("min", "max", "mean", "std")} | {"count": [8]}
    joined = aggregate_stats([{"cam": picture}, {"cam": picture, "late": column_stats(np.ones((2, 1)))}])
    assert joined["cam"] == picture | {"count": [16]}
    assert joined["late"]["mean"] == [1.0]


def test_quantiles_are_left_out():
    """The quantile of a whole does not follow from those of its parts."""
    stats = column_stats(np.arange(4.0).reshape(-1, 1)) | {"q99": [2.97]}
    assert set(aggregate_stats([{"x": stats}, {"x": stats}])["x"]) == {"min", "max", "mean", "std", "count"}


def test_a_feature_without_standard_deviation_is_left_out():
    assert aggregate_stats([{"x": {"min": [0], "max": [1]}}]) == {}


def test_episodes_whose_statistics_of_a_feature_are_incomplete_are_left_out():
    whole = column_stats(np.arange(4.0).reshape(-1, 1))
    assert aggregate_stats([{"x": whole}, {"x": {"min": [-9], "max": [9]}}]) == aggregate_stats([{"x": whole}])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"null", "key 'the whole file': expected an object, got null"),
        (b"[]", r"key .the whole file.: expected an object, got \[\]"),
        (b"{", "not valid JSON .* or delete it: LeRobot computes it anew"),
        (b"<html>404</html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "it is a Git LFS pointer"),
    ],
)
def test_statistics_that_cannot_be_read_are_named(tmp_path, content, message):
    dataset = load_lerobot(convert_dataset(write(tmp_path / "v21"), tmp_path / "v30", progress=False))
    (dataset.root / "meta/stats.json").write_bytes(content)
    with pytest.raises(DatasetError, match=rf"meta/stats.json: {message}"):
        label(dataset, tmp_path / "labelled")
    (dataset.root / "meta/stats.json").write_bytes(b"\xef\xbb\xbf{}")
    assert label(dataset, tmp_path / "labelled").num_frames == 12


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        ("max", [], r"numbers of one shape, got \(0,\) and \(1,\)"),
        ("mean", [[0.5]], r"numbers of one shape, got \(1,\) and \(1, 1\)"),
        ("std", 0.5, r"numbers of one shape, got \(\) and \(1,\)"),
        ("count", [], r"one count above 0, got \[\]"),
        ("count", [0], r"one count above 0, got \[0\]"),
        ("count", [-4], r"one count above 0, got \[-4\]"),
        ("count", [2, 2], r"one count above 0, got \[2, 2\]"),
    ],
)
def test_statistics_that_do_not_belong_together_are_named(kind, wrong, message):
    whole = column_stats(np.arange(4.0).reshape(-1, 1))
    for parts in ([whole, {**whole, kind: wrong}], [{**whole, kind: wrong}, whole]):
        with pytest.raises(DatasetError, match=f"statistics of 'x': expected {message}; correct them .*, or remove"):
            aggregate_stats([{"x": part} for part in parts])
