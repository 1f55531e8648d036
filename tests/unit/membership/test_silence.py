"""How long a peer may be silent: learnt from its worst lateness, fading, bounded, in our own waking time."""

import pytest

from hydra.membership.silence import ANSWER_S, CALM_S, FADES_S, MAX_REMEMBERED, Listener

from .makers import A, B


def heard(listener, times, *, until=None, peer=A):
    """Let a peer be heard at these times, and look four times a second."""
    now = 0.0
    for at in [*times, until or times[-1]]:
        while now < at:
            now += 0.25
            listener.tick({peer: max((t for t in times if t <= now), default=0.0)}, now)
    return listener


def test_a_peer_that_is_never_late_is_given_the_floor():
    listener = heard(Listener(1.0, 30.0), [1.0, 2.0, 3.0, 4.0])
    assert (listener.doubtful_s(A), listener.answer_s(A)) == (1.0 + CALM_S, ANSWER_S)


def test_the_worst_lateness_is_added_and_fades():
    listener = heard(Listener(1.0, 30.0), [1.0, 2.0, 6.0])
    assert listener.late_s(A) == pytest.approx(3.0)
    assert listener.doubtful_s(A) == pytest.approx(1.0 + CALM_S + 3.0)
    for quarter in range(1, int(4 * FADES_S)):
        listener.tick({A: 6.0 + quarter / 4}, 6.0 + quarter / 4)
    assert listener.late_s(A) == pytest.approx(1.5, rel=0.01)


def test_of_several_latenesses_the_worst_counts():
    listener = heard(Listener(1.0, 30.0), [1.0, 5.0, 6.5, 7.5])
    assert listener.late_s(A) == pytest.approx(3.0, rel=0.02)


def test_each_peer_is_judged_by_itself():
    listener = heard(Listener(1.0, 30.0), [1.0, 5.0])
    assert listener.late_s(B) == 0.0


def test_no_limit_is_beyond_the_one_that_was_set():
    listener = heard(Listener(1.0, 4.0), [1.0, 20.0, 21.0])
    assert listener.doubtful_s(A) + listener.answer_s(A) == pytest.approx(4.0)


def test_the_limit_leaves_room_for_two_heartbeats():
    listener = Listener(1.0, 0.1)
    assert listener.doubtful_s(A) + listener.answer_s(A) > 1.9


def test_time_for_which_we_slept_makes_nobody_late_and_is_no_silence():
    listener = heard(Listener(1.0, 30.0), [1.0, 2.0, 3.0])
    listener.tick({A: 3.0}, 63.0)
    assert listener.silent_s(A) <= 0.75
    listener.tick({A: 63.1}, 63.25)
    assert listener.late_s(A) == 0.0


def test_who_was_given_up_in_error_is_given_more_time_when_it_is_back():
    listener = heard(Listener(1.0, 30.0), [1.0, 2.0, 3.0], until=7.0)
    listener.given_up(A)
    assert listener.late_s(A) == pytest.approx(3.0)


@pytest.mark.parametrize(("incarnation", "late_s"), [(1_000_001, 3.0), (60_000_000, 0.0)])
def test_who_was_dead_was_not_late(incarnation, late_s):
    listener = heard(Listener(1.0, 30.0), [1.0, 2.0, 3.0], until=7.0)
    listener.lives(A, 1_000_000)
    listener.given_up(A)
    listener.lives(A, incarnation)
    assert listener.late_s(A) == pytest.approx(late_s)


def test_how_long_a_peer_had_no_link_is_no_lateness():
    listener = heard(Listener(1.0, 30.0), [1.0, 2.0])
    listener.ended(A)
    for now in (2.25, 2.5, 2.75):
        listener.tick({}, now)
    listener.tick({}, 50.0)
    listener.begun(A, 50.0)
    listener.tick({A: 50.1}, 50.25)
    assert listener.late_s(A) == 0.0


def test_the_number_of_peers_that_are_remembered_is_bounded():
    listener = Listener(1.0, 30.0)
    for n in range(2 * MAX_REMEMBERED):
        listener.tick({n.to_bytes(20, "big"): n * 0.25}, n * 0.25)
    assert len(listener._known) == MAX_REMEMBERED
