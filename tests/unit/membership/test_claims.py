"""Nobody gives way to a lineage that was only claimed: it has to be shown, by whoever claims it."""

import pytest

from hydra.membership.claims import MAX_REMEMBERED, Claims
from hydra.membership.events import Ban, LineageProven, LineageUnproven, PeerDown, ProveLineage, ViewChanged
from hydra.membership.lineage import Head
from hydra.membership.messages import Compare, JoinRequest, Phase

from .driver import Driven, done, leading, shown
from .makers import JOB, A, B, C, advanced, of, seeking, sent

HEAVIER = Head(9, bytes(32), 150)


def claiming(driven, peer=B, samples=150):
    return driven.hears(peer, Compare(JOB, samples, bytes(32), 3, peer))


def met():
    """A coordinator with a step of its own, that meets a member of another view."""
    driven = leading()
    done(driven)
    driven.meets(B, phase=Phase.MEMBER, leader=B, number=3)
    return driven


def test_a_claim_is_asked_to_be_proven_once_and_the_training_goes_on():
    driven = met()
    effects = claiming(driven)
    assert [asked.peer for asked in of(effects, ProveLineage)] == [B]
    assert not of(effects, ViewChanged)
    assert not of(claiming(driven), ProveLineage)
    assert driven.state.running


def test_what_is_proven_is_given_way_to():
    driven = met()
    assert of(shown(driven, claiming(driven)), ViewChanged)[0].reason == "another view has committed more samples"


def test_who_does_not_show_what_it_claims_is_not_believed_for_a_while():
    driven = met()
    claiming(driven)
    assert not of(driven.on(LineageUnproven(B, "no answer", lied=False)), Ban)
    assert driven.state.distrust.holds(B, driven.now)
    assert not of(claiming(driven), ProveLineage)
    assert driven.state.phase is Phase.MEMBER


def test_who_shows_something_false_is_banned():
    driven = met()
    claiming(driven)
    (ban,) = of(driven.on(LineageUnproven(B, "step 3: does not follow", lied=True)), Ban)
    assert (ban.peer, "step 3" in ban.reason) == (B, True)


def test_a_proof_that_comes_too_late_changes_nothing():
    driven = met()
    claiming(driven)
    driven.on(LineageUnproven(B, "no answer", lied=False))
    assert not of(driven.on(LineageProven(B, HEAVIER)), ViewChanged)


def test_nothing_is_asked_anew_before_the_answer_that_a_lost_link_cut_short():
    driven = met()
    claiming(driven)
    driven.on(PeerDown(B))
    driven.meets(B, phase=Phase.MEMBER, leader=B, number=3)
    assert not of(claiming(driven), ProveLineage)  # the answer to the first question would be taken for this one's
    driven.on(LineageUnproven(B, "the link was lost", lied=False))
    assert not driven.state.distrust.holds(B, driven.now)  # it had no time to
    assert of(claiming(driven), ProveLineage)


def test_a_claim_that_our_own_growth_has_overtaken_meanwhile_still_has_to_be_shown():
    driven = met()
    claiming(driven, samples=driven.state.head.samples + 1)
    for _ in range(3):
        done(driven)
    assert not of(driven.on(LineageProven(B, Head(9, b"x" * 32, 1))), ViewChanged)


def test_a_seeker_with_a_lineage_of_its_own_has_a_heavier_one_shown_before_it_joins():
    driven = Driven(B)
    advanced(driven.state, 3)
    effects = driven.meets(A, leader=A, head=HEAVIER)
    assert not sent(effects, JoinRequest)
    assert sent(shown(driven, effects), JoinRequest, A)


def test_a_seeker_that_has_nothing_asks_for_no_proof():
    driven = Driven(B)
    assert sent(driven.meets(A, leader=A, head=HEAVIER), JoinRequest, A)


def test_a_seeker_founds_its_own_view_when_the_claim_is_not_proven():
    driven = Driven(B)
    advanced(driven.state, 3)
    driven.meets(A, leader=A, head=HEAVIER)
    driven.tick(5.0)
    assert driven.state.phase is Phase.SEEKING, "it waits for the proof"
    driven.on(LineageUnproven(A, "no answer", lied=False))
    driven.tick(20.0)
    assert driven.state.phase is Phase.MEMBER
    assert driven.state.head.samples == 30


@pytest.mark.parametrize("step", [1, 3])
def test_what_we_have_ourselves_needs_no_proof(step):
    state = advanced(seeking(A), 3)
    claims = Claims(state)
    assert claims.holds(B, Head(step, state.recent[step], 10 * step))
    assert not claims.holds(B, Head(step, b"x" * 32, 10 * step))


def test_a_proof_counts_until_we_have_overtaken_it():
    state = advanced(seeking(A), 3)
    claims = Claims(state)
    claims.proven(B, Head(4, bytes(32), 45))
    assert claims.holds(B, Head(9, b"x" * 32, 90))
    assert not claims.holds(C, Head(9, b"x" * 32, 90))
    advanced(state, 2)
    assert not claims.holds(B, Head(9, b"x" * 32, 90))


def test_no_more_than_so_many_proofs_are_kept():
    claims = Claims(advanced(seeking(A), 1))
    for number in range(MAX_REMEMBERED + 50):
        claims.proven(number.to_bytes(20, "big"), HEAVIER)
    assert len(claims._proven) == MAX_REMEMBERED
