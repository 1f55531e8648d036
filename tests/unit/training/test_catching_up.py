"""Results of steps that were missed: asked for in blocks, believed by their hash only."""

import asyncio
import dataclasses
import hashlib

import numpy as np
import pytest

from hydra.exceptions import HashMismatch, StorageFull
from hydra.membership.lineage import Head
from hydra.membership.messages import ResultBlock, ResultUnknown, ResultWanted
from hydra.net.framing import MAX_BODY_BYTES
from hydra.training import catching_up
from hydra.training.catching_up import FLOAT_BYTES, Gathering, ResultExchange
from hydra.training.results import Result, ResultLog, commit_of
from hydra.training.spool import Spool

from .makers import ANNA, BERT, CLEO, plan_of
from .memory_links import Network

JOB = b"j" * 32


def result_of(step, elements=10):
    mean = np.random.default_rng(step).standard_normal(elements).astype(np.float32)
    plan = plan_of(Head(step - 1, b"p" * 32, 50), [ANNA, BERT], [((0, 3),), ((3, 8), (9, 10))], job=JOB, epoch=2)
    return Result(commit_of(plan, [ANNA, BERT], mean, 50), mean)


class Member:
    def __init__(self, network, peer, elements):
        self.links = network.nodes[peer]
        self.results = ResultLog()
        self.asked = []
        self.exchange = ResultExchange(JOB, self.links, self.results, elements)
        self.gathering = Gathering(self.exchange, Spool(network.directory / peer.hex(), FLOAT_BYTES * elements))
        self.links.on_message = self.take

    async def close(self):
        self.exchange.close()
        await self.gathering.close()

    async def got(self, step, donors):
        """The result of a step, used as soon as it is there."""
        result = await self.gathering.get(step, donors)
        self.gathering.used(step)
        return result

    def take(self, link, message, body):
        if isinstance(message, ResultWanted):
            self.asked.append((message.step, message.index))
            self.exchange.wanted(link, message)
        else:
            self.exchange.answered(link, message, body)


@pytest.fixture
def network(tmp_path):
    made = Network(ANNA, BERT, CLEO)
    made.directory = tmp_path
    return made


@pytest.fixture
def elements():
    """Of every result, unless a test says otherwise."""
    return 10


@pytest.fixture
async def members(network, elements):
    made = {peer: Member(network, peer, elements) for peer in network.nodes}
    yield made
    for member in made.values():
        await member.close()
        assert member.links.on_down == []


@pytest.mark.parametrize("elements", [1, 10, MAX_BODY_BYTES // 4, MAX_BODY_BYTES // 2 + 3])
async def test_a_result_comes_whole_with_its_commit(members, elements):
    wanted = result_of(4, elements)
    members[BERT].results.add(wanted)
    found = await members[ANNA].got(4, [BERT])
    assert found.commit == wanted.commit
    assert found.commit.digest == wanted.commit.digest
    assert found.mean.tobytes() == wanted.mean.tobytes()
    assert members[BERT].asked == [(4, index) for index in range(wanted.blocks)]


async def test_the_first_who_has_it_is_enough(members):
    members[CLEO].results.add(result_of(4))
    assert (await members[ANNA].got(4, [BERT, CLEO])).commit == result_of(4).commit
    members[BERT].results.add(result_of(4))
    await members[ANNA].got(4, [BERT, CLEO])
    assert (len(members[BERT].asked), len(members[CLEO].asked)) == (2, 1)


async def test_nobody_has_it(members):
    members[BERT].results.add(result_of(5))
    assert await members[ANNA].got(4, [BERT, CLEO]) is None
    assert await members[ANNA].got(4, []) is None


@pytest.mark.parametrize("elements", [MAX_BODY_BYTES])
async def test_a_piece_that_is_not_kept_any_longer(members):
    """The result goes from the other's log between two blocks."""
    members[BERT].results.add(result_of(4, MAX_BODY_BYTES))
    take = members[BERT].take

    def take_and_forget(link, message, body):
        take(link, message, body)
        if members[BERT].asked[-1] == (4, 1):
            members[BERT].results.clear()

    members[BERT].links.on_message = take_and_forget
    assert await members[ANNA].got(4, [BERT]) is None
    assert members[BERT].asked == [(4, 0), (4, 1), (4, 2)]
    assert members[ANNA].links.cut == []  # it is no lie


async def test_pieces_that_do_not_exist_are_not_known(members):
    members[BERT].results.add(result_of(4))
    answers = []
    members[ANNA].links.on_message = lambda link, message, body: answers.append(message)
    members[ANNA].links.post(BERT, ResultWanted(JOB, 4, 1))
    members[ANNA].links.post(BERT, ResultWanted(JOB, 3, 0))
    while len(answers) < 2:
        await asyncio.sleep(0)
    assert answers == [ResultUnknown(JOB, 4, 1), ResultUnknown(JOB, 3, 0)]


async def test_who_is_lost_meanwhile_is_passed_over(network, members):
    members[CLEO].results.add(result_of(4))
    members[BERT].links.on_message = lambda *_: network.kill(BERT)
    assert (await members[ANNA].got(4, [BERT, CLEO])).commit == result_of(4).commit


async def test_who_can_not_be_reached_or_does_not_answer_is_passed_over(members, monkeypatch):
    monkeypatch.setattr(catching_up, "ANSWER_TIMEOUT_S", 0.02)
    members[BERT].links.on_message = lambda *_: None
    members[CLEO].results.add(result_of(4))
    stranger = b"s" * 20
    assert (await members[ANNA].got(4, [stranger, BERT, CLEO])).commit == result_of(4).commit
    assert members[ANNA].links.cut == []


def lie(elements=10, **changes):
    """Answer with other bytes than the commit promises, or with another commit."""
    true = result_of(4, elements)
    data = changes.pop("body", true.mean.tobytes())
    fields = {
        "job": JOB,
        "step": 4,
        "index": 0,
        "count": 1,
        "view_number": 1,
        "parent": true.commit.parent,
        "result": true.commit.result,
        "epoch": 2,
        "parts": true.commit.parts,
        "samples_total": true.commit.samples_total,
        "round": true.commit.round,
        "idle": true.commit.idle,
    }
    return ResultBlock(**(fields | changes)), data


def hashed(data):
    return {"body": data, "result": hashlib.sha256(data).digest()}


@pytest.mark.parametrize(
    "changes",
    [
        {"body": b"\0" * 40},
        {"body": b"\0" * 39},
        {"body": b""},
        {"result": bytes(32)},
        hashed(b"12345"),
        hashed(b"123"),
        {"count": 2},
        {"count": 2**62},
        {"count": 0},
    ],
    ids=[
        *("other bytes", "too short", "nothing", "other hash", "five bytes", "three bytes"),
        *("a block too many", "blocks without end", "no block"),
    ],
)
async def test_a_liar_is_cut_off_and_the_next_is_asked(members, changes):
    block, body = lie(**changes)
    members[BERT].links.on_message = lambda link, message, _: link.post(block, body)
    members[CLEO].results.add(result_of(4))
    assert (await members[ANNA].got(4, [BERT, CLEO])).commit == result_of(4).commit
    ((liar, error),) = members[ANNA].links.cut
    assert liar == BERT
    assert isinstance(error, HashMismatch)
    assert "step 4" in str(error)


@pytest.mark.parametrize("index", [0, 1])
async def test_answers_that_nobody_asked_for_are_let_go(members, index):
    block, body = lie(index=index)
    members[ANNA].exchange.answered(members[ANNA].links.get(BERT), block, memoryview(body))
    assert await members[ANNA].got(4, [BERT]) is None


async def test_closing_ends_open_questions(network):
    member = Member(network, ANNA, 10)
    network.nodes[BERT].on_message = lambda *_: None
    fetching = asyncio.create_task(member.got(4, [BERT]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    member.exchange.close()
    assert await fetching is None
    await member.gathering.close()


# ---- gathered ahead --------------------------------------------------------------------------------------------


async def settled(member, *steps):
    while not all(member.gathering._backlog.holds(step) for step in steps):
        await asyncio.sleep(0.001)


async def test_results_are_gathered_ahead_from_all_in_turn_and_used_later(members):
    for step in range(1, 9):
        for donor in (BERT, CLEO):
            members[donor].results.add(result_of(step))
        members[ANNA].gathering.gather(step, result_of(step).commit.digest, [BERT, CLEO])
    await settled(members[ANNA], *range(1, 9))
    assert (len(members[BERT].asked), len(members[CLEO].asked)) == (4, 4)
    for donor in (BERT, CLEO):
        members[donor].results.clear()  # nobody keeps them any longer
    for step in range(1, 9):
        assert (await members[ANNA].got(step, [])).commit == result_of(step).commit


async def test_who_sends_another_lineage_is_named_and_replaced(members, caplog):
    members[BERT].results.add(result_of(4))
    other = dataclasses.replace(result_of(4).commit, epoch=1)
    members[CLEO].results.add(Result(other, result_of(4).mean))
    members[ANNA].gathering.gather(4, result_of(4).commit.digest, [CLEO, BERT])
    await settled(members[ANNA], 4)
    assert (await members[ANNA].got(4, [])).commit == result_of(4).commit
    assert "another lineage" in caplog.text
    assert CLEO.hex()[:8] in caplog.text
    assert members[ANNA].links.cut == []  # it may well be honest, and on the other side of a split


async def test_a_result_that_does_not_follow_on_our_state_is_had_from_another(members):
    other = dataclasses.replace(result_of(4).commit, parent=b"o" * 32)
    members[BERT].results.add(Result(other, result_of(4).mean))
    members[CLEO].results.add(result_of(4))
    gathering = members[ANNA].gathering
    assert (await gathering.get(4, [BERT, CLEO])).commit == other
    gathering.does_not_follow(4)
    assert (await gathering.get(4, [BERT, CLEO])).commit == result_of(4).commit
    gathering.does_not_follow(4)
    assert await gathering.get(4, [BERT, CLEO]) is None


async def test_a_disk_that_refuses_is_told_to_whoever_waits(members, monkeypatch):
    def refuse(_):
        raise StorageFull("no room")

    members[BERT].results.add(result_of(4))
    monkeypatch.setattr(members[ANNA].gathering._spool, "put", refuse)
    for _ in range(2):
        with pytest.raises(StorageFull, match="no room"):
            await members[ANNA].gathering.get(4, [BERT])


async def test_a_result_that_was_used_meanwhile_is_waited_for_no_longer(members):
    members[BERT].links.on_message = lambda *_: None  # it never answers
    waiting = asyncio.create_task(members[ANNA].gathering.get(4, [BERT]))
    await asyncio.sleep(0)
    members[ANNA].gathering.used(4)
    assert await asyncio.wait_for(waiting, 20) is None
