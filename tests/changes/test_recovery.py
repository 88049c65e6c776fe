"""Undo, recovery and purge after states that were made by hand. Oracle: the bytes before and after."""

import dataclasses
import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from pistar_vf.changes import journal as journals
from pistar_vf.changes.journal import Journal, check_no_open_transaction, history
from pistar_vf.changes.lock import dataset_lock
from pistar_vf.changes.recovery import Outcome, purge, recover, undo
from pistar_vf.changes.transaction import Transaction
from pistar_vf.errors import ConfigError, DatasetError

NAMES = ("data/0.parquet", "data/1.parquet", "meta/created/notes.json")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "robot"
    for name in ("data/0.parquet", "data/1.parquet", "meta/info.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"old {name}")
    return root


def replace(root: Path, text: str = "new", names: tuple[str, ...] = NAMES) -> Journal:
    with Transaction(root, "test", progress=False) as writer:
        for name in names:
            writer.stage(name).write_text(f"{text} {name}")
        return writer.commit()


def interrupt(root: Path, placed: int = 1, direction: str = "forward") -> Journal:
    """A transaction whose first files are in place, as a kill leaves it."""
    original = contents(root)
    journal = replace(root)
    folder = journals.transaction_folder(root, journal.id)
    for name in NAMES[placed:]:
        (folder / "new" / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(root / name, folder / "new" / name)
        if name in original:
            (root / name).write_text(original[name])
    if direction == "back":
        shutil.rmtree(folder / "new", ignore_errors=True)
    (folder / "journal.json").unlink()
    journals.begin(root, dataclasses.replace(journal, direction=direction))
    return journal


def contents(root: Path) -> dict[str, str]:
    paths = [p for p in sorted(root.rglob("*")) if ".pistar_vf" not in p.parts]
    return {p.relative_to(root).as_posix(): p.read_text() if p.is_file() else "" for p in paths}


def test_undo_restores_bytes_times_and_folders(root: Path) -> None:
    before = contents(root)
    mtime = (root / "data/0.parquet").stat().st_mtime_ns
    journal = replace(root)
    assert contents(root) != before
    assert undo(root) == [Outcome(journal.id, "taken back")]
    assert contents(root) == before
    assert (root / "data/0.parquet").stat().st_mtime_ns == mtime
    assert history(root) == []


def test_undo_goes_back_step_by_step(root: Path) -> None:
    states = [contents(root)]
    for text in "abcd":
        replace(root, text)
        states.append(contents(root))
    ids = [journal.id for journal in history(root)]
    assert [outcome.id for outcome in undo(root)] == ids[3:]
    assert contents(root) == states[3]
    assert [outcome.id for outcome in undo(root, steps=2)] == [ids[2], ids[1]]
    assert contents(root) == states[1]
    with pytest.raises(DatasetError, match="expected 2 transactions to undo, but there are only 1"):
        undo(root, steps=2)
    assert contents(root) == states[1]


def test_nothing_to_undo(root: Path) -> None:
    with pytest.raises(DatasetError, match="robot: expected a transaction to undo, but there is none"):
        undo(root)
    assert not (root / ".pistar_vf").exists()
    with pytest.raises(ConfigError, match=r"expected steps >= 1 \(--steps\), got 0"):
        undo(root, steps=0)


def test_files_edited_since_are_not_overwritten_without_force(root: Path) -> None:
    before = contents(root)
    journal = replace(root)
    (root / "data/1.parquet").write_text("edited")
    (root / NAMES[2]).unlink()
    after = contents(root)
    message = (
        rf"as transaction {journal.id} left them, but 2 changed since: data/1.parquet, meta/created/notes.json; keep"
    )
    with pytest.raises(DatasetError, match=message):
        undo(root)
    assert contents(root) == after
    undo(root, force=True)
    assert contents(root) == before


def test_long_lists_of_files_are_cut(root: Path) -> None:
    names = tuple(f"data/{i:02d}.parquet" for i in range(12))
    replace(root, names=names)
    for name in names:
        (root / name).write_text("edited")
    with pytest.raises(DatasetError, match=r"but 12 changed since: data/00.parquet, .*data/09.parquet, …; keep"):
        undo(root)


def test_somebody_elses_files_in_a_created_folder_stay(root: Path) -> None:
    replace(root)
    (root / "meta/created/mine.txt").write_text("precious")
    undo(root)
    assert (root / "meta/created/mine.txt").read_text() == "precious"
    assert not (root / NAMES[2]).exists()


def test_damaged_backups_are_not_restored(root: Path) -> None:
    journal = replace(root)
    after = contents(root)
    backup = journals.transaction_folder(root, journal.id) / "old/data/0.parquet"
    backup.write_text("rotten")
    with pytest.raises(
        DatasetError, match=r"intact backups .* but 1 are damaged or missing: data/0.parquet; put these"
    ):
        undo(root, force=True)
    assert contents(root) == after
    (root / "data/0.parquet").write_text("old data/0.parquet")  # the way out that the message names
    undo(root, force=True)
    assert contents(root)["data/1.parquet"] == "old data/1.parquet"


@pytest.mark.parametrize("placed", [0, 1, 2, 3])
def test_an_interrupted_transaction_is_finished(root: Path, placed: int) -> None:
    journal = interrupt(root, placed)
    assert str(recover(root)) == f"finished the interrupted transaction {journal.id}: all of its files are in place"
    assert [contents(root)[name] for name in NAMES] == [f"new {name}" for name in NAMES]
    assert history(root) == [journal]
    assert recover(root) is None


@pytest.mark.parametrize("placed", [0, 1, 2])
def test_it_is_taken_back_where_new_files_are_damaged(root: Path, placed: int) -> None:
    before = contents(root)
    journal = interrupt(root, placed)
    (journals.transaction_folder(root, journal.id) / "new" / NAMES[2]).write_text("half")
    assert str(recover(root)) == f"took back transaction {journal.id}: its files are as they were before"
    assert contents(root) == before
    assert recover(root) is None


def test_it_stays_where_new_files_and_backups_are_damaged(root: Path) -> None:
    journal = interrupt(root)
    half = contents(root)
    for name in (f"new/{NAMES[2]}", f"old/{NAMES[0]}"):
        (journals.transaction_folder(root, journal.id) / name).write_text("damaged")
    with pytest.raises(DatasetError, match=r"intact backups .* 1 are damaged or missing: data/0.parquet; put these"):
        recover(root)
    assert contents(root) == half
    (root / NAMES[0]).write_text("old data/0.parquet")
    assert recover(root).what == "taken back"


def test_it_is_taken_back_where_it_cannot_be_finished(root: Path, monkeypatch, caplog) -> None:
    before, real = contents(root), os.replace
    interrupt(root)

    def fail(source, target) -> None:
        if Path(target) == root / NAMES[1]:
            raise PermissionError("read-only folder")
        real(source, target)

    monkeypatch.setattr(os, "replace", fail)
    assert recover(root).what == "taken back"
    assert contents(root) == before
    assert "cannot finish transaction" in caplog.text


@pytest.mark.parametrize("placed", [0, 1, 2, 3])
def test_undo_of_an_interrupted_transaction(root: Path, placed: int) -> None:
    before = contents(root)
    interrupt(root, placed)
    assert [outcome.what for outcome in undo(root)] == ["taken back"]
    assert contents(root) == before


@pytest.mark.parametrize("placed", [1, 3])
def test_an_interrupted_undo_is_the_step(root: Path, placed: int) -> None:
    replace(root, "first")
    first = contents(root)
    journal = interrupt(root, placed, direction="back")
    assert undo(root) == [Outcome(journal.id, "taken back")]
    assert contents(root) == first
    assert len(history(root)) == 1


def test_left_overs_are_the_step(root: Path) -> None:
    """A transaction that was killed before it replaced anything must not cost the one before it."""
    replace(root, "first")
    first = contents(root)
    (root / ".pistar_vf/transactions/000002-x/new").mkdir(parents=True)
    assert recover(root) is None  # nothing is inconsistent
    assert [str(outcome) for outcome in undo(root)] == [
        "deleted what was left of transaction 000002-x, which was not replacing files"
    ]
    assert contents(root) == first


def test_files_edited_after_the_interruption(root: Path) -> None:
    interrupt(root)
    (root / "data/1.parquet").write_text("edited")
    for repair in (recover, undo):
        with pytest.raises(DatasetError, match=r"1 changed since: data/1.parquet; keep a copy .*--force"):
            repair(root)
    assert recover(root, force=True).what == "finished"
    assert (root / "data/1.parquet").read_text() == "new data/1.parquet"


def test_the_next_writer_finishes_first(root: Path, caplog) -> None:
    journal = interrupt(root)
    replace(root, "later", names=("meta/info.json",))
    assert f"finished the interrupted transaction {journal.id}" in caplog.text
    assert (root / "data/1.parquet").read_text() == "new data/1.parquet"
    assert len(history(root)) == 2


def test_readers_are_warned_of_half_changed_datasets(root: Path) -> None:
    check_no_open_transaction(root)
    replace(root)
    check_no_open_transaction(root)
    undo(root)
    interrupt(root)
    with pytest.raises(DatasetError, match=r"begun and not ended.*`pistar-vf undo --data_dir .*robot`.*--recover"):
        check_no_open_transaction(root)
    recover(root)
    check_no_open_transaction(root)


def test_nobody_recovers_what_is_being_written(root: Path) -> None:
    interrupt(root)
    with dataset_lock(root, "at work"), pytest.raises(DatasetError, match=r"written to by .* \(at work"):
        recover(root)


def test_two_recoveries_at_once(root: Path) -> None:
    interrupt(root)
    results = []

    def repair() -> None:
        try:
            results.append(recover(root))
        except DatasetError as error:
            results.append(error)

    threads = [threading.Thread(target=repair) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(result, Outcome) for result in results) == 1
    assert (root / "data/1.parquet").read_text() == "new data/1.parquet"


def test_damaged_journals(root: Path) -> None:
    journal = replace(root)
    path = journals.transaction_folder(root, journal.id) / "journal.json"
    fields = json.loads(path.read_text())
    for content in ("{", "[]", "{}", json.dumps({**fields, "files": [{"path": "x"}]}), json.dumps({**fields, "n": 1})):
        path.write_text(content)
        with pytest.raises(DatasetError, match=r"journal.json: expected the journal of a transaction, .*<id>/old"):
            undo(root)
    shutil.copy(path, root / ".pistar_vf/open.json")
    with pytest.raises(DatasetError, match=r"open.json: expected the journal of a transaction"):
        recover(root)


def test_purge(root: Path) -> None:
    assert purge(root) == 0
    replace(root)
    replace(root, "other")
    after = contents(root)
    assert purge(root) == 2 * len("old data/0.parquet") * 2 + len("other " + NAMES[2]) - 2
    assert contents(root) == after
    with pytest.raises(DatasetError, match="expected 1 transactions to undo, but there are only 0"):
        undo(root)
    assert purge(root) == 0
