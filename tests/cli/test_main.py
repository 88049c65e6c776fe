"""`pistar-vf`: dispatch, exit codes and what is printed where."""

import errno
import re
import subprocess
import sys
import types
from importlib import metadata

import pytest

from pistar_vf.cli import align, train
from pistar_vf.cli.main import COMMANDS, main, run_command
from pistar_vf.errors import ConfigError
from pistar_vf.training.engine import Stopped


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch):
    """Registers a command `fake` whose behaviour the test chooses."""

    def register(behaviour):
        module = types.ModuleType("fake_command")
        module.main = behaviour
        monkeypatch.setitem(sys.modules, "fake_command", module)
        monkeypatch.setitem(COMMANDS, "fake", ("fake_command", "a command for this test"))

    return register


def raises(error):
    def behaviour(argv):
        raise error

    return behaviour


def test_the_command_gets_the_words_after_its_name(command):
    seen = []
    command(seen.append)
    assert main(["fake", "--batch_size", "4"]) == 0
    assert seen == [["--batch_size", "4"]]


def test_argv_defaults_to_the_command_line(command, monkeypatch):
    seen = []
    command(seen.append)
    monkeypatch.setattr(sys, "argv", ["pistar-vf", "fake", "x"])
    assert main() == 0
    assert seen == [["x"]]


def test_an_error_of_ours_is_one_message_without_traceback(command, capsys, monkeypatch):
    monkeypatch.delenv("PISTAR_VF_TRACEBACK", raising=False)
    command(raises(ConfigError("expected 1, got 2")))
    assert main(["fake"]) == 2
    assert capsys.readouterr() == ("", "error: expected 1, got 2\n")


def test_the_traceback_can_be_asked_for(command, capsys, monkeypatch):
    monkeypatch.setenv("PISTAR_VF_TRACEBACK", "1")
    command(raises(ConfigError("expected 1, got 2")))
    assert main(["fake"]) == 2
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.endswith("\nerror: expected 1, got 2\n")


@pytest.mark.parametrize(
    ("words", "runner"),
    [
        (["train", "--data_dir", "d", "--checkpoint_dir", "c"], "pistar_vf.recipes.run.run_training"),
        (["align"], "pistar_vf.recipes.alignment.run_alignment"),
    ],
)
def test_a_run_that_was_asked_to_stop_says_how_to_go_on(words, runner, monkeypatch, capsys):
    for command in (train, align):
        monkeypatch.setattr(command, "refuse_early", lambda config: config)
    monkeypatch.setattr(runner, raises(Stopped(7)))
    assert main(words) == 130
    out, err = capsys.readouterr()
    assert "stopped at step 7; go on with --resume_from_checkpoint latest\n" in out
    assert err.endswith("interrupted\n")


def test_an_interrupt_is_one_line_and_130(capsys):
    assert run_command(raises(KeyboardInterrupt()), []) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "x", "out"), "error: out: expected room on the disk, got 'No space left on device'"),
        (OSError(errno.EFBIG, "x"), "error: a file: expected room on the disk, got 'File too large'"),
        (PermissionError(errno.EACCES, "x", b"a", None, "b"), "error: a → b: expected to be allowed to read and write"),
        (OSError(errno.EROFS, "x", "out"), "error: out: expected to be allowed .*'Read-only file system'"),
        (OSError(errno.ESTALE, "x", "in"), "error: in: expected a disk that answers"),
        (FileNotFoundError(errno.ENOENT, "x", "in"), "error: in: expected it as it was when the command began"),
        (OSError(errno.EMFILE, "x", "in"), "error: in: expected to open one more file, .* raise the limit"),
    ],
)
def test_an_error_of_the_disk_is_one_message(error, message, capsys, monkeypatch):
    monkeypatch.delenv("PISTAR_VF_TRACEBACK", raising=False)
    assert run_command(raises(error), []) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert re.match(message, err)


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), RuntimeError("a bug"), OSError("a bug"), ConnectionError(104, "a bug")]
)
def test_other_errors_keep_their_traceback(error):
    with pytest.raises(type(error), match="a bug"):
        run_command(raises(error), [])


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("tarin", r"expected a command \(.*train.*\), got 'tarin'; did you mean 'train'\?"),
        ("lable", r"got 'lable'; did you mean 'label'\?"),
        ("xyzzy", r"got 'xyzzy'; see `pistar-vf --help`"),
    ],
)
def test_an_unknown_command_gets_a_suggestion(typed, message, capsys):
    assert main([typed]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(message, err)


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_every_command(flag, capsys):
    assert main([flag]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for name, (_, text) in COMMANDS.items():
        assert any(line.split(maxsplit=1) == [name, text] for line in out.splitlines())


def test_no_command_shows_the_help_and_fails(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: pistar-vf <command>")


def test_version_is_the_installed_one(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pistar-vf {metadata.version('pistar-vf')}\n"


def test_help_does_not_load_jax():
    code = "import sys; from pistar_vf.cli.main import main; main(['--help']); sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
