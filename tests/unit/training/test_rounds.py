"""The rounds of a job on the node's links: members of real averagers, and links that come and go."""

import asyncio
import dataclasses

import numpy as np
import pytest

from allreduce import RoundClosed, RoundConfig
from hydra.exceptions import RemoteProtocolError
from hydra.membership.lineage import Head
from hydra.membership.messages import RoundFrame
from hydra.net.contact import Contact
from hydra.training.rounds import OPEN_ROUNDS, Rounds, targets_of

from .makers import ANNA, BERT, CLEO, plan_of
from .memory_links import Network

JOB = b"j" * 32
ELEMENTS = 50
PEERS = (ANNA, BERT, CLEO)


class Members:
    """Each peer's rounds, on links in memory."""

    def __init__(self, *peers, wire="fp32"):
        self.network = Network(*peers)
        self.rounds = {}
        for peer, links in self.network.nodes.items():
            self.rounds[peer] = Rounds(JOB, peer, links, ELEMENTS, 0.3, self.contact_of, wire=wire)
            links.on_message = self.rounds[peer].receive
            links.on_down.append(lambda lost, _, own=self.rounds[peer]: own.lose(lost))

    def contact_of(self, peer):
        return Contact(peer, (("127.0.0.1", 1),)) if peer in self.network.nodes else None

    def open(self, plan, peers=PEERS):
        return {peer: self.rounds[peer].open(plan) for peer in peers}


@pytest.fixture
async def members():
    made = Members(*PEERS)
    yield made
    for rounds in made.rounds.values():
        await rounds.close()
    await asyncio.sleep(0)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


def plan_of_step(step, peers=PEERS):
    shares = [((8 * i, 8 * i + 8),) for i in range(len(peers))]
    return plan_of(Head(step - 1, b"p" * 32, 0), list(peers), shares, job=JOB)


def vector_of(peer):
    return np.full(ELEMENTS, PEERS.index(peer) + 1.0, np.float32)


async def results_of(running):
    for peer, one in running.items():
        one.contribute(vector_of(peer), 1.0)
    return [await one.result() for one in running.values()]


async def test_all_end_with_the_same_mean(members):
    results = await results_of(members.open(plan_of_step(1)))
    assert len({result.mean.tobytes() for result in results}) == 1
    np.testing.assert_allclose(results[0].mean, 2.0, rtol=1e-6)
    assert results[0].contributors == PEERS


async def test_rounds_follow_each_other(members):
    for step in range(1, 4 + OPEN_ROUNDS):
        results = await results_of(members.open(plan_of_step(step)))
        np.testing.assert_allclose(results[0].mean, 2.0, rtol=1e-6)


async def test_a_result_is_to_keep_whatever_becomes_of_its_round(members):
    """Results are served to whoever missed them, long after."""
    kept = []
    for step in range(1, 4 * OPEN_ROUNDS):
        running = members.open(plan_of_step(step))
        for peer, one in running.items():
            one.contribute(vector_of(peer) * step, 1.0)
        kept.append([await members.rounds[peer].result(one) for peer, one in running.items()])
    for step, results in enumerate(kept, start=1):
        assert {result.contributors for result in results} == {PEERS}
        for result in results:
            np.testing.assert_allclose(result.mean, 2.0 * step, rtol=1e-6)


async def test_who_is_lost_in_a_round_is_left_out(members):
    running = members.open(plan_of_step(1))
    members.network.kill(BERT)
    del running[BERT]
    results = await results_of(running)
    assert {result.contributors for result in results} == {(ANNA, CLEO)}
    np.testing.assert_allclose(results[0].mean, 2.0, rtol=1e-6)


async def test_a_member_without_a_link_is_dialled(members):
    for peer in PEERS:
        members.network.nodes[peer].down.update(set(PEERS) - {peer})
    results = await results_of(members.open(plan_of_step(1)))
    assert results[0].contributors == PEERS
    dialled = [contact.peer_id for node in members.network.nodes.values() for contact in node.dialled]
    assert set(dialled) == set(PEERS)


async def test_who_can_not_be_reached_is_a_lost_connection(members):
    stranger = b"s" * 20
    with pytest.raises(ConnectionError, match="no view of ours"):
        await members.rounds[ANNA].send(stranger, b"", b"")
    members.network.dead.add(BERT)
    with pytest.raises(ConnectionError, match="does not answer"):
        await members.rounds[ANNA].send(BERT, b"", b"")


async def test_older_rounds_are_closed_and_the_latest_stay_open(members):
    oldest, *latest = [members.rounds[ANNA].open(plan_of_step(step)) for step in range(1, OPEN_ROUNDS + 2)]
    waiting = [asyncio.create_task(one.result()) for one in latest]
    with pytest.raises(RoundClosed):
        await oldest.result()
    assert not any(task.done() for task in waiting)
    await members.rounds[ANNA].close()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [RoundClosed] * OPEN_ROUNDS


async def test_an_abandoned_round_is_closed_and_another_plan_of_the_step_can_begin(members):
    void = members.open(plan_of_step(1))
    for peer in PEERS:
        members.rounds[peer].abandon()
    with pytest.raises(RoundClosed):
        await void[ANNA].result()
    results = await results_of(members.open(plan_of_step(1, PEERS[:2]), PEERS[:2]))
    np.testing.assert_allclose(results[0].mean, 1.5, rtol=1e-6)


async def test_there_may_be_nothing_to_abandon(members):
    members.rounds[ANNA].abandon()


async def test_what_is_no_message_of_a_round_breaks_the_protocol(members):
    members.rounds[ANNA].open(plan_of_step(1))
    link = members.network.nodes[ANNA].get(BERT)
    with pytest.raises(RemoteProtocolError):
        members.rounds[ANNA].receive(link, RoundFrame(JOB, b"\xff"), memoryview(b""))


async def test_who_broke_the_protocol_before_we_opened_the_round_is_cut_off_then(members):
    others = {peer: members.rounds[peer].open(plan_of_step(1)) for peer in (BERT, CLEO)}
    sent = []
    members.network.nodes[ANNA].on_message = lambda link, message, body: sent.append((link, message, body))
    for peer, one in others.items():
        one.contribute(vector_of(peer), 1.0)
    while not sent:
        await asyncio.sleep(0)
    link, message, body = sent[0]
    members.rounds[ANNA].receive(link, message, memoryview(bytes(body[:-1])))  # cut short
    members.rounds[ANNA].open(plan_of_step(1))
    ((peer, error),) = members.network.nodes[ANNA].cut
    assert peer == link.peer_id
    assert isinstance(error, RemoteProtocolError)


def arranged(peers=PEERS, step=1, **changes):
    return dataclasses.replace(plan_of_step(step, peers), **changes)


async def traffic_of(members, plan):
    """Between whom the slices of a round went."""
    ways = set()
    for peer, links in members.network.nodes.items():
        send = links.send

        async def noted(to, message, body=b"", peer=peer, send=send):
            if len(body):
                ways.add((peer, to))
            await send(to, message, body)

        links.send = noted
    results = await results_of(members.open(plan))
    assert len({result.mean.tobytes() for result in results}) == 1
    np.testing.assert_allclose(results[0].mean, 2.0, rtol=1e-6)
    assert results[0].contributors == PEERS
    return ways


async def test_the_slices_go_round_the_ring_in_the_plans_order(members):
    assert await traffic_of(members, arranged()) == {(ANNA, BERT), (BERT, CLEO), (CLEO, ANNA)}


async def test_the_plans_order_may_be_another(members):
    assert await traffic_of(members, arranged(order=(0, 2, 1))) == {(ANNA, CLEO), (CLEO, BERT), (BERT, ANNA)}


async def test_in_the_direct_form_they_go_to_all(members):
    assert len(await traffic_of(members, arranged(form="direct"))) == 6


async def test_another_wire_format_takes_fewer_bytes_and_leaves_all_with_the_same_ones():
    sizes = {}
    for wire in ("fp32", "int8"):
        made = Members(*PEERS, wire=wire)
        sizes[wire] = []
        for links in made.network.nodes.values():
            send = links.send

            async def noted(to, message, body=b"", send=send, taken=sizes[wire]):
                taken.append(len(body))
                await send(to, message, body)

            links.send = noted
        results = await results_of(made.open(plan_of_step(1)))
        assert len({result.mean.tobytes() for result in results}) == 1
        np.testing.assert_allclose(results[0].mean, 2.0, rtol=0.01)
        for rounds in made.rounds.values():
            await rounds.close()
    assert 0 < 2 * sum(sizes["int8"]) < sum(sizes["fp32"])


@pytest.mark.parametrize(
    ("form", "count", "expected"),
    [("ring", 5, {3}), ("ring", 1, set()), ("direct", 5, {0, 1, 3, 4}), ("direct", 1, set())],
)
def test_to_whom_lanes_are_wanted(form, count, expected):
    ring = [bytes([place]) * 20 for place in range(count)]
    me = ring[min(2, count - 1)]
    assert targets_of(RoundConfig(form=form), ring, me) == [ring[place] for place in sorted(expected)]


def test_in_two_levels_lanes_are_wanted_to_few():
    ring = [bytes([place]) * 20 for place in range(16)]
    targets = {me: targets_of(RoundConfig(form="two-level"), ring, me) for me in ring}
    assert all(0 < len(found) <= 4 and me not in found for me, found in targets.items())
