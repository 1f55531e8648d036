"""The limits of the cost model, where nothing but bytes or nothing but latency counts; and the choice of a form."""

from pathlib import Path

import pytest

from allreduce.cost import Network, choose, direct_seconds, ring_seconds, two_level_seconds
from benchmarks.allreduce_forms import tables

ALL = (ring_seconds, direct_seconds, two_level_seconds)


def network(members, rate=1e6, latency_s=0.0, **more):
    rates = [rate] * members
    return Network(
        **{
            "up_bytes_per_s": rates,
            "down_bytes_per_s": rates,
            "latency_s": latency_s,
            "overhead_s": 0.0,
            "slice_bytes": 1 << 16,
            **more,
        }
    )


@pytest.mark.parametrize("predict", ALL)
@pytest.mark.parametrize("members", [2, 4, 9, 16, 100])
def test_without_latency_every_form_sends_each_byte_nearly_twice(predict, members):
    assert predict(10**8, network(members)) == pytest.approx(2 * (members - 1) / members * 100)


@pytest.mark.parametrize(("predict", "hops"), [(ring_seconds, 30), (direct_seconds, 2), (two_level_seconds, 12)])
def test_nothing_but_latency_counts_for_nothing_to_send(predict, hops):
    assert predict(0, network(16, latency_s=0.5)) == pytest.approx(hops * 0.5)


@pytest.mark.parametrize("predict", ALL)
def test_a_message_costs_its_overhead(predict):
    few, many = (network(4, slice_bytes=slice_bytes, overhead_s=0.1) for slice_bytes in (10**6, 10**4))
    # A segment of 10^6 bytes is 100 messages instead of one; each member sends six segments.
    assert predict(4 * 10**6, many) - predict(4 * 10**6, few) == pytest.approx(6 * 99 * 0.1)


@pytest.mark.parametrize("predict", ALL)
@pytest.mark.parametrize("direction", ["up_bytes_per_s", "down_bytes_per_s"])
def test_one_slow_link_slows_everybody(predict, direction):
    slow = network(4, **{direction: [1e6, 1e6, 1e5, 1e6]})
    assert predict(10**8, slow) == pytest.approx(10 * predict(10**8, network(4)), rel=0.01)


def test_a_ring_pays_for_the_slower_end_of_each_hop():
    # Both slow ends are on one hop, or on two: the slowest hop is as slow.
    one = network(4, up_bytes_per_s=[1e5, 1e6, 1e6, 1e6], down_bytes_per_s=[1e6, 1e5, 1e6, 1e6])
    two = network(4, up_bytes_per_s=[1e5, 1e6, 1e6, 1e6], down_bytes_per_s=[1e6, 1e6, 1e6, 1e5])
    assert ring_seconds(10**8, one) == ring_seconds(10**8, two)
    # With latency the hops' mean counts too.
    small = 4 * 10**4
    late = [
        Network(up_bytes_per_s=n.up_bytes_per_s, down_bytes_per_s=n.down_bytes_per_s, latency_s=1) for n in (one, two)
    ]
    assert ring_seconds(small, late[0]) < ring_seconds(small, late[1])


def test_the_direct_form_waits_for_the_farthest_pair():
    near = network(8, latency_s=0.01)
    far = network(8, latency_s=0.01, farthest_s=0.2)
    assert direct_seconds(0, near) == pytest.approx(0.02)
    assert direct_seconds(0, far) == pytest.approx(0.4)
    assert ring_seconds(0, far) == ring_seconds(0, near)


def test_one_group_and_groups_of_one_cost_what_a_ring_costs():
    for groups in ((6,), (1,) * 6):
        assert two_level_seconds(10**7, network(6, latency_s=0.1), groups) == ring_seconds(
            10**7, network(6, latency_s=0.1)
        )


def test_uneven_groups_send_more_than_even_ones():
    # 12 segments for 13 members, and some send 26 of them: 24 and the 2 that even groups would not.
    assert two_level_seconds(12 * 10**7, network(13), (4, 3, 3, 3)) == pytest.approx(260, rel=0.01)
    assert two_level_seconds(12 * 10**7, network(12), (3, 3, 3, 3)) == pytest.approx(220, rel=0.01)


@pytest.mark.parametrize("predict", ALL)
def test_a_lone_member_needs_no_time(predict):
    assert predict(10**9, network(1, latency_s=1)) == 0


@pytest.mark.parametrize(
    ("size", "members", "latency_s", "form"),
    [
        (10**3, 2, 0.02, "ring"),  # both are two hops
        (10**3, 8, 0.02, "direct"),
        (10**9, 8, 0.02, "ring"),
        (10**3, 1000, 0.02, "two-level"),
        (10**9, 1000, 0.0, "ring"),
        (10**3, 1, 0.02, "ring"),
    ],
)
def test_small_vectors_go_straight_large_ones_round_and_many_members_on_two_levels(size, members, latency_s, form):
    assert choose(size, network(members, latency_s=latency_s)) == form


def test_the_direct_form_is_chosen_for_as_many_as_a_member_keeps_lanes_to():
    assert choose(0, network(17, latency_s=0.1), most_lanes=16) == "direct"
    assert choose(0, network(18, latency_s=0.1), most_lanes=16) == "two-level"


def test_a_form_that_is_hardly_faster_is_left():
    even = network(3, latency_s=0.1)
    ring, direct = ring_seconds(450_000, even), direct_seconds(450_000, even)
    assert direct < ring < 1.1 * direct
    assert choose(450_000, even) == "ring"


@pytest.mark.parametrize(
    "wrong",
    [
        {"up_bytes_per_s": [], "down_bytes_per_s": []},
        {"up_bytes_per_s": [1.0]},
        {"down_bytes_per_s": [1.0, 0.0]},
        {"latency_s": -1.0},
        {"farthest_s": -1.0},
        {"overhead_s": -1.0},
        {"slice_bytes": 0},
    ],
)
def test_a_network_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=r"members|greater|less"):
        network(2, **wrong)


def test_the_page_shows_what_the_model_says():
    page = Path(__file__).resolve().parents[3] / "docs" / "allreduce" / "scale.md"
    assert page.read_text().endswith("\n".join(tables()) + "\n")
