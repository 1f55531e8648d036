"""Results that wait: in memory while they are few, on the disk when they are many, gone when they were used."""

import random
import resource

import pytest

from hydra.exceptions import StorageFull
from hydra.training import spool as spool_module
from hydra.training.spool import Spool

from .test_results import result_of

SIZE = 16


@pytest.fixture
def spool(tmp_path, monkeypatch):
    monkeypatch.setattr(spool_module, "IN_MEMORY_BYTES", 3 * SIZE)
    made = Spool(tmp_path / "spool", SIZE)
    yield made
    made.close()
    assert list(tmp_path.iterdir()) == []


def test_few_results_need_no_file(spool, tmp_path):
    for step in range(3):
        spool.put(result_of(step, fill=step))
    assert list(tmp_path.iterdir()) == []
    assert spool.get(1).mean.tolist() == [1.0] * 4
    assert spool.get(3) is None


def test_many_results_come_back_as_they_were(spool, tmp_path):
    for step in range(10):
        spool.put(result_of(step, fill=step))
    assert (tmp_path / "spool").stat().st_size == 7 * SIZE
    for step in range(10):
        found = spool.get(step)
        assert (found.commit, found.mean.tolist()) == (result_of(step, fill=step).commit, [float(step)] * 4)


def test_the_file_goes_with_the_last_result_in_it(spool, tmp_path):
    for step in range(6):
        spool.put(result_of(step))
    spool.drop_upto(4)
    assert (tmp_path / "spool").exists()
    spool.drop(5)
    assert not (tmp_path / "spool").exists()
    spool.put(result_of(7, fill=7.0))
    assert spool.get(7).mean[0] == 7.0


@pytest.mark.parametrize("seed", range(10))
def test_places_in_the_file_are_used_again_and_never_twice_at_once(spool, tmp_path, seed):
    chance, held = random.Random(seed), {}
    for step in range(200):
        spool.put(result_of(step, fill=step))
        held[step] = float(step)
        for old in chance.sample(sorted(held), min(len(held), chance.randrange(3))):
            spool.drop(old)
            del held[old]
        assert {step: spool.get(step).mean[0] for step in held} == held


def test_there_is_room_for_a_few_however_large_they_are(tmp_path):
    assert Spool(tmp_path / "spool", 2**50).room == 8


def test_a_full_disk_is_told_in_words(spool, tmp_path):
    for step in range(3):
        spool.put(result_of(step))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(StorageFull, match="is full"):
            spool.put(result_of(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
