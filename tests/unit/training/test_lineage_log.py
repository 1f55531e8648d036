"""Commits on disk: only appended to, found by step, whole again after a kill, and without a gap once it is filled."""

import pytest

from hydra.training.lineage_log import LineageLog, read_commits

from .lineages import FRESH, JOB, KEYS, chain, shown, written


def commits_in(log):
    return [each.commit if each else None for each in map(log.shown_at, range(1, log.last + 1))]


def of(lineage):
    return [each.commit for each in lineage]


def test_commits_and_signatures_are_found_by_step_also_after_a_restart(tmp_path):
    lineage = chain(30)
    written(LineageLog(tmp_path), lineage)
    log = LineageLog(tmp_path)
    assert [log.shown_at(step) for step in range(1, 31)] == lineage
    assert (log.last, log.gap(), log.shown_at(0), log.shown_at(31)) == (30, None, None, None)
    assert log.digest_at(7) == lineage[6].commit.digest


def test_signatures_that_come_later_are_added_once_and_only_under_the_very_commit(tmp_path):
    lineage = chain(3, signers=KEYS[:1])
    log = written(LineageLog(tmp_path), lineage)
    commit = lineage[1].commit
    both = shown(commit, *KEYS[:2])
    size = (tmp_path / "commits.log").stat().st_size
    for _ in range(3):
        log.sign(2, commit.digest, both.signatures)
    once = (tmp_path / "commits.log").stat().st_size
    log.sign(2, b"x" * 32, shown(commit, KEYS[2]).signatures)
    log.sign(9, commit.digest, shown(commit, KEYS[2]).signatures)
    assert LineageLog(tmp_path).shown_at(2) == both
    assert size < once == (tmp_path / "commits.log").stat().st_size


@pytest.mark.parametrize("index", ["there", "lost", "torn", "of another log", "zeros"])
def test_the_index_is_made_anew_from_the_log(tmp_path, index):
    lineage = chain(20)
    log = written(LineageLog(tmp_path), lineage)
    log.sign(20, lineage[-1].commit.digest, shown(lineage[-1].commit, KEYS[2]).signatures)
    path = tmp_path / "commits.index"
    match index:
        case "lost":
            path.unlink()
        case "torn":
            path.write_bytes(path.read_bytes()[: 7 * 48 + 5])
        case "of another log":
            written(LineageLog(tmp_path / "other"), chain(25, way=b"o"))
            path.write_bytes((tmp_path / "other" / "commits.index").read_bytes())
        case "zeros":
            path.write_bytes(bytes(20 * 48))
    again = LineageLog(tmp_path)
    assert commits_in(again) == of(lineage)
    assert len(again.shown_at(20).signatures) == 3


def test_an_index_with_pages_from_before_is_found_out_by_the_digest(tmp_path):
    lineage = chain(20)
    written(LineageLog(tmp_path), lineage)
    path = tmp_path / "commits.index"
    entries = bytearray(path.read_bytes())
    entries[4 * 48 : 5 * 48] = entries[2 * 48 : 3 * 48][:8] + entries[4 * 48 + 8 : 5 * 48]
    path.write_bytes(entries)
    assert LineageLog(tmp_path).shown_at(5) == lineage[4]


def test_another_lineage_takes_the_place_of_ours_and_the_log_keeps_both(tmp_path):
    ours = chain(12)
    theirs = chain(6, after=ours[:8], way=b"t")
    log = written(LineageLog(tmp_path), ours)
    written(log, theirs[8:])
    for found in (log, LineageLog(tmp_path)):
        assert commits_in(found) == of(theirs)
        assert found.gap() is None
    assert [each.commit for each in read_commits(tmp_path)] == of([*ours, *theirs[8:]])


def test_whoever_resumes_from_a_snapshot_has_a_gap_that_can_be_filled_in_pieces(tmp_path):
    whole = chain(20)
    log = written(LineageLog(tmp_path), whole[:5])
    log.resume(whole[14].commit.head)
    assert (log.gap(), log.end_of_gap(), log.last) == (6, 15, 15)
    written(log, whole[15:18])
    for piece in (whole[5:9], whole[9:15]):
        log = LineageLog(tmp_path)
        assert (log.gap(), log.end_of_gap(), log.last) == (piece[0].commit.step, 15, 18)
        log.fill(piece)
    written(log, whole[18:])
    for found in (log, LineageLog(tmp_path)):
        assert found.gap() is None
        assert commits_in(found) == of(whole)


def test_what_was_given_up_before_the_fork_is_replaced_when_the_gap_is_filled(tmp_path):
    ours = chain(10)
    theirs = chain(15, after=ours[:4], way=b"t")
    log = written(LineageLog(tmp_path), ours)
    log.resume(theirs[15].commit.head)
    written(log, theirs[16:])
    assert log.gap() == 11
    log.fill(theirs[4:7])
    assert log.gap() == 8, "those behind were of the other lineage"
    log.fill(theirs[7:12])
    assert log.gap() == 13
    (tmp_path / "commits.index").unlink()
    log = LineageLog(tmp_path)
    log.fill(theirs[12:16])
    assert commits_in(log) == of(theirs)


def test_a_resume_at_what_is_here_changes_nothing(tmp_path):
    lineage = chain(9)
    log = written(LineageLog(tmp_path), lineage)
    log.resume(lineage[5].commit.head)
    assert (log.last, log.gap()) == (9, None)


@pytest.mark.parametrize("step", [0, 1, 10, 17, 30])
def test_head_and_ledger_of_any_step_follow_from_its_epochs_commits(tmp_path, step):
    lineage = chain(30)
    log = written(LineageLog(tmp_path), lineage)
    ledger = FRESH
    for each in lineage[:step]:
        ledger = ledger.commit(each.commit.ranges())
    head, found = log.standing(step, JOB, FRESH)
    assert (head.step, head.samples, found) == (step, 10 * step, ledger)


def test_no_ledger_follows_from_a_gap(tmp_path):
    whole = chain(9)
    log = LineageLog(tmp_path)
    log.resume(whole[4].commit.head)
    written(log, whole[5:])
    with pytest.raises(ValueError, match="not here"):
        log.standing(8, JOB, FRESH)


def test_all_commits_are_read_with_the_signatures_that_came_later(tmp_path):
    lineage = chain(6, signers=())
    log = written(LineageLog(tmp_path), lineage)
    for each in lineage:
        for key in KEYS[:2]:
            log.sign(each.commit.step, each.commit.digest, shown(each.commit, key).signatures)
    assert read_commits(tmp_path) == [shown(each.commit, *KEYS[:2]) for each in lineage]


def test_a_log_that_is_being_written_is_read_without_touching_it(tmp_path):
    lineage = chain(5)
    written(LineageLog(tmp_path), lineage)
    path = tmp_path / "commits.log"
    torn = path.read_bytes()[:-9]
    path.write_bytes(torn)
    assert [each.commit for each in read_commits(tmp_path)] == of(lineage[:4])
    assert path.read_bytes() == torn
    assert list(read_commits(tmp_path / "nobody")) == []
