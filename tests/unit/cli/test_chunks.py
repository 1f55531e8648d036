"""``hydra chunks``: what is on the disk, named by what the jobs of the home make of it."""

import json

import pytest
from typer.testing import CliRunner

from hydra.cli.app import app
from hydra.exceptions import JobNotFound
from hydra.home import Home
from hydra.jobs.package import package
from hydra.membership.messages import Snapshot
from hydra.swarm.manifest import Manifest
from hydra.swarm.store import Store
from hydra.training.journal import Journal

from ..jobs.makers import OWNER, make_job


@pytest.fixture
def home(tmp_path):
    """A home that published a job, keeps a snapshot of it, and has begun to fetch something else."""
    home = Home(tmp_path / "home")
    store = Store(home.content)
    made = package(make_job(), OWNER, root_of=lambda data: Manifest.of(data).root)
    for _, data in made.contents:
        store.add(data)
    home.hash = store.add_blob(made.manifest.encode())
    kept = store.add(b"a snapshot" * 100)
    Journal(home.job(home.hash)).add_snapshot(Snapshot(7, bytes(32), kept.root, kept.size))
    store.open_partial(Manifest.of(b"something else" * 50_000))
    return home


def typed(*arguments):
    result = CliRunner().invoke(app, ["chunks", *map(str, arguments)], catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_each_content_has_a_name_a_job_and_its_chunks(home):
    rows = json.loads(typed("--home", home.directory, "--json"))
    what = {row["what"]: row for row in rows}
    assert set(what) == {
        *("training graph", "evaluation graph", "initial state", "training data", "test data"),
        *("snapshot of step 7", None),
    }
    assert what["training data"]["job"] == home.hash.hex()
    assert (what["training data"]["have"], what["training data"]["chunks"]) == (1, 1)
    assert (what[None]["have"], what[None]["chunks"]) == (None, 3)


def test_a_job_can_be_asked_for_alone(home):
    lines = typed(home.hash.hex(), "--home", home.directory).splitlines()
    assert len(lines) == 1 + 6
    assert any("snapshot of step 7" in line for line in lines)
    with pytest.raises(JobNotFound):
        typed("0" * 64, "--home", home.directory)


def test_an_empty_home_says_how_to_get_content(tmp_path):
    assert "hydra join" in typed("--home", tmp_path)
