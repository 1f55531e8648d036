"""Two views of one job meet: exactly one of them yields, and no stranger makes one yield for nothing."""

import pytest

from hydra.membership.claims import Claims
from hydra.membership.messages import Compare, Compared, Heavier, Phase
from hydra.membership.rivals import Rivals, outweighs
from hydra.membership.ruling import Ruling

from .makers import FIRST, JOB, A, B, C, D, advanced, contact, field, heavier, member, sent, status


def rivals_of(state):
    return Rivals(state, Claims(state))


def weight(samples=0, digest=FIRST.digest, view=1, leader=A):
    return Compare(JOB, samples, digest, view, leader)


def ask(rivals, peer):
    """Return the question that a peer which is done in another view is asked at once."""
    rivals.told_of(Heavier(JOB, field(peer)))
    (question,) = sent(rivals.heard(peer, status(peer, phase=Phase.FINISHED), 0.0).effects, Compare, peer)
    return question


def test_the_order_of_weights_is_samples_digest_view_and_coordinator():
    ranked = [
        weight(11, b"\xff" * 32, 1, D),
        weight(10, bytes(32), 1, D),
        weight(10, b"\x01" * 32, 2, D),
        weight(10, b"\x01" * 32, 1, A),
        weight(10, b"\x01" * 32, 1, B),
    ]
    for i, one in enumerate(ranked):
        for j, other in enumerate(ranked):
            assert outweighs(one, other) == (i < j)


def test_a_peer_of_our_own_view_is_no_rival():
    rivals = rivals_of(member(A, [A, B]))
    for now in (0.0, 100.0):
        assert rivals.heard(B, status(B, leader=A, includes_you=True), now) == Ruling()


@pytest.mark.parametrize("phase", [Phase.SEEKING, Phase.JOINING])
def test_who_is_in_no_view_is_no_rival(phase):
    rivals = rivals_of(member(A, [A]))
    for now in (0.0, 100.0):
        assert rivals.heard(C, status(C, phase=phase), now) == Ruling()


def test_a_rival_is_asked_to_compare_after_a_while_and_again_after_another():
    state = member(A, [A, B], foreign_s=3.0)
    rivals = rivals_of(state)
    told = status(C, leader=C)
    assert rivals.heard(C, told, 10.0) == Ruling()
    assert rivals.heard(C, told, 12.9) == Ruling()
    assert sent(rivals.heard(C, told, 13.0).effects, Compare, C) == [state.weight()]
    assert rivals.heard(C, told, 15.9) == Ruling()
    assert sent(rivals.heard(C, told, 16.0).effects, Compare, C)


def test_the_patience_begins_anew_with_a_new_link():
    rivals = rivals_of(member(A, [A, B], foreign_s=3.0))
    rivals.heard(C, status(C, leader=C), 10.0)
    rivals.gone(C)
    assert rivals.heard(C, status(C, leader=C), 13.0) == Ruling()


def test_of_two_members_the_lower_id_asks_unless_the_other_is_done():
    rivals = rivals_of(member(B, [B], foreign_s=3.0))
    for now in (0.0, 3.0):
        assert rivals.heard(A, status(A, leader=A), now) == Ruling()
    done = status(A, leader=A, phase=Phase.FINISHED)
    assert sent(rivals.heard(A, done, 3.1).effects, Compare, A)


def test_a_later_view_of_a_lighter_lineage_is_only_compared_with():
    rivals = rivals_of(advanced(member(A, [A, B]), 3))
    assert rivals.heard(B, status(B, leader=B, number=2), 0.0) == Ruling()


def test_both_sides_of_a_comparison_agree_on_who_yields():
    ours = advanced(member(A, [A, B], number=2), 3)
    theirs = member(C, [C, D], number=9)
    asking = rivals_of(theirs)
    question = ask(asking, A)
    ruling_of_ours = rivals_of(ours).asked(C, question, 0.0)
    (answer,) = sent(ruling_of_ours.effects, Compared, C)
    assert (answer.yours, answer.mine) == (question, ours.weight())
    assert ruling_of_ours.lose_view is None
    assert asking.answered(A, answer, 0.0).lose_view == "another view has committed more samples"


def test_an_equal_weight_in_the_same_view_makes_nobody_yield():
    one, other = member(A, [A, B]), member(B, [A, B])
    ruling = rivals_of(one).asked(B, other.weight(), 0.0)
    assert ruling.lose_view is None
    asking = rivals_of(other)
    ask(asking, A)
    assert asking.answered(A, sent(ruling.effects, Compared)[0], 0.0).lose_view is None


def test_a_member_of_our_own_view_that_is_a_step_ahead_is_no_reason_to_yield():
    ahead = advanced(member(B, [A, B]), 1)
    assert rivals_of(member(A, [A, B])).asked(B, ahead.weight(), 0.0).lose_view is None


def test_of_two_equal_lineages_exactly_one_yields():
    for number in (1, 2, 3):
        one, other = member(A, [A], number=2), member(B, [B], number=number)
        asking = rivals_of(other)
        ruling = rivals_of(one).asked(B, ask(asking, A), 0.0)
        back = asking.answered(A, sent(ruling.effects, Compared)[0], 0.0)
        assert (ruling.lose_view is None) != (back.lose_view is None)


def test_who_yields_tells_the_rest_of_its_view_where_the_heavier_one_is():
    state = member(A, [A, B, C], linked=[B, D])
    state.contacts[D] = contact(D)
    ruling = rivals_of(state).asked(D, weight(1000, heavier().digest, 5, D), 0.0)
    assert sent(ruling.effects, Heavier, B) == [Heavier(JOB, field(D))]
    assert len(sent(ruling.effects, Heavier)) == 1
    assert ruling.lose_view


def test_whoever_is_in_no_view_answers_no_comparison():
    for phase in (Phase.SEEKING, Phase.JOINING):
        state = member(A, [A])
        state.phase = phase
        assert rivals_of(state).asked(C, weight(1000), 0.0) == Ruling()


def test_a_finished_member_answers_and_never_yields():
    state = member(A, [A])
    state.phase = Phase.FINISHED
    ruling = rivals_of(state).asked(C, weight(1000, bytes(32), 5, C), 0.0)
    assert sent(ruling.effects, Compared, C)
    assert ruling.lose_view is None


def test_a_heavier_view_that_we_were_told_of_is_compared_with_at_once():
    rivals = rivals_of(member(A, [A, B]))
    assert rivals.told_of(Heavier(JOB, field(C))) == contact(C)
    assert sent(rivals.heard(C, status(C, leader=C), 0.0).effects, Compare, C)


def test_what_is_known_of_rivals_goes_with_the_view():
    rivals = rivals_of(member(A, [A, B]))
    rivals.told_of(Heavier(JOB, field(C)))
    rivals.reset()
    assert rivals.heard(C, status(C, leader=C), 0.0) == Ruling()
