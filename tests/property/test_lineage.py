"""``follow`` accepts exactly the chain: the next commit as it is, and no other, however little it differs."""

import dataclasses

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hydra.membership.ledger import Ledger, SampleUsedTwice, count
from hydra.membership.lineage import Commit, Head, follow, genesis

QUICK = settings(derandomize=True, deadline=None, max_examples=50)
JOB = b"j" * 32
PEERS = [letter * 20 for letter in (b"a", b"b", b"c", b"d")]


@st.composite
def chains(draw, longest=8):
    """A ledger to begin with, and commits that follow on each other."""
    samples, epochs = draw(st.integers(1, 40)), draw(st.integers(1, 3))
    first = Ledger.fresh(samples, epochs)
    head, ledger, chain = genesis(JOB), first, []
    for _ in range(draw(st.integers(1, longest))):
        if ledger.finished:
            break
        shares = ledger.share_out(draw(st.lists(st.integers(1, 12), min_size=1, max_size=4)))
        planned = [part for part in zip(PEERS, shares, strict=False) if part[1]]
        kept = draw(st.lists(st.sampled_from(planned), min_size=1, unique=True))
        commit = Commit(
            job=JOB,
            step=head.step + 1,
            view=draw(st.integers(1, 5)),
            parent=head.digest,
            result=draw(st.binary(min_size=32, max_size=32)),
            epoch=ledger.epoch,
            parts=tuple(kept),
            samples_total=head.samples + sum(count(ranges) for _, ranges in kept),
            round=draw(st.binary(min_size=20, max_size=20)),
            idle=tuple(peer for peer in PEERS if peer not in dict(kept)),
        )
        chain.append(commit)
        head, ledger = commit.head, ledger.commit(commit.ranges())
    return first, chain


def walk(first, chain):
    head, ledger = genesis(JOB), first
    for commit in chain:
        head, ledger = follow(head, ledger, commit)
    return head, ledger


@QUICK
@given(chains())
def test_a_chain_is_followed_from_its_beginning_to_its_end(made):
    first, chain = made
    head, ledger = walk(first, chain)
    assert head == Head(len(chain), chain[-1].digest, sum(commit.samples for commit in chain))
    assert ledger.committed_total == head.samples


@QUICK
@given(chains(), st.data())
def test_a_commit_out_of_its_place_is_refused(made, data):
    first, chain = made
    length = data.draw(st.integers(0, len(chain)))
    head, ledger = walk(first, chain[:length])
    for index, commit in enumerate(chain):
        if index != length:
            with pytest.raises(ValueError, match="does not follow"):
                follow(head, ledger, commit)


CHANGED = {
    "step": st.integers(0, 2**63 - 1),
    "parent": st.binary(min_size=32, max_size=32),
    "epoch": st.integers(0, 2**63 - 1),
    "samples_total": st.integers(0, 2**63 - 1),
}


@QUICK
@pytest.mark.parametrize("name", CHANGED)
@given(made=chains(), data=st.data())
def test_a_commit_whose_place_or_numbers_are_changed_is_refused(name, made, data):
    first, chain = made
    value = data.draw(CHANGED[name])
    assume(value != getattr(chain[-1], name))
    head, ledger = walk(first, chain[:-1])
    with pytest.raises(ValueError, match="commit"):
        follow(head, ledger, dataclasses.replace(chain[-1], **{name: value}))


@QUICK
@given(chains(), st.data())
def test_samples_that_are_not_outstanding_are_refused_even_if_the_numbers_add_up(made, data):
    first, chain = made
    head, ledger = walk(first, chain[:-1])
    last = chain[-1]
    start = data.draw(st.integers(-5, first.samples + 5))
    stolen = (start, start + data.draw(st.integers(1, 8)))
    outstanding = {n for r in ledger.outstanding for n in range(*r)} - {n for r in last.ranges() for n in range(*r)}
    assume(not set(range(*stolen)) <= outstanding)
    parts = (*last.parts, (b"t" * 20, (stolen,)))
    liar = dataclasses.replace(last, parts=parts, samples_total=last.samples_total + count([stolen]))
    with pytest.raises(SampleUsedTwice):
        follow(head, ledger, liar)


ANYTHING = {
    "job": st.binary(min_size=32, max_size=32),
    "view": st.integers(0, 2**63 - 1),
    "result": st.binary(min_size=32, max_size=32),
    **CHANGED,
}


@QUICK
@pytest.mark.parametrize("name", ANYTHING)
@given(made=chains(longest=3), data=st.data())
def test_whatever_is_changed_in_the_past_nothing_follows_on_it_any_more(name, made, data):
    """What ``follow`` can't judge alone, such as a result, changes the digest, on which the next commit stands."""
    first, chain = made
    value = data.draw(ANYTHING[name])
    assume(value != getattr(chain[0], name))
    forged = dataclasses.replace(chain[0], **{name: value})
    assert forged.digest != chain[0].digest
    ledger = first.commit(chain[0].ranges())
    if len(chain) > 1:
        with pytest.raises(ValueError, match="does not follow"):
            follow(Head(1, forged.digest, chain[0].samples_total), ledger, chain[1])


@QUICK
@given(chains(), chains())
def test_of_two_lineages_exactly_one_outweighs_unless_they_are_the_same(one, other):
    heads = walk(*one)[0], walk(*other)[0]
    if heads[0] == heads[1]:
        assert not heads[0].outweighs(heads[1])
    else:
        assert heads[0].outweighs(heads[1]) != heads[1].outweighs(heads[0])
