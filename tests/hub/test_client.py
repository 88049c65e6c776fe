"""The client downloads what is named, whole, once, and says what it cannot."""

import builtins
import contextlib
import socket

import pytest

from pistar_vf.errors import HubError
from pistar_vf.hub.client import download
from pistar_vf.hub.files import HubFiles
from pistar_vf.hub.revision import commit_of

REPO = "org/towers"


@pytest.fixture
def towers(tmp_path, hub):
    """A repository of two files, and the folder that it is served from."""
    folder = tmp_path / "served"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "weights.bin").write_bytes(bytes(range(256)) * 4096)
    return folder, hub.publish(REPO, folder)


def test_named_files_come_into_a_folder_with_their_commit(towers, hub, tmp_path):
    served, commit = towers
    target = tmp_path / "home" / "towers"
    files = HubFiles(REPO, ("sub/weights.bin",), folder=target)
    assert download(files) == target
    assert (target / "sub" / "weights.bin").read_bytes() == (served / "sub" / "weights.bin").read_bytes()
    assert not (target / "config.json").exists()
    assert commit_of(target / "sub" / "weights.bin") == commit_of(target) == commit
    asked = len([request for request in hub.requests if request.startswith("GET") and "weights.bin" in request])
    download(files)
    assert len([r for r in hub.requests if r.startswith("GET") and "weights.bin" in r]) == asked == 1


def test_patterns_come_into_a_snapshot_that_is_named_after_the_commit(towers, tmp_path):
    _, commit = towers
    folder = download(HubFiles(REPO, patterns=("sub/*",), cache=tmp_path / "cache"))
    assert folder == tmp_path / "cache" / "models--org--towers" / "snapshots" / commit
    assert (folder / "sub" / "weights.bin").is_file()
    assert commit_of(folder / "sub" / "weights.bin") == commit


def test_a_broken_connection_goes_on_where_it_broke(towers, hub, tmp_path, monkeypatch):
    served, _ = towers
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 16)  # of 10 MB, what arrived is kept
    hub.cut["weights.bin"] = 1
    files = HubFiles(REPO, ("sub/weights.bin",), folder=tmp_path / "home" / "towers")
    with contextlib.suppress(HubError):  # older clients want the command again
        download(files)
    folder = download(files)
    assert (folder / "sub" / "weights.bin").read_bytes() == (served / "sub" / "weights.bin").read_bytes()
    assert [r.split(" ")[-1] for r in hub.requests if "bytes=" in r] == [f"bytes={1 << 19}-"]


def test_a_second_command_downloads_what_the_first_one_lacked(towers, hub, tmp_path):
    target = tmp_path / "home" / "towers"
    download(HubFiles(REPO, ("config.json",), folder=target))
    hub.requests.clear()
    download(HubFiles(REPO, ("config.json", "sub/weights.bin"), folder=target))
    assert hub.downloaded() == ["sub/weights.bin"]


def test_a_revision_is_what_is_asked_for(towers, hub, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"old": 1}')
    commit = hub.publish(REPO, other, revision="v1.0")
    folder = download(HubFiles(REPO, ("config.json",), revision="v1.0", folder=tmp_path / "home" / "old"))
    assert (folder / "config.json").read_text() == '{"old": 1}'
    assert commit_of(folder) == commit


@pytest.mark.parametrize(
    ("files", "match"),
    [
        (HubFiles("org/nothing"), "org/nothing: expected a model of this name on the hub, got none.*hf auth login"),
        (HubFiles("org/nothing", is_dataset=True), "expected a dataset of this name on the hub"),
        (HubFiles(REPO, revision="v9"), "expected the revision v9, got no such branch, tag or commit"),
        (HubFiles(REPO, ("tokenizer.model",)), "expected tokenizer.model at revision main, got none"),
        (HubFiles("org/a b"), "expected owner/name, got a name that the hub cannot have"),
    ],
)
def test_what_is_not_there_is_named(towers, files, match):
    with pytest.raises(HubError, match=match):
        download(files)


def test_a_few_of_many_missing_files_are_named(towers):
    with pytest.raises(HubError, match=r"org/towers: expected (\d+.bin, ){10}… at revision main, got none"):
        download(HubFiles(REPO, tuple(f"{i}.bin" for i in range(4000))))


def test_many_files_ask_the_client_for_their_folders(hub, tmp_path, monkeypatch):
    """It compares every file with every pattern."""
    import huggingface_hub

    served, wanted, asked = tmp_path / "served", ["a/0.bin", "a/1.bin", "a/2.bin", "b/1.bin"], []
    for name in (*wanted, "b/0.bin"):
        (served / name).parent.mkdir(parents=True, exist_ok=True)
        (served / name).write_bytes(b"x")
    hub.publish(REPO, served)
    original = huggingface_hub.snapshot_download

    def snapshot_download(*arguments, **options):
        asked.append(options["allow_patterns"])
        return original(*arguments, **options)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    folder = download(HubFiles(REPO, tuple(wanted), folder=tmp_path / "home" / "many"))
    assert asked == [["a/*", "b/1.bin"]]
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.bin")) == wanted


def test_terms_must_be_accepted_first(towers, hub):
    hub.gated.add(REPO)
    with pytest.raises(HubError, match=r"terms must be accepted first.*hf auth login"):
        download(HubFiles(REPO))


def test_without_a_connection_the_line_to_go_on_with_is_named(towers, hub, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    with pytest.raises(HubError, match=r"what is complete is kept: give the command again.*hf download org/towers"):
        download(HubFiles(REPO))


def test_without_the_client_its_installation_is_named(monkeypatch):
    original = builtins.__import__

    def refuse(name, *arguments, **options):
        if name.split(".")[0] == "huggingface_hub":
            raise ImportError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(HubError, match=r"huggingface_hub.*not installed: pip install .*(huggingface[-_]hub|\[hub\])"):
        download(HubFiles(REPO))
