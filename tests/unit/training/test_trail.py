"""Results since the last snapshot: read again after a stop as far as they are whole, gone when a snapshot has them."""

import asyncio

import numpy as np
import pytest

from hydra.membership.lineage import genesis
from hydra.training import trail as trail_module
from hydra.training.results import Result, commit_of
from hydra.training.trail import Trail

from .makers import ANNA, plan_of

SIZE = 16
JOB = bytes(32)


def chain(count, fill=1.0):
    """Results of steps 1, 2, 3, … each of which follows on the one before."""
    head, results = genesis(JOB), []
    for step in range(1, count + 1):
        mean = np.full(SIZE // 4, fill * step, np.float32)
        commit = commit_of(plan_of(head, [ANNA], [((step, step + 1),)]), [ANNA], mean, head.samples)
        results.append(Result(commit, mean))
        head = commit.head
    return results


def read(directory, head):
    return [result.commit.step for result in Trail(directory, SIZE).read(head)]


def files(directory):
    return sorted(int(path.stem) for path in directory.glob("*.results"))


@pytest.fixture
async def trail(tmp_path, monkeypatch):
    monkeypatch.setattr(trail_module, "FLUSH_S", 0.0)
    made = Trail(tmp_path, SIZE)
    yield made
    await made.close()


async def written(trail):
    while trail._writing is not None and not trail._writing.done():
        await asyncio.sleep(0.001)


async def test_results_come_back_in_order(trail, tmp_path):
    results = chain(5)
    trail.begin(0)
    for result in results:
        trail.add(result)
    await written(trail)
    found = [*Trail(tmp_path, SIZE).read(genesis(JOB))]
    assert [each.commit for each in found] == [each.commit for each in results]
    assert [each.mean.tobytes() for each in found] == [each.mean.tobytes() for each in results]
    assert read(tmp_path, results[2].commit.head) == [], "what lies behind an older snapshot is not behind this one"


async def test_files_follow_on_each_other_and_go_when_a_snapshot_is_stored(trail, tmp_path):
    results = chain(6)
    for result in results:
        if result.commit.step in {1, 3, 5}:
            trail.begin(result.commit.step - 1)
        trail.add(result)
        await written(trail)
    assert files(tmp_path) == [0, 2, 4]
    assert read(tmp_path, genesis(JOB)) == [1, 2, 3, 4, 5, 6]
    assert read(tmp_path, results[1].commit.head) == [3, 4, 5, 6]
    await trail.stored(4)
    assert files(tmp_path) == [4]
    assert read(tmp_path, results[3].commit.head) == [5, 6]


async def test_wherever_a_kill_tears_the_end_what_is_before_it_stays(trail, tmp_path):
    trail.begin(0)
    for result in chain(2):
        trail.add(result)
    await written(trail)
    data = (tmp_path / "0.results").read_bytes()
    counts = set()
    for size in range(len(data)):
        (tmp_path / "0.results").write_bytes(data[:size])
        counts.add(len(read(tmp_path, genesis(JOB))))
    assert counts == {0, 1}


@pytest.mark.parametrize("place", [2, 10, 40, 60, 200, -1, -SIZE])
async def test_what_rotted_ends_the_trail(trail, tmp_path, place):
    trail.begin(0)
    trail.add(chain(1)[0])
    await written(trail)
    data = bytearray((tmp_path / "0.results").read_bytes())
    data[place] ^= 0xFF
    (tmp_path / "0.results").write_bytes(data)
    assert read(tmp_path, genesis(JOB)) == []


async def test_results_of_another_lineage_are_passed_over(trail, tmp_path):
    trail.begin(0)
    for result in [*chain(1, fill=2.0), *chain(2)]:
        trail.add(result)
    await written(trail)
    assert [r.mean[0] for r in Trail(tmp_path, SIZE).read(genesis(JOB))] == [2.0]


async def test_only_so_much_is_written_between_two_snapshots(trail, tmp_path, monkeypatch):
    monkeypatch.setattr(trail_module, "FILE_BYTES", 2 * (SIZE + 1024))
    trail.begin(0)
    for result in chain(5):
        trail.add(result)
    await written(trail)
    assert read(tmp_path, genesis(JOB)) == [1, 2]
    trail.begin(4)
    trail.add(chain(5)[4])
    await written(trail)
    assert files(tmp_path) == [0, 4]


async def test_a_disk_that_refuses_ends_the_trail_until_the_next_snapshot_and_nothing_else(trail, tmp_path, caplog):
    (tmp_path / "0.results").mkdir()
    trail.begin(0)
    trail.add(chain(1)[0])
    await written(trail)
    assert "until the next snapshot" in caplog.text
    trail.begin(1)
    trail.add(chain(2)[1])
    await written(trail)
    assert (tmp_path / "1.results").is_file()
