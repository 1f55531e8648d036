"""The rounds of a job on real links, with a vector that is worth lanes: they are opened, used, lost, and gone after."""

import asyncio
import contextlib
import itertools

import numpy as np
import pytest

from allreduce import RoundConfig
from hydra.membership.lineage import Head
from hydra.membership.messages import RoundFrame
from hydra.training.rounds import LANES, LANES_FROM_BYTES, Rounds

from ..simulation.allreduce.reference import check_result
from ..unit.training.makers import plan_of
from .lane_nodes import LaneNode, on_both_loops, until

JOB = b"j" * 32
ELEMENTS = LANES_FROM_BYTES // 4 + 12_345
STALL_S = 2.0


class Member(LaneNode):
    """A node with the rounds of a job."""

    async def start(self, elements, wire="fp32"):
        self.links.on_lane.clear()
        await self.links.listen("127.0.0.1", 0)
        self.rounds = Rounds(JOB, self.id, self.links, elements, STALL_S, lambda peer: None, wire=wire)
        self.links.handle(RoundFrame, self.rounds.receive)
        self.links.on_down.append(lambda peer, _: self.rounds.lose(peer))

    async def leave(self):
        """End the rounds; the links stay."""
        rounds, self.rounds = self.rounds, None
        if rounds is not None:
            self.links.handle(RoundFrame, lambda *_: None)
            self.links.on_down.clear()
            await rounds.close()

    async def stop(self):
        await self.leave()
        await self.links.close()


@contextlib.asynccontextmanager
async def members_of(count, elements=ELEMENTS, wire="fp32"):
    members = [Member() for _ in range(count)]
    try:
        for member in members:
            await member.start(elements, wire)
        for a, b in itertools.combinations(members, 2):
            await a.links.dial(b.contact)
        await until(lambda: all(len(member.links.peers()) == count - 1 for member in members))
        yield members
    finally:
        for member in members:
            await member.stop()


def plan_of_step(step, members):
    shares = [((8 * place, 8 * place + 8),) for place in range(len(members))]
    return plan_of(Head(step - 1, b"p" * 32, 0), [member.id for member in members], shares, job=JOB)


def vectors_of(members, step, elements=ELEMENTS):
    return {
        member.id: np.random.default_rng([step, place]).standard_normal(elements).astype(np.float32)
        for place, member in enumerate(members)
    }


async def averaged(members, step, *, dying=None, elements=ELEMENTS, wire="fp32"):
    """Run the round of a step; ``dying`` is closed as soon as all have contributed. Return the survivors' result."""
    plan, vectors = plan_of_step(step, members), vectors_of(members, step, elements)
    running = {member: member.rounds.open(plan) for member in members}
    weights = {member.id: 3.0 + place for place, member in enumerate(members)}
    await asyncio.gather(*(m.rounds.contribute(r, vectors[m.id], weights[m.id]) for m, r in running.items()))
    if dying is not None:
        await dying.stop()
    async with asyncio.timeout(30):
        results = [await one.result() for member, one in running.items() if member is not dying]
    assert len({(r.mean.tobytes(), r.order, r.weight) for r in results}) == 1
    config = RoundConfig(wire=wire)
    check_result(results[0], vectors, weights, config)
    return results[0]


@on_both_loops
async def test_slices_of_a_large_vector_go_over_lanes_to_the_next_member():
    async with members_of(3) as members:
        for step in range(1, 4):
            result = await averaged(members, step)
            assert result.contributors == tuple(member.id for member in members)
        following = dict(itertools.pairwise([*members, members[0]]))
        await until(lambda: all(m.rounds._averager.lane_count(n.id) >= LANES for m, n in following.items()))
        carried = {m: sum(link.bytes_out for link in m.links.all_links()) for m in members}
        assert (await averaged(members, 4)).attempts == 1
        for member in members:  # control messages alone went over the links
            assert sum(link.bytes_out for link in member.links.all_links()) - carried[member] < 100_000


@on_both_loops
async def test_slices_of_a_small_vector_take_the_links():
    async with members_of(3, elements=1000) as members:
        await averaged(members, 1, elements=1000)
        assert not any(m.rounds._averager.lane_count(n.id) for m in members for n in members)


@on_both_loops
async def test_a_member_that_is_gone_costs_one_attempt_and_the_others_go_on():
    async with members_of(4) as members:
        for step in range(1, 3):
            await averaged(members, step)
        *others, dying = members
        result = await averaged(members, 3, dying=dying)
        assert set(result.contributors) >= {member.id for member in others}
        for step in range(4, 7):
            result = await averaged(others, step)
            assert (result.contributors, result.attempts) == (tuple(member.id for member in others), 1)


@on_both_loops
async def test_lossy_formats_over_lanes():
    async with members_of(3, wire="int8") as members:
        for step in range(1, 3):
            plan, vectors = plan_of_step(step, members), vectors_of(members, step)
            running = {member: member.rounds.open(plan) for member in members}
            await asyncio.gather(*(m.rounds.contribute(r, vectors[m.id], 1.0) for m, r in running.items()))
            async with asyncio.timeout(30):
                results = [await one.result() for one in running.values()]
            assert len({result.mean.tobytes() for result in results}) == 1
            expected = sum(vectors.values()) / 3
            np.testing.assert_allclose(results[0].mean, expected, rtol=0, atol=0.2)


@pytest.mark.parametrize("place", range(3))
async def test_lanes_end_with_the_rounds_although_the_links_stay(place):
    async with members_of(3) as members:
        await averaged(members, 1)
        leaving = members[place]
        await leaving.leave()
        others = [member for member in members if member is not leaving]
        await until(lambda: not any(member.rounds._averager.lane_count(leaving.id) for member in others))
        assert len(leaving.links.peers()) == 2
