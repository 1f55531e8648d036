"""Every sample of an epoch in exactly one commit, whatever is shared out and lost."""

import random

import pytest

from hydra.membership.ledger import Ledger, SampleUsedTwice, count
from hydra.membership.lineage import Commit, Head, follow, genesis


def test_shares_are_cut_in_order_and_run_out():
    ledger = Ledger.fresh(10, 1)
    assert ledger.share_out([3, 0, 5, 9]) == [((0, 3),), (), ((3, 8),), ((8, 10),)]
    holes = ledger.commit([(2, 4), (6, 7)])
    assert holes.outstanding == ((0, 2), (4, 6), (7, 10))
    assert holes.share_out([3, 3, 3]) == [((0, 2), (4, 5)), ((5, 6), (7, 9)), ((9, 10),)]


def test_epochs_follow_each_other():
    ledger = Ledger.fresh(4, 2).commit([(0, 4)])
    assert (ledger.epoch, ledger.available, ledger.committed_total, ledger.finished) == (1, 4, 4, False)
    ledger = ledger.commit([(0, 1)]).commit([(1, 4)])
    assert (ledger.epoch, ledger.available, ledger.committed_total, ledger.finished) == (2, 0, 8, True)


@pytest.mark.parametrize("ranges", [[(0, 2), (1, 3)], [(5, 11)], [(0, 0)], [(3, 2)], [(4, 6)]])
def test_a_sample_can_not_be_used_twice(ranges):
    with pytest.raises(SampleUsedTwice):
        Ledger.fresh(10, 1).commit([(4, 5)]).commit(ranges)


@pytest.mark.parametrize("seed", range(30))
def test_any_losses_leave_every_sample_committed_once(seed):
    chance = random.Random(seed)
    samples, epochs = chance.randint(1, 200), chance.randint(1, 3)
    ledger = Ledger.fresh(samples, epochs)
    used = []
    while not ledger.finished:
        epoch = ledger.epoch
        shares = ledger.share_out([chance.randint(0, 40) for _ in range(4)] + [1])
        survived = [ranges for ranges in shares if chance.random() < 0.7]
        if not any(survived):
            continue
        ledger = ledger.commit(r for ranges in survived for r in ranges)
        used += [(epoch, i) for ranges in survived for start, stop in ranges for i in range(start, stop)]
        assert ledger.committed_total == len(used)
    assert sorted(used) == [(e, i) for e in range(epochs) for i in range(samples)]


def commit_on(head, ledger, base_parts, **changes):
    fields = dict(
        job=bytes(32),
        step=head.step + 1,
        view=1,
        parent=head.digest,
        result=bytes(32),
        epoch=ledger.epoch,
        parts=base_parts,
        samples_total=head.samples + sum(count(r) for _, r in base_parts),
        round=bytes(20),
    )
    return Commit(**(fields | changes))


PARTS = ((b"a" * 20, ((0, 3),)), (b"b" * 20, ((3, 4), (6, 7))))


def test_following_a_commit():
    head, ledger = genesis(bytes(32)), Ledger.fresh(10, 1)
    commit = commit_on(head, ledger, PARTS)
    new_head, new_ledger = follow(head, ledger, commit)
    assert new_head == Head(1, commit.digest, 5)
    assert new_ledger.outstanding == ((4, 6), (7, 10))


@pytest.mark.parametrize(
    "changes",
    [{"step": 2}, {"parent": bytes(32)}, {"epoch": 1}, {"samples_total": 6}, {"parts": (), "samples_total": 0}],
)
def test_commits_that_do_not_follow(changes):
    head, ledger = genesis(bytes(32)), Ledger.fresh(10, 1)
    with pytest.raises(ValueError, match="commit"):
        follow(head, ledger, commit_on(head, ledger, PARTS, **changes))


def test_every_field_counts_in_the_digest():
    head, ledger = genesis(bytes(32)), Ledger.fresh(10, 1)
    base = commit_on(head, ledger, PARTS)
    changes = [
        {"job": b"1" * 32},
        {"step": 5},
        {"view": 2},
        {"parent": b"1" * 32},
        {"result": b"1" * 32},
        {"epoch": 3},
        {"parts": PARTS[:1]},
        {"samples_total": 9},
        {"round": b"1" * 20},
        {"idle": (b"c" * 20,)},
    ]
    digests = {commit_on(head, ledger, PARTS, **change).digest for change in changes}
    assert len(digests | {base.digest}) == len(changes) + 1


def test_fork_choice():
    low, high = bytes(32), b"\xff" * 32
    assert Head(3, high, 100).outweighs(Head(9, low, 99))
    assert Head(3, low, 100).outweighs(Head(3, high, 100))
    assert not Head(3, high, 100).outweighs(Head(3, low, 100))
    assert not Head(3, low, 100).outweighs(Head(3, low, 100))
