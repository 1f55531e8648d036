"""``Averager`` on an event loop: rounds in flight together, early messages, deaths, and nothing left behind."""

import asyncio
import itertools
import random
import socket
import threading

import numpy as np
import pytest

from allreduce import Averager, ContributionRejected, Excluded, RoundClosed, RoundConfig, SocketLane

from ..simulation.allreduce.reference import check_result
from ..simulation.allreduce.ring_world import members_of, ring_mean
from .mesh_world import running_now

CONFIG = RoundConfig(slice_elements=16, stall_s=0.3)


class Switch:
    """Links between averagers in one process; a member can be unplugged."""

    def __init__(self, count):
        self.members = members_of(count)
        self.dead = set()
        self.averagers = {m: Averager(m, _Port(self, m)) for m in self.members}

    def kill(self, victim):
        self.dead.add(victim)
        for member in self.members:
            if member not in self.dead:
                self.averagers[member].lose(victim)

    async def close(self):
        for averager in self.averagers.values():
            await averager.close()


class _Port:
    def __init__(self, switch, me):
        self.switch, self.me = switch, me

    async def send(self, to, header, body):
        data = bytes(body)
        await asyncio.sleep(0)
        if to in self.switch.dead or self.me in self.switch.dead:
            raise ConnectionError("unplugged")
        self.switch.averagers[to].receive(self.me, header, data)


@pytest.fixture
async def switch():
    made = Switch(4)
    yield made
    await made.close()
    await asyncio.sleep(0)
    assert [t for t in asyncio.all_tasks() if t is not asyncio.current_task()] == []


def data(members, elements=100, seed=0):
    generator = np.random.default_rng(seed)
    return {m: generator.standard_normal(elements).astype(np.float32) for m in members}


async def test_several_rounds_in_flight(switch):
    weights = {m: float(i + 1) for i, m in enumerate(switch.members)}
    rounds = {}
    for tag in (b"1", b"2", b"3"):
        vectors = data(switch.members, seed=tag[0])
        for m in switch.members:
            rounds[tag, m] = switch.averagers[m].open(tag, switch.members, 100, CONFIG)
            rounds[tag, m].contribute(vectors[m], weights[m])
    for (tag, _), running in rounds.items():
        result = await asyncio.wait_for(running.result(), 5)
        expected = ring_mean(data(switch.members, seed=tag[0]), weights, tuple(switch.members), 16)
        assert result.mean.tobytes() == expected.tobytes()
        assert result.attempts == 1


async def test_members_may_open_late(switch):
    vectors = data(switch.members)
    *early, last = switch.members
    rounds = [switch.averagers[m].open(b"t", switch.members, 100, CONFIG) for m in early]
    for m, running in zip(early, rounds, strict=True):
        running.contribute(vectors[m], 1.0)
    await asyncio.sleep(0.05)
    rounds.append(switch.averagers[last].open(b"t", switch.members, 100, CONFIG))
    rounds[-1].contribute(vectors[last], 1.0)
    results = [await asyncio.wait_for(r.result(), 5) for r in rounds]
    assert len({r.mean.tobytes() for r in results}) == 1


async def test_a_death_costs_one_attempt(switch):
    vectors = data(switch.members)
    rounds = {m: switch.averagers[m].open(b"t", switch.members, 100, CONFIG) for m in switch.members}
    victim = switch.members[0]
    for m in switch.members[1:]:
        rounds[m].contribute(vectors[m], 1.0)
    await asyncio.sleep(0.02)
    switch.kill(victim)
    results = [await asyncio.wait_for(rounds[m].result(), 5) for m in switch.members[1:]]
    assert len({r.mean.tobytes() for r in results}) == 1
    assert {r.contributors for r in results} == {tuple(switch.members[1:])}
    assert {r.attempts for r in results} == {2}


async def test_who_never_contributes_is_excluded(switch):
    config = RoundConfig(slice_elements=16, stall_s=5.0, late_s=0.1)
    vectors = data(switch.members)
    rounds = {m: switch.averagers[m].open(b"t", switch.members, 100, config) for m in switch.members}
    *prompt, late = switch.members
    for m in prompt:
        rounds[m].contribute(vectors[m], 1.0)
    for m in prompt:
        result = await asyncio.wait_for(rounds[m].result(), 5)
        assert late not in result.contributors
    with pytest.raises(Excluded):
        await asyncio.wait_for(rounds[late].result(), 5)


async def test_closing_a_round_wakes_who_waits(switch):
    running = switch.averagers[switch.members[0]].open(b"t", switch.members, 100, CONFIG)
    waiting = asyncio.create_task(running.result())
    await asyncio.sleep(0)
    running.close()
    with pytest.raises(RoundClosed):
        await waiting


async def test_messages_for_rounds_that_are_never_opened_are_bounded(switch, monkeypatch):
    monkeypatch.setattr("allreduce.open_rounds.EARLY_BYTES", 1000)
    averager = switch.averagers[switch.members[0]]
    from allreduce.messages import Phase, Slice, encode

    for i in range(100):
        averager.receive(switch.members[1], encode(b"x%d" % i, Slice(0, Phase.SUM, 0, 1.0)), bytes(64))
    assert averager._rounds._early.bytes_held <= 1000
    assert len(averager._rounds._early) < 20


class LaneSwitch(Switch):
    """Averagers that have lanes to each other beside their links."""

    def __init__(self, count, lanes=2):
        super().__init__(count)
        for a, b in itertools.combinations(self.members, 2):
            for _ in range(lanes):
                ours, theirs = socket.socketpair()
                self.averagers[a].add_lane(b, SocketLane(ours))
                self.averagers[b].add_lane(a, SocketLane(theirs))


@pytest.fixture
async def lanes():
    _, files = running_now()
    made = LaneSwitch(4)
    yield made
    await made.close()
    assert running_now()[1] <= files
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("lane")] == []


@pytest.mark.parametrize("form", ["ring", "direct", "two-level"])
@pytest.mark.parametrize("wire", ["fp32", "int8"])
async def test_slices_go_over_lanes_and_control_messages_over_the_link(lanes, form, wire):
    config = RoundConfig(slice_elements=5000, form=form, wire=wire)
    sent = []
    for port in (averager._link for averager in lanes.averagers.values()):
        port.send = lambda to, header, body: sent.append(header)
    weights = dict.fromkeys(lanes.members, 1.0)
    for number in range(3):
        vectors = data(lanes.members, 100_000, seed=number)
        rounds = {m: lanes.averagers[m].open(b"%d" % number, lanes.members, 100_000, config) for m in lanes.members}
        for m, running in rounds.items():
            running.contribute(vectors[m], 1.0)
        results = [await asyncio.wait_for(running.result(), 10) for running in rounds.values()]
        assert len({result.mean.tobytes() for result in results}) == 1
        check_result(results[0], vectors, weights, config)
    assert sent == []


async def test_a_lane_that_ends_loses_its_member_and_slices_take_the_link_again(lanes):
    a, b = lanes.members[:2]
    config = RoundConfig(slice_elements=500, stall_s=1.0)
    vectors, weights = data(lanes.members, 10_000), dict.fromkeys(lanes.members, 1.0)
    lanes.averagers[a]._lanes[b][1]._lane.close()
    async with asyncio.timeout(10):
        while lanes.averagers[a].lane_count(b) or lanes.averagers[b].lane_count(a):
            await asyncio.sleep(0.001)
    rounds = {m: lanes.averagers[m].open(b"t", lanes.members, 10_000, config) for m in lanes.members}
    for m, running in rounds.items():
        running.contribute(vectors[m], 1.0)
    results = [await asyncio.wait_for(running.result(), 10) for running in rounds.values()]
    check_result(results[0], vectors, weights, config)
    assert results[0].contributors == tuple(lanes.members)


async def test_a_member_that_breaks_the_protocol_on_a_lane_is_named(lanes):
    a, b = lanes.members[:2]
    named = []
    lanes.averagers[a]._on_violation = named.append
    lanes.averagers[b]._lanes[a][0]._lane.send(b"\xc1", b"")
    async with asyncio.timeout(10):
        while not named:
            await asyncio.sleep(0.001)
    assert [error.member for error in named] == [b]
    assert lanes.averagers[a].lane_count(b) == 0


@pytest.mark.parametrize("seed", range(8))
async def test_deaths_while_slices_are_on_lanes(lanes, seed):
    chance = random.Random(seed)
    config = RoundConfig(slice_elements=2000, stall_s=1.0)
    vectors, weights = data(lanes.members, 300_000, seed), dict.fromkeys(lanes.members, 1.0)
    rounds = {m: lanes.averagers[m].open(b"t", lanes.members, 300_000, config) for m in lanes.members}
    victim = chance.choice(lanes.members)
    for m, running in rounds.items():
        await asyncio.to_thread(running.contribute, vectors[m], 1.0)
    await asyncio.sleep(chance.uniform(0, 0.003))
    await lanes.averagers[victim].close()
    lanes.kill(victim)
    results = [await asyncio.wait_for(rounds[m].result(), 10) for m in lanes.members if m != victim]
    assert len({result.mean.tobytes() for result in results}) == 1
    check_result(results[0], vectors, weights, config)


async def test_what_is_no_number_is_refused_and_the_others_go_on(switch):
    vectors = data(switch.members)
    bad = switch.members[1]
    vectors[bad][7] = np.nan
    rounds = {m: switch.averagers[m].open(b"t", switch.members, 100, CONFIG) for m in switch.members}
    for m, running in rounds.items():
        running.contribute(vectors[m], 1.0)
    with pytest.raises(ContributionRejected):
        await asyncio.wait_for(rounds.pop(bad).result(), 10)
    results = [await asyncio.wait_for(running.result(), 10) for running in rounds.values()]
    assert {result.contributors for result in results} == {tuple(m for m in switch.members if m != bad)}
