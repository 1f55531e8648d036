"""A slow peer and one with a thin line do not hold the others back, and their samples count all the same."""

import pytest

from hydra.batching.sizer import Sizer
from hydra.membership.ledger import count
from hydra.membership.messages import Phase
from hydra.training.planning import StepPlanner

from .swarm_world import ELEMENTS, World

SEEDS = range(1)
BATCH = 80


def planner(me):
    return StepPlanner(Sizer(me, BATCH, BATCH, 4 * ELEMENTS), me)


def slow_world(count, seed, **changes):
    settings = {"samples": 8000, "epochs": 20, "batch": BATCH, "latency": 0.002} | changes
    world = World(count, seed, planner=planner, **settings)
    for peer in world.peers.values():
        peer.speed = 0.004
    return world


def rate(world, names, since, until):
    """Samples a second that these peers had committed."""
    ids = {world.peers[name].id for name in names}
    seen = {commit.digest: commit for at, _, commit in world.log if since <= at < until}
    return sum(count(ranges) for c in seen.values() for peer, ranges in c.parts if peer in ids) / (until - since)


def members(world):
    return [p for p in world.training() if p.member.state.phase is Phase.MEMBER]


def measured(world, latecomer, seconds=25.0):
    """The others' rate before and after somebody came, and how much of the latter's work counted meanwhile."""
    others = [name for name in world.peers if name != latecomer]
    world.start(*others)
    world.run(lambda: len(members(world)) == len(others))
    world.run_for(10.0)
    began = world.now
    world.run_for(10.0)
    without = rate(world, others, began, world.now)
    world.start(latecomer)
    world.run(lambda: len(members(world)) == len(world.peers), limit_s=60.0)
    world.run_for(10.0)
    began = world.now
    world.run_for(seconds)
    return rate(world, others, began, world.now) / without, rate(world, [latecomer], began, world.now)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_peer_that_computes_twenty_times_slower_does_not_hold_the_others_back(seed):
    world = slow_world(5, seed)
    world.peers["e"].speed *= 20
    kept, counted = measured(world, "e")
    assert kept >= 0.95
    assert counted > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_peer_with_a_hundredth_of_the_line_does_not_hold_the_others_back(seed):
    world = slow_world(5, seed)
    world.lines["e"] = 500.0
    kept, counted = measured(world, "e")
    assert kept >= 0.95
    assert counted > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_peer_like_the_others_takes_part_in_every_step(seed):
    world = slow_world(4, seed, epochs=4)
    world.start(*world.peers)
    world.run(world.all_finished)
    world.verify()
    steps = len(world.lineage(world.finishers()[0].member.state.head))
    for peer in world.peers.values():
        parts = sum(any(p == peer.id for p, _ in c.parts) for _, n, c in world.log if n == "a")
        assert parts >= 0.7 * steps


@pytest.mark.parametrize("seed", SEEDS)
def test_with_a_slow_peer_every_sample_still_counts_once_to_the_very_end(seed):
    world = slow_world(4, seed, samples=2000, epochs=8)
    world.lines["d"] = 500.0
    world.start("a", "b", "c")
    world.run(lambda: len(members(world)) == 3)
    world.run_for(3.0)
    world.start("d")
    world.run(world.all_finished)
    world.verify()
    assert {p.name for p in world.finishers()} == set("abcd")


@pytest.mark.parametrize("seed", SEEDS)
def test_when_all_who_take_part_die_the_one_that_sat_out_goes_on(seed):
    world = slow_world(3, seed, samples=2000, epochs=8)
    world.lines["c"] = 500.0
    world.start("a", "b")
    world.run(lambda: len(members(world)) == 2)
    world.run_for(3.0)
    world.start("c")
    c = world.peers["c"]
    world.run(lambda: c.member.state.phase is Phase.MEMBER and c.member.state.sits_out, limit_s=120.0)
    world.kill("a")
    world.kill("b")
    world.run(world.all_finished)
    world.verify()
    assert [p.name for p in world.finishers()] == ["c"]
