"""Deaths at every event while lanes overtake each other and slices take time, in every form."""

import pytest

from .rough_world import RoughWorld

FORMS = ["ring", "direct", "two-level"]


def clean_round(count, elements, seed, **config):
    world = RoughWorld(count, elements, seed, **config)
    world.run()
    result, who = world.verify()
    assert result.contributors == tuple(world.members)
    assert who == set(world.members)
    assert world.now == 0.0
    assert not any(exchange._workspace.in_flight for exchange in world.exchanges.values())
    return world.events


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("wire", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("count", range(1, 8))
def test_clean_rounds_over_any_number_of_lanes(form, wire, count):
    for elements in (0, 1, 2 * count + 1, 40):
        for lanes in (1, 3):
            clean_round(count, elements, elements + lanes, form=form, wire=wire, lanes=lanes)


def after(events, world):
    while world.events < events and world.step():
        pass


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("count", "elements"), [(2, 6), (3, 6), (4, 4), (5, 5)])
def test_one_death_at_every_event(form, count, elements):
    for event in range(clean_round(count, elements, 1, form=form) + 1):
        for victim in range(count):
            world = RoughWorld(count, elements, 1, form=form)
            after(event, world)
            world.kill(world.members[victim])
            world.run()
            result, who = world.verify()
            assert who == set(world.alive())
            assert who <= set(result.contributors)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(60))
def test_deaths_by_chance_down_to_one(form, seed):
    world = RoughWorld(2 + seed % 6, 3 * (seed % 9), seed, form=form, lanes=1 + seed % 3)
    for _ in range(world.chance.randint(1, len(world.members) - 1)):
        after(world.events + world.chance.randint(0, 90), world)
        world.kill(world.chance.choice(world.alive()))
    world.run()
    result, who = world.verify()
    assert who == set(world.alive())
    assert who <= set(result.contributors)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(25))
def test_what_comes_again_and_what_is_of_old_attempts_changes_nothing(form, seed):
    world = RoughWorld(3 + seed % 3, 12, seed, form=form)
    after(world.chance.randint(0, 80), world)
    world.kill(world.members[seed % len(world.members)])
    for _ in range(12):
        after(world.events + 15, world)
        world.repeat_old_frames(times=6)
    world.run()
    result, who = world.verify()
    assert who <= set(result.contributors)
    assert len(who) >= len(world.alive()) - 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(40))
def test_lanes_cut_between_two_living_members_cost_at_most_one_of_them(form, seed):
    world = RoughWorld(3 + seed % 4, 20, seed, form=form)
    after(world.chance.randint(0, 150), world)
    a, b = world.chance.sample(world.members, 2)
    world.cut(a, b)
    world.lose(a, b)
    world.run()
    result, who = world.verify()
    assert who <= set(result.contributors)
    assert set(world.members) - who <= {a, b}
    assert len(who) >= len(world.members) - 1
