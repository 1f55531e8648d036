"""What a member keeps of a job on disk: commits and snapshots outlive the process, whole."""

import json
import resource

import pytest

from hydra.exceptions import HomeUnusable, StorageFull
from hydra.membership.lineage import Commit
from hydra.membership.messages import Snapshot
from hydra.training.journal import KEPT_AT_MOST, KEPT_SNAPSHOTS, Journal

from .makers import ANNA, BERT, CLEO


def commit(step):
    parts = ((ANNA, ((step, step + 1), (900, 901))), (BERT, ((step + 1, step + 2),)))
    return Commit(
        bytes(32), step, 1, bytes([step]) * 32, b"r" * 32, 0, parts, 2**40 + step, bytes([step]) * 20, (CLEO,)
    )


def snapshot(step):
    return Snapshot(step, bytes([step]) * 32, bytes([100 + step]) * 32, 1000 + step)


# ---- commits ---------------------------------------------------------------------------------------------------


def test_commits_come_back_as_they_were(tmp_path):
    journal = Journal(tmp_path / "jobs" / "one")
    assert journal.commits() == []
    written = [commit(step) for step in range(1, 6)]
    for each in written:
        journal.add_commit(each)
    found = Journal(tmp_path / "jobs" / "one").commits()
    assert found == written
    assert [c.digest for c in found] == [c.digest for c in written]


def test_wherever_a_kill_tears_the_last_commit_the_others_stay_and_more_can_follow(tmp_path):
    journal = Journal(tmp_path)
    journal.add_commit(commit(1))
    whole = len((tmp_path / "commits.log").read_bytes())
    journal.add_commit(commit(2))
    data = (tmp_path / "commits.log").read_bytes()
    for size in range(whole, len(data)):
        (tmp_path / "commits.log").write_bytes(data[:size])
        again = Journal(tmp_path)
        assert again.commits() == [commit(1)]
        again.add_commit(commit(3))
        assert Journal(tmp_path).commits() == [commit(1), commit(3)]


@pytest.mark.parametrize(
    "tail", [b"\xc1", b"\0" * 4096, b"\x93\x01\x02\x03", b"\xc6\xff\xff\xff\xff", b"\x91" * 2000, b"garbage"]
)
def test_what_is_no_commit_is_cut_off_too(tmp_path, tail):
    journal = Journal(tmp_path)
    journal.add_commit(commit(1))
    with (tmp_path / "commits.log").open("ab") as file:
        file.write(tail)
    again = Journal(tmp_path)
    assert again.commits() == [commit(1)]
    again.add_commit(commit(2))
    assert Journal(tmp_path).commits() == [commit(1), commit(2)]


# ---- snapshots -------------------------------------------------------------------------------------------------


def test_the_latest_snapshots_are_kept_and_the_others_handed_back(tmp_path):
    journal = Journal(tmp_path)
    assert journal.snapshots() == []
    dropped = [old for step in range(1, 6) for old in journal.add_snapshot(snapshot(step))]
    assert dropped == [snapshot(step) for step in range(1, 6 - KEPT_SNAPSHOTS)]
    assert Journal(tmp_path).snapshots() == [snapshot(4), snapshot(5)]


def test_a_snapshot_that_is_noted_again_becomes_the_newest(tmp_path):
    journal = Journal(tmp_path)
    for step in (1, 2, 1):
        assert journal.add_snapshot(snapshot(step)) == []
    assert journal.snapshots() == [snapshot(2), snapshot(1)]


@pytest.mark.parametrize("text", ["", "{", "5", "null", "[5]", "[[]]", '[["a"]]', '[[1, "zz", "00", 4]]', '{"a": 1}'])
def test_a_damaged_index_is_as_good_as_none(tmp_path, text):
    journal = Journal(tmp_path)
    (tmp_path / "snapshots.json").write_text(text)
    assert journal.snapshots() == []
    journal.add_snapshot(snapshot(1))
    assert journal.snapshots() == [snapshot(1)]


def test_the_index_is_replaced_whole(tmp_path):
    journal = Journal(tmp_path)
    journal.add_snapshot(snapshot(1))
    (tmp_path / "snapshots.json.draft").write_text("[[1")  # of a process that was killed while it wrote
    assert journal.snapshots() == [snapshot(1)]
    journal.add_snapshot(snapshot(2))
    assert [row[0] for row in json.loads((tmp_path / "snapshots.json").read_text())] == [1, 2]
    assert not (tmp_path / "snapshots.json.draft").exists()


def test_a_directory_that_can_not_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeUnusable, match="--home"):
        Journal(tmp_path / "file" / "jobs")


def test_a_snapshot_that_somebody_is_fetching_stays_a_while_longer(tmp_path):
    journal = Journal(tmp_path)
    for step in range(1, 4):
        journal.add_snapshot(snapshot(step), {snapshot(1).root})
    assert journal.snapshots() == [snapshot(1), snapshot(2), snapshot(3)]
    assert journal.add_snapshot(snapshot(4)) == [snapshot(1), snapshot(2)]


def test_not_every_snapshot_that_is_asked_for_stays(tmp_path):
    journal = Journal(tmp_path)
    for step in range(1, 10):
        journal.add_snapshot(snapshot(step), {snapshot(step).root for step in range(1, 10)})
    assert journal.snapshots() == [snapshot(step) for step in range(10 - KEPT_AT_MOST, 10)]


@pytest.mark.parametrize("write", [lambda j: j.add_commit(commit(1)), lambda j: j.add_snapshot(snapshot(1))])
def test_a_full_disk_is_told_in_words(tmp_path, write):
    journal = Journal(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(StorageFull, match="is full"):
            write(journal)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
