"""`pistar-vf undo` from the command line. Oracle: the files before."""

import sys
from pathlib import Path

import pytest

from pistar_vf.changes import journal as journals
from pistar_vf.changes.transaction import Transaction
from pistar_vf.cli.main import main


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "info.json").write_text("0")
    return tmp_path


def change(root: Path, content: str, **summary: str) -> journals.Journal:
    with Transaction(root, f"change to {content}", summary=summary, progress=False) as transaction:
        transaction.stage("info.json").write_text(content)
        return transaction.commit()


def undo(root: Path, *flags: str) -> int:
    return main(["undo", "--data_dir", str(root), *flags])


def test_the_last_change_is_taken_back(root: Path, capsys) -> None:
    change(root, "1")
    journal = change(root, "2")
    assert undo(root) == 0
    assert capsys.readouterr().out == f"{root}: took back transaction {journal.id}: its files are as they were before\n"
    assert (root / "info.json").read_text() == "1"


def test_steps_and_force(root: Path, capsys) -> None:
    change(root, "1")
    change(root, "2")
    (root / "info.json").write_text("edited")
    assert undo(root, "--steps", "2") == 2
    assert "1 changed since: info.json" in capsys.readouterr().err
    assert undo(root, "--steps", "2", "--force") == 0
    assert (root / "info.json").read_text() == "0"


def test_the_list(root: Path, capsys, monkeypatch) -> None:
    assert undo(root, "--list") == 0
    assert capsys.readouterr().out == f"{root}: nothing was changed in place\n"
    assert not (root / ".pistar_vf").exists()
    monkeypatch.setattr(sys, "argv", ["pistar-vf", "relabel", "--n_step", "50"])
    first = change(root, "1" * 3_000_000)
    second = change(root, "2", checkpoint="step_100", method="π")
    assert undo(root, "--list") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{second.id}  change to 2, 1 files, backups 3.0 MB",
        f"  {second.created}  pistar-vf relabel --n_step 50",
        '  {"checkpoint": "step_100", "method": "π"}',
        f"{first.id}  change to {'1' * 3_000_000}, 1 files, backups 0.0 MB",
        f"  {first.created}  pistar-vf relabel --n_step 50",
    ]


def test_an_interrupted_change_is_listed_and_recovered(root: Path, capsys) -> None:
    journal = change(root, "1")
    (journals.transaction_folder(root, journal.id) / "journal.json").unlink()
    journals.begin(root, journal)
    assert undo(root, "--list") == 0
    assert capsys.readouterr().out.endswith("\n  interrupted, or being made now: see --recover\n")
    assert undo(root, "--recover") == 0
    assert f"{root}: finished the interrupted transaction {journal.id}" in capsys.readouterr().out
    assert undo(root, "--recover") == 0
    assert capsys.readouterr().out == f"{root}: nothing to recover, no change was interrupted\n"
    assert (root / "info.json").read_text() == "1"


def test_purge(root: Path, capsys) -> None:
    change(root, "1")
    assert undo(root, "--purge") == 0
    assert capsys.readouterr().out == f"{root}: deleted the backups of all changes, 0.0 MB\n"
    assert undo(root) == 2
    assert "expected 1 transactions to undo, but there are only 0" in capsys.readouterr().err


def test_flags_that_exclude_each_other(root: Path, capsys) -> None:
    assert undo(root, "--list", "--purge") == 2
    assert "expected at most one of --list, --recover and --purge" in capsys.readouterr().err
