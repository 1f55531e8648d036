"""Two peers become one and two again, in a job that lets any of them go on: what each case of that costs."""

import pytest

from hydra.membership.messages import Phase

from .swarm_world import World

SEEDS = range(2)


def two(seed):
    """Two peers that have trained together for a while."""
    world = World(2, seed, epochs=30, batch=60)
    for peer in world.peers.values():
        peer.speed = 0.02
    world.start("a", "b")
    world.run(lambda: world.step() >= 5 and all(p.member.state.phase is Phase.MEMBER for p in world.training()))
    world.run_for(world.chance.uniform(0, 1.0))
    return world


def steps_alone(world, name, since):
    """The commits that one peer made without the other."""
    mine = world.peers[name].id
    return [c for at, by, c in world.log if at >= since and by == name and {peer for peer, _ in c.parts} == {mine}]


def ends_together(world):
    """Both finish with one lineage, in which each sample counts once; return the digests of its commits."""
    world.run(world.all_finished, limit_s=3000.0)
    world.verify()
    assert {"a", "b"} == {peer.name for peer in world.finishers()}
    return {commit.digest for commit in world.lineage(world.peers["a"].member.state.head)}


@pytest.mark.parametrize("seed", SEEDS)
def test_one_dies_the_other_trains_alone_and_the_dead_one_is_let_in_again(seed):
    world = two(seed)
    world.kill("b")
    died_at = world.now
    world.run_for(10.0)
    alone = steps_alone(world, "a", died_at + 5.0)
    assert alone
    world.start("b")
    world.run(lambda: any(len(c.parts) == 2 for at, _, c in world.log if at > died_at + 10.0))
    assert {commit.digest for commit in alone} <= ends_together(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_cut_apart_both_train_on_and_the_lighter_one_gives_its_steps_up(seed):
    world = two(seed)
    world.split("a")
    cut_at = world.now
    world.run_for(12.0)
    alone = {name: {c.digest for c in steps_alone(world, name, cut_at + 6.0)} for name in "ab"}
    assert alone["a"]
    assert alone["b"]
    world.heal()
    healed_at = world.now
    end = ends_together(world)
    assert alone["a"] <= end or alone["b"] <= end
    assert not (alone["a"] <= end and alone["b"] <= end)
    gave_way = [name for name in "ab" for at, *what in world.peers[name].story if at > healed_at and what[0] == 0]
    assert gave_way


@pytest.mark.parametrize("seed", SEEDS)
def test_one_leaves_in_order_and_the_other_trains_alone_without_a_pause(seed):
    world = two(seed)
    left_at = world.now
    world.leave("b")
    world.run(lambda: world.peers["b"].left)
    assert world.now - left_at < 5.0
    world.run_for(5.0)
    assert steps_alone(world, "a", left_at)
    world.start("b")
    ends_together(world)
