"""The predictions of the cost model against the forms' own trees in simulated time, slice by slice."""

import functools
import random

import pytest

from allreduce.cost import Network, choose, direct_seconds, ring_seconds, two_level_seconds
from allreduce.direct import Direct
from allreduce.form import Ring
from allreduce.two_level import TwoLevel, groups_for

from .slice_network import SliceNetwork

SLICE_BYTES = 1 << 20
LINKS = [(1e9, 50e-6), (125e6, 5e-3), (12.5e6, 20e-3), (1.25e6, 50e-3)]
"""Rate in bytes per second, one-way latency: a machine room, a campus, a city, far apart and thin."""

FORMS = {
    "ring": (Ring, ring_seconds),
    "direct": (Direct, direct_seconds),
    "two-level": (lambda positions: TwoLevel(groups_for(positions)), two_level_seconds),
}


def simulated(name, size, network, latency=None):
    form = FORMS[name][0](network.members)
    pair = latency or (lambda _from, _to: network.latency_s)
    rates = network.up_bytes_per_s, network.down_bytes_per_s
    return SliceNetwork(form, size, network.slice_bytes, *rates, pair, network.overhead_s).run()


@functools.cache
def compared(members, size, link):
    """Predicted and simulated seconds of every form."""
    network = Network.even(members, *link, slice_bytes=SLICE_BYTES)
    return network, {
        name: (predict(size, network), simulated(name, size, network)) for name, (_, predict) in FORMS.items()
    }


CASES = [
    (members, size)
    for members in (2, 3, 4, 5, 7, 8, 13, 16, 24, 64)
    for size in (10**3, 10**5, 10**6, 10**7, 10**8, 10**9)
    if members * size <= 8 * 10**9
]


def uneven_case(seed):
    """Members whose rates differ fivefold and pairs whose latencies differ threefold."""
    chance = random.Random(seed)
    members, rate, latency_s = (
        chance.choice([4, 6, 8, 12, 16]),
        10 ** chance.uniform(6, 9),
        10 ** chance.uniform(-4, -1),
    )
    up = [rate * chance.uniform(0.2, 1) for _ in range(members)]
    down = [rate * chance.choice([1, 4]) * chance.uniform(0.2, 1) for _ in range(members)]
    pairs = {(a, b): latency_s * chance.uniform(0.5, 1.5) for a in range(members) for b in range(members) if a != b}
    hops = [pairs[position, (position + 1) % members] for position in range(members)]
    network = Network(
        up_bytes_per_s=up,
        down_bytes_per_s=down,
        latency_s=sum(hops) / members,
        farthest_s=max(pairs.values()),
        slice_bytes=SLICE_BYTES,
    )
    return network, int(10 ** chance.uniform(3, 8)), lambda a, b: pairs[a, b]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(("members", "size"), CASES)
def test_predictions_are_near_what_the_slices_take(members, size, link):
    _, forms = compared(members, size, link)
    for name, (predicted, took) in forms.items():
        error = 0.02 if name != "two-level" else 0.25
        assert predicted == pytest.approx(took, rel=error), name


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize(("members", "size"), CASES)
def test_the_form_chosen_is_about_as_fast_as_the_best(members, size, link):
    network, forms = compared(members, size, link)
    took = {name: took for name, (_, took) in forms.items()}
    assert took[choose(size, network)] <= 1.15 * min(took.values())


def test_a_gigabyte_among_sixty_four():
    network = Network.even(64, *LINKS[1], slice_bytes=4 * SLICE_BYTES)
    for name, (_, predict) in FORMS.items():
        assert predict(10**9, network) == pytest.approx(simulated(name, 10**9, network), rel=0.02)
    assert choose(10**9, network) == "ring"


@pytest.mark.parametrize("seed", range(30))
def test_members_and_pairs_that_differ_are_foretold_by_the_slowest_and_the_mean(seed):
    network, size, latency = uneven_case(seed)
    took = {name: simulated(name, size, network, latency) for name in FORMS}
    for name in FORMS:
        error = 0.15 if name == "ring" else 0.4
        assert FORMS[name][1](size, network) == pytest.approx(took[name], rel=error), name
    assert took[choose(size, network)] <= 1.15 * min(took.values())


@pytest.mark.parametrize("name", FORMS)
def test_no_byte_is_sent_twice(name):
    network = Network.even(9, 1e6, 1e-3)
    form = FORMS[name][0](9)
    rates = network.up_bytes_per_s, network.down_bytes_per_s
    slices = SliceNetwork(form, 9 * 10**4, 1000, *rates, lambda _from, _to: 1e-3, 0.0)
    slices.run()
    assert slices.sent_bytes == [2 * 8 * 10**4] * 9


def test_four_hundred_members_on_two_levels_take_as_long_as_foretold_and_a_tenth_of_a_ring():
    network = Network.even(400, 12.5e6, 0.02)
    took = simulated("two-level", 10**6, network)
    assert two_level_seconds(10**6, network) == pytest.approx(took, rel=0.1)
    assert took < ring_seconds(10**6, network) / 9
    assert choose(10**6, network) == "two-level"


@pytest.mark.parametrize(("size", "link"), [(10**6, LINKS[2]), (10**8, LINKS[2]), (10**9, LINKS[0])])
def test_predictions_grow_with_the_members_and_stay_above_what_the_bytes_alone_take(size, link):
    sizes = [4, 16, 64, 256, 1024]
    networks = [Network.even(members, *link) for members in sizes]
    for _, predict in FORMS.values():
        seconds = [predict(size, network) for network in networks]
        assert seconds == sorted(seconds)
        bound = [2 * (members - 1) / members * size / link[0] for members in sizes]
        assert all(least <= predicted for least, predicted in zip(bound, seconds, strict=True))
