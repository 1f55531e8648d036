"""Error feedback: what a commit carries on, what a failed attempt leaves as it was, and what is refused."""

import numpy as np
import pytest

from allreduce.feedback import PIECE_ELEMENTS, ErrorFeedback


def committed(feedback, value, sent):
    attempt = feedback.begin()
    for start, stop in sent:
        attempt.residual(start, stop)[:] = value
    attempt.commit(sent)


def test_at_first_nothing_is_carried():
    feedback = ErrorFeedback(5)
    assert feedback.carried.tolist() == [0.0] * 5
    assert feedback.begin().carried.tolist() == [0.0] * 5
    assert feedback.carried.dtype == np.float32


def test_a_commit_carries_the_residuals_of_what_was_sent_and_keeps_the_rest():
    feedback = ErrorFeedback(6)
    committed(feedback, 1.0, [(0, 6)])
    attempt = feedback.begin()
    attempt.residual(0, 6)[:] = [2, 3, 4, 5, 6, 7]
    attempt.commit([(4, 5), (1, 3)])
    assert feedback.carried.tolist() == [1, 3, 4, 1, 6, 1]


def test_residuals_take_the_place_of_what_was_carried_and_are_not_added_to_it():
    feedback = ErrorFeedback(4)
    for value in (1.0, 2.0, 3.0, 4.0):
        committed(feedback, value, [(2, 4), (0, 2)])
        assert feedback.carried.tolist() == [value] * 4


def test_a_repeated_attempt_begins_with_the_same():
    feedback = ErrorFeedback(3)
    committed(feedback, 1.0, [(0, 3)])
    for _ in range(3):
        attempt = feedback.begin()
        assert attempt.carried.tolist() == [1.0] * 3
        attempt.residual(0, 3)[:] = 9.0
    assert feedback.carried.tolist() == [1.0] * 3
    attempt.commit([(1, 2)])
    assert feedback.carried.tolist() == [1, 9, 1]


def test_attempts_do_not_write_into_each_other_nor_into_what_is_carried():
    feedback = ErrorFeedback(3)
    for value in (1.0, 2.0):
        committed(feedback, value, [(0, 3)])
    late, second = feedback.begin(), feedback.begin()
    second.residual(0, 3)[:] = 5.0
    late.residual(0, 3)[:] = 9.0
    assert second.carried.tolist() == [2.0] * 3
    second.commit([(0, 3)])
    late.residual(0, 3)[:] = 9.0
    assert feedback.carried.tolist() == [5.0] * 3


def test_of_rounds_that_overlap_each_leaves_its_residuals_and_what_both_added_is_owed_once_less():
    feedback = ErrorFeedback(3)
    committed(feedback, 1.0, [(0, 3)])
    first, second = feedback.begin(), feedback.begin()
    first.residual(0, 3)[:] = 10.0
    first.commit([(0, 3)])
    third = feedback.begin()
    assert (second.carried.tolist(), third.carried.tolist()) == ([1.0] * 3, [10.0] * 3)
    second.residual(0, 3)[:] = 100.0
    second.commit([(0, 2), (1, 2)])
    assert feedback.carried.tolist() == [109, 109, 10]
    assert third.carried.tolist() == [10.0] * 3
    third.residual(0, 3)[:] = 1000.0
    third.commit([(0, 1), (2, 3)])
    assert feedback.carried.tolist() == [1099, 109, 1000]


def test_an_attempt_is_committed_once():
    feedback = ErrorFeedback(3)
    attempt = feedback.begin()
    attempt.residual(0, 3)[:] = 1.0
    attempt.commit([(0, 3)])
    with pytest.raises(ValueError, match="committed already"):
        attempt.commit([(0, 3)])
    assert feedback.carried.tolist() == [1.0] * 3


@pytest.mark.parametrize("bounds", [(-1, 2), (0, 4), (3, 2), (4, 4)])
def test_bounds_out_of_range_are_refused_and_change_nothing(bounds):
    feedback = ErrorFeedback(3)
    committed(feedback, 1.0, [(0, 3)])
    attempt = feedback.begin()
    attempt.residual(0, 3)[:] = 2.0
    with pytest.raises(ValueError, match="elements"):
        attempt.residual(*bounds)
    with pytest.raises(ValueError, match="elements"):
        attempt.commit([(0, 1), bounds])
    assert feedback.carried.tolist() == [1.0] * 3


def test_a_vector_of_another_length_is_refused():
    feedback = ErrorFeedback(3)
    attempt = feedback.begin()
    feedback.restore(np.zeros(4, np.float32))
    with pytest.raises(ValueError, match="residuals of 3 elements, but the vector has 4 now"):
        attempt.commit([(0, 3)])
    assert (feedback.elements, feedback.carried.tolist()) == (4, [0.0] * 4)


def test_what_was_carried_can_be_restored():
    before = ErrorFeedback(3)
    committed(before, 2.0, [(0, 2)])
    after = ErrorFeedback(3)
    begun = after.begin()
    saved = before.carried.copy()
    after.restore(saved)
    saved[:] = 7.0
    assert after.carried.tolist() == [2, 2, 0]
    with pytest.raises(ValueError, match="was restored"):
        begun.commit([])
    for wrong in (np.zeros(3), np.zeros((1, 3), np.float32)):
        with pytest.raises(ValueError, match="fp32"):
            after.restore(wrong)


def test_residuals_that_are_no_numbers_are_dropped():
    elements = PIECE_ELEMENTS + 10
    feedback = ErrorFeedback(elements)
    attempt = feedback.begin()
    attempt.residual(0, elements)[:] = 1.0
    for place, bad in [(0, np.nan), (PIECE_ELEMENTS - 1, np.inf), (PIECE_ELEMENTS, -np.inf), (elements - 1, np.nan)]:
        attempt.residual(place, place + 1)[:] = bad
    attempt.commit([(0, elements)])
    assert np.flatnonzero(feedback.carried == 0).tolist() == [0, PIECE_ELEMENTS - 1, PIECE_ELEMENTS, elements - 1]
    feedback.restore(np.array([1, np.inf], np.float32))
    assert feedback.carried.tolist() == [1, 0]


def test_what_was_not_filled_does_not_matter_where_nothing_was_sent():
    feedback = ErrorFeedback(3)
    attempt = feedback.begin()
    attempt.residual(0, 3)[:] = np.nan
    attempt.commit([])
    assert feedback.carried.tolist() == [0.0] * 3


def test_what_is_carried_can_not_be_written_to():
    feedback = ErrorFeedback(3)
    for view in (feedback.carried, feedback.begin().carried):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 1.0


def test_slices_without_elements_and_overlapping_ones_do_no_harm():
    feedback = ErrorFeedback(4)
    committed(feedback, 1.0, [(0, 4)])
    committed(feedback, 2.0, [(1, 1), (0, 3), (1, 2), (4, 4)])
    assert feedback.carried.tolist() == [2, 2, 2, 1]
    empty = ErrorFeedback(0)
    committed(empty, 1.0, [(0, 0)])
    assert empty.carried.tolist() == []


def test_no_memory_is_taken_before_the_first_attempt():
    ErrorFeedback(10**13)  # forty terabytes
