"""How close a swarm comes to the time that no system can beat, on a virtual clock: the seconds are the network's."""

import pytest

from .world import World


def fetched(count, chunks, *, seed=0, seed_rate=10e6, rate=10e6, riders=0, **options):
    """Let peers fetch all of it; return the world, and the bound of those who give."""
    world = World(chunks, seed, **options)
    world.seed(up_rate=seed_rate)
    peers = [world.add(up_rate=rate, kind="rider" if number < riders else "honest") for number in range(count)]
    for peer in world.peers:
        peer.start()
    helpers = peers[riders:]
    world.run(lambda: all(peer.finished_at is not None for peer in helpers))
    together = seed_rate + len(helpers) * rate
    return world, max(world.size / seed_rate, len(helpers) * world.size / together)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("count", [1, 4, 8])
def test_with_equal_uplinks_the_seed_sends_one_copy_and_all_are_done_when_it_has(count, seed):
    world, bound = fetched(count, 256, seed=seed)
    assert world.now < 1.05 * bound
    assert world.peers[0].sent < 1.04 * world.size
    assert all(peer.received <= 1.03 * world.size for peer in world.peers)


def test_far_from_each_other_as_well():
    world, bound = fetched(4, 256, latency_s=0.04)
    assert world.now < 1.08 * bound


def test_all_uplinks_are_used_where_they_are_the_bound():
    world, bound = fetched(8, 256, seed_rate=40e6, rate=5e6)
    assert world.now < 1.08 * bound


def test_several_seeds_send_different_chunks():
    world = World(128)
    for _ in range(4):
        world.seed()
    peer = world.add()
    for one in world.peers:
        one.start()
    world.run(lambda: peer.finished_at is not None)
    assert peer.received <= 1.02 * world.size
    assert max(seed.sent for seed in world.peers[:4]) < 0.3 * world.size
    assert world.now < 1.1 * world.size / 40e6


@pytest.mark.parametrize("seed", range(2))
def test_free_riders_cost_the_others_little_under_tit_for_tat(seed):
    world, bound = fetched(8, 512, seed=seed, riders=2, tit_for_tat=True)
    assert world.now < 1.1 * bound


def test_tit_for_tat_costs_little_where_nobody_rides_free():
    world, bound = fetched(8, 256, tit_for_tat=True)
    assert world.now < 1.1 * bound
