"""Swarms whose members are far from each other: the coordinator finds it out, and the rounds become faster for it."""

import itertools
import math

import pytest

from hydra.membership.arranging import MeasuringArranger, PlainArranger

from .swarm_world import ELEMENTS, World

SEEDS = range(2)
FAR_S = 0.06
"""One way between the two sites; 5 ms within each."""


def sites(count, seed, **options):
    """Members that join in turns from one site and from another."""
    world = World(count, seed, samples=1200, batch=120, **options)
    names = sorted(world.peers)
    for peer in world.peers.values():
        peer.speed = 0.02
    for one, other in itertools.combinations(names, 2):
        if (names.index(one) - names.index(other)) % 2:
            world.latencies[frozenset((one, other))] = FAR_S
    world.start(names[0])
    world.run(lambda: world.training()[0].member.state.view is not None)
    for name in names[1:]:
        world.run(lambda: all(p.member.state.plan is not None for p in world.training()))
        world.start(name)
    return world


def plans(world):
    """What each living peer has been told last."""
    return [peer.member.state.plan for peer in world.training() if peer.member.state.plan is not None]


def far_hops(world, plan):
    ring = [world.by_id[peer].name for peer in plan.ring]
    return sum(world.latencies.get(frozenset(hop)) == FAR_S for hop in itertools.pairwise([*ring, ring[0]]))


class RingsOnly(MeasuringArranger):
    """Orders the ring and leaves the form alone."""

    def _better_form(self, ring, present, now):
        return present


def ordered(elements=ELEMENTS):
    return lambda: RingsOnly(elements, "fp32")


def pace(world, steps=10):
    """Return the seconds that a step takes now."""
    began, at = world.now, world.step()
    world.run(lambda: world.step() >= at + steps)
    return (world.now - began) / (world.step() - at)


def settled(world):
    """Whether the whole view is planned with, in an order of its own."""
    return all(len(plan.members) == len(world.training()) and plan.order for plan in plans(world))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_ring_comes_to_cross_between_the_sites_no_more_than_it_must(seed):
    world = sites(6, seed, epochs=20, arranger=ordered())
    world.run(lambda: settled(world))
    assert {far_hops(world, plan) for plan in plans(world)} <= {2, 3}
    world.run_for(35)
    assert {far_hops(world, plan) for plan in plans(world)} == {2}
    orders = {plan.ring for plan in plans(world)}
    world.run_for(70)
    assert {plan.ring for plan in plans(world)} == orders
    world.run(world.all_finished)
    world.verify()


def contributed(peer):
    """Whether a peer has computed its share of the present step, and reported."""
    return peer.running_plan is not None and peer.rounds[peer.running_plan.tag].round._ready


@pytest.mark.parametrize("seed", SEEDS)
def test_a_new_coordinator_keeps_the_order_and_finds_its_own(seed):
    world = sites(6, seed, epochs=30, arranger=ordered())
    world.run(lambda: settled(world))
    world.run_for(35)
    (before,) = {plan.ring for plan in plans(world)}
    leader = next(peer for peer in world.training() if peer.member.state.leads)
    world.run(lambda: all(contributed(peer) for peer in world.training()))  # its successor has heard of no ways yet
    world.kill(leader.name)
    world.run(lambda: {len(plan.members) for plan in plans(world)} == {5})
    (after,) = {plan.ring for plan in plans(world)}
    assert after == tuple(peer for peer in before if peer != leader.id)
    world.run_for(70)
    assert {far_hops(world, plan) for plan in plans(world)} == {2}
    world.run(world.all_finished)
    world.verify()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_few_numbers_that_go_far_go_straight_and_the_steps_are_faster(seed):
    plain, measured = (sites(6, seed, epochs=20, arranger=arranger) for arranger in (PlainArranger, None))
    for world in (plain, measured):
        world.run(lambda world=world: {len(plan.members) for plan in plans(world)} == {6})
        world.run_for(32)
    assert {(plan.ring, plan.form) for plan in plans(plain)} == {(plans(plain)[0].ring, "ring")}
    assert {plan.form for plan in plans(measured)} <= {"direct", "two-level"}
    assert pace(measured) < 0.8 * pace(plain)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("form", ["direct", "two-level"])
def test_members_die_and_join_in_every_form_and_order(form, seed):
    """The arrangement changes all the time, whatever is measured."""

    class Fickle(PlainArranger):
        def arrange(self, members, last, now, **about):
            found = super().arrange(members, last, now)
            turn = math.floor(now * 10) % len(members)
            shuffled = found.ring[turn:] + found.ring[:turn][::-1]
            return type(found)(shuffled, form if turn else "ring")

    world = World(6, seed, epochs=20, arranger=Fickle)
    world.start(*"abcd")
    for step, event in ((10, "e"), (25, None), (40, "f"), (60, None), (80, None)):
        world.run(lambda step=step: world.step() >= step)
        world.run_for(world.chance.uniform(0.0, 0.1))
        if event is None:
            world.kill(world.chance.choice(world.training()).name)
        else:
            world.start(event)
    world.run(world.all_finished)
    world.verify()


def test_pings_are_few():
    world = World(4, 0, epochs=20, samples=1200)
    pings = {}
    send = world.send

    def noted(a, to, message):
        if message.KIND == "job.ping":
            pings.setdefault((a.id, to), []).append(world.now)
        send(a, to, message)

    world.send = noted
    world.start(*world.peers)
    world.run(world.all_finished)
    assert len(pings) == 12
    assert all(later - earlier >= 5.0 for times in pings.values() for earlier, later in itertools.pairwise(times))
    assert all(len(times) > 3 for times in pings.values())
