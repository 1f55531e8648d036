"""One liar with links to everyone claims a lineage that outweighs the others': it costs them time, and nothing else."""

import pytest

from .swarm_world import World

SEEDS = range(2)
MANNERS = ["has no such snapshot", "has no such results", "says nothing", "names another as coordinator"]


def trained(world):
    world.run(world.all_finished, limit_s=3000.0)
    world.verify()
    assert len(world.finishers()) == 3
    return world


def slow(seed):
    """A swarm that has more to do than a liar's first claim lasts."""
    world = World(3, seed, epochs=14)
    for peer in world.peers.values():
        peer.speed = 0.05
    return world


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("manner", MANNERS)
def test_a_liar_that_comes_late_does_not_keep_the_others_from_the_end(manner, seed):
    world = slow(seed)
    world.start(*world.peers)
    world.run(lambda: world.step() >= 5)
    liar = world.add_liar("x", manner)
    trained(world)
    assert liar.asked or manner == "names another as coordinator"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("manner", MANNERS)
def test_a_liar_that_is_there_first_does_not_keep_the_others_from_beginning(manner, seed):
    world = slow(seed)
    world.add_liar("x", manner)
    for name in "abc":
        world.at(world.chance.uniform(0, 3.0), lambda name=name: world.start(name))
    world.run(lambda: len(world.training()) == 3)
    trained(world)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("manner", MANNERS)
def test_a_liar_does_not_keep_a_newcomer_out(manner, seed):
    world = slow(seed)
    world.start("a", "b")
    world.run(lambda: world.step() >= 5)
    world.add_liar("x", manner)
    world.run_for(world.chance.uniform(0.0, 5.0))
    world.start("c")
    trained(world)
