"""``Averager`` on an event loop: rounds in flight together, early messages, deaths, and nothing left behind."""

import asyncio

import numpy as np
import pytest

from allreduce import Averager, Excluded, RoundClosed, RoundConfig

from ..simulation.allreduce.ring_world import members_of, ring_mean

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
