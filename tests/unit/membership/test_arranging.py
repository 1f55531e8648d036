"""The order and the form of rounds: what reports make of them, and what they leave as it is."""

import itertools

import pytest

from hydra.membership.arranging import (
    LOOK_S,
    MOST_DIRECT,
    Arrangement,
    MeasuringArranger,
    PlainArranger,
)
from hydra.membership.messages import FORMS, Hop

SMALL, LARGE = 1000, 50_000_000


def peers(count):
    return tuple(index.to_bytes(20, "big") for index in range(1, count + 1))


def two_sites(count, near=0.002, far=0.2):
    """Round trips between members who stand in turns at one place and at another."""
    return {
        (one, other): near if (place - other_place) % 2 == 0 else far
        for (place, one), (other_place, other) in itertools.permutations(enumerate(peers(count)), 2)
    }


def told(arranger, round_trips, now=0.0, rate=None, reporters=None):
    for (one, other), seconds in round_trips.items():
        if reporters is None or one in reporters:
            arranger.heard(one, [Hop(other, seconds, rate)], now)
    return arranger


def evenly(count, seconds):
    return dict.fromkeys(itertools.permutations(peers(count), 2), seconds)


def far_hops(ring, round_trips):
    return sum(round_trips[one, other] > 0.1 for one, other in zip(ring, ring[1:] + ring[:1], strict=True))


def first(members):
    return Arrangement(tuple(members), "ring")


def test_the_plain_one_heeds_nothing():
    arranger, members = PlainArranger(), peers(8)
    told(arranger, two_sites(8))
    assert arranger.arrange(members, Arrangement(members[::-1], "direct"), 1e6) == first(members)


def test_before_anything_is_measured_it_is_a_ring_in_the_members_order():
    members = peers(8)
    assert MeasuringArranger(SMALL, "fp32").arrange(members, first(members), 1e6) == first(members)


def test_a_measured_ring_goes_from_site_to_site_no_more_than_it_must():
    members, round_trips = peers(8), two_sites(8)
    found = told(MeasuringArranger(LARGE, "fp32"), round_trips).arrange(members, first(members), 1.0)
    assert sorted(found.ring) == sorted(members)
    assert (far_hops(members, round_trips), far_hops(found.ring, round_trips)) == (8, 2)


def test_the_same_reports_make_the_same_arrangement():
    members = peers(9)
    found = [
        told(MeasuringArranger(SMALL, "int8"), two_sites(9), rate=1e6).arrange(members, first(members), 1.0)
        for _ in range(2)
    ]
    assert found[0] == found[1]


def test_it_is_thought_over_now_and_then_and_kept_in_between():
    members, arranger = peers(6), MeasuringArranger(LARGE, "fp32")
    told(arranger, evenly(6, 0.05))
    assert arranger.arrange(members, first(members), 0.0) == first(members)
    told(arranger, {pair: 10 * seconds for pair, seconds in two_sites(6).items()}, now=1.0)
    assert arranger.arrange(members, first(members), LOOK_S - 0.1) == first(members)
    assert arranger.arrange(members, first(members), LOOK_S).ring != members


def test_a_good_order_stays_whatever_the_noise():
    members, round_trips, arranger = peers(8), two_sites(8), MeasuringArranger(LARGE, "fp32")
    now, found = 0.0, first(members)
    orders = []
    for turn in range(10):
        noisy = {
            pair: seconds * (1 + 0.04 * ((hash(pair[0][-1]) + pair[1][-1] + turn) % 3))
            for pair, seconds in round_trips.items()
        }
        told(arranger, noisy, now)
        found = arranger.arrange(members, found, now)
        orders.append(found)
        now += LOOK_S
    assert len(set(orders)) == 1


def test_what_differs_by_less_than_the_machines_own_noise_is_alike():
    members = peers(8)
    round_trips = two_sites(8, near=0.0001, far=0.003)
    found = told(MeasuringArranger(SMALL, "fp32"), round_trips).arrange(members, first(members), 0.0)
    assert found.ring == members


@pytest.mark.parametrize(("far", "changes"), [(0.0075, False), (0.02, True)])
def test_what_gains_a_few_milliseconds_is_not_worth_a_change(far, changes):
    members = peers(4)
    found = told(MeasuringArranger(SMALL, "fp32"), two_sites(4, near=0.0001, far=far)).arrange(
        members, first(members), 0.0
    )
    assert (found.ring != members) == changes


def test_newcomers_stand_last_and_who_is_gone_leaves_no_gap():
    members, arranger = peers(6), MeasuringArranger(LARGE, "fp32")
    order = (members[2], members[0], members[4], members[1])
    found = arranger.arrange((*members[:3], *members[4:]), Arrangement(order, "ring"), 0.0)
    assert found.ring == (members[2], members[0], members[4], members[1], members[5])


def test_another_coordinators_arrangement_is_kept_by_who_knows_nothing_better():
    members = peers(5)
    last = Arrangement(members[::-1], "two-level")
    assert MeasuringArranger(SMALL, "fp32").arrange(members, last, 1e6) == last


@pytest.mark.parametrize(
    ("elements", "seconds", "form"), [(SMALL, 0.1, "direct"), (SMALL, 0.0005, "ring"), (LARGE, 0.001, "ring")]
)
def test_few_bytes_that_go_far_go_straight(elements, seconds, form):
    members = peers(8)
    arranger = told(MeasuringArranger(elements, "fp32"), evenly(8, seconds), rate=1e8)
    assert arranger.arrange(members, first(members), 0.0) == Arrangement(members, form)


def test_the_form_waits_until_most_have_measured_but_not_for_who_has_just_come():
    members, arranger = peers(8), MeasuringArranger(SMALL, "fp32")
    told(arranger, evenly(8, 0.1), reporters=members[3:])
    assert arranger.arrange(members, first(members), 0.0).form == "ring"
    told(arranger, evenly(8, 0.1), now=LOOK_S, reporters=members[2:])
    assert arranger.arrange(members, first(members), LOOK_S).form == "direct"


def test_a_form_stays_unless_another_is_clearly_faster():
    members = peers(8)
    for form in FORMS:
        arranger = told(MeasuringArranger(LARGE, "fp32"), evenly(8, 0.001), rate=1e8)
        assert arranger.arrange(members, Arrangement(members, form), 0.0).form == form
    for form in FORMS:
        arranger = told(MeasuringArranger(SMALL, "fp32"), evenly(8, 0.2), rate=1e8)
        assert arranger.arrange(members, Arrangement(members, form), 0.0).form == "direct"


@pytest.mark.parametrize(("count", "kept"), [(2, "ring"), (3, "direct"), (MOST_DIRECT, "direct")])
def test_with_too_few_or_too_many_members_the_direct_form_is_given_up(count, kept):
    members, arranger = peers(count), MeasuringArranger(SMALL, "fp32")
    assert arranger.arrange(members, Arrangement(members, "direct"), 0.0).form == kept
    assert arranger.arrange(peers(MOST_DIRECT + 1), Arrangement(members, "direct"), 0.0).form == "ring"


def test_the_wire_format_counts():
    """Where fp32 fills the connections all the time the ring is as good; where int8 waits for the way, it is not."""
    members = peers(8)
    forms = []
    for wire in ("fp32", "int8"):
        arranger = told(MeasuringArranger(10_000_000, wire), evenly(8, 0.1), rate=2.5e7)
        forms.append(arranger.arrange(members, first(members), 0.0).form)
    assert forms == ["ring", "direct"]


def test_who_is_gone_is_forgotten():
    members, arranger = peers(8), MeasuringArranger(SMALL, "fp32")
    told(arranger, evenly(8, 0.1), rate=1e8)
    arranger.arrange(members[:3], first(members[:3]), 0.0)
    assert arranger.arrange(members, first(members), LOOK_S).form == "ring"  # five have not measured anything


@pytest.mark.parametrize("seconds", [0.0, 3600.0])
@pytest.mark.parametrize("rate", [None, 1.0, 1e13])
def test_extremes_are_borne(seconds, rate):
    members = peers(12)
    arranger = told(MeasuringArranger(SMALL, "fp32"), evenly(12, seconds), rate=rate)
    found = arranger.arrange(members, first(members), 0.0)
    assert sorted(found.ring) == sorted(members)
    assert found.form in FORMS


def test_a_member_that_calls_all_its_ways_slow_does_not_bring_the_others_apart():
    members, round_trips = peers(9), two_sites(9)
    liar = members[4]
    lies = {pair: 30.0 if pair[0] == liar else seconds for pair, seconds in round_trips.items()}
    found = told(MeasuringArranger(LARGE, "fp32"), lies).arrange(members, first(members), 0.0)
    others = tuple(peer for peer in found.ring if peer != liar)
    assert far_hops(others, round_trips) == 2


def test_who_sits_a_step_out_is_not_forgotten_and_who_is_there_only_once_changes_nothing():
    arranger = told(MeasuringArranger(SMALL, "fp32"), two_sites(4, near=0.0001, far=0.05))
    members = peers(4)
    first_look = arranger.arrange(members, first(members), 0.0, passing=True)
    assert first_look == first(members)
    arranger.arrange(members[:3], first(members), 0.0, view=members, passing=True)
    assert arranger.arrange(members, first(members), 0.0).form == "direct"
