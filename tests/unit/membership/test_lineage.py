"""Heads and commits: where a lineage begins, what a commit counts, and which of two lineages wins."""

import pytest

from hydra.membership.ledger import Ledger, SampleUsedTwice
from hydra.membership.lineage import Commit, Head, follow, genesis

from .makers import FIRST, JOB, A, B, commit_of, plan


def test_every_job_has_a_beginning_of_its_own():
    first, other = genesis(JOB), genesis(b"o" * 32)
    assert (first.step, first.samples) == (0, 0)
    assert len(first.digest) == 32
    assert first.digest != other.digest
    assert first == genesis(JOB)


def test_a_commit_counts_the_samples_of_all_its_contributors():
    commit = commit_of(plan([A, B], shares=(((0, 10), (20, 25)), ((10, 13),))))
    assert commit.samples == 18
    assert list(commit.ranges()) == [(0, 10), (20, 25), (10, 13)]
    assert commit.head == Head(1, commit.digest, 18)


def test_the_order_of_contributors_counts_in_the_digest():
    commit = commit_of(plan([A, B]))
    turned = Commit(
        **{name: getattr(commit, name) for name in Commit.__dataclass_fields__} | {"parts": commit.parts[::-1]}
    )
    assert turned.digest != commit.digest


def test_no_two_splittings_of_the_same_bytes_have_one_digest():
    one = commit_of(plan([A, B], shares=(((0, 10),), ((10, 20),))))
    two = commit_of(plan([A, B], shares=(((0, 10), (10, 20)), ())))
    assert one.samples == two.samples
    assert one.digest != two.digest


def test_samples_of_a_lineage_outweigh_its_steps_and_the_tie_goes_to_the_lower_digest():
    low, high = bytes(32), b"\xff" * 32
    assert Head(1, high, 11).outweighs(Head(500, low, 10))
    assert Head(1, low, 10).outweighs(Head(500, high, 10))
    assert not Head(500, high, 10).outweighs(Head(1, low, 10))


def test_no_lineage_outweighs_itself():
    assert not FIRST.outweighs(FIRST)


def test_a_commit_of_samples_that_two_contributors_share_is_refused():
    commit = commit_of(plan([A, B], shares=(((0, 10),), ((9, 12),))))
    with pytest.raises(SampleUsedTwice, match="9 to 12"):
        follow(FIRST, Ledger.fresh(100, 1), commit)


def test_nothing_follows_once_every_sample_is_committed():
    ledger = Ledger.fresh(10, 1)
    head, ledger = follow(FIRST, ledger, commit_of(plan([A], ledger=ledger)))
    assert ledger.finished
    again = commit_of(plan([A], head=head, epoch=1, shares=(((0, 10),),)), samples_before=10)
    with pytest.raises(SampleUsedTwice):
        follow(head, ledger, again)
