"""Merging datasets. Oracles: the sources' own columns, packets and decoded frames, and metadata written by hand."""

import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.folders import contents, decoded, packets

from pistar_vf.curation.convert_dataset import convert_dataset
from pistar_vf.curation.merge import MergeOptions, merge_datasets
from pistar_vf.curation.merge import write as write_module
from pistar_vf.curation.repair import repair_dataset
from pistar_vf.errors import ConfigError, DatasetError, VideoError
from pistar_vf.health import check_dataset
from pistar_vf.lerobot.dataset import LeRobotDataset, load_lerobot
from pistar_vf.lerobot.episode_stats import read_episode_stats
from pistar_vf.testing.lerobot_writer import EpisodeData, write_lerobot_v21

FRONT, WRIST = "observation.images.front", "observation.images.wrist"
PROMPTS = {"demos": ("push", "pull"), "rollouts": ("pull", "lift", "push")}
LENGTHS = {"demos": (5, 7), "rollouts": (4, 6, 3)}
VERSIONS = ("v2.1", "v3.0")


def _write(
    folder: Path,
    name: str,
    *,
    fps: int = 10,
    state: int = 3,
    cameras=(FRONT, WRIST),
    columns=(),
    size: int = 24,
    **info,
) -> Path:
    episodes = []
    for i, length in enumerate(LENGTHS[name]):
        rng = np.random.default_rng([len(name), i])
        own = {"observation.state": rng.normal(size=(length, state)).astype(np.float32)}
        own |= {column: np.full(length, i % 2, np.int64) for column in columns}
        own["note"] = np.array([f"{name} {i}"] * length)
        small = {key: rng.integers(0, 255, (length, 6, 8, 3), np.uint8) for key in cameras}
        images = {key: frames.repeat(size // 6, 1).repeat(4, 2) for key, frames in small.items()}
        episodes.append(EpisodeData(own, images, PROMPTS[name][i], {"outcome": "success", f"{name}_key": i}))
    return write_lerobot_v21(folder / name, episodes, fps=fps, **info)


@pytest.fixture(scope="module")
def roots(tmp_path_factory) -> dict[tuple[str, str], Path]:
    """(dataset, layout) to folder; both datasets have two cameras, one prompt is in both."""
    folder = tmp_path_factory.mktemp("sources")
    found = {}
    for name in PROMPTS:
        found[name, "v2.1"] = _write(folder / "v21", name)
        found[name, "v3.0"] = convert_dataset(load_lerobot(found[name, "v2.1"]), folder / "v30" / name, progress=False)
    return found


def _merge(roots, output: Path, version: str | None = None, **options) -> LeRobotDataset:
    datasets = [load_lerobot(root) for root in roots]
    keywords = {key: options.pop(key) for key in ("reencode", "max_video_file_mb") if key in options}
    merged = merge_datasets(datasets, output, version, options=MergeOptions(**options), progress=False, **keywords)
    return load_lerobot(merged)


# --- every mixture of layouts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second", "version"), itertools.product(VERSIONS, VERSIONS, VERSIONS))
def test_merged_is_one_after_the_other(roots, tmp_path, first, second, version):
    sources = [load_lerobot(roots["demos", first]), load_lerobot(roots["rollouts", second])]
    before = [contents(source.root) for source in sources]
    merged = _merge([source.root for source in sources], tmp_path / "out", version)
    assert merged.version == version
    assert [(e.index, e.length, e.start) for e in merged.episodes] == [
        (0, 5, 0),
        (1, 7, 5),
        (2, 4, 12),
        (3, 6, 16),
        (4, 3, 22),
    ]
    assert merged.columns == sources[0].columns
    for column in ("observation.state", "note", "timestamp", "frame_index"):
        parts = [source.read_column(column) for source in sources]
        np.testing.assert_array_equal(merged.read_column(column), np.concatenate(parts))
        assert merged.read_column(column).dtype == parts[0].dtype
    np.testing.assert_array_equal(merged.read_column("index"), np.arange(25))
    np.testing.assert_array_equal(merged.read_column("episode_index"), np.repeat(np.arange(5), (5, 7, 4, 6, 3)))
    np.testing.assert_array_equal(merged.read_column("task_index"), np.repeat([0, 1, 1, 2, 0], (5, 7, 4, 6, 3)))
    assert dict(merged.tasks) == {0: "push", 1: "pull", 2: "lift"}
    assert [e.tasks for e in merged.episodes] == [("push",), ("pull",), ("pull",), ("lift",), ("push",)]
    for key in (FRONT, WRIST):
        frames = [decoded(source, key, tmp_path / "cache") for source in sources]
        np.testing.assert_array_equal(decoded(merged, key, tmp_path / "cache"), np.concatenate(frames))
        clips = [d.video_path(e, key) for d in sources for e in d.episodes]
        merged_clips = [merged.video_path(e, key) for e in merged.episodes]
        assert packets(*dict.fromkeys(merged_clips)) == packets(*dict.fromkeys(clips))
    assert [contents(source.root) for source in sources] == before
    assert [f for f in check_dataset(merged.root, progress=False).findings if f.severity != "note"] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "out"]


def test_the_layout_is_that_of_the_first(roots, tmp_path):
    mixed = [roots["demos", "v3.0"], roots["rollouts", "v2.1"]]
    assert _merge(mixed, tmp_path / "a").version == "v3.0"
    assert _merge(mixed[::-1], tmp_path / "b").version == "v2.1"


@pytest.mark.parametrize("version", VERSIONS)
def test_metadata(roots, tmp_path, version):
    merged = _merge([roots[name, version] for name in PROMPTS], tmp_path / "out")
    assert [dict(e.metadata) for e in merged.episodes][1:3] == [
        {"episode_index": 1, "tasks": ["pull"], "length": 7, "outcome": "success", "demos_key": 1, "source": "demos"},
        {
            "episode_index": 2,
            "tasks": ["pull"],
            "length": 4,
            "outcome": "success",
            "rollouts_key": 0,
            "source": "rollouts",
        },
    ]
    info = json.loads((merged.root / "meta/info.json").read_text())
    old = json.loads((roots["demos", version] / "meta/info.json").read_text())
    assert info["features"] == old["features"]
    changed = {key: value for key, value in info.items() if old.get(key) != value}
    totals = {"total_episodes": 5, "total_frames": 25, "total_tasks": 3, "splits": {"train": "0:5"}}
    assert changed == (totals | {"total_videos": 10} if version == "v2.1" else totals)
    assert info.keys() == old.keys()


@pytest.mark.parametrize("version", VERSIONS)
def test_stats(roots, tmp_path, version):
    """Those of renumbered columns are measured again, the others are the sources'."""
    sources = [roots[name, version] for name in PROMPTS]
    merged = _merge(sources, tmp_path / "out")
    new = dict(read_episode_stats(merged.root, version))
    old = [stats for root in sources for _, stats in read_episode_stats(root, version)]
    assert list(new) == [0, 1, 2, 3, 4]
    for index, stats in new.items():
        for name in ("observation.state", "timestamp", FRONT, WRIST):
            assert stats[name] == old[index][name]
        assert stats.keys() == old[index].keys()
    assert (new[3]["index"]["min"], new[3]["index"]["max"], new[3]["index"]["mean"]) == ([16], [21], [18.5])
    assert new[3]["task_index"]["max"] == [2]
    assert (new[3]["episode_index"]["min"], new[3]["episode_index"]["std"]) == ([3], [0.0])
    if version == "v3.0":
        total = json.loads((merged.root / "meta/stats.json").read_text())
        states = np.concatenate([load_lerobot(root).read_column("observation.state") for root in sources])
        np.testing.assert_allclose(total["observation.state"]["mean"], states.mean(0), rtol=1e-5)
        np.testing.assert_allclose(total["observation.state"]["std"], states.std(0), rtol=1e-5)
        assert total["index"]["count"] == [25]


def test_stats_that_a_source_lacks_are_measured(roots, tmp_path):
    source = _write(tmp_path, "demos")
    (source / "meta/episodes_stats.jsonl").unlink()
    merged = _merge([source, roots["rollouts", "v2.1"]], tmp_path / "out")
    stats = dict(read_episode_stats(merged.root, "v2.1"))
    state = merged.read_column("observation.state")[:5]
    np.testing.assert_allclose(stats[0]["observation.state"]["mean"], state.mean(0), rtol=1e-6)
    assert FRONT not in stats[0]
    assert FRONT in stats[2]


def test_videos_are_linked(roots, tmp_path):
    for version in VERSIONS:
        source = load_lerobot(roots["demos", version])
        merged = _merge([source.root], tmp_path / version)
        for ours, theirs in zip(merged.episodes, source.episodes):
            assert os.path.samefile(merged.video_path(ours, FRONT), source.video_path(theirs, FRONT))


def test_files_of_v30_stay_below_a_size(roots, tmp_path):
    """Every video of v2.1 is larger than the limit and gets a file of its own; the two of v3.0 stay together."""
    mixed = [roots["rollouts", "v2.1"], roots["demos", "v3.0"]]
    merged = _merge(mixed, tmp_path / "out", "v3.0", max_video_file_mb=1e-5)
    names = [merged.video_path(episode, FRONT).name for episode in merged.episodes]
    assert names == ["file-000.mp4", "file-001.mp4", "file-002.mp4", "file-003.mp4", "file-003.mp4"]


def test_hugging_face_description_follows(roots, tmp_path):
    merged = _merge(
        [_write(tmp_path, "demos"), _write(tmp_path, "rollouts", columns=("flag",))],
        tmp_path / "out",
        fill=("flag=1",),
        drop=("note",),
    )
    for episode in merged.episodes:
        schema = pq.read_schema(episode.parquet)
        described = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        assert list(described) == schema.names
        assert described["flag"] == {"dtype": "int64", "_type": "Value"}
        assert described["observation.state"]["length"] == 3


def test_gaps_close(roots, tmp_path):
    source = _write(tmp_path, "rollouts")
    path = source / "meta/episodes.jsonl"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if '"episode_index": 1,' not in line))
    (source / "data/chunk-000/episode_000001.parquet").unlink()
    info = json.loads((source / "meta/info.json").read_text())
    (source / "meta/info.json").write_text(json.dumps(info | {"total_frames": 7}))
    merged = _merge([source], tmp_path / "out")
    assert [(e.index, e.length) for e in merged.episodes] == [(0, 4), (1, 3)]
    np.testing.assert_array_equal(merged.read_column("episode_index"), [0] * 4 + [1] * 3)


def test_source_of_a_source(roots, tmp_path):
    first = _merge([roots["demos", "v2.1"], roots["rollouts", "v2.1"]], tmp_path / "both")
    again = _merge([first.root, roots["rollouts", "v3.0"]], tmp_path / "again")
    sources = [episode.metadata["source"] for episode in again.episodes]
    assert sources == ["both/demos"] * 2 + ["both/rollouts"] * 3 + ["rollouts"] * 3


def test_sources_of_one_name_are_told_apart(roots, tmp_path):
    twins = [roots["demos", "v2.1"], roots["demos", "v3.0"]]
    merged = _merge(twins, tmp_path / "out")
    assert [e.metadata["source"] for e in merged.episodes] == ["v21/demos"] * 2 + ["v30/demos"] * 2


def test_tables_of_other_arrow_types(roots, tmp_path):
    """Lists of any length, as other writers store vectors, become what the first dataset has."""
    other = _write(tmp_path, "rollouts")
    for path in other.glob("data/*/*.parquet"):
        table = pq.read_table(path)
        column = table["observation.state"].cast(pa.list_(pa.float32()))
        pq.write_table(table.set_column(0, "observation.state", column), path)
    merged = _merge([roots["demos", "v2.1"], other], tmp_path / "out", "v3.0")
    kind = pq.read_schema(merged.episodes[0].parquet).field("observation.state").type
    assert pa.types.is_fixed_size_list(kind)
    expected = [load_lerobot(root).read_column("observation.state") for root in (roots["demos", "v2.1"], other)]
    np.testing.assert_array_equal(merged.read_column("observation.state"), np.concatenate(expected))


# --- datasets that differ ---------------------------------------------------------------------------------------


def test_differences_are_shown_in_one_table(roots, tmp_path):
    demos = _write(tmp_path, "demos", columns=("intervention",), size=30)
    rollouts = _write(tmp_path, "rollouts", fps=20, state=4, cameras=(FRONT,))
    with pytest.raises(DatasetError) as error:
        _merge([demos, rollouts], tmp_path / "out")
    assert str(error.value).splitlines()[1:-1] == [
        "                            1: demos     2: rollouts",
        "  fps                       10           20",
        "  observation.state         float32 [3]  float32 [4]",
        "  intervention              int64 [1]    missing",
        "  observation.images.front  video 30x32  video 24x32",
        "  observation.images.wrist  video 30x32  missing",
    ]
    assert "give what is missing a value (--fill intervention=1)" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_fill_drop_and_rename_settle_them(tmp_path):
    demos = _write(tmp_path, "demos", cameras=(FRONT,), columns=("extra",))
    rollouts = _write(tmp_path, "rollouts", cameras=("top", WRIST), columns=("intervention",))
    merged = _merge(
        [demos, rollouts],
        tmp_path / "out",
        fill=("intervention=1",),
        drop=("extra", WRIST),
        rename=(f"2:top={FRONT}",),
    )
    assert merged.camera_keys == (FRONT,)
    assert "extra" not in merged.columns
    assert "extra" not in merged.features
    np.testing.assert_array_equal(merged.read_column("intervention"), [1] * 12 + [0] * 4 + [1] * 6 + [0] * 3)
    assert merged.features["intervention"]["dtype"] == "int64"
    expected = decoded(load_lerobot(rollouts), "top", tmp_path / "cache")
    np.testing.assert_array_equal(decoded(merged, FRONT, tmp_path / "cache")[12:], expected)
    stats = dict(read_episode_stats(merged.root, "v2.1"))
    assert stats[0]["intervention"]["mean"] == [1.0]
    assert stats[2].keys() == stats[0].keys() == merged.features.keys() - {"note"}


def test_renamed_cameras_of_v30(tmp_path):
    rollouts = load_lerobot(_write(tmp_path, "rollouts", cameras=("top",)))
    rollouts = load_lerobot(convert_dataset(rollouts, tmp_path / "v30", progress=False))
    demos = _write(tmp_path, "demos", cameras=(FRONT,))
    for version in VERSIONS:
        merged = _merge([demos, rollouts.root], tmp_path / f"out {version}", version, rename=(f"2:top={FRONT}",))
        frames = decoded(merged, FRONT, tmp_path / "cache")[12:]
        np.testing.assert_array_equal(frames, decoded(rollouts, "top", tmp_path / "cache"))


def test_filling_words_vectors_and_flags(tmp_path):
    columns = {"word": np.array(["a"] * 4), "vector": np.ones((4, 2), np.float32), "flag": np.ones(4, bool)}
    with_them = write_lerobot_v21(tmp_path / "with", [EpisodeData(columns, {}, "push")], fps=10)
    without = write_lerobot_v21(tmp_path / "without", [EpisodeData({"x": np.zeros(3)}, {}, "push")], fps=10)
    merged = _merge(
        [without, with_them],
        tmp_path / "out",
        fill=("word=none", "vector=0.5", "flag=false", "x=-1"),
    )
    assert merged.read_column("word").tolist() == ["none"] * 3 + ["a"] * 4
    np.testing.assert_array_equal(merged.read_column("vector"), [[0.5] * 2] * 3 + [[1.0] * 2] * 4)
    np.testing.assert_array_equal(merged.read_column("flag"), [False] * 3 + [True] * 4)
    np.testing.assert_array_equal(merged.read_column("x"), [0.0] * 3 + [-1.0] * 4)


def test_other_names_of_the_same_numbers_are_a_difference(roots, tmp_path):
    """The same joints in another order would merge without a word; another way to write the same names is none."""
    sources = []
    for name, names in {"demos": [["x", "y", "z"]], "rollouts": {"motors": ["x", "z", "y"]}}.items():
        sources.append(_write(tmp_path, name))
        info = json.loads((sources[-1] / "meta/info.json").read_text())
        info["features"]["observation.state"]["names"] = names
        (sources[-1] / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(DatasetError, match=r"observation.state \(names\)  1 y, 2 z  1 z, 2 y"):
        _merge(sources, tmp_path / "out")
    info["features"]["observation.state"]["names"] = {"motors": ["x", "y", "z"]}
    (sources[-1] / "meta/info.json").write_text(json.dumps(info))
    assert len(_merge(sources, tmp_path / "out").episodes) == 5


def test_video_and_image_storage_differ(roots, tmp_path):
    images = _write(tmp_path, "rollouts", storage="image")
    with pytest.raises(DatasetError, match=r"front  video 24x32  image 24x32"):
        _merge([roots["demos", "v2.1"], images], tmp_path / "out")


def test_image_columns(tmp_path):
    sources = [load_lerobot(_write(tmp_path, name, storage="image")) for name in PROMPTS]
    for version in VERSIONS:
        merged = _merge([source.root for source in sources], tmp_path / version, version)
        frames = np.concatenate([decoded(source, WRIST, tmp_path / "cache") for source in sources])
        np.testing.assert_array_equal(decoded(merged, WRIST, tmp_path / "cache"), frames)


def _name_pictures(root: Path) -> Path:
    """Takes the pictures out of the tables into files, as LeRobot leaves them before it embeds them."""
    for path in sorted(root.glob("data/*/*.parquet")):
        table = pq.read_table(path)
        for key in (FRONT, WRIST):
            cells = []
            for i, cell in enumerate(table[key].to_pylist()):
                cells.append({"bytes": None, "path": f"images/{key}/{path.stem}/frame_{i}.png"})
                (root / cells[-1]["path"]).parent.mkdir(parents=True, exist_ok=True)
                (root / cells[-1]["path"]).write_bytes(cell["bytes"])
            table = table.set_column(table.column_names.index(key), key, pa.array(cells))
        pq.write_table(table, path)
    return root


@pytest.mark.parametrize("version", VERSIONS)
def test_pictures_that_the_tables_only_name_come_along(tmp_path, version):
    """Oracle: the same dataset with its pictures in the tables."""
    expected = decoded(load_lerobot(_write(tmp_path, "demos", storage="image")), WRIST, tmp_path / "cache")
    named = _name_pictures(_write(tmp_path / "named", "demos", storage="image"))
    merged = _merge([named, _write(tmp_path, "rollouts", storage="image")], tmp_path / "out", version)
    repaired = load_lerobot(repair_dataset(load_lerobot(named), tmp_path / "repaired", progress=False))
    for root in (named / "images", tmp_path / "repaired/images"):
        shutil.rmtree(root, ignore_errors=True)
    np.testing.assert_array_equal(decoded(merged, WRIST, tmp_path / "b")[: len(expected)], expected)
    np.testing.assert_array_equal(decoded(repaired, WRIST, tmp_path / "b"), expected)


def test_a_picture_that_is_named_but_missing_is_refused(tmp_path):
    named = _name_pictures(_write(tmp_path, "demos", storage="image"))
    (named / f"images/{WRIST}/episode_000001/frame_3.png").unlink()
    with pytest.raises(
        DatasetError, match=r"episode_000001.parquet: episode 1, column '.*wrist', row 3: .*frame_3.png"
    ):
        _merge([named], tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fill": ("note=1",)}, r"--fill note=1: expected <column>=<value> with a column .* that 2 of 2 have"),
        ({"fill": ("nothing=1",)}, "got one that 0 of 2 have"),
        ({"fill": ("flag",)}, "--fill flag: expected <column>=<value>"),
        ({"fill": ("flag=yes",)}, "--fill flag=yes: expected a value of type int64, got 'yes'"),
        ({"fill": ("flag=0.5",)}, "--fill flag=0.5: expected a value of type int64, got '0.5'"),
        ({"fill": ("flag=1",), "drop": ("flag",)}, "--fill flag=1: expected"),
        ({"drop": ("nothing",)}, "--drop nothing: expected a column or camera that is not an index, one of .*flag"),
        ({"drop": ("index",)}, "--drop index: expected a column or camera that is not an index"),
        ({"rename": ("note=other",)}, "--rename note=other: expected <number of the dataset, 1 to 2>:<old name>="),
        ({"rename": ("3:note=other",)}, "expected <number of the dataset, 1 to 2>"),
        ({"rename": ("1:nothing=other",)}, "expected a column or camera of .* got no such one"),
        ({"rename": (f"1:note={FRONT}",)}, "a name that it does not have yet, got an old one"),
    ],
)
def test_options_that_cannot_work(tmp_path, options, message):
    sources = [_write(tmp_path, "demos"), _write(tmp_path, "rollouts", columns=("flag",))]
    with pytest.raises(ConfigError, match=message):
        _merge(sources, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_merged(roots, tmp_path):
    demos = roots["demos", "v2.1"]
    with pytest.raises(ConfigError, match="expected at least one dataset, got none"):
        _merge([], tmp_path / "out")
    with pytest.raises(ConfigError, match=r"expected every dataset once, got .*demos 2 times"):
        _merge([demos, demos], tmp_path / "out")
    with pytest.raises(ConfigError, match=r"version: expected v2.1 or v3.0, got 'v4'"):
        _merge([demos], tmp_path / "out", "v4")
    with pytest.raises(DatasetError, match="outside the dataset"):
        _merge([demos, roots["rollouts", "v2.1"]], roots["rollouts", "v2.1"] / "out")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_damaged_video_leaves_nothing(roots, tmp_path, version):
    other = load_lerobot(_write(tmp_path, "rollouts"))
    path, longer = (other.video_path(other.episodes[i], WRIST) for i in (0, 1))
    path.write_bytes(longer.read_bytes())
    with pytest.raises(VideoError, match=r"rollouts, whose first episode becomes number 2: .*expected 4 frames .* 6"):
        _merge([roots["demos", "v2.1"], other.root], tmp_path / "out", version)
    assert [path.name for path in tmp_path.iterdir()] == ["rollouts"]


def test_a_video_of_v30_that_lacks_frames(tmp_path, roots):
    source = load_lerobot(convert_dataset(load_lerobot(roots["demos", "v2.1"]), tmp_path / "v30", progress=False))
    short = roots["demos", "v2.1"] / f"videos/chunk-000/{FRONT}/episode_000000.mp4"
    source.video_path(source.episodes[0], FRONT).write_bytes(short.read_bytes())
    with pytest.raises(VideoError, match=r"expected 7 frames .* from 0.5000 s on, got 0; .*`pistar-vf check"):
        _merge([source.root], tmp_path / "out")


def test_a_row_without_a_task(roots, tmp_path):
    source = _write(tmp_path, "demos")
    (source / "meta/tasks.jsonl").write_text('{"task_index": 0, "task": "push"}\n')
    with pytest.raises(DatasetError, match=r"000001.parquet: episode 1: expected a task_index .* \[0\], got 1"):
        _merge([source], tmp_path / "out")


def test_a_table_without_an_index(roots, tmp_path):
    source = _write(tmp_path, "demos")
    for path in source.glob("data/*/*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["index"]), path)
    with pytest.raises(DatasetError, match="expected the column 'index'"):
        _merge([source], tmp_path / "out")


def test_values_that_do_not_fit_the_first_datasets_type(roots, tmp_path):
    other = _write(tmp_path, "rollouts")
    path = next(other.glob("data/*/*.parquet"))
    table = pq.read_table(path)
    notes = pa.array([["a"]] * len(table))
    pq.write_table(table.set_column(table.column_names.index("note"), "note", notes), path)
    with pytest.raises(DatasetError, match=r"column 'note': expected values that can be stored .* string, got list"):
        _merge([roots["demos", "v2.1"], other], tmp_path / "out")


def test_reencode_is_passed_on(roots, tmp_path, monkeypatch):
    """Whether an episode can be cut out is `plan_split`'s to say; here only that it is asked as the caller wants."""
    asked = []
    monkeypatch.setattr(write_module, "add_videos_v21", lambda *args, reencode, progress: asked.append(reencode))
    for reencode in (False, True):
        _merge([roots["demos", "v3.0"]], tmp_path / f"{reencode}", "v2.1", reencode=reencode)
    assert asked == [False, True]


# --- numbers that stand for rows of a table in meta/ -------------------------------------------------------------

WORDS = (["reach", "grasp", "lift"], ["lift", "reach", "pour"])


def _write_words(root: Path, name: str, key: str, words: list[str], style: str) -> None:
    rows = [{key: i, "text" if style == "jsonl" else "__index_level_0__": word} for i, word in enumerate(words)]
    if style == "jsonl":
        (root / f"meta/{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), root / f"meta/{name}.parquet")


def _with_column(path: Path, column: str, name: str, words: list[str], style: str) -> Path:
    values = np.arange(4) % len(words)
    root = write_lerobot_v21(path, [EpisodeData({column: values}, {}, "push") for _ in range(2)], fps=10)
    _write_words(root, name, column, words, style)
    return root


@pytest.mark.parametrize(
    ("column", "name", "style"),
    [
        ("subtask_index", "subtasks", "parquet"),
        ("skill_index", "skills", "jsonl"),
        ("phase_index", "phase", "parquet"),
        ("category_index", "categories", "parquet"),
    ],
)
@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_tables_of_words_are_joined_and_numbers_follow(tmp_path, column, name, style, version):
    sources = [_with_column(tmp_path / str(i), column, name, words, style) for i, words in enumerate(WORDS)]
    merged = load_lerobot(
        merge_datasets([load_lerobot(root) for root in sources], tmp_path / "out", version, progress=False)
    )
    path = merged.root / f"meta/{name}.{style}"
    if style == "jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        rows = pq.read_table(path).to_pylist()
    words = {row[column]: row["text" if style == "jsonl" else "__index_level_0__"] for row in rows}
    assert sorted(words.values()) == ["grasp", "lift", "pour", "reach"]
    found = [words[number] for number in merged.read_column(column).tolist()]
    assert found == [own[t % 3] for own in WORDS for _ in range(2) for t in range(4)]


def test_numbers_without_their_table_are_refused(tmp_path):
    sources = [_with_column(tmp_path / str(i), "subtask_index", "subtasks", w, "parquet") for i, w in enumerate(WORDS)]
    _write_words(sources[1], "subtasks", "subtask_index", ["lift"], "parquet")
    with pytest.raises(DatasetError, match=r"episode 0: column 'subtask_index': expected a number of .*, got 1"):
        _merge(sources, tmp_path / "a")
    (sources[1] / "meta/subtasks.parquet").unlink()
    with pytest.raises(DatasetError, match="expected a table of the numbers in the column 'subtask_index'"):
        _merge(sources, tmp_path / "b")
    _merge(sources, tmp_path / "c", drop=("subtask_index",))


# --- columns that only some files have ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fill", "expected"),
    [(pa.int64(), "0", 0), (pa.bool_(), "false", False), (pa.float32(), "-1", -1.0), (pa.string(), "none", "none")],
)
def test_a_column_of_later_files_is_refused_or_filled(tmp_path, kind, fill, expected):
    """Demonstrations first, episodes with interventions later."""
    states = [{"observation.state": np.full((4, 2), i, np.float32)} for i in range(3)]
    root = write_lerobot_v21(tmp_path / "set", [EpisodeData(state, {}, "push") for state in states], fps=10)
    path = root / "data/chunk-000/episode_000002.parquet"
    own = pa.array([0, 1, 1, 0]).cast(kind)
    pq.write_table(pq.read_table(path).append_column("extra", own), path)
    info = json.loads((root / "meta/info.json").read_text())
    dtype = {"float": "float32"}.get(str(kind), str(kind))
    info["features"]["extra"] = {"dtype": dtype, "shape": [1], "names": None}
    (root / "meta/info.json").write_text(json.dumps(info))
    assert load_lerobot(root).schema.lacking["extra"] == tuple(
        root / f"data/chunk-000/episode_00000{i}.parquet" for i in (0, 1)
    )
    with pytest.raises(DatasetError, match=r"episode_000000.parquet: expected the column 'extra', .*--fill extra=0"):
        _merge([root], tmp_path / "refused")
    with pytest.raises(DatasetError, match=r"expected the column 'extra', .* one file of v3.0 cannot hold both"):
        convert_dataset(load_lerobot(root), tmp_path / "v30", progress=False)
    filled = _merge([root], tmp_path / "filled", fill=(f"extra={fill}",))
    assert filled.read_column("extra").tolist() == [expected] * 8 + own.to_pylist()
    dropped = _merge([root], tmp_path / "dropped", drop=("extra",))
    assert "extra" not in dropped.columns


# --- columns of any type ------------------------------------------------------------------------------------------

SAID = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), ("camera", pa.string())]))
SAID_BEFORE = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), ("camera", pa.null())]))
NESTED = {
    "language": (SAID, [[{"role": "user", "content": f"q{t}", "camera": None}] if t else [] for t in range(4)]),
    "inferred": (SAID_BEFORE, [[{"role": "a", "content": "b", "camera": None}]] * 4),
    "ragged": (pa.list_(pa.float32()), [[0.5] * t for t in range(4)]),
    "nulls": (pa.int64(), [None, 1, None, 3]),
    "words": (pa.list_(pa.string()), [["a"], [], ["b", "c"], None]),
}


@pytest.mark.parametrize("name", NESTED)
def test_columns_of_any_type_pass_through(tmp_path, name):
    kind, rows = NESTED[name]
    roots = []
    for i in range(2):
        states = [{"observation.state": np.full((4, 2), e, np.float32)} for e in range(2)]
        root = write_lerobot_v21(tmp_path / f"set{i}", [EpisodeData(state, {}, "push") for state in states], fps=10)
        for path in sorted(root.glob("data/*/*.parquet")):
            own = kind if i == 0 or name != "inferred" else SAID
            pq.write_table(pq.read_table(path).append_column("extra", pa.array(rows, own)), path)
        info = json.loads((root / "meta/info.json").read_text())
        info["features"]["extra"] = {"dtype": "language", "shape": [1], "names": None}
        (root / "meta/info.json").write_text(json.dumps(info))
        roots.append(root)

    def extra(root: Path) -> list:
        return [
            row for path in sorted(root.glob("data/*/*.parquet")) for row in pq.read_table(path)["extra"].to_pylist()
        ]

    for version in ("v2.1", "v3.0"):
        assert extra(_merge(roots, tmp_path / version, version).root) == rows * 4
    v30 = convert_dataset(load_lerobot(roots[0]), tmp_path / "there", progress=False)
    assert extra(v30) == rows * 2
    assert extra(convert_dataset(load_lerobot(v30), tmp_path / "back", progress=False)) == rows * 2
