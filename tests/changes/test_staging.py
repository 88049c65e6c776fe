"""Writing as a whole or not at all. Oracle: the folders that are there before and after."""

import errno
import os
import stat
from pathlib import Path

import pytest
from support.folders import unsuitable_outputs

from pistar_vf.changes import durable_files
from pistar_vf.changes.durable_files import write_whole
from pistar_vf.changes.staging import check_file, check_output, files_below, link_or_copy, staged_folder
from pistar_vf.errors import ConfigError, DatasetError


def test_the_folder_appears_at_the_end(tmp_path):
    output = tmp_path / "deep" / "out"
    with staged_folder(output) as folder:
        (folder / "file").write_text("data")
        assert not output.exists()
        assert folder.parent.parent == output.parent  # the last step is a rename on one file system
    assert (output / "file").read_text() == "data"
    assert list(output.parent.iterdir()) == [output]
    assert stat.S_IMODE(output.stat().st_mode) == 0o777 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_empty_folder_is_replaced(tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    with staged_folder(output) as folder:
        (folder / "file").touch()
    assert (output / "file").exists()


def test_a_failure_leaves_nothing(tmp_path):
    def interrupted() -> None:
        with staged_folder(tmp_path / "out") as folder:
            (folder / "file").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "report.json"
    write_whole(path, "first")
    assert path.read_text(encoding="utf-8") == "first"

    def full(*_):
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(durable_files, "sync", full)
    with pytest.raises(OSError, match="no room"):
        write_whole(path, "second")
    assert {each.name: each.read_text() for each in path.parent.iterdir()} == {"report.json": "first"}


def test_unsuitable_outputs(tmp_path):
    (root := tmp_path / "root").mkdir()
    for output, message in unsuitable_outputs(root, tmp_path):
        with pytest.raises(DatasetError, match=message):
            check_output(root, output)
    check_output(root, tmp_path / "new")


def test_files_below(tmp_path):
    for name in ("b/c", "a", ".hidden/d"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    assert list(files_below(tmp_path)) == [Path("a"), Path("b/c")]


def test_link_or_copy(tmp_path, monkeypatch):
    source, alias = tmp_path / "source", tmp_path / "alias"
    source.write_text("data")
    alias.symlink_to(source)
    link_or_copy(alias, tmp_path / "deep" / "link")
    assert (tmp_path / "deep" / "link").samefile(source)
    assert not (tmp_path / "deep" / "link").is_symlink()

    def refuse(*_):
        raise OSError("cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    link_or_copy(alias, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "data"
    assert not (tmp_path / "copy").samefile(source)


@pytest.mark.parametrize("place", ["video.mp4", "deep/video.mp4", "deep/er/.."])
def test_links_that_lead_nowhere_are_missing_files(tmp_path, caplog, place):
    root = tmp_path / "set"
    (root / "deep/er").mkdir(parents=True)
    (root / "kept").write_text("data")
    link = (root / place).resolve() / "gone" if place.endswith("..") else root / place
    link.symlink_to(tmp_path / "nowhere")
    assert list(files_below(root)) == [Path("kept")]
    assert f"{link} is a link that leads nowhere; it is left out" in caplog.text


def test_a_place_at_which_a_file_can_be_written(tmp_path):
    (tmp_path / "old").touch()
    for path in (tmp_path / "new", tmp_path / "old", tmp_path / "no" / "folder" / "yet", Path("here")):
        check_file(path, "--output")


def test_a_place_at_which_no_file_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for folder in (tmp_path, Path(".")):
        with pytest.raises(ConfigError, match=r"--output .*: expected a file to write, got a folder; name a file"):
            check_file(folder, "--output")
    with pytest.raises(ConfigError, match=r"expected a folder to write it to, got .*file; name another place"):
        check_file(tmp_path / "file" / "deep" / "new", "--output")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match="expected a folder to write it to, got"):
        check_file(tmp_path / "new", "--output")
