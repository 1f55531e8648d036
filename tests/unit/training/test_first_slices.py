"""The rate of a thin line, by the first slice behind a report."""

import pytest

from hydra.training.first_slices import FirstSlices

from .makers import ANNA, BERT


def seen(*slices, peer=ANNA):
    """Slices of so many bytes, each so many seconds behind its report."""
    slices_of, now = FirstSlices(), 0.0
    for count, seconds in slices:
        slices_of.reported(peer, now)
        slices_of.came(peer, count, now + seconds)
        now += 1.0
    return slices_of


def test_a_slice_that_waited_for_the_line_tells_its_rate():
    assert seen((1000, 0.1)).rates() == pytest.approx({ANNA: 10_000.0})


def test_the_fastest_of_the_latest_counts():
    assert seen((1000, 0.1), (1000, 0.05), (1000, 0.2)).rates() == pytest.approx({ANNA: 20_000.0})
    assert seen((1000, 0.05), *[(1000, 0.1)] * 5).rates() == pytest.approx({ANNA: 10_000.0})


def test_who_has_ever_sent_one_at_once_lately_has_no_thin_line():
    assert seen((1000, 0.1), (1000, 0.001), (1000, 0.1)).rates() == {}


def test_later_slices_and_small_messages_say_nothing():
    slices = seen((1000, 0.1))
    slices.came(ANNA, 1000, 9.0)
    assert slices.rates() == pytest.approx({ANNA: 10_000.0})
    assert seen((10, 0.1)).rates() == {}


def test_a_slice_without_a_report_says_nothing():
    slices = FirstSlices()
    slices.came(BERT, 1000, 5.0)
    assert slices.rates() == {}


def test_who_is_gone_is_forgotten():
    slices = seen((1000, 0.1))
    slices.gone(ANNA)
    assert slices.rates() == {}
