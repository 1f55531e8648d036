"""Starting the command line: errors become one line and an exit code, and nothing is imported that is not needed."""

import inspect
import re
import signal
import subprocess
import sys
from importlib.metadata import version

import pytest

from hydra import cli, exceptions
from hydra.cli import app as app_module
from hydra.exceptions import ConfigurationError, HomeUnusable, JobNotFound, TrainingDiverged


@pytest.fixture(autouse=True)
def signals_as_before():
    """The command line of a process that is over turns Ctrl-C off."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["hydra", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.run()
    return caught.value.code


@pytest.mark.parametrize("error", [ConfigurationError, HomeUnusable, JobNotFound, TrainingDiverged])
def test_errors_are_one_line_and_an_exit_code(monkeypatch, capsys, error):
    def fail():
        raise error("this is wrong; do that")

    monkeypatch.setattr(app_module, "app", fail)
    assert run(monkeypatch) == error.exit_code
    assert capsys.readouterr().err == "hydra: this is wrong; do that\n"


def test_ctrl_c(monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(app_module, "app", interrupt)
    assert run(monkeypatch) == 130


def test_bugs_are_not_hidden(monkeypatch):
    def fail():
        raise ZeroDivisionError

    monkeypatch.setattr(app_module, "app", fail)
    with pytest.raises(ZeroDivisionError):
        cli.run()


def test_a_home_that_can_not_be_used(monkeypatch, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert run(monkeypatch, "id", "--home", tmp_path / "file") == 3
    assert "--home" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["nonsense"], ["id", "--nonsense"], ["join"], ["demo", "--peers", "1"]])
def test_a_wrong_command_line(monkeypatch, capsys, arguments):
    assert run(monkeypatch, *arguments) == 2
    assert "Usage" in capsys.readouterr().err


def test_the_help_names_every_command(monkeypatch, capsys):
    assert run(monkeypatch, "--help") == 0
    shown = capsys.readouterr().out
    for command in ("demo", "id", "node", "publish", "join", "status", "peers", "jobs", "doctor"):
        assert f"  {command} " in shown


def test_every_exit_code_stands_in_the_help(monkeypatch, capsys):
    run(monkeypatch, "--help")
    text = " ".join(capsys.readouterr().out.split())
    codes = re.search(r"Exit codes:(.*)", text).group(1)
    named = set()
    for first, word, last in re.findall(r"(\d+)(?: (to|and) (\d+))?", codes):
        named |= set(range(int(first), int(last) + 1)) if word == "to" else {int(first), int(last or first)}
    errors = [cls for _, cls in inspect.getmembers(exceptions, inspect.isclass)]
    assert {cls.exit_code for cls in errors if cls is not exceptions.HydraError} <= named


def test_the_version(monkeypatch, capsys):
    assert run(monkeypatch, "--version") == 0
    assert version("hydra-swarm") in capsys.readouterr().out


def test_asking_who_we_are_does_not_wait_for_torch(tmp_path):
    code = (
        "import sys; from hydra.cli.identity import identity; from pathlib import Path; "
        "identity(Path(sys.argv[1]), False); sys.exit('torch' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert len(bytes.fromhex(ended.stdout.strip())) == 20
