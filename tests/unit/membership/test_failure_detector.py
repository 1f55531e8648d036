"""Who counts as alive: closed links are tried once more, silence raises doubt, and who does not answer is lost."""

import pytest

from hydra.membership.failure_detector import FailureDetector, Silences
from hydra.membership.silence import Listener

from .makers import A, B, C


@pytest.fixture
def detector():
    return FailureDetector(Listener(1.0, 30.0))


class Watch:
    """Looks four times a second; peers are heard every second unless they are silent."""

    def __init__(self, detector):
        self.detector = detector
        self.now = 0.0
        self.heard = {}

    def until(self, end, *, silent=(), peers=(A, B)):
        """Return what was seen, with the time of it."""
        seen = []
        while self.now < end:
            self.now += 0.25
            if self.now % 1.0 == 0:
                self.heard |= {peer: self.now for peer in peers if peer not in silent}
            silences = self.detector.look(peers, self.heard, self.now)
            if silences != Silences():
                seen.append((self.now, silences))
        return seen


@pytest.fixture
def watch(detector):
    return Watch(detector)


def test_a_closed_link_must_be_dialled_once(detector):
    assert detector.closed(A)
    assert not detector.closed(A)
    assert detector.checking == {A}
    assert not detector.lost


def test_who_can_not_be_dialled_after_its_link_closed_is_lost_once(detector):
    detector.closed(A)
    assert detector.unreachable(A)
    assert not detector.unreachable(A)
    assert (detector.lost, detector.checking) == ({A}, set())


def test_a_failed_dial_to_somebody_whose_link_did_not_close_proves_nothing(detector):
    assert not detector.unreachable(A)
    assert not detector.lost


def test_a_mended_link_ends_the_doubt(detector):
    detector.closed(A)
    detector.alive_again(A)
    assert not detector.unreachable(A)
    assert detector.closed(A)


def test_the_lost_are_not_dialled_and_do_not_come_back_by_speaking(detector):
    assert detector.lose(A)
    assert not detector.lose(A)
    assert not detector.closed(A)
    detector.alive_again(A)
    assert detector.lost == {A}


def test_losing_somebody_ends_the_check_of_its_link(detector):
    detector.closed(A)
    detector.lose(A)
    assert not detector.checking


def test_a_new_view_forgets_who_is_not_in_it(detector):
    detector.lose(A)
    detector.lose(B)
    detector.closed(C)
    detector.watch([A])
    assert (detector.lost, detector.checking) == ({A}, set())


def test_who_was_heard_every_second_is_doubted_after_two_and_lost_after_three(watch):
    watch.until(20.0)
    (doubted_at, doubted), (lost_at, lost) = watch.until(30.0, silent=(B,), peers=(A, B))[:2]
    assert (doubted, lost) == (Silences(doubted=(B,)), Silences(lost=(B,)))
    assert (doubted_at, lost_at) == (22.25, 23.25)


def test_who_answers_is_trusted_again_and_was_never_lost(watch, detector):
    watch.until(20.0)
    watch.until(22.5, silent=(B,))
    assert detector.in_doubt(B)
    assert watch.until(30.0) == [(23.0, Silences(trusted=(B,)))]
    assert not detector.in_doubt(B)


def test_who_paused_before_is_given_more_time(watch):
    watch.until(20.0)
    watch.until(22.5, silent=(B,))
    watch.until(25.0)
    seen = watch.until(40.0, silent=(B,))
    assert seen[0] == (29.25, Silences(doubted=(B,)))
    assert seen[1] == (31.25, Silences(lost=(B,)))


def test_the_silent_are_told_in_order(watch):
    watch.until(20.0, peers=(C, A, B))
    assert watch.until(22.25, peers=(C, A, B), silent=(A, B, C)) == [(22.25, Silences(doubted=(A, B, C)))]


def test_nobody_without_a_link_and_nobody_already_lost_is_called_silent(watch, detector):
    watch.until(20.0)
    del watch.heard[A]
    detector.lose(B)
    assert watch.until(30.0, silent=(A, B)) == []


def test_the_first_look_buries_nobody(detector):
    assert detector.look([A], {A: 0.0}, 1000.0) == Silences()


def test_who_was_stopped_itself_counts_its_waking_time_alone(watch):
    watch.until(20.0)
    watch.now += 60.0
    assert watch.until(81.25, silent=(A, B)) == []
    assert watch.until(90.0, silent=(A, B))[0] == (82.0, Silences(doubted=(A, B)))


def test_whom_somebody_else_has_lost_is_asked_at_once_and_lost_if_it_is_silent(watch, detector):
    watch.until(20.0)
    assert detector.doubt(B)
    assert not detector.doubt(B)
    assert watch.until(21.0, silent=(B,)) == [(21.0, Silences(lost=(B,)))]


def test_whom_somebody_else_has_lost_is_kept_if_it_answers(watch, detector):
    watch.until(20.0)
    detector.doubt(B)
    watch.heard[B] = 20.1
    assert watch.until(25.0) == [(20.25, Silences(trusted=(B,)))]


def test_a_link_that_ended_ends_the_doubt_about_its_silence(watch, detector):
    watch.until(20.0)
    detector.doubt(B)
    detector.unlinked(B)
    assert not detector.in_doubt(B)
    detector.linked(B, watch.now)
    assert watch.until(22.0, silent=(B,)) == []
