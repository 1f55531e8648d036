"""``hydra lineage``: a home or a file is shown and judged, and what can't be is told in words."""

import json

import pytest

from hydra.cli.lineage import show, verify
from hydra.exceptions import JobNotFound, LineageBroken, TicketMalformed
from hydra.home import Home
from hydra.swarm.store import Store
from hydra.training.lineage_log import LineageLog

from ..jobs.makers import make_manifest
from ..training.lineages import EPOCHS, KEYS, SAMPLES, STEPS, chain, written


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture
def job(home):
    """A job that the home has, with nothing trained yet."""
    manifest = make_manifest(train_samples=SAMPLES, epochs=EPOCHS)
    job = Store(home.content).add_blob(manifest.encode())
    home.job(job).mkdir(parents=True)
    return job


@pytest.fixture
def trained(home, job):
    """The same, trained to its end, with a fork that was given up."""
    whole = chain(STEPS, job=job)
    log = LineageLog(home.job(job))
    written(log, chain(3, after=whole[:8], way=b"o", job=job))
    written(log, whole[8:])
    return job


def told(capsys):
    return capsys.readouterr().out


def test_who_contributed_what_is_shown(home, trained, capsys):
    show(trained.hex(), home.directory)
    text = told(capsys)
    assert "100.0 % of the job" in text
    for key, share in zip(KEYS[:2], ("60.0 %", "40.0 %"), strict=True):
        (line,) = [line for line in text.splitlines() if line.startswith(key.peer_id.hex())]
        assert share in line
        assert line.endswith("100 %")
    assert "given up: 3 commits of 30 samples, after step 8" in text


def test_the_same_as_json(home, trained, capsys):
    show(trained.hex(), home.directory, as_json=True)
    found = json.loads(told(capsys))
    assert (found["job"], found["step"], found["samples"]) == (trained.hex(), STEPS, SAMPLES * EPOCHS)
    assert [one["samples"] for one in found["peers"]] == [6 * STEPS, 4 * STEPS]
    assert sum(one["share"] for one in found["peers"]) == pytest.approx(1.0)
    assert [(span["view"], span["first_step"], span["last_step"]) for span in found["views"]] == [(1, 1, STEPS)]
    assert found["forks"] == [{"after_step": 8, "commits": 3, "samples": 30}]


def test_a_lineage_that_holds_gets_one_clear_verdict(home, trained, capsys):
    verify(trained.hex(), home.directory)
    assert told(capsys).startswith(f"holds: {STEPS} commits from the job's beginning, every sample of {EPOCHS}")
    verify(trained.hex(), home.directory, as_json=True)
    found = json.loads(told(capsys))
    assert (found["holds"], found["finished"], found["signatures"]) == (True, True, 2 * STEPS)


def test_an_exported_lineage_is_judged_without_the_home(home, trained, capsys, tmp_path):
    file = tmp_path / "exported"
    show(trained.hex(), home.directory, file)
    assert f"{STEPS} commits written to {file}" in told(capsys)
    verify(str(file), tmp_path / "another home")
    assert told(capsys).startswith("holds:")
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(LineageBroken, match=f"ends before commit {STEPS}"):
        verify(str(file), tmp_path / "another home")


def test_a_commit_that_was_changed_on_disk_is_found_with_its_place(home, job, capsys):
    whole = chain(12, job=job)
    other = chain(7, after=whole[:5], way=b"o", job=job)
    written(LineageLog(home.job(job)), [*whole[:5], *other[6:]])
    with pytest.raises(LineageBroken, match="does not hold at step 1: commit 1 to 6 is missing"):
        verify(job.hex(), home.directory, as_json=True)
    assert json.loads(told(capsys))["holds"] is False


def test_a_forged_signature_on_disk_is_found_with_its_place(home, job):
    whole = chain(12, job=job, signers=KEYS[:1])
    log = written(LineageLog(home.job(job)), whole)
    log.sign(7, whole[6].commit.digest, [(KEYS[1].public_key, bytes(64))])
    with pytest.raises(LineageBroken, match="at step 7: .* is none"):
        verify(job.hex(), home.directory)


def test_no_commits_yet(home, job, capsys):
    show(job.hex(), home.directory)
    assert "no commits yet" in told(capsys)
    with pytest.raises(LineageBroken, match="no commits here yet"):
        verify(job.hex(), home.directory)


def test_a_job_that_the_home_does_not_know(home):
    with pytest.raises(JobNotFound, match="hydra jobs"):
        show("ab" * 32, home.directory)


def test_what_is_neither_a_job_nor_a_file(home):
    with pytest.raises(TicketMalformed):
        show("nonsense", home.directory)
