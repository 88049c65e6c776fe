"""Addresses, the lines of the hub's own client, and the places of its caches."""

import fnmatch
from pathlib import Path

import pytest

from pistar_vf.errors import ConfigError
from pistar_vf.hub.address import HubAddress, is_hub_address, parse_hub_address
from pistar_vf.hub.files import HubFiles, hub_cache, lerobot_home
from pistar_vf.hub.patterns import patterns_of
from pistar_vf.hub.revision import commit_of, repository_name, snapshot_above

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://lerobot/pusht", HubAddress("lerobot/pusht", "main")),
        ("hf://lerobot/pusht@v3.0", HubAddress("lerobot/pusht", "v3.0")),
        ("hf://datasets/lerobot/pusht@refs/pr/1", HubAddress("lerobot/pusht", "refs/pr/1")),
    ],
)
def test_an_address_is_a_repository_and_a_revision(text, expected):
    assert is_hub_address(text)
    assert parse_hub_address(text, "--data_dir") == expected


@pytest.mark.parametrize("text", ["hf://pusht", "hf://a/b/c", "hf://a/b@", "hf:///a", "hf://"])
def test_other_addresses_are_refused(text):
    with pytest.raises(ConfigError, match=r"--data_dir.*expected hf://<owner>/<name>"):
        parse_hub_address(text, "--data_dir")


def test_folders_are_no_addresses():
    assert not is_hub_address("lerobot/pusht")
    assert not is_hub_address(Path("hf://a/b"))


def test_a_commit_pins():
    assert not HubAddress("a/b", "main").is_pinned
    assert HubAddress("a/b", COMMIT).is_pinned
    assert str(HubAddress("a/b", COMMIT)) == f"hf://a/b@{COMMIT}"


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (HubFiles("a/b"), "hf download a/b"),
        (HubFiles("a/b", ("c.json", "d"), folder=Path("x y")), "hf download a/b c.json d --local-dir 'x y'"),
        (
            HubFiles("a/b", patterns=("vqav2/*",), is_dataset=True, revision="v1"),
            "hf download a/b --repo-type dataset --revision v1 --include 'vqav2/*'",
        ),
        (HubFiles("a/b", cache=Path("c")), "hf download a/b --cache-dir c"),
        (HubFiles("a/b", ("c.json",), ("d/*",)), "hf download a/b --include c.json 'd/*'"),
    ],
)
def test_the_line_of_the_hubs_own_client(files, line):
    assert files.line() == line


def test_a_line_of_thousands_of_files_names_their_folders():
    names = tuple(f"{folder}/episode_{i:06d}.mp4" for folder in ("data/chunk-000", "videos/a b") for i in range(2000))
    line = HubFiles("a/b", ("info.json", *names), ("meta/*",)).line()
    assert line == "hf download a/b --include 'meta/*' 'data/chunk-000/*' info.json 'videos/a b/*'"


THERE = ("README.md", "data/0/a", "data/0/b", "data/1/c", "data/1/d", "data/1/deep/e", "odd/[x].mp4", "odd/x.mp4")


@pytest.mark.parametrize(
    ("wanted", "patterns"),
    [
        (THERE, ["*"]),
        (THERE[1:3], ["data/0/*"]),
        (THERE[1:6], ["data/*"]),
        (("data/0/a", "data/1/c", "data/1/d"), ["data/0/a", "data/1/c", "data/1/d"]),
        (("data/1/deep/e", "README.md"), ["README.md", "data/1/deep/*"]),
        (("odd/[x].mp4",), ["odd/[[]x].mp4"]),
        ((), []),
    ],
)
def test_patterns_mean_the_wanted_files_and_no_others(wanted, patterns):
    assert patterns_of(wanted, THERE) == patterns
    assert {name for name in THERE if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)} == {*wanted}


def test_caches_are_where_the_variables_say(monkeypatch):
    for name in ("HF_HUB_CACHE", "HF_HOME", "HF_LEROBOT_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert hub_cache() == Path("~/.cache/huggingface/hub").expanduser()
    assert lerobot_home() == Path("~/.cache/huggingface/lerobot").expanduser()
    monkeypatch.setenv("HF_HOME", "/hf")
    assert (hub_cache(), lerobot_home()) == (Path("/hf/hub"), Path("/hf/lerobot"))
    monkeypatch.setenv("HF_HUB_CACHE", "/cache")
    monkeypatch.setenv("HF_LEROBOT_HOME", "/lerobot")
    assert (hub_cache(), lerobot_home()) == (Path("/cache"), Path("/lerobot"))


def test_a_snapshot_says_its_commit_and_name(tmp_path):
    snapshot = tmp_path / "datasets--org--my-set" / "snapshots" / COMMIT
    assert snapshot_above(snapshot / "meta" / "info.json") == snapshot
    assert commit_of(snapshot) == COMMIT
    assert repository_name(snapshot) == "my-set"
    assert snapshot_above(tmp_path / "snapshots" / "x") is None
    assert commit_of(tmp_path) is None


def test_files_of_several_commits_have_none(tmp_path):
    records = tmp_path / ".cache" / "huggingface" / "download"
    records.mkdir(parents=True)
    for name, commit in (("a", COMMIT), ("b", COMMIT[::-1])):
        (tmp_path / name).write_text("")
        (records / f"{name}.metadata").write_text(f"{commit}\netag\n1.0\n")
    assert commit_of(tmp_path / "a") == COMMIT
    assert commit_of(tmp_path) is None
