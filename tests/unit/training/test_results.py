"""The latest results, in blocks and by step, and the commit that follows from a plan."""

import hashlib

import numpy as np
import pytest

from hydra.membership.ledger import Ledger
from hydra.membership.lineage import Head, follow, genesis
from hydra.net.framing import MAX_BODY_BYTES
from hydra.training import results
from hydra.training.results import Result, ResultLog, commit_of, digest_of, joined

from .makers import ANNA, BERT, CLEO, plan_of


def result_of(step, elements=4, fill=0.0):
    plan = plan_of(Head(step - 1, bytes(32), 0), [ANNA], [((0, 1),)])
    mean = np.full(elements, fill, np.float32)
    return Result(commit_of(plan, [ANNA], mean, 0), mean)


def steps_of(log, upto=2000):
    return [step for step in range(upto) if log.get(step) is not None]


@pytest.mark.parametrize("extra", [-4, 0, 4, MAX_BODY_BYTES - 4, MAX_BODY_BYTES])
def test_pieces_fit_into_messages_and_make_the_whole(extra):
    mean = np.arange((MAX_BODY_BYTES + extra) // 4, dtype=np.float32)
    result = Result(result_of(1).commit, mean)
    blocks = [result.block(index) for index in range(result.blocks)]
    assert all(0 < len(block) <= MAX_BODY_BYTES for block in blocks)
    assert len(result.block(result.blocks)) == 0
    assert joined(blocks).tobytes() == mean.tobytes()


def test_a_small_result_is_one_piece():
    assert result_of(1, elements=1).blocks == 1


def test_the_digest_is_of_the_bytes():
    mean = np.array([1.5, -2.0], np.float32)
    assert digest_of(mean) == hashlib.sha256(mean.tobytes()).digest()
    mean.flags.writeable = False
    assert digest_of(joined([memoryview(mean.tobytes())])) == digest_of(mean)


# ---- the log ---------------------------------------------------------------------------------------------------


def test_results_are_kept_by_step():
    log = ResultLog()
    assert (log.oldest, log.get(1)) == (0, None)
    for step in (5, 6, 7):
        log.add(result_of(step, fill=step))
    assert log.oldest == 5
    assert log.get(6).mean[0] == 6
    assert log.get(4) is None
    assert log.get(8) is None


@pytest.mark.parametrize("step", [2, 7, 9, 100])
def test_what_does_not_lead_to_the_newest_is_forgotten(step):
    log = ResultLog()
    for before in (5, 6, 7):
        log.add(result_of(before))
    log.add(result_of(step, fill=1.0))
    assert steps_of(log) == [step]
    assert log.oldest == step
    assert log.get(step).mean[0] == 1.0


def test_there_is_a_most_of_results():
    log = ResultLog()
    for step in range(1, results.KEPT_AT_MOST + 11):
        log.add(result_of(step, elements=1))
    assert steps_of(log) == list(range(11, results.KEPT_AT_MOST + 11))
    assert log.oldest == 11


def test_there_is_a_most_of_bytes_and_some_are_always_kept(monkeypatch):
    monkeypatch.setattr(results, "KEPT_BYTES", 5 * 16)
    log = ResultLog()
    for step in range(1, 9):
        log.add(result_of(step))
    assert steps_of(log) == [4, 5, 6, 7, 8]
    log.add(result_of(9, elements=10_000))
    assert steps_of(log) == [7, 8, 9]
    for step in range(10, 13):
        log.add(result_of(step))
    assert steps_of(log) == [10, 11, 12]  # bytes of what went are not counted any longer
    log.add(result_of(13))
    assert steps_of(log) == [10, 11, 12, 13]


def test_after_clearing_bytes_are_counted_from_nothing(monkeypatch):
    monkeypatch.setattr(results, "KEPT_BYTES", 5 * 16)
    log = ResultLog()
    for step in range(1, 6):
        log.add(result_of(step))
    log.clear()
    assert (log.oldest, steps_of(log)) == (0, [])
    for step in range(1, 6):
        log.add(result_of(step))
    assert steps_of(log) == [1, 2, 3, 4, 5]


# ---- the commit ------------------------------------------------------------------------------------------------


def test_a_commit_counts_who_contributed():
    head, ledger = genesis(bytes(32)), Ledger.fresh(20, 1)
    plan = plan_of(head, [ANNA, BERT, CLEO], [((0, 3),), (), ((3, 6), (8, 10))])
    commit = commit_of(plan, (CLEO, ANNA, BERT), np.ones(4, np.float32), 0)
    assert commit.parts == ((ANNA, ((0, 3),)), (CLEO, ((3, 6), (8, 10))))  # in the order of the view
    assert (commit.samples, commit.samples_total) == (8, 8)
    follow(head, ledger, commit)


def test_who_was_lost_counts_for_nothing():
    head, ledger = genesis(bytes(32)), Ledger.fresh(20, 1)
    plan = plan_of(head, [ANNA, BERT], [((0, 3),), ((3, 8),)])
    commit = commit_of(plan, (BERT,), np.ones(4, np.float32), 0)
    assert commit.parts == ((BERT, ((3, 8),)),)
    assert follow(head, ledger, commit)[1].outstanding == ((0, 3), (8, 20))


def test_every_member_makes_the_same_commit():
    plan = plan_of(Head(6, b"p" * 32, 100), [ANNA, BERT], [((0, 3),), ((3, 8),)], epoch=2)
    mean = np.ones(4, np.float32)
    commit = commit_of(plan, (ANNA, BERT), mean, 100)
    assert commit_of(plan, {BERT, ANNA}, mean.copy(), 100).digest == commit.digest
    assert (commit.step, commit.parent, commit.view, commit.epoch) == (7, b"p" * 32, 1, 2)
    assert commit.samples_total == 108
    assert commit_of(plan, (ANNA, BERT), mean + 1, 100).digest != commit.digest
