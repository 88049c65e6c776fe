"""Transactions over plain files. Oracles: the bytes before and after, `os.stat`, and a log of system calls."""

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.places import SUPPORT

from pistar_vf.changes import transaction as module
from pistar_vf.changes.journal import check_no_open_transaction, history
from pistar_vf.changes.lock import dataset_lock
from pistar_vf.changes.recovery import undo
from pistar_vf.changes.transaction import Transaction
from pistar_vf.errors import DatasetError

STARTED = datetime.datetime(2025, 1, 31, 12, 0, 5, tzinfo=datetime.UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "robot"
    for name in ("data/0.parquet", "data/1.parquet", "meta/info.json", "videos/0.mp4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"old {name}")
    return root


def transaction(root: Path, purpose: str = "test", **options) -> Transaction:
    return Transaction(root, purpose, progress=False, **options)


def replace(root: Path, *names: str, text: str = "new", **options):
    with transaction(root, **options) as writer:
        for name in names:
            writer.stage(name).write_text(f"{text} {name}")
        return writer.commit()


def contents(root: Path) -> dict[str, str]:
    paths = [p for p in sorted(root.rglob("*")) if p.is_file() and ".pistar_vf" not in p.parts]
    return {p.relative_to(root).as_posix(): p.read_text() for p in paths}


def test_files_change_at_commit_and_not_before(root: Path) -> None:
    before = contents(root)
    with transaction(root) as writer:
        writer.stage("data/0.parquet").write_text("new")
        writer.stage(Path("notes/deep/a.txt")).write_text("created")
        assert contents(root) == before
        writer.commit()
        assert contents(root) == {**before, "data/0.parquet": "new", "notes/deep/a.txt": "created"}


def test_the_journal_says_what_was_done(root: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/bin/pistar-vf", "relabel"])
    journal = replace(root, "data/0.parquet", "notes/deep/a.txt", summary={"checkpoint": "c"}, started=STARTED)
    assert (journal.id, journal.created) == ("000001-20250131T120005Z", "2025-01-31T12:00:05Z")
    assert (journal.purpose, journal.command, journal.summary) == ("test", "pistar-vf relabel", {"checkpoint": "c"})
    assert [(change.path, change.old is None) for change in journal.files] == [
        ("data/0.parquet", False),
        ("notes/deep/a.txt", True),
    ]
    # Oracle: `printf 'old data/0.parquet' | sha256sum`.
    assert journal.files[0].old.sha256 == "81e6aeeeb6ef19f4195034e3180205a0e73b9f769659e3ae907dff004784d968"
    assert (journal.files[0].old.size, journal.backup_bytes, journal.folders) == (18, 18, ("notes", "notes/deep"))
    assert history(root) == [journal]


def test_ids_grow_even_if_the_clock_goes_back(root: Path) -> None:
    for days in (0, -3, 1):
        replace(root, "meta/info.json", started=STARTED + datetime.timedelta(days=days))
    assert [journal.id[:15] for journal in history(root)] == ["000001-20250131", "000002-20250128", "000003-20250201"]


def test_leaving_without_commit_changes_nothing(root: Path) -> None:
    before = contents(root)
    with transaction(root) as writer:
        writer.stage("data/0.parquet").write_text("new")
    with pytest.raises(FileNotFoundError), transaction(root) as writer:
        writer.stage("data/0.parquet").write_bytes((root / "no such file").read_bytes())
    assert contents(root) == before
    assert list((root / ".pistar_vf/transactions").iterdir()) == []
    with dataset_lock(root, "free again"):
        pass


def test_verify_sees_the_new_files_and_can_stop(root: Path) -> None:
    before, seen = contents(root), {}

    def verify(staged) -> None:
        seen.update({name: path.read_text() for name, path in staged.items()})
        raise DatasetError("labels are bad")

    with transaction(root) as writer:
        writer.stage("data/0.parquet").write_text("new")
        with pytest.raises(DatasetError, match="labels are bad"):
            writer.commit(verify)
    assert seen == {Path("data/0.parquet"): "new"}
    assert contents(root) == before
    assert history(root) == []


def test_what_was_not_written_cannot_be_committed(root: Path) -> None:
    with transaction(root) as writer:
        with pytest.raises(DatasetError, match=r"expected new content .* got none for \[\]"):
            writer.commit()
        writer.stage("data/0.parquet")
        with pytest.raises(DatasetError, match=r"got none for \['data/0.parquet'\]"):
            writer.commit()


def test_a_transaction_is_committed_once(root: Path) -> None:
    with transaction(root) as writer:
        writer.stage("data/0.parquet").write_text("new")
        journal = writer.commit()
        with pytest.raises(DatasetError, match=f"transaction {journal.id} is committed; begin another one"):
            writer.stage("data/1.parquet")
        with pytest.raises(DatasetError, match=r"expected new content .* got none for \[\]"):
            writer.commit()
    assert history(root) == [journal]


@pytest.mark.parametrize("error", [OSError("disk on fire"), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
def test_an_error_while_replacing_takes_everything_back(root: Path, monkeypatch, error) -> None:
    before, real = contents(root), os.replace

    def fail(source, target) -> None:
        if Path(target).name == "1.parquet" and "new" in Path(source).parts:
            assert (root / "data/0.parquet").read_text() == "new data/0.parquet"
            raise error
        real(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(type(error)):
        replace(root, "data/0.parquet", "data/1.parquet", "meta/created.json")
    assert contents(root) == before
    check_no_open_transaction(root)
    assert history(root) == []


def test_other_names_of_a_file_keep_the_old_content(root: Path, tmp_path: Path) -> None:
    """A labelled copy shares files with its source by hard links."""
    os.link(root / "data/0.parquet", tmp_path / "shared")
    replace(root, "data/0.parquet")
    assert (tmp_path / "shared").read_text() == "old data/0.parquet"
    assert (root / "data/0.parquet").read_text() == "new data/0.parquet"
    undo(root)
    assert os.path.samefile(root / "data/0.parquet", tmp_path / "shared")


def test_backups_are_copies_where_links_are_impossible(root: Path, monkeypatch) -> None:
    def refuse(*_) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    before, mtime = contents(root), (root / "data/0.parquet").stat().st_mtime_ns
    replace(root, "data/0.parquet")
    undo(root)
    assert contents(root) == before
    assert (root / "data/0.parquet").stat().st_mtime_ns == mtime


def test_permissions_stay_and_other_files_are_not_touched(root: Path) -> None:
    (root / "data/0.parquet").chmod(0o640)
    others = [root / "data/1.parquet", root / "videos/0.mp4"]
    stats = [path.stat() for path in others]
    replace(root, "data/0.parquet")
    assert (root / "data/0.parquet").stat().st_mode & 0o777 == 0o640
    for path, before in zip(others, stats):
        after = path.stat()
        assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == (
            before.st_ino,
            before.st_mtime_ns,
            before.st_ctime_ns,
        )


def test_symlinks_out_of_the_dataset_are_not_written_through(root: Path, tmp_path: Path) -> None:
    """Download caches hold symlinks to blobs that other revisions share."""
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    (blobs / "abc").write_text("blob")
    (root / "data/2.parquet").symlink_to(blobs / "abc")
    (root / "linked").symlink_to(blobs)
    with transaction(root) as writer:
        for name in ("data/2.parquet", "linked/abc", "linked/new"):
            with pytest.raises(DatasetError, match=rf"{name} is a symlink to .*blobs.* outside .*--output_dir"):
                writer.stage(name)
    assert (blobs / "abc").read_text() == "blob"
    assert (root / "data/2.parquet").is_symlink()


def test_symlinks_inside_the_dataset_stay_links(root: Path, tmp_path: Path) -> None:
    (root / "data/2.parquet").symlink_to("0.parquet")
    (root / "folder").symlink_to(root / "data")
    (tmp_path / "name").symlink_to(root)
    replace(tmp_path / "name", "data/2.parquet", "folder/1.parquet")
    assert os.readlink(root / "data/2.parquet") == "0.parquet"
    assert (root / "data/0.parquet").read_text() == "new data/2.parquet"
    assert (root / "data/1.parquet").read_text() == "new folder/1.parquet"
    assert not (root / "data/1.parquet").is_symlink()


def test_paths_that_cannot_be_staged(root: Path, monkeypatch) -> None:
    with transaction(root) as writer:
        for name, message in (
            ("../other/file", r"expected a path inside the dataset .*, got \.\./other/file"),
            (str(root / "data/0.parquet"), "expected a path inside the dataset"),
            (".", "expected a path inside the dataset"),
            (".pistar_vf/lock", r"expected a file of the dataset, got \.pistar_vf/lock, which belongs to its backups"),
            ("data", "robot/data: expected a file in a folder, but .*data is a folder"),
            ("meta/info.json/x", "info.json/x: expected a file in a folder, but .*info.json is a folder or a file"),
        ):
            with pytest.raises(DatasetError, match=message):
                writer.stage(name)
        monkeypatch.setattr(module, "_device", lambda path: 1 if path.name == "1.parquet" else 2)
        with pytest.raises(DatasetError, match=r"1.parquet is on another file system than .*--output_dir"):
            writer.stage("data/1.parquet")
        writer.stage("data/0.parquet")


def test_a_second_writer_is_refused_and_harms_nothing(root: Path) -> None:
    with transaction(root, "first") as writer:
        writer.stage("data/0.parquet").write_text("new")
        with (
            pytest.raises(DatasetError, match=rf"process {os.getpid()}: .* \(first, since"),
            transaction(root, "second"),
        ):
            pass
        with pytest.raises(DatasetError, match=r"\(first, since"):
            replace(root, "data/1.parquet")
        writer.commit()
    assert (root / "data/0.parquet").read_text() == "new"


def test_the_next_writer_clears_what_a_killed_one_left(root: Path, caplog) -> None:
    left = root / ".pistar_vf/transactions/000001-20250131T120005Z/new/data"
    left.mkdir(parents=True)
    (left / "0.parquet").write_text("half")
    journal = replace(root, "data/1.parquet")
    assert "deleted what was left of transaction 000001-20250131T120005Z" in caplog.text
    assert not left.exists()
    assert [journal.id for journal in history(root)] == [journal.id]


def test_every_step_is_on_the_disk_before_the_next(root: Path, monkeypatch) -> None:
    """Oracle: the order of fsync and rename, as one would write it down for a database."""
    log: list[str] = []
    real_replace, real_sync = os.replace, os.fsync

    def name(path: str | Path) -> str:
        return Path(path).relative_to(root).as_posix().replace(f".pistar_vf/transactions/{writer.id}", "T")

    def logged_replace(source, target) -> None:
        log.append(f"{name(source)} -> {name(target)}")
        real_replace(source, target)

    def logged_sync(descriptor: int) -> None:
        log.append(f"sync {name(os.readlink(f'/proc/self/fd/{descriptor}'))}")
        real_sync(descriptor)

    with transaction(root) as writer:
        for path in ("data/0.parquet", "data/created"):
            writer.stage(path).write_text("new")
        monkeypatch.setattr(os, "replace", logged_replace)
        monkeypatch.setattr(os, "fsync", logged_sync)
        writer.commit()
    begin = log.index("T/journal.tmp -> .pistar_vf/open.json")
    end = log.index(".pistar_vf/open.json -> T/journal.json")
    prepared = {"T", "T/new", "T/old", "T/new/data", "T/old/data", ".pistar_vf", ".pistar_vf/transactions", "."}
    prepared |= {"T/new/data/0.parquet", "T/new/data/created", "T/old/data/0.parquet", "T/journal.tmp"}
    assert {line.removeprefix("sync ") for line in log[:begin]} == prepared
    assert log[begin + 1] == "sync .pistar_vf"
    placed = ["T/new/data/0.parquet -> data/0.parquet", "T/new/data/created -> data/created", "sync data"]
    assert log[begin + 2 : end] == placed
    assert log[end + 1 :] == ["sync T", "sync .pistar_vf"]


def test_killed_at_any_operation() -> None:
    """See kill_transaction.py, which compares the folder with snapshots after every kill."""
    script = SUPPORT / "kill_transaction.py"
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report["transaction"] > 100
    assert report["undo"] > 40
    assert report["recovery"] > 40
    assert min(report["before"], report["after"]) > 50  # both sides are met
    assert not report["jax"]  # nor does anybody else wait for JAX to write files


def test_disk_use_is_the_replaced_files(root: Path) -> None:
    replace(root, "data/0.parquet")
    folder = root / ".pistar_vf/transactions" / history(root)[0].id
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
        "journal.json",
        "old/data/0.parquet",
    ]
