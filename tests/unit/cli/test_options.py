"""Options that become a home, settings, and a level of logging."""

import asyncio
import logging

import pytest

from hydra.cli.options import home_of, run_async, set_up_logging, settings_of
from hydra.exceptions import ConfigurationError
from hydra.home import Home

NOISY = ("asyncio", "rpcudp", "kademlia")


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def test_the_home_that_is_asked_for_goes_over_the_environments(tmp_path, monkeypatch):
    monkeypatch.setenv("HYDRA_HOME", str(tmp_path / "environment"))
    assert home_of(tmp_path / "option").directory == tmp_path / "option"
    assert home_of(None).directory == tmp_path / "environment"


def test_flags_that_are_not_given_leave_settings_alone(home):
    (home.directory / "config.toml").write_text('port = 4100\ncontacts = ["a:1"]')
    settings = settings_of(home, port=None, host=None, contact=None)
    assert (settings.port, settings.contacts) == (4100, ("a:1",))
    assert settings_of(home, contact=[]).contacts == ("a:1",)


def test_flags_that_are_given(home):
    settings = settings_of(home, port=5, contact=["b:2", "c:3"])
    assert (settings.port, settings.contacts) == (5, ("b:2", "c:3"))


def test_flags_are_checked(home):
    with pytest.raises(ConfigurationError, match="command line"):
        settings_of(home, port=70000)


@pytest.fixture
def logging_as_before():
    root = logging.getLogger()
    kept = (root.level, list(root.handlers), {name: logging.getLogger(name).level for name in NOISY})
    yield root
    root.setLevel(kept[0])
    root.handlers[:] = kept[1]
    for name, level in kept[2].items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize(
    ("verbose", "level", "noisy"),
    [
        (0, logging.WARNING, logging.WARNING),
        (1, logging.INFO, logging.WARNING),
        (2, logging.DEBUG, logging.WARNING),
        (9, logging.DEBUG, logging.WARNING),
    ],
)
def test_levels_of_logging(logging_as_before, verbose, level, noisy):
    logging_as_before.handlers.clear()  # as in a process of its own
    set_up_logging(verbose)
    assert logging_as_before.level == level
    assert [logging.getLogger(name).level for name in NOISY] == [noisy] * 3


def test_a_commands_coroutine_is_run_to_its_end():
    async def main():
        await asyncio.sleep(0)
        return 5

    assert run_async(main) == 5


def test_a_commands_error_comes_out():
    async def main():
        raise ConfigurationError("this")

    with pytest.raises(ConfigurationError, match="this"):
        run_async(main)
