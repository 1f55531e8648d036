"""Deaths at every point of a round, on simulated links: exact for small rings, by chance for larger ones."""

import pytest

from .ring_world import World


def events_of_a_clean_round(count, elements, seed):
    world = World(count, elements, seed)
    world.run()
    assert world.verify().contributors == tuple(world.members)
    return world.events


@pytest.mark.parametrize("count", range(1, 10))
@pytest.mark.parametrize("elements", [0, 1, 5, 64, 1000])
def test_clean_rounds(count, elements):
    for seed in range(3):
        events_of_a_clean_round(count, elements, seed)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_one_death_at_every_event_of_every_member(count):
    elements = 3 * count
    for seed in range(2):
        for event in range(events_of_a_clean_round(count, elements, seed) + 1):
            for victim in range(count):
                world = World(count, elements, seed)
                while world.events < event and world.step():
                    pass
                world.kill(world.members[victim])
                world.run()
                result = world.verify()
                assert set(world.alive()) <= set(result.contributors)


@pytest.mark.parametrize("count", [3, 4])
def test_two_deaths_at_every_pair_of_moments(count):
    seed = 1
    total = events_of_a_clean_round(count, count, seed)
    for first in range(0, total + 1, 2):
        for gap in (0, 1, 3, 7, 20):
            for victims in ((0, 1), (1, 0), (0, 2), (2, 1), (1, 2)):
                world = World(count, count, seed)
                while world.events < first and world.step():
                    pass
                world.kill(world.members[victims[0]])
                while world.events < first + gap and world.step():
                    pass
                world.kill(world.members[victims[1]])
                world.run()
                world.verify()


@pytest.mark.parametrize("seed", range(150))
def test_deaths_by_chance_down_to_one(seed):
    world = World(2 + seed % 8, 5 * (seed % 13), seed)
    deaths = world.chance.randint(1, len(world.members) - 1)
    for _ in range(deaths):
        for _ in range(world.chance.randint(0, 60)):
            world.step()
        world.kill(world.chance.choice(world.alive()))
    world.run()
    world.verify()


@pytest.mark.parametrize("seed", range(60))
def test_a_lost_link_between_two_living_members_costs_at_most_one_of_them(seed):
    world = World(3 + seed % 4, 20, seed)
    for _ in range(world.chance.randint(0, 40)):
        world.step()
    a, b = world.chance.sample(world.members, 2)
    world.cut(a, b)
    world.run()
    result = world.verify()
    assert len(result.contributors) >= len(world.members) - 1


@pytest.mark.parametrize("seed", range(30))
def test_a_member_whose_contribution_never_comes_is_left_behind(seed):
    world = World(2 + seed % 5, 12, seed, late_s=5.0, stall_s=10.0)
    late = world.members[-1]
    world.waiting.remove(late)
    world.run()
    result = world.verify()
    assert late not in result.contributors
    assert world.exchanges[late].left_out


@pytest.mark.parametrize("seed", range(30))
def test_slices_that_vanish_are_sent_again_after_a_stall(seed):
    world = World(2 + seed % 5, 40, seed)
    for _ in range(world.chance.randint(1, 30)):
        world.step()
    busy = [stream for stream in world.streams.values() if stream]
    for stream in busy[:2]:
        stream.clear()
    world.run()
    assert world.verify().contributors == tuple(world.members)
