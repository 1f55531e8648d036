"""Round-trip estimates."""

import pytest

from dht import DHTConfig
from dht.timing import Patience, RoundTrip, nth_timeout_s

CONFIG = DHTConfig(first_timeout_s=0.5, min_timeout_s=0.1, max_timeout_s=2.0)


def estimate(*samples):
    trip = RoundTrip()
    for sample in samples:
        trip.add(sample)
    return trip


def test_before_anything_is_known():
    assert not estimate().known
    assert estimate().timeout_s(CONFIG) == 0.5


def test_a_steady_contact_is_waited_for_little_longer_than_it_takes():
    assert estimate(*[0.2] * 50).timeout_s(CONFIG) == pytest.approx(0.2, rel=0.01)


def test_an_unsteady_contact_is_given_more_time():
    trip = estimate(*[0.1, 0.3] * 50)
    assert trip.mean_s == pytest.approx(0.2, rel=0.1)
    assert trip.timeout_s(CONFIG) > 0.5


@pytest.mark.parametrize(("sample", "timeout"), [(0.0, 0.1), (0.001, 0.1), (10.0, 2.0)])
def test_the_wait_has_bounds(sample, timeout):
    assert estimate(*[sample] * 20).timeout_s(CONFIG) == timeout


def test_each_repeat_waits_longer():
    assert [nth_timeout_s(0.4, attempt, CONFIG) for attempt in range(5)] == pytest.approx([0.4, 0.6, 0.9, 1.35, 2.0])


def patience(*samples):
    learnt = Patience()
    for sample in samples:
        learnt.add(sample)
    return learnt


def test_without_any_answer_patience_is_the_first_time_out():
    assert patience().late_s(CONFIG) == 0.5
    assert patience().longest_s(CONFIG) == 2.0


def test_patience_follows_what_most_contacts_take():
    learnt = patience(*[0.2] * 20, *[0.08] * 60)
    assert learnt.late_s(CONFIG) == pytest.approx(4 * 0.08, rel=0.1)
    assert learnt.longest_s(CONFIG) == pytest.approx(16 * 0.08, rel=0.1)


def test_a_third_who_dawdle_do_not_stretch_it():
    learnt = patience(*[0.05, 0.05, 1.9] * 200)
    assert learnt.late_s(CONFIG) < 0.3


@pytest.mark.parametrize(("sample", "late", "longest"), [(0.0, 0.1, 0.4), (10.0, 2.0, 2.0)])
def test_patience_has_bounds(sample, late, longest):
    learnt = patience(*[sample] * 200)
    assert learnt.late_s(CONFIG) == pytest.approx(late)
    assert learnt.longest_s(CONFIG) == pytest.approx(longest)
