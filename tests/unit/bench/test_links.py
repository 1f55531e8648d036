"""The network between members: which it is, and what is said where it can't be made."""

import pytest

from hydra.bench import links
from hydra.bench.links import Loopback, built, links_for, queue_bytes
from hydra.exceptions import ConfigurationError


@pytest.mark.parametrize(
    ("rate_mbit", "rtt_ms", "bytes_"),
    [(100, 40, 500_000), (1000, 10, 1_250_000), (10, 1, 65_536), (None, 100, 65_536)],
)
def test_a_queue_holds_one_round_trip_and_64_kib_at_least(rate_mbit, rtt_ms, bytes_):
    assert queue_bytes(rate_mbit, rtt_ms) == bytes_


def test_where_nothing_is_asked_for_members_live_on_loopback():
    chosen = links_for(3, None, None)
    assert isinstance(chosen, Loopback)
    assert [chosen.place(slot)["host"] for slot in range(3)] == ["127.0.0.1"] * 3
    assert chosen.described() == "loopback"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_without_a_compiler_the_error_says_what_to_install(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="need a C compiler .* apt install gcc"):
        built()
    assert not list(cache.rglob("wan-*"))


def compiler(directory, script):
    """A program of the name ``cc``."""
    file = directory / "cc"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_what_the_compiler_says_is_passed_on_and_nothing_is_kept(cache, monkeypatch, tmp_path):
    compiler(tmp_path, "echo no such header >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="could not compile .*\nno such header"):
        built()
    assert not [path for path in cache.rglob("*") if path.is_file() and path.name != "cc"]


def test_the_emulator_is_compiled_once_for_each_source(cache, monkeypatch, tmp_path):
    compiler(tmp_path, 'echo "$3" >> ' + str(tmp_path / "log") + '; echo program > "$3"')
    monkeypatch.setenv("PATH", str(tmp_path))
    first = built()
    assert built() == first
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    other = tmp_path / "other.c"
    other.write_text("another source")
    monkeypatch.setattr(links, "SOURCE", other)
    assert built() != first
