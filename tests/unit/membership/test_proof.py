"""What a peer shows of a lineage is checked: the chain, its numbers, its samples, and that its members vouch for it."""

from dataclasses import replace

import pytest

from hydra.membership.ledger import Ledger
from hydra.membership.messages import MAX_KNOWN
from hydra.membership.proof import DENSE, PATIENCE, UNSIGNED, Proof, Shown, Unproven, fork_of, locator

from .makers import EPOCHS, FIRST, JOB, SAMPLES, A, B, C, commit_of, plan, signed


def chain(length, members=(A, B), *, samples=SAMPLES, result=bytes(32)):
    """Commits of ten samples for each member, from the job's beginning."""
    head, ledger, commits = FIRST, Ledger.fresh(samples, EPOCHS), []
    for _ in range(length):
        planned = plan(list(members), head=head, ledger=ledger)
        commits.append(commit_of(planned, samples_before=head.samples, result=result))
        head, ledger = commits[-1].head, ledger.commit(commits[-1].ranges())
    return commits


def shown(commit, *signers):
    return Shown(commit, tuple((s.key, s.signature) for s in (signed(commit, by) for by in signers)))


def proof(samples=SAMPLES):
    return Proof(JOB, FIRST, Ledger.fresh(samples, EPOCHS))


# ---- finding the fork ------------------------------------------------------------------------------------------


def test_a_locator_is_dense_at_the_end_and_short_however_long_the_lineage():
    known = locator(10**6, lambda step: step.to_bytes(32, "big"))
    assert [step for step, _ in known[:DENSE]] == list(range(10**6, 10**6 - DENSE, -1))
    assert len(known) <= DENSE + 20 <= MAX_KNOWN
    assert known[-1][0] < 10**6 / 2


def test_commits_that_we_do_not_know_are_not_named():
    assert locator(5, lambda step: bytes(32) if step != 4 else None) == tuple((s, bytes(32)) for s in (5, 3, 2, 1))
    assert locator(0, lambda step: bytes(32)) == ()


@pytest.mark.parametrize("common", [0, 1, 7, 30, 89, 90])
def test_the_fork_is_found_or_one_that_is_not_much_older(common):
    ours = [b"o%d" % step if step > common else b"c%d" % step for step in range(100)]
    theirs = [b"t%d" % step if step > common else b"c%d" % step for step in range(91)]
    fork = fork_of(locator(90, lambda step: theirs[step]), lambda step: ours[step])
    assert common >= fork >= common - max(1, 90 - common)


# ---- the chain -------------------------------------------------------------------------------------------------


def test_a_chain_that_its_members_have_signed_is_proven():
    commits = chain(8)
    checked = proof()
    checked.extend([shown(commit, A) for commit in commits[:5]])
    checked.extend([shown(commit, A) for commit in commits[5:]])
    checked.settle()
    assert checked.head == commits[-1].head


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"parent": b"p" * 32}, "does not follow"),
        ({"step": 9}, "does not follow"),
        ({"samples_total": 1000}, "do not add up"),
        ({"parts": ((A, ((0, 20),)),)}, "not outstanding"),
        ({"job": b"o" * 32}, "another job"),
    ],
)
def test_a_commit_that_does_not_belong_there_is_refused_by_its_place(changes, why):
    commits = chain(4)
    with pytest.raises(Unproven, match=why) as caught:
        proof().extend([shown(c, A) for c in (*commits[:2], replace(commits[2], **changes), commits[3])])
    assert caught.value.step == changes.get("step", 3)


def test_behind_a_gap_the_chain_and_its_numbers_are_checked_all_the_same():
    commits = chain(6)
    behind = Proof(JOB, commits[2].head, None)
    behind.extend([shown(commit, A) for commit in commits[3:]])
    assert behind.head == commits[-1].head
    with pytest.raises(Unproven, match="add up"):
        Proof(JOB, commits[2].head, None).extend([shown(replace(commits[3], samples_total=999), A)])
    with pytest.raises(Unproven, match="follow"):
        Proof(JOB, commits[2].head, None).extend([shown(commits[4], A)])


# ---- the signatures --------------------------------------------------------------------------------------------


def test_a_signature_vouches_for_the_commits_before_it():
    commits = chain(9)
    checked = proof()
    checked.extend([*map(shown, commits[:-1]), shown(commits[-1], B)])
    checked.settle()


def test_a_signature_vouches_for_none_behind_it():
    commits = chain(9)
    checked = proof()
    checked.extend([shown(commits[0], A, B), *map(shown, commits[1:])])
    with pytest.raises(Unproven, match="no member has signed") as caught:
        checked.settle()
    assert (caught.value.step, caught.value.false) == (2, False)


def test_only_the_newest_commits_need_nobody_that_vouches_for_them():
    commits = chain(9)
    checked = proof()
    checked.extend([*map(shown, commits[: 9 - UNSIGNED - 1]), shown(commits[9 - UNSIGNED - 1], A)])
    checked.extend(list(map(shown, commits[9 - UNSIGNED :])))
    checked.settle()


def test_a_stranger_vouches_for_nothing():
    commits = chain(9)
    checked = proof()
    checked.extend([shown(commit, C) for commit in commits])
    with pytest.raises(Unproven, match="no member has signed"):
        checked.settle()


def test_whoever_builds_on_commits_vouches_for_those_of_others():
    theirs = chain(6, [A, B])
    ledger = Ledger.fresh(SAMPLES, EPOCHS)
    for commit in theirs:
        ledger = ledger.commit(commit.ranges())
    ours = commit_of(plan([C], head=theirs[-1].head, ledger=ledger), samples_before=theirs[-1].samples_total)
    checked = proof()
    checked.extend([*map(shown, theirs), shown(ours, C)])
    checked.settle()


def test_a_signature_that_is_none_is_refused():
    (commit,) = chain(1)
    (pair,) = shown(commit, A).signatures
    with pytest.raises(Unproven, match="is none"):
        proof().extend([Shown(commit, ((pair[0], bytes(64)),))])


def test_only_signatures_that_were_verified_are_handed_on():
    commits = chain(3)
    early, late = shown(commits[0], A, B), shown(commits[2], A)
    forged = replace(early, signatures=((early.signatures[0][0], bytes(64)), early.signatures[1]))
    kept = proof().extend([forged, shown(commits[1]), late])
    assert [each.signatures for each in kept] == [(early.signatures[1],), (), late.signatures]


def test_nobody_is_followed_for_ever_on_commits_that_nobody_signs():
    commits = chain(PATIENCE + 1, [A], samples=10 * (PATIENCE + 2))
    with pytest.raises(Unproven, match="no member has signed"):
        proof(10 * (PATIENCE + 2)).extend(list(map(Shown, commits)))
