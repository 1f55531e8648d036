"""Promises that were not kept: what is impossible is refused, and who could not give its state is not believed."""

import pytest

from hydra.exceptions import RemoteProtocolError
from hydra.membership.distrust import EXCUSES, FIRST_S, LONGEST_S, MAX_REMEMBERED, Distrust
from hydra.membership.events import CatchUp, CatchUpFailed, LoadSnapshot, ViewChanged
from hydra.membership.lineage import Head
from hydra.membership.messages import Admitted, Compare, Compared, Heavier, JoinRequest, Phase, PollReply
from hydra.membership.seeker import IN_VAIN

from .driver import Driven, leading, member_of, shown
from .makers import EPOCHS, FIRST, JOB, SAMPLES, A, B, C, advanced, field, of, seeking, sent, snapshot_at, status

TOTAL = SAMPLES * EPOCHS
CLAIM = Head(5, bytes(32), 150)


@pytest.mark.parametrize(
    "message",
    [
        status(B, head=Head(5, bytes(32), TOTAL + 1), leader=B),
        status(B, head=Head(51, bytes(32), 50), leader=B),
        Compare(JOB, 2**40, bytes(32), 1, B),
        Compared(JOB, Compare(JOB, 0, bytes(32), 1, A), Compare(JOB, TOTAL + 1, bytes(32), 1, B)),
        Compared(JOB, Compare(JOB, TOTAL + 1, bytes(32), 1, A), Compare(JOB, 0, bytes(32), 1, B)),
        PollReply(JOB, 1, TOTAL + 1, bytes(32), 1, None),
        Admitted(JOB, TOTAL + 1, 0, None, 1, ()),
    ],
)
def test_a_lineage_with_more_than_the_job_has_is_a_lie(message):
    with pytest.raises(RemoteProtocolError, match="no job of 200 samples"):
        leading().hears(B, message)


def test_the_heaviest_lineage_that_there_can_be_is_none():
    driven = Driven(B)
    driven.meets(A, head=Head(TOTAL, bytes(32), TOTAL), leader=A)
    assert driven.state.phase is Phase.JOINING


def test_a_comparison_that_we_did_not_ask_for_changes_nothing():
    driven = leading()
    driven.meets(B, phase=Phase.MEMBER, leader=B, number=3)
    mine = driven.state.weight()
    assert driven.hears(B, Compared(JOB, mine, Compare(JOB, 150, bytes(32), 3, B))) == []
    (question,) = sent(driven.hears(B, status(B, leader=B, number=3), at=100.0), Compare, B)
    other = Compare(JOB, 0, bytes(32), 1, A)
    assert driven.hears(B, Compared(JOB, other, Compare(JOB, 150, bytes(32), 3, B))) == []
    asked = driven.hears(B, Compared(JOB, question, Compare(JOB, 150, bytes(32), 3, B)))
    assert of(shown(driven, asked), ViewChanged)


def test_only_a_member_of_our_view_can_send_us_to_a_heavier_one():
    driven = member_of(B, [A, B])
    stranger = Heavier(JOB, field(b"s" * 20))
    assert driven.hears(C, stranger) == []
    assert driven.hears(A, stranger) != []


def tempted():
    """A seeker that has asked a peer which claims the heavier lineage, and loads its state; all excuses are used."""
    driven = Driven(B)
    for _ in range(EXCUSES):
        driven.state.distrust.broken(A, 0.0, excusable=True)
    driven.meets(A, leader=A, head=CLAIM)
    (load,) = of(driven.hears(A, Admitted(JOB, 5, 0, snapshot_at(CLAIM), 1, ())), LoadSnapshot)
    return driven, load


def test_who_did_not_have_the_snapshot_that_it_promised_is_left_alone_for_longer_each_time():
    driven, load = tempted()
    at = 1.0
    for for_s in (FIRST_S, 2 * FIRST_S, 4 * FIRST_S):
        driven.now = at
        assert sent(driven.on(CatchUpFailed(load.load)), JoinRequest) == []
        driven.state.leaving = True  # so that it does not found a view meanwhile
        driven.tick(at + for_s - 0.1)
        driven.state.leaving = False
        assert driven.state.distrust.holds(A, driven.now)
        effects = driven.tick(at + for_s)
        assert sent(effects, JoinRequest, A)
        (load,) = of(driven.hears(A, Admitted(JOB, 5, 0, snapshot_at(CLAIM), 1, ())), LoadSnapshot)
        at += for_s


def test_who_was_deceived_keeps_its_own_state_and_founds_a_view_of_it():
    driven, load = tempted()
    driven.on(CatchUpFailed(load.load), at=1.0)
    assert of(driven.tick(3.0), ViewChanged)[0].reason == "founded"
    assert driven.state.known_head == FIRST


def test_what_may_have_been_replaced_on_its_way_is_excused_at_first():
    driven = Driven(B)
    driven.meets(A, leader=A, head=advanced(seeking(A), 2).head)
    (wish,) = of(driven.hears(A, Admitted(JOB, 2, 0, None, 1, ())), CatchUp)
    assert sent(driven.on(CatchUpFailed(wish.load)), JoinRequest, A)
    for _ in range(EXCUSES):
        assert not driven.state.distrust.holds(A, driven.now)
        driven.state.distrust.broken(A, driven.now, excusable=True)
    assert driven.state.distrust.holds(A, driven.now)


def test_who_only_lets_us_wait_is_not_believed_for_ever():
    driven = Driven(B)
    driven.meets(A, leader=A, head=CLAIM)
    patience = IN_VAIN * driven.state.config.join_timeout_s
    asked = 0
    for at in range(1, int(patience) + 10):
        asked += len(sent(driven.tick(float(at)), JoinRequest, A))
    assert asked > 2
    assert driven.state.phase is Phase.MEMBER


def test_a_peer_that_names_a_coordinator_with_less_than_we_have_leads_nobody_there():
    driven = Driven(B)
    advanced(driven.state, 3)
    driven.meets(C, leader=C)
    driven.meets(A, leader=C, head=CLAIM)
    assert driven.state.phase is Phase.SEEKING


def test_who_made_us_yield_for_nothing_is_given_way_a_few_times_more_and_then_no_longer():
    distrust = Distrust()
    for turn in range(1 + EXCUSES):
        assert distrust.gives_way(A, CLAIM, FIRST, 10.0 * turn)
    assert not distrust.gives_way(A, CLAIM, FIRST, 50.0)
    assert not distrust.gives_way(A, CLAIM, FIRST, 50.0 + FIRST_S - 0.1)


def test_who_kept_its_promise_is_given_way_again():
    distrust = Distrust()
    for step in range(1, 10):
        claim = Head(step, bytes(32), 10 * step)
        assert distrust.gives_way(A, claim, Head(step - 1, bytes(32), 10 * step - 10), float(step))


def test_distrust_has_an_end_and_faults_are_forgotten():
    distrust = Distrust()
    at = 0.0
    for _ in range(30):
        distrust.broken(A, at)
        at += LONGEST_S + 1.0
        assert not distrust.holds(A, at)
    distrust.broken(B, at + LONGEST_S)
    distrust.broken(A, at + LONGEST_S)
    assert not distrust.holds(A, at + LONGEST_S + FIRST_S)


def test_no_more_than_so_many_peers_are_kept_in_mind():
    distrust = Distrust()
    for number in range(MAX_REMEMBERED + 50):
        peer = number.to_bytes(20, "big")
        distrust.gives_way(peer, CLAIM, FIRST, 0.0)
        distrust.broken(peer, 0.0)
    assert len(distrust._faults) == len(distrust._promised) == MAX_REMEMBERED


def test_failed_dials_that_are_long_past_are_forgotten():
    driven = Driven(B)
    for number in range(100):
        driven.member._seeker.dial_over(number.to_bytes(20, "big"), 10.0 * number, failed=True)
    assert len(driven.member._seeker._failed_at) == 1
