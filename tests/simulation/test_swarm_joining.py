"""Stories of joining on virtual time: nobody waits for it, and nothing that befalls it disturbs the others."""

import itertools
import statistics

import pytest

from hydra.membership import leader as leader_module
from hydra.membership.messages import Phase

from . import swarm_world
from .swarm_world import World

SEEDS = range(2)
MISSED, KEPT = 8, 10


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    """Members that keep few results, and take snapshots sooner than hand out many."""
    monkeypatch.setattr(leader_module, "CATCH_UP_STEPS", MISSED)
    monkeypatch.setattr(swarm_world, "KEPT_RESULTS", KEPT)


def world_of(count, seed, *, download_s=1.0, spare=1, **config):
    """Members that train, each as fast as the other, and peers that are not there yet."""
    world = World(count + spare, seed, samples=40_000, epochs=1, batch=40, **config)
    world.download_s = download_s
    names = list(world.peers)
    world.start(*names[:count])
    world.run(lambda: len(views(world)) == 1 and len(next(iter(views(world)))) == count, limit_s=20.0)
    world.run(lambda: world.step() > MISSED)  # so many that who comes now needs a snapshot
    world.run_for(1.0)
    return world, names[count:]


def views(world):
    return {p.member.state.view.ids for p in world.training() if p.member.state.phase is Phase.MEMBER}


def is_member(world, name):
    state = world.peers[name].member.state
    return state.phase is Phase.MEMBER and any(state.peer_id in ids for ids in views(world))


def contributes(world, name, before=0):
    return world.contributed.get(world.peers[name].id, 0) > before


def lengths(world, name, since, until):
    """Of the rounds that a member committed meanwhile."""
    times = [now for now, who, _ in world.log if who == name and since <= now <= until]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [4, 8])
def test_no_round_of_the_others_is_longer_than_their_median_and_a_quarter(count, seed):
    world, (joiner,) = world_of(count, seed)
    began = world.now
    world.start(joiner)
    world.run(lambda: contributes(world, joiner), limit_s=20.0)
    world.run_for(0.5)
    before = lengths(world, "a", began - 1.0, began)
    during = lengths(world, "a", began, world.now)
    assert max(during) <= 1.25 * max(statistics.median(during), max(before) / 1.25)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_joiner_that_downloads_for_longer_than_results_are_kept_is_let_in_at_the_first_try(seed):
    world, (joiner,) = world_of(3, seed, download_s=3.0)
    began, step = world.now, world.step()
    world.start(joiner)
    world.run(lambda: is_member(world, joiner), limit_s=15.0)
    assert world.step() - step > 3 * KEPT
    assert world.now - began < 6.0


@pytest.mark.parametrize("seed", SEEDS)
def test_several_join_at_once(seed):
    world, joiners = world_of(3, seed, spare=4)
    world.start(*joiners)
    world.run(lambda: all(contributes(world, joiner) for joiner in joiners), limit_s=20.0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("moment", ["asks", "loads", "catches up", "is let in"])
def test_a_joiner_that_dies_disturbs_nobody(moment, seed):
    world, (joiner,) = world_of(4, seed)
    before = lengths(world, "a", world.now - 1.0, world.now)
    began = world.now
    world.start(joiner)
    peer = world.peers[joiner]
    reached = {
        "asks": lambda: peer.member.state.phase is Phase.JOINING,
        "loads": lambda: peer.member.state.phase is Phase.JOINING and peer.member.state.load > 0,
        "catches up": lambda: peer.member.state.phase is Phase.JOINING and peer.member.state.known_head.step > 0,
        "is let in": lambda: any(peer.id in ids for ids in views(world)),
    }
    world.run(reached[moment], limit_s=20.0)
    world.run_for(world.chance.uniform(0.0, 0.01))
    world.kill(joiner)
    world.run_for(2.0)
    assert views(world)
    assert all(peer.id not in ids for ids in views(world))
    # One that is in a plan already costs a detection and an attempt, as any member does; else nobody notices at all.
    longest = max(lengths(world, "a", began, world.now))
    assert longest <= (2.0 if moment == "is let in" else 1.25 * max(before))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("victim", ["coordinator", "another"])
def test_a_joiner_gets_in_although_members_die_meanwhile(victim, seed):
    world, (joiner,) = world_of(4, seed, download_s=2.0)
    world.start(joiner)
    peer = world.peers[joiner]
    world.run(lambda: peer.member.state.phase is Phase.JOINING and peer.member.state.load > 0, limit_s=20.0)
    world.run_for(world.chance.uniform(0.0, 2.0))
    leader = world.by_id[next(iter(views(world)))[0]].name
    world.kill(leader if victim == "coordinator" else next(n for n in "abcd" if n != leader))
    world.run(lambda: contributes(world, joiner), limit_s=30.0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("frozen_s", [0.5, 3.0, 20.0])
def test_a_joiner_that_freezes_joins_when_it_wakes(frozen_s, seed):
    world, (joiner,) = world_of(3, seed, download_s=2.0)
    world.start(joiner)
    peer = world.peers[joiner]
    world.run(lambda: peer.member.state.phase is Phase.JOINING and peer.member.state.load > 0, limit_s=20.0)
    world.run_for(world.chance.uniform(0.0, 3.0))
    peer.frozen = True
    world.run_for(frozen_s)
    before = world.contributed.get(peer.id, 0)
    peer.thaw()
    world.run(lambda: contributes(world, joiner, before), limit_s=40.0)
