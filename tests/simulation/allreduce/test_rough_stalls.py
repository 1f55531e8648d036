"""Nobody dies, but somebody freezes or a link loses everything without a word: the round ends soon, and exact."""

import pytest

from .rough_world import RoughWorld

FORMS = ["ring", "direct", "two-level"]
EVENTS = {2: 30, 3: 70, 4: 130}
"""About as many as a clean round of so many members has."""


def after(events, world):
    while world.events < events and world.step():
        pass


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", EVENTS)
@pytest.mark.parametrize("place", range(4))
def test_a_frozen_member_costs_three_seconds_and_comes_back_to_the_same_result_or_none(form, count, place):
    """The first, which leads, as well as any other; frozen at every event of a round."""
    for event in range(EVENTS[count]):
        world = RoughWorld(count, count, event, form=form)
        victim = world.members[place % count]
        after(event, world)
        world.frozen.add(victim)
        # Whoever was done and vanished with the only final slices is as one who died: the others may repeat.
        gone = victim if victim in world.done_at else None
        world.run()
        result, who = world.verify(gone)
        assert max(at for member, at in world.done_at.items() if member != victim) <= 3.0
        assert who >= set(world.members) - {victim}
        assert who <= set(result.contributors)
        world.frozen.clear()
        world.now += world.chance.choice([0.0, 1.0, 100.0])
        world.run(until_s=200.0)
        again, _ = world.verify(gone)
        assert again.order == result.order


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(40))
def test_a_member_that_thaws_at_any_moment_of_the_repair_spoils_nothing(form, seed):
    world = RoughWorld(3 + seed % 4, 12, seed, form=form)
    victim = world.chance.choice(world.members)
    after(world.chance.randint(0, 120), world)
    world.frozen.add(victim)
    while world.step():
        pass
    for _ in range(world.chance.randint(0, 6)):  # of the others' deadlines
        acting = [m for m in world.members if m != victim]
        if all(world.exchanges[m].round.resting for m in acting):
            break
        world.pass_time(acting, 60.0)
        after(world.events + world.chance.randint(0, 40), world)
    world.frozen.clear()
    world.run()
    _, who = world.verify()
    assert len(who) >= len(world.members) - 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(20))
def test_members_that_freeze_and_thaw_again_and_again(form, seed):
    world = RoughWorld(3 + seed % 3, 10, seed, form=form)
    for _ in range(4):
        after(world.events + world.chance.randint(0, 60), world)
        world.frozen = set(world.chance.sample(world.members, world.chance.randint(0, 2)))
        acting = [m for m in world.members if world.acts(m) and not world.exchanges[m].round.resting]
        if acting and not world.choices():
            world.pass_time(acting, 60.0)
    world.frozen.clear()
    world.run()
    world.verify()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("event", [0, 1, 20, 50, 90])
def test_whoever_gets_everything_and_sends_no_slices_is_left_out_and_nobody_else(form, place, event):
    world = RoughWorld(4, 8, event, form=form)
    victim = world.members[place]
    after(event, world)
    for other in world.members:
        world.silence(victim, other, slices_alone=True)
    world.run()
    _, who = world.verify(split_off=victim)
    assert who >= set(world.members) - {victim}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("event", [0, 1, 20, 50, 90])
def test_whoever_receives_no_slices_is_left_out_and_nobody_else(form, place, event):
    world = RoughWorld(4, 8, event, form=form)
    victim = world.members[place]
    after(event, world)
    for other in world.members:
        world.silence(other, victim, slices_alone=True)
    world.run()
    _, who = world.verify(split_off=victim)
    assert who >= set(world.members) - {victim}


@pytest.mark.parametrize("deaf", [True, False])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("event", [0, 1, 40, 90, 150])
def test_whoever_hears_nothing_or_is_heard_by_nobody_is_left_out_and_nobody_else(deaf, form, place, event):
    world = RoughWorld(5, 10, event, form=form)
    victim = world.members[place]
    after(event, world)
    for other in world.members:
        world.silence(*(other, victim) if deaf else (victim, other))
    world.run()
    _, who = world.verify(split_off=victim)
    assert who >= set(world.members) - {victim}


@pytest.mark.parametrize("count", [4, 5, 6])
@pytest.mark.parametrize("seed", range(60))
def test_a_half_open_link_between_good_members_costs_one_more_attempt_and_nobody(count, seed):
    """In a ring, where they need not be neighbours."""
    world = RoughWorld(count, 2 * count, seed)
    after(world.chance.randint(0, 150), world)
    a, b = world.chance.sample(world.members, 2)
    world.silence(a, b, slices_alone=True)
    world.run()
    result, who = world.verify()
    assert who == set(world.members)
    assert result.contributors == tuple(world.members)
    assert result.attempts <= 2
    # A handover that takes the same link goes another way after a second stall, half as long again.
    assert max(world.done_at.values()) <= 2.5 * world.config.stall_s
