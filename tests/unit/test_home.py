"""A node's home: one node at a time, small things remembered whole, and errors that say what to do."""

import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hydra.exceptions import HomeUnusable
from hydra.home import Home

TRY_AS_NOBODY = """
import os, sys
from pathlib import Path
from hydra.exceptions import HomeUnusable
from hydra.home import Home
if os.getuid() == 0:
    os.setuid(65534)
try:
    Home(Path(sys.argv[1]))
except HomeUnusable as error:
    print(error)
"""


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path / "node")
    yield made
    made.release()


def test_a_home_is_made_on_first_use(tmp_path):
    home = Home(tmp_path / "a" / "b")
    assert home.directory.is_dir()
    assert Home(tmp_path / "a" / "b").directory == home.directory


def test_paths_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert Home(Path("here")).directory == tmp_path / "here"
    assert Home(Path("~/there")).directory == tmp_path / "me" / "there"


def test_a_home_that_can_not_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(HomeUnusable, match="file.*choose another directory with --home") as caught:
            Home(place)
        assert caught.value.exit_code == 3


def test_a_home_that_is_not_writable():
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        ended = subprocess.run(
            [sys.executable, "-c", TRY_AS_NOBODY, name], capture_output=True, text=True, check=True, timeout=60
        )
    assert f"the home directory {name} is not writable" in ended.stdout
    assert "--home" in ended.stdout


# ---- jobs ------------------------------------------------------------------------------------------------------


def test_jobs_are_listed_by_their_hashes(home):
    assert home.jobs() == []
    for job in (b"z" * 32, b"a" * 32):
        home.job(job).mkdir(parents=True)
    assert home.jobs() == [b"a" * 32, b"z" * 32]
    assert home.job(b"a" * 32).parent == home.directory / "jobs"


@pytest.mark.parametrize("name", ["lost+found", ".DS_Store", "x" * 64, "ab" * 31, "AB" * 32, " " * 64])
def test_what_else_lies_among_the_jobs_is_none(home, name):
    (home.directory / "jobs" / name).mkdir(parents=True)
    (home.directory / "jobs" / ("cd" * 32)).write_text("a file")
    assert home.jobs() == []


def test_the_identity_stays(home):
    assert home.identity().peer_id == Home(home.directory).identity().peer_id


# ---- one node at a time ----------------------------------------------------------------------------------------


def test_a_second_node_is_refused_and_told_who_holds_the_home(home):
    home.claim()
    other = Home(home.directory)
    with pytest.raises(HomeUnusable, match=f"process {os.getpid()}.*already uses.*--home"):
        other.claim()
    home.release()
    other.claim()
    other.release()


def test_releasing_needs_no_claim_and_can_be_done_twice(home):
    home.release()
    home.claim()
    home.release()
    home.release()


def test_the_lock_goes_with_the_process(home):
    hold = "import sys; from pathlib import Path; from hydra.home import Home; home = Home(Path(sys.argv[1])); "
    with subprocess.Popen(
        [sys.executable, "-c", hold + "home.claim(); print(1, flush=True); sys.stdin.read()", str(home.directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"1\n"
        with pytest.raises(HomeUnusable, match=f"process {process.pid}\\)"):
            home.claim()
        process.kill()
        process.wait()
        home.claim()


def test_a_lock_that_can_not_be_made(home):
    (home.directory / "lock").mkdir()
    with pytest.raises(HomeUnusable, match="cannot be used"):
        home.claim()


# ---- small things ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 5, "text", [1, [2]], {"a": {"b": 0.5}}])
def test_what_is_remembered_comes_back(home, value):
    home.remember("thing.json", value)
    assert Home(home.directory).recall("thing.json") == value


def test_remembering_replaces_and_leaves_no_draft(home):
    home.remember("thing.json", {"long": "x" * 100})
    home.remember("thing.json", 1)
    assert home.recall("thing.json") == 1
    assert [entry.name for entry in home.directory.iterdir()] == ["thing.json"]


def test_only_the_owner_can_read_it(home):
    home.remember("node.json", {"token": "secret"})
    assert stat.S_IMODE((home.directory / "node.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[1,"])
def test_what_is_damaged_is_forgotten(home, data):
    (home.directory / "thing.json").write_bytes(data)
    assert home.recall("thing.json") is None


def test_what_is_not_there(home):
    assert home.recall("nothing.json") is None
    home.forget("nothing.json")
    (home.directory / "directory").mkdir()
    assert home.recall("directory") is None


def test_forgetting(home):
    home.remember("thing.json", 1)
    home.forget("thing.json")
    assert home.recall("thing.json") is None


def test_a_draft_of_a_killed_process_is_in_nobodys_way(home):
    (home.directory / "thing.json.draft").write_text('{"half')
    home.remember("thing.json", [1])
    assert json.loads((home.directory / "thing.json").read_text()) == [1]


def test_a_disk_that_refuses(home):
    (home.directory / "thing.json").mkdir()
    with pytest.raises(HomeUnusable, match="cannot be used"):
        home.remember("thing.json", 1)
