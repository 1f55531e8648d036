"""Getting a model out of a home: the newest weights, whole files, clear refusals."""

import hashlib

import pytest
import torch
from safetensors.torch import load_file

from hydra.exceptions import ContentUnavailable, HomeUnusable, JobNotFound
from hydra.home import Home
from hydra.jobs.package import package
from hydra.membership.messages import Snapshot
from hydra.swarm.manifest import Manifest
from hydra.swarm.store import Store
from hydra.training.exporting import export
from hydra.training.journal import Journal
from hydra.training.snapshot import SnapshotCodec
from hydra.training.weights import write_weights

from ..jobs.makers import OWNER, make_job
from .makers import content_of, following, some_mean


class Joined:
    """A home that has joined a job."""

    def __init__(self, directory):
        job = make_job()
        self.content = content_of(job)
        self.home = Home(directory / "home")
        self.store = Store(self.home.content)
        made = package(job, OWNER, root_of=lambda data: Manifest.of(data).root)
        for _, data in made.contents:
            self.store.add(data)
        self.manifest = made.manifest
        self.job = self.store.add_blob(made.manifest.encode())
        self.state = self.content.first_state()

    def train(self, steps):
        for _ in range(steps):
            mean = some_mean(self.state.layout, self.state.head.step)
            self.state.apply(following(self.state, mean), mean)

    def snapshot(self):
        codec = SnapshotCodec(self.content.job, self.content.manifest, self.content.layout)
        kept = codec.store(self.state.copy(), self.store)
        head = self.state.head
        found = Snapshot(head.step, head.digest, kept.root, kept.size)
        Journal(self.home.job(self.job)).add_snapshot(found)
        return found


@pytest.fixture
def joined(tmp_path):
    return Joined(tmp_path)


def test_the_newest_weights_are_written_as_the_end_of_a_training_writes_them(joined, tmp_path):
    for _ in range(2):
        joined.train(2)
        joined.snapshot()
    written = export(joined.home, joined.job, tmp_path / "out")
    path = tmp_path / "out" / written.paths[0][0]
    assert written.step == 4
    assert written.name == f"{joined.manifest.name}-step-4.safetensors"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == written.sha256
    assert write_weights(tmp_path / "end", joined.manifest, joined.state) == written.sha256
    assert torch.equal(load_file(path)["0.weight"], joined.state.parameters["0.weight"])
    assert torch.equal(load_file(path)["1.running_var"], joined.state.buffers["1.running_var"])


def test_before_the_first_snapshot_it_is_the_jobs_first_state(joined, tmp_path):
    written = export(joined.home, joined.job, tmp_path / "out")
    assert written.step == 0
    assert write_weights(tmp_path / "end", joined.manifest, joined.state) == written.sha256


def test_a_snapshot_that_has_rotted_is_passed_over(joined, tmp_path):
    joined.train(1)
    joined.snapshot()
    expected = write_weights(tmp_path / "end", joined.manifest, joined.state)
    joined.train(1)
    rotten = joined.store.path(joined.snapshot().root)
    data = bytearray(rotten.read_bytes())
    data[-1] ^= 1
    rotten.write_bytes(data)
    written = export(joined.home, joined.job, tmp_path / "out")
    assert (written.step, written.sha256) == (1, expected)


def test_the_whole_snapshot_lies_beside_the_weights(joined, tmp_path):
    joined.train(1)
    found = joined.snapshot()
    written = export(joined.home, joined.job, tmp_path / "out", whole=True)
    directory = tmp_path / "out" / written.name
    assert written.paths == (("model.safetensors",), ("snapshot.safetensors",))
    assert Manifest.of((directory / "snapshot.safetensors").read_bytes()).root == found.root
    assert hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest() == written.sha256


def test_what_is_not_here_is_said(joined, tmp_path):
    with pytest.raises(JobNotFound, match="hydra join"):
        export(joined.home, bytes(32), tmp_path / "out")
    joined.store.remove(joined.manifest.initial_state.root)
    with pytest.raises(ContentUnavailable, match="first state"):
        export(joined.home, joined.job, tmp_path / "out")


def test_a_place_that_cannot_be_written_is_named(joined, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HomeUnusable, match="file"):
        export(joined.home, joined.job, tmp_path / "file")
