"""Converting between v2.1 and v3.0. Oracles: the source itself, plain PyAV, numpy, hand-written metadata."""

import dataclasses
import itertools
import json
import os
import shutil
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.folders import contents, decoded, packets, unsuitable_outputs

from pistar_vf.curation import convert_to_v30
from pistar_vf.curation.convert_dataset import convert_dataset
from pistar_vf.curation.reencode import reencode_clip
from pistar_vf.errors import ConfigError, DatasetError, VideoError
from pistar_vf.frames.open_table import read_state
from pistar_vf.labels.outcomes import read_outcomes
from pistar_vf.labels.value_labels import read_value_labels
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.lerobot.episode import EpisodeChoice
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21, write_lerobot_v30

FRONT, WRIST = "observation.images.front", "observation.images.wrist"
LENGTHS = (5, 7, 4, 6)


def _frames(seed: int, length: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (length, 6, 8, 3), np.uint8).repeat(4, 1).repeat(4, 2)


def _episode(i: int) -> EpisodeData:
    rng = np.random.default_rng(i)
    return EpisodeData(
        columns={
            "observation.state": rng.normal(size=(LENGTHS[i], 3)).astype(np.float32),
            "reward": rng.normal(size=LENGTHS[i]).astype(np.float32),
            "intervention": np.arange(LENGTHS[i]) % 2,
            "adv_ind": np.array(["none", "positive"] * 4)[: LENGTHS[i]],
        },
        images={FRONT: _frames(i, LENGTHS[i]), WRIST: _frames(10 + i, LENGTHS[i])},
        task=["push"] * (LENGTHS[i] - 1) + ["pull" if i % 2 else "push"],
        metadata={"outcome": "success", "score": 0.5 * i} if i else {"outcome": "failure", "where": {"room": [1, 2]}},
    )


def _write(root: Path, **options) -> Path:
    return write_lerobot_v21(root, map(_episode, range(len(LENGTHS))), fps=10, **options)


@pytest.fixture(scope="module")
def v21(tmp_path_factory) -> Path:
    """Four episodes, two cameras, strings, and metadata that not every episode has."""
    root = _write(tmp_path_factory.mktemp("v21") / "toy")
    (root / "README.md").write_text("about")
    (root / "meta/modality.json").write_text("{}")
    (root / ".cache").mkdir()
    return root


@pytest.fixture(scope="module")
def v30(v21, tmp_path_factory) -> Path:
    return convert_dataset(load_lerobot(v21), tmp_path_factory.mktemp("v30") / "toy", progress=False)


@pytest.fixture(scope="module")
def back(v30, tmp_path_factory) -> Path:
    return convert_dataset(load_lerobot(v30), tmp_path_factory.mktemp("back") / "toy", progress=False)


def _convert(root: Path, output: Path, **options) -> LeRobotDataset:
    return load_lerobot(convert_dataset(load_lerobot(root), output, progress=False, **options))


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _parsed(path: Path) -> object:
    """JSON by its meaning, anything else by its bytes."""
    if path.suffix == ".jsonl":
        return _lines(path)
    return json.loads(path.read_text()) if path.suffix == ".json" else path.read_bytes()


# --- v2.1 → v3.0 ------------------------------------------------------------------------------------------------


def test_layout_of_v30(v30):
    assert sorted(contents(v30)) == [
        "README.md",
        "data/chunk-000/file-000.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "meta/info.json",
        "meta/modality.json",
        "meta/stats.json",
        "meta/tasks.parquet",
        f"videos/{FRONT}/chunk-000/file-000.mp4",
        f"videos/{WRIST}/chunk-000/file-000.mp4",
    ]


def test_info_of_v30(v21, v30):
    old, new = (json.loads((root / "meta/info.json").read_text()) for root in (v21, v30))
    assert new == {key: value for key, value in old.items() if key not in ("total_chunks", "total_videos")} | {
        "codebase_version": "v3.0",
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    }


def test_table_of_v30_is_the_concatenation(v21, v30):
    parts = [pq.read_table(path) for path in sorted(v21.glob("data/*/*.parquet"))]
    whole = pq.read_table(v30 / "data/chunk-000/file-000.parquet")
    assert whole.equals(pa.concat_tables(parts), check_metadata=True)
    assert b"huggingface" in whole.schema.metadata


def test_episode_table_of_v30(v21, v30):
    table = pq.read_table(v30 / "meta/episodes/chunk-000/file-000.parquet")
    rows = table.to_pylist()
    assert [(r["episode_index"], r["length"], r["dataset_from_index"], r["dataset_to_index"]) for r in rows] == [
        (0, 5, 0, 5),
        (1, 7, 5, 12),
        (2, 4, 12, 16),
        (3, 6, 16, 22),
    ]
    for key in (FRONT, WRIST):
        assert [r[f"videos/{key}/from_timestamp"] for r in rows] == [0.0, 0.5, 1.2, 1.6]
        assert [r[f"videos/{key}/to_timestamp"] for r in rows] == [0.5, 1.2, 1.6, 2.2]
    places = [name for name in table.column_names if name.endswith(("chunk_index", "file_index"))]
    assert len(places) == 2 * 4
    assert {r[name] for r in rows for name in places} == {0}
    assert [r["tasks"] for r in rows] == [["push"], ["push", "pull"]] * 2
    assert [(r["outcome"], r["score"], r["where"]) for r in rows[:2]] == [
        ("failure", None, {"room": [1, 2]}),
        ("success", 0.5, None),
    ]
    stats = _lines(v21 / "meta/episodes_stats.jsonl")[2]["stats"]
    for feature, kinds in stats.items():
        for kind, value in kinds.items():
            assert rows[2][f"stats/{feature}/{kind}"] == value


def test_tasks_of_v30_are_a_pandas_index(v30):
    """LeRobot finds a text by its position in the index; the schema must tell pandas which column that is."""
    table = pq.read_table(v30 / "meta/tasks.parquet")
    assert table.to_pydict() == {"task_index": [0, 1], "__index_level_0__": ["push", "pull"]}
    assert json.loads(table.schema.metadata[b"pandas"])["index_columns"] == ["__index_level_0__"]


def test_total_statistics_against_numpy(v30):
    """The numbers are those of all rows at once; pictures are sampled, and only their shape is looked at."""
    stats = json.loads((v30 / "meta/stats.json").read_text())
    state = load_lerobot(v30).read_column("observation.state").astype(np.float64)
    for name, value in (("min", state.min(0)), ("max", state.max(0)), ("mean", state.mean(0)), ("std", state.std(0))):
        np.testing.assert_allclose(stats["observation.state"][name], value, rtol=1e-6)
    assert stats["observation.state"]["count"] == [sum(LENGTHS)]
    assert np.shape(stats[FRONT]["mean"]) == (3, 1, 1)
    assert "adv_ind" not in stats


@pytest.mark.parametrize("codec", ["h264", "mpeg4", "av1"])
def test_frames_and_packets_of_v30_are_the_same(tmp_path, codec):
    source = load_lerobot(_write(tmp_path / "source", codec=codec))
    result = _convert(source.root, tmp_path / "out")
    for key in (FRONT, WRIST):
        np.testing.assert_array_equal(decoded(result, key, tmp_path / "b"), decoded(source, key, tmp_path / "a"))
        pieces = [packets(source.video_path(episode, key)) for episode in source.episodes]
        assert packets(result.video_path(result.episodes[0], key)) == [*itertools.chain(*pieces)]


def test_files_begin_anew_when_they_are_full(v21, tmp_path):
    """A limit below every file's size gives one file an episode, and chunks of two files."""
    root = Path(shutil.copytree(v21, tmp_path / "source"))
    info = json.loads((root / "meta/info.json").read_text()) | {"chunks_size": 2}
    (root / "meta/info.json").write_text(json.dumps(info))
    for index in (2, 3):
        for pattern in ("data/chunk-{}/", f"videos/chunk-{{}}/{FRONT}/", f"videos/chunk-{{}}/{WRIST}/"):
            suffix = "parquet" if pattern.startswith("data") else "mp4"
            old, new = (root / pattern.format(chunk) / f"episode_{index:06d}.{suffix}" for chunk in ("000", "001"))
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(old, new)
    result = _convert(root, tmp_path / "out", max_data_file_mb=1e-4, max_video_file_mb=1e-4)
    names = [f"chunk-00{i // 2}/file-00{i % 2}" for i in range(4)]
    assert [e.parquet for e in result.episodes] == [result.root / f"data/{name}.parquet" for name in names]
    assert [result.video_path(e, WRIST) for e in result.episodes] == [
        result.root / f"videos/{WRIST}/{name}.mp4" for name in names
    ]
    assert {result.video_clip(e, WRIST).start_seconds for e in result.episodes} == {0.0}
    np.testing.assert_array_equal(decoded(result, FRONT, tmp_path), decoded(load_lerobot(v21), FRONT, tmp_path))
    rows = pq.read_table(result.root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [(r["data/chunk_index"], r["data/file_index"]) for r in rows] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_full_file_holds_what_still_fits(v21, tmp_path):
    """The limit lies between two and three episodes' tables."""
    sizes = []
    for path in sorted(v21.glob("data/*/*.parquet")):
        metadata = pq.ParquetFile(path).metadata
        sizes.append(sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)) / 2**20)
    result = _convert(v21, tmp_path / "out", max_data_file_mb=sizes[0] + sizes[1] + sizes[2] / 2)
    assert [(e.parquet.name, e.first_row) for e in result.episodes] == [
        ("file-000.parquet", 0),
        ("file-000.parquet", 5),
        ("file-001.parquet", 0),
        ("file-001.parquet", 4),
    ]
    np.testing.assert_array_equal(result.read_column("reward"), load_lerobot(v21).read_column("reward"))


def _encode(path: Path, frames: np.ndarray, codec: str = "libx264", **options: str) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options={"crf": "10", **options})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def test_videos_with_other_codec_headers_get_a_file_of_their_own(v21, tmp_path):
    """One mp4 track has one set of codec headers; decoding with another episode's would give garbage."""
    root = Path(shutil.copytree(v21, tmp_path / "source"))
    _encode(root / f"videos/chunk-000/{FRONT}/episode_000001.mp4", _frames(1, 7), profile="baseline")
    _encode(root / f"videos/chunk-000/{FRONT}/episode_000002.mp4", _frames(2, 4), codec="mpeg4")
    result = _convert(root, tmp_path / "out")
    names = [result.video_path(episode, FRONT).name for episode in result.episodes]
    assert names == [f"file-00{i}.mp4" for i in range(4)]
    expected = decoded(load_lerobot(root), FRONT, tmp_path / "a")
    np.testing.assert_array_equal(decoded(result, FRONT, tmp_path / "b"), expected)


def test_b_frames_survive_both_ways(v21, tmp_path):
    """Default x264: presentation order is not decoding order, and times before zero occur."""
    root = Path(shutil.copytree(v21, tmp_path / "source"))
    for i, length in enumerate(LENGTHS):
        _encode(root / f"videos/chunk-000/{FRONT}/episode_00000{i}.mp4", _frames(i, length))
    result = _convert(root, tmp_path / "out")
    back = _convert(result.root, tmp_path / "back")
    expected = decoded(load_lerobot(root), FRONT, tmp_path / "a")
    np.testing.assert_array_equal(decoded(result, FRONT, tmp_path / "b"), expected)
    np.testing.assert_array_equal(decoded(back, FRONT, tmp_path / "c"), expected)


def test_episode_indices_with_gaps_survive(v21, tmp_path):
    root = Path(shutil.copytree(v21, tmp_path / "source"))
    for line, name in ((2, "episodes"), (2, "episodes_stats")):
        lines = _lines(root / f"meta/{name}.jsonl")
        lines[line]["episode_index"] = 12
        (root / f"meta/{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for path in [*root.glob("data/*/*_000002.parquet"), *root.glob("videos/*/*/*_000002.mp4")]:
        path.rename(path.with_name(path.name.replace("000002", "000012")))
    path = root / "data/chunk-000/episode_000012.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index("episode_index"), "episode_index", [[12] * 4]), path)
    result = _convert(root, tmp_path / "out")
    assert [(e.index, e.length) for e in result.episodes] == [(0, 5), (1, 7), (3, 6), (12, 4)]
    back = _convert(result.root, tmp_path / "back")
    assert pq.read_table(back.episodes[3].parquet).equals(pq.read_table(path))
    assert _lines(back.root / "meta/episodes_stats.jsonl")[3] == _lines(root / "meta/episodes_stats.jsonl")[2]


def test_version_20_has_no_statistics_of_episodes(v21, tmp_path):
    root = Path(shutil.copytree(v21, tmp_path / "source"))
    (root / "meta/episodes_stats.jsonl").unlink()
    (root / "meta/stats.json").write_text('{"reward": {"mean": [1.0]}}')
    info = json.loads((root / "meta/info.json").read_text()) | {"codebase_version": "v2.0"}
    (root / "meta/info.json").write_text(json.dumps(info))
    result = _convert(root, tmp_path / "out")
    assert json.loads((result.root / "meta/stats.json").read_text()) == {"reward": {"mean": [1.0]}}
    back = _convert(result.root, tmp_path / "back")
    assert not (back.root / "meta/episodes_stats.jsonl").exists()
    assert back.version == "v2.1"


def test_statistics_that_are_not_numbers_are_kept(v21, tmp_path):
    """NaN, which is not itself, is no other kind of value."""
    root = Path(shutil.copytree(v21, tmp_path / "source"))
    own = {"value_label": {kind: [float("nan")] for kind in ("min", "max", "mean", "std")} | {"count": [5]}}
    _edit_line(root, "episodes_stats", 0, stats=own)
    result = _convert(root, tmp_path / "out")
    (table,) = [pq.read_table(path) for path in result.root.glob("meta/episodes/*/*.parquet")]
    np.testing.assert_array_equal(table["stats/value_label/mean"].to_pylist()[0], [np.nan])
    assert table["stats/value_label/count"].to_pylist()[0] == [5]


@pytest.mark.parametrize("content", ["\n", '{"episode_index": 0, "stats": {}}'])
def test_a_file_of_no_statistics(v21, tmp_path, content):
    root = Path(shutil.copytree(v21, tmp_path / "source"))
    (root / "meta/episodes_stats.jsonl").write_text(content)
    result = _convert(root, tmp_path / "out")
    assert not (result.root / "meta/stats.json").exists()
    (table,) = [pq.read_table(path) for path in result.root.glob("meta/episodes/*/*.parquet")]
    assert not [name for name in table.column_names if name.startswith("stats/")]


# --- and back ---------------------------------------------------------------------------------------------------


def test_round_trip_of_the_metadata(v21, back):
    old, new = contents(v21), contents(back)
    assert sorted(new) == sorted(old)
    for name in old:
        if name.startswith("meta/") or name == "README.md":
            assert _parsed(back / name) == _parsed(v21 / name), name


def test_round_trip_of_the_tables(v21, back):
    for path in sorted(v21.glob("data/*/*.parquet")):
        old, new = pq.read_table(path), pq.read_table(back / path.relative_to(v21))
        assert new.schema.equals(old.schema, check_metadata=True)
        assert new.equals(old)


def test_round_trip_of_the_videos(v21, back, tmp_path):
    for path in sorted(v21.glob("videos/*/*/*.mp4")):
        assert packets(back / path.relative_to(v21)) == packets(path)
    for key in (FRONT, WRIST):
        expected = decoded(load_lerobot(v21), key, tmp_path / "a")
        np.testing.assert_array_equal(decoded(load_lerobot(back), key, tmp_path / "b"), expected)


def test_round_trip_of_pictures_in_tables(tmp_path):
    root = _write(tmp_path / "source", storage="image")
    result = _convert(root, tmp_path / "out")
    expected = decoded(load_lerobot(root), FRONT, tmp_path / "a")
    np.testing.assert_array_equal(decoded(result, FRONT, tmp_path / "b"), expected)
    back = _convert(result.root, tmp_path / "back")
    assert json.loads((back.root / "meta/info.json").read_text()) == json.loads((root / "meta/info.json").read_text())
    for path in sorted(root.glob("data/*/*.parquet")):
        assert pq.read_table(back.root / path.relative_to(root)).equals(pq.read_table(path), check_metadata=True)


def test_a_video_of_one_episode_is_linked(v21, tmp_path):
    result = _convert(v21, tmp_path / "out", max_video_file_mb=1e-4)
    back = _convert(result.root, tmp_path / "back")
    for old, new in zip(result.episodes, back.episodes):
        assert os.path.samefile(result.video_path(old, FRONT), back.video_path(new, FRONT))


def test_episodes_that_are_not_opened_are_left_behind(v30, tmp_path):
    """Their packets too, though they lie between others."""
    dataset = load_lerobot(v30, choice=EpisodeChoice(leave_out=(1,)))
    back = load_lerobot(convert_dataset(dataset, tmp_path / "back", progress=False))
    assert [e.index for e in back.episodes] == [0, 2, 3]
    expected = np.delete(decoded(load_lerobot(v30), FRONT, tmp_path / "a"), range(5, 12), axis=0)
    np.testing.assert_array_equal(decoded(back, FRONT, tmp_path / "b"), expected)
    assert len(_lines(back.root / "meta/episodes_stats.jsonl")) == 3


def test_real_dataset(g1_dataset_path, tmp_path):
    """Three episodes of a real one: AV1, 480 x 640."""
    root = tmp_path / "source"
    key = "observation.images.cam_high"
    for i in range(3):
        for name in (f"data/chunk-000/episode_00000{i}.parquet", f"videos/chunk-000/{key}/episode_00000{i}.mp4"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(g1_dataset_path / name, root / name)
    (root / "meta").mkdir()
    shutil.copy2(g1_dataset_path / "meta/tasks.jsonl", root / "meta")
    for name in ("episodes", "episodes_stats"):
        lines = (g1_dataset_path / f"meta/{name}.jsonl").read_text().splitlines()[:3]
        (root / f"meta/{name}.jsonl").write_text("\n".join(lines))
    info = json.loads((g1_dataset_path / "meta/info.json").read_text())
    info |= {"total_episodes": 3, "total_frames": 393 + 343 + 357, "total_videos": 3}
    (root / "meta/info.json").write_text(json.dumps(info))

    result = _convert(root, tmp_path / "out")
    back = _convert(result.root, tmp_path / "back")
    source = load_lerobot(root)
    pieces = [packets(source.video_path(episode, key)) for episode in source.episodes]
    assert packets(result.video_path(result.episodes[0], key)) == [*itertools.chain(*pieces)]
    for i, (old, new) in enumerate(zip(source.episodes, back.episodes)):
        assert pq.read_table(new.parquet).equals(pq.read_table(old.parquet), check_metadata=True)
        assert packets(back.video_path(new, key)) == pieces[i]
    for name in ("info.json", "tasks.jsonl", "episodes.jsonl", "episodes_stats.jsonl"):
        assert _parsed(back.root / "meta" / name) == _parsed(root / "meta" / name)


def test_a_labelled_dataset_trains_the_same(tiny_dataset, tiny_dataset_v30, tmp_path):
    """Labels, prompts, state and pictures: all that a value model sees."""
    old, new = load_lerobot(tiny_dataset), load_lerobot(tiny_dataset_v30)
    assert (old.version, new.version) == ("v2.1", "v3.0")
    np.testing.assert_array_equal(read_value_labels(new), read_value_labels(old))
    np.testing.assert_array_equal(read_state(new, "observation.state"), read_state(old, "observation.state"))
    assert new.prompts == old.prompts
    np.testing.assert_array_equal(new.prompt_index(), old.prompt_index())
    assert read_outcomes(new, outcome_column="outcome") == read_outcomes(old, outcome_column="outcome")
    for key in old.camera_keys:
        np.testing.assert_array_equal(decoded(new, key, tmp_path / "b"), decoded(old, key, tmp_path / "a"))


# --- what cannot be cut -----------------------------------------------------------------------------------------


@pytest.fixture
def long_gop(v30, tmp_path) -> Path:
    """The front videos encoded as one, with a single keyframe: only the first episode begins with one."""
    root = Path(shutil.copytree(v30, tmp_path / "long"))
    frames = np.concatenate([_frames(i, length) for i, length in enumerate(LENGTHS)])
    _encode(root / f"videos/{FRONT}/chunk-000/file-000.mp4", frames, g="1000", bf="0", **{"x264-params": "scenecut=0"})
    return root


def test_an_episode_that_does_not_begin_with_a_keyframe_is_refused(long_gop, tmp_path):
    message = (
        r"episode 1, camera .*front: .*file-000.mp4: expected a keyframe at its first frame \(0.5000 s\).*"
        r"\(3 such episodes in this file\); pass --reencode"
    )
    with pytest.raises(VideoError, match=message):
        _convert(long_gop, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"bf": "0", "x264-params": "scenecut=0"}),
        ("libx265", {"x265-params": "bframes=0:scenecut=0:log-level=error"}),
        ("libsvtav1", {}),
        ("mpeg4", {"bf": "0"}),
    ],
)
def test_reencoding_on_request(long_gop, tmp_path, codec, options):
    """The first episode keeps its packets; the others look the same."""
    video = long_gop / f"videos/{FRONT}/chunk-000/file-000.mp4"
    frames = np.concatenate([_frames(i, length) for i, length in enumerate(LENGTHS)])
    _encode(video, frames, codec=codec, g="1000", **options)
    result = _convert(long_gop, tmp_path / "out", reencode=True)
    before = decoded(load_lerobot(long_gop), FRONT, tmp_path / "a").astype(int)
    after = decoded(result, FRONT, tmp_path / "b").astype(int)
    np.testing.assert_array_equal(after[:5], before[:5])
    assert np.abs(after - before).mean() < 4
    assert packets(result.video_path(result.episodes[0], FRONT)) == packets(video)[:5]
    for episode in result.episodes:
        with av.open(str(result.video_path(episode, FRONT))) as new, av.open(str(video)) as old:
            assert new.streams.video[0].codec_context.codec.id == old.streams.video[0].codec_context.codec.id


def test_no_encoder_for_the_codec(long_gop, tmp_path):
    frames = np.concatenate([_frames(i, length) for i, length in enumerate(LENGTHS)])
    _encode(long_gop / f"videos/{FRONT}/chunk-000/file-000.mp4", frames, codec="libvpx-vp9", g="1000")
    with pytest.raises(VideoError, match="expected one of h264, hevc, av1, mpeg4 to re-encode, got vp9"):
        _convert(long_gop, tmp_path / "out", reencode=True)


def test_packets_between_those_of_another_episode(v30, tmp_path):
    """A B-frame at an episode's end needs a frame of the next episode, which is decoded before it."""
    root = Path(shutil.copytree(v30, tmp_path / "mixed"))
    frames = np.repeat(_frames(0, 1), 22, axis=0)
    options = {"x264-params": "bframes=2:b-adapt=0:scenecut=0:keyint=100"}  # shown I B B P B B P
    _encode(root / f"videos/{FRONT}/chunk-000/file-000.mp4", frames, **options)
    with pytest.raises(VideoError, match=r"episode 0, camera .*\(4 such episodes in this file\)"):
        _convert(root, tmp_path / "out")
    result = _convert(root, tmp_path / "out", reencode=True)
    assert len(decoded(result, FRONT, tmp_path)) == 22


def test_a_clip_without_a_frame_cannot_be_encoded_anew(v30, tmp_path):
    dataset = load_lerobot(v30)
    clip = dataclasses.replace(dataset.video_clip(dataset.episodes[0], FRONT), start_seconds=99.0, end_seconds=100.0)
    with pytest.raises(VideoError, match=r"episode 0: .*mp4: expected frames from 99\.0000 s on, got none"):
        reencode_clip(clip, tmp_path / "o.mp4", codec="h264", fps=10.0, context="episode 0")


# --- refusals ---------------------------------------------------------------------------------------------------


def test_unsuitable_outputs(v21, tmp_path):
    dataset = load_lerobot(v21)
    before = contents(v21)
    for output, message in unsuitable_outputs(v21, tmp_path):
        with pytest.raises(DatasetError, match=message):
            convert_dataset(dataset, output, progress=False)
    assert contents(v21) == before


def test_versions(v21, v30, tmp_path):
    for root, version in ((v21, "v2.1"), (v30, "v3.0")):
        message = rf"toy has the layout of {version} already \({version}\); nothing to do"
        with pytest.raises(DatasetError, match=message):
            _convert(root, tmp_path / "out", version=version)
    with pytest.raises(ConfigError, match=r"version: expected v2.1 or v3.0, got 'v1.6'"):
        _convert(v21, tmp_path / "out", version="v1.6")


def test_a_failure_on_the_way_leaves_nothing(v21, tmp_path, monkeypatch):
    def fail(*_):
        assert not (tmp_path / "deep" / "out").exists()
        raise OSError("disk full")

    monkeypatch.setattr(convert_to_v30, "_write_info", fail)
    with pytest.raises(OSError, match="disk full"):
        _convert(v21, tmp_path / "deep" / "out")
    assert list((tmp_path / "deep").iterdir()) == []


def _replace(root: Path, index: int, name: str, values: list | None) -> None:
    path = root / f"data/chunk-000/episode_{index:06d}.parquet"
    table = pq.read_table(path).drop_columns([name])
    pq.write_table(table if values is None else table.append_column(name, pa.array(values)), path)


def _edit_line(root: Path, name: str, number: int, **changes) -> None:
    lines = _lines(root / f"meta/{name}.jsonl")
    lines[number] |= changes
    (root / f"meta/{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))


def _corrupt(path: Path) -> None:
    start = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + 24] = b"\xff" * 24
    path.write_bytes(content)


DAMAGES = {
    "type": (
        lambda r: _replace(r, 2, "reward", ["a", "b", "c", "d"]),
        r"episode_000002.parquet: column 'reward': expected values that can be stored as other files .* got string",
    ),
    "column": (
        lambda r: _replace(r, 2, "reward", None),
        r"episode_000002.parquet: expected the column 'reward', which other files have: one file of v3.0",
    ),
    "index": (
        lambda r: _replace(r, 2, "episode_index", [2, 2, 1, 2]),
        r"episode_000002.parquet: expected episode_index 2 in every row, got \[1, 2\]; .*: repair it",
    ),
    "no-index": (
        lambda r: [_replace(r, i, "episode_index", None) for i in range(4)],
        r"episode_000000.parquet: expected episode_index 0 in every row, got None",
    ),
    "corrupt": (
        lambda r: _corrupt(r / "data/chunk-000/episode_000001.parquet"),
        "episode_000001.parquet: cannot be read, the file is corrupt",
    ),
    "frames": (
        lambda r: _encode(r / f"videos/chunk-000/{FRONT}/episode_000001.mp4", _frames(0, 8)),
        r"episode 1, camera .*front: .*mp4: expected 7 frames \(rows of the parquet file\), got 8",
    ),
    "no-video": (
        lambda r: (r / f"videos/chunk-000/{WRIST}/episode_000003.mp4").unlink(),
        "episode 3, camera .*wrist: no video at .*episode_000003.mp4; download it again",
    ),
    "bad-video": (
        lambda r: (r / f"videos/chunk-000/{WRIST}/episode_000000.mp4").write_bytes(b"junk"),
        "episode 0, camera .*wrist: .*episode_000000.mp4: cannot be read or copied: ",
    ),
    "kinds": (
        lambda r: _edit_line(r, "episodes", 1, outcome=3),
        r"meta/episodes.jsonl: key 'outcome': expected values of one kind, as a v3.0 column needs: ",
    ),
    "too large": (
        lambda r: _edit_line(r, "episodes", 1, seed=2**64),
        r"meta/episodes.jsonl: key 'seed': expected values of one kind, as a v3.0 column needs: ",
    ),
    "objects": (
        lambda r: _edit_line(r, "episodes", 1, where={"floor": 1}),
        r"meta/episodes.jsonl: key 'where': expected values of one kind, .* got objects of several kinds",
    ),
    "statistics": (
        lambda r: (r / "meta/episodes_stats.jsonl").write_text('{"episode_index": 0}'),
        r"episodes_stats.jsonl:1: expected the keys episode_index, stats, but stats is missing",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_source(v21, tmp_path, name):
    damage, message = DAMAGES[name]
    root = Path(shutil.copytree(v21, tmp_path / "source"))
    damage(root)
    with pytest.raises(DatasetError, match=message):
        _convert(root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_episodes_that_show_the_same_frames(tmp_path):
    """Two episodes of one length, both said to begin where the file begins."""
    episodes = [EpisodeData({}, {FRONT: _frames(i, 5)}, "push") for i in range(2)]
    root = write_lerobot_v30(tmp_path / "source", episodes, fps=10)
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    for end, times in (("from", [0.0, 0.0]), ("to", [0.5, 0.5])):
        name = f"videos/{FRONT}/{end}_timestamp"
        table = table.set_column(table.column_names.index(name), name, [times])
    pq.write_table(table, path)
    message = "episode 1, camera .*: expected frames of its own from 0.0000 s on, got some that episode 0, camera"
    with pytest.raises(VideoError, match=message):
        _convert(root, tmp_path / "out")


def test_a_clip_with_another_number_of_frames(v30, tmp_path):
    root = Path(shutil.copytree(v30, tmp_path / "source"))
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    name = f"videos/{FRONT}/to_timestamp"
    pq.write_table(table.set_column(table.column_names.index(name), name, [[0.5, 1.2, 1.5, 2.2]]), path)
    message = r"episode 2, camera .*front: .*: expected 4 frames .* from 1.2000 s to 1.5000 s, got 3"
    with pytest.raises(VideoError, match=message):
        _convert(root, tmp_path / "out")
    with pytest.raises(VideoError, match=message):
        decoded(load_lerobot(root), FRONT, tmp_path)
