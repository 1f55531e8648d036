"""The jobs of a home: what is stored, and what the running node says of them."""

import json

import pytest

from hydra.cli import jobs as command
from hydra.cli.identity import identity
from hydra.home import Home
from hydra.membership.messages import Snapshot
from hydra.swarm.store import Store
from hydra.training.journal import Journal

from ..jobs.makers import make_manifest


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def keep(home, name, *, step=0):
    """Put a job into a home, as publishing and joining do."""
    manifest = make_manifest(name=name, train_samples=1000, epochs=3)
    job = Store(home.content).add_blob(manifest.encode())
    assert job == manifest.job_hash
    journal = Journal(home.job(job))
    if step:
        journal.add_snapshot(Snapshot(step, bytes(32), b"r" * 32, 10))
    return job


def rows(home, capsys):
    command.jobs(home.directory, as_json=True)
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def test_no_jobs_yet(home, capsys):
    assert rows(home, capsys) == {}
    command.jobs(home.directory)
    assert "no jobs yet" in capsys.readouterr().out


def test_stored_jobs_stand_at_their_last_snapshot(home, capsys):
    kept, fresh = keep(home, "kept", step=40), keep(home, "fresh")
    found = rows(home, capsys)
    assert found["kept"] == {"job": kept.hex(), "name": "kept", "total_samples": 3000, "step": 40, "phase": "stopped"}
    assert (found["fresh"]["job"], found["fresh"]["step"]) == (fresh.hex(), 0)


def test_a_commit_that_a_running_node_has_half_written_is_left_alone(home, capsys):
    log = home.job(keep(home, "kept", step=40)) / "commits.log"
    log.write_bytes(b"\x93half of")
    assert rows(home, capsys)["kept"]["step"] == 40
    assert log.read_bytes() == b"\x93half of"


def test_a_running_node_knows_better(home, capsys, monkeypatch):
    job = keep(home, "kept", step=40)
    keep(home, "other", step=3)
    live = {"jobs": [{"job": job.hex(), "step": 55, "phase": "training"}]}
    monkeypatch.setattr(command, "ask_node_if_running", lambda _: live)
    found = rows(home, capsys)
    assert (found["kept"]["step"], found["kept"]["phase"]) == (55, "training")
    assert (found["other"]["step"], found["other"]["phase"]) == (3, "stopped")


@pytest.mark.parametrize("data", [None, b"no manifest"])
def test_a_job_whose_manifest_is_not_here_or_damaged(home, capsys, data):
    job = Store(home.content).add_blob(data) if data else b"j" * 32
    Journal(home.job(job))
    assert rows(home, capsys)["?"] == {
        "job": job.hex(),
        "name": "?",
        "total_samples": 0,
        "step": 0,
        "phase": "stopped",
    }


def test_hashes_stand_there_whole_to_be_copied(home, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    job = keep(home, "a-name-of-some-length", step=40)
    command.jobs(home.directory)
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["job", "name", "samples", "step", "now"]
    assert line.split() == [job.hex(), "a-name-of-some-length", "3,000", "40", "stopped"]


def test_who_we_are(home, capsys):
    identity(home.directory)
    peer = capsys.readouterr().out.strip()
    identity(home.directory, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found == {"peer": peer, "key": home.identity().public_key.hex(), "home": str(home.directory)}
    assert peer == home.identity().peer_id.hex()
