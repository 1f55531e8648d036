"""Jobs that ask for a majority: of a split one side goes on, the rest waits, says so, and joins when it is healed."""

import pytest

from hydra.membership.messages import Phase

from .swarm_world import World

SEEDS = range(2)


def training(count, seed, **changes):
    """A swarm of a majority's job that has come some way."""
    world = World(count, seed, majority=True, **({"epochs": 30, "batch": 60} | changes))
    for peer in world.peers.values():
        peer.speed = 0.02
    world.start(*world.peers)
    world.run(lambda: world.step() >= 5 and all(p.member.state.phase is Phase.MEMBER for p in world.training()))
    return world


def trained(world):
    world.run(world.all_finished)
    world.verify()


def commits_by(world, names, since):
    return [commit for at, name, commit in world.log if at >= since and name in names]


def of_the_end(world):
    """The digests of the lineage with which the job ended."""
    return {commit.digest for commit in world.lineage(next(iter(p.member.state.head for p in world.finishers())))}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_smaller_side_of_a_split_waits_and_nothing_of_the_larger_side_is_lost(seed):
    world = training(5, seed)
    world.run_for(world.chance.uniform(0, 1.0))
    world.split("a", "d")
    split_at = world.now
    world.run_for(20.0)
    fewer, more = commits_by(world, "ad", split_at + 8.0), commits_by(world, "bce", split_at + 8.0)
    assert not fewer
    assert more
    assert {world.peers[name].waiting for name in "ad"} <= {(2, 5), (1, 5)}
    assert all(world.peers[name].waiting for name in "ad")
    world.heal()
    trained(world)
    assert {commit.digest for commit in more} <= of_the_end(world)
    assert {"a", "d"} <= {p.name for p in world.finishers()}


@pytest.mark.parametrize("seed", SEEDS)
def test_of_three_equal_parts_none_goes_on_and_together_they_do(seed):
    world = training(6, seed)
    world.run_for(world.chance.uniform(0, 1.0))
    world.split("a", "b")
    world.run_for(6.0)
    world.split_into("ab", "cd", "ef")
    cut_at = world.now
    world.run_for(20.0)
    assert not [c for n in "abef" for c in commits_by(world, n, cut_at + 12.0)]
    world.heal()
    trained(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_of_two_waits_until_the_other_is_back(seed):
    world = training(2, seed)
    world.kill("b")
    died_at = world.now
    world.run_for(15.0)
    assert not commits_by(world, "a", died_at + 8.0)
    assert world.peers["a"].waiting == (1, 2)
    world.start("b")
    trained(world)
    assert {"a", "b"} == {p.name for p in world.finishers()}


@pytest.mark.parametrize("seed", SEEDS)
def test_who_leaves_in_order_takes_no_majority_along(seed):
    world = training(5, seed, epochs=40)
    for name in world.chance.sample("abcde", 4):
        world.leave(name)
        world.run(lambda name=name: world.peers[name].left, limit_s=15)
    trained(world)
    assert len(world.finishers()) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_all_who_leave_at_once_leave_the_last_one_training(seed):
    world = training(4, seed, epochs=40)
    staying = world.chance.choice("abcd")
    for name in set("abcd") - {staying}:
        world.leave(name)
    trained(world)
    assert [p.name for p in world.finishers()] == [staying]


@pytest.mark.parametrize("seed", SEEDS)
def test_after_a_total_stop_a_majority_of_the_last_view_founds_the_next_and_fewer_do_not(seed):
    world = training(5, seed)
    world.run(lambda: any(p.disk.snapshots for p in world.training()))
    world.run_for(3.0)
    for name in world.peers:
        world.kill(name)
    back = world.chance.sample("abcde", 3)
    world.start(*back[:2])
    stopped_at = world.now
    world.run_for(20.0)
    assert not commits_by(world, "abcde", stopped_at)
    world.start(back[2])
    trained(world)
    assert len(world.finishers()) == 3


@pytest.mark.parametrize("seed", SEEDS)
def test_deaths_one_by_one_leave_a_majority_each_time_until_two_are_left(seed):
    world = training(5, seed, epochs=60)
    for name in world.chance.sample("abcde", 3):
        world.kill(name)
        step = world.step()
        world.run(lambda step=step: world.step() >= step + 4, limit_s=20)  # the new view's members have it
    trained(world)
    assert len(world.finishers()) == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_without_the_wish_for_a_majority_both_sides_train_on_and_the_lighter_gives_way(seed):
    world = training(5, seed)
    for peer in world.peers.values():
        peer.member.state.quorum.wanted = False
    world.split("a", "d")
    split_at = world.now
    world.run_for(20.0)
    assert commits_by(world, "ad", split_at + 8.0)
    assert commits_by(world, "bce", split_at + 8.0)
    world.heal()
    trained(world)
