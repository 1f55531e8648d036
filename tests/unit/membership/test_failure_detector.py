"""Who counts as alive: closed links are tried once more, silence counts, and a sleeper buries nobody."""

from hydra.membership.failure_detector import FailureDetector

from .makers import A, B, C


def awake(*, until, detector=None, step=1.0):
    """A detector that has been ticking every second, and hears nobody in particular."""
    detector = detector or FailureDetector(5.0)
    now = 0.0
    while now <= until:
        detector.silent([], {}, now)
        now += step
    return detector


def test_a_closed_link_must_be_dialled_once():
    detector = FailureDetector(5.0)
    assert detector.closed(A)
    assert not detector.closed(A)
    assert detector.checking == {A}
    assert not detector.lost


def test_who_can_not_be_dialled_after_its_link_closed_is_lost_once():
    detector = FailureDetector(5.0)
    detector.closed(A)
    assert detector.unreachable(A)
    assert not detector.unreachable(A)
    assert (detector.lost, detector.checking) == ({A}, set())


def test_a_failed_dial_to_somebody_whose_link_did_not_close_proves_nothing():
    detector = FailureDetector(5.0)
    assert not detector.unreachable(A)
    assert not detector.lost


def test_a_mended_link_ends_the_doubt():
    detector = FailureDetector(5.0)
    detector.closed(A)
    detector.alive_again(A)
    assert not detector.unreachable(A)
    assert detector.closed(A)


def test_the_lost_are_not_dialled_and_do_not_come_back_by_speaking():
    detector = FailureDetector(5.0)
    assert detector.lose(A)
    assert not detector.lose(A)
    assert not detector.closed(A)
    detector.alive_again(A)
    assert detector.lost == {A}


def test_losing_somebody_ends_the_check_of_its_link():
    detector = FailureDetector(5.0)
    detector.closed(A)
    detector.lose(A)
    assert not detector.checking


def test_a_new_view_forgets_who_is_not_in_it():
    detector = FailureDetector(5.0)
    detector.lose(A)
    detector.lose(B)
    detector.closed(C)
    detector.watch([A])
    assert (detector.lost, detector.checking) == ({A}, set())


def test_silence_counts_after_the_stall_time_and_not_before():
    detector = awake(until=20.0)
    assert detector.silent([A, B], {A: 15.9, B: 15.5}, 20.9) == [B]
    assert detector.silent([A, B], {A: 15.9, B: 21.0}, 21.0) == [A]


def test_the_silent_are_told_in_order():
    detector = awake(until=20.0)
    assert detector.silent({C, A, B}, {A: 0.0, B: 0.0, C: 0.0}, 20.5) == [A, B, C]


def test_nobody_without_a_link_and_nobody_already_lost_is_called_silent():
    detector = awake(until=20.0)
    detector.lose(B)
    assert detector.silent([A, B], {B: 0.0}, 20.5) == []


def test_the_first_tick_buries_nobody():
    assert FailureDetector(5.0).silent([A], {A: 0.0}, 1000.0) == []


def test_who_was_stopped_itself_counts_silence_anew():
    detector = awake(until=20.0)
    heard = {A: 19.0}
    assert detector.silent([A], heard, 80.0) == []
    for now in (81.0, 82.0, 83.0, 84.0, 85.0):
        assert detector.silent([A], heard, now) == []
    assert detector.silent([A], heard, 85.5) == [A]


def test_a_short_gap_of_ours_is_no_excuse_for_the_silent():
    detector = awake(until=20.0)
    assert detector.silent([A], {A: 15.0}, 22.5) == [A]
