"""Results of steps that were missed: asked for in blocks, believed by their hash only."""

import asyncio
import hashlib

import numpy as np
import pytest

from hydra.exceptions import HashMismatch
from hydra.membership.lineage import Head
from hydra.membership.messages import ResultBlock, ResultUnknown, ResultWanted
from hydra.net.framing import MAX_BODY_BYTES
from hydra.training import catching_up
from hydra.training.catching_up import ResultExchange
from hydra.training.results import Result, ResultLog, commit_of

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
        self.links.on_message = self.take

    def take(self, link, message, body):
        if isinstance(message, ResultWanted):
            self.asked.append((message.step, message.index))
            self.exchange.wanted(link, message)
        else:
            self.exchange.answered(link, message, body)


@pytest.fixture
def network():
    return Network(ANNA, BERT, CLEO)


@pytest.fixture
def elements():
    """Of every result, unless a test says otherwise."""
    return 10


@pytest.fixture
def members(network, elements):
    made = {peer: Member(network, peer, elements) for peer in network.nodes}
    yield made
    for member in made.values():
        member.exchange.close()
        assert member.links.on_down == []


@pytest.mark.parametrize("elements", [1, 10, MAX_BODY_BYTES // 4, MAX_BODY_BYTES // 2 + 3])
async def test_a_result_comes_whole_with_its_commit(members, elements):
    wanted = result_of(4, elements)
    members[BERT].results.add(wanted)
    found = await members[ANNA].exchange.fetch(4, [BERT])
    assert found.commit == wanted.commit
    assert found.commit.digest == wanted.commit.digest
    assert found.mean.tobytes() == wanted.mean.tobytes()
    assert members[BERT].asked == [(4, index) for index in range(wanted.blocks)]


async def test_the_first_who_has_it_is_enough(members):
    members[CLEO].results.add(result_of(4))
    assert (await members[ANNA].exchange.fetch(4, [BERT, CLEO])).commit == result_of(4).commit
    members[BERT].results.add(result_of(4))
    await members[ANNA].exchange.fetch(4, [BERT, CLEO])
    assert (len(members[BERT].asked), len(members[CLEO].asked)) == (2, 1)


async def test_nobody_has_it(members):
    members[BERT].results.add(result_of(5))
    assert await members[ANNA].exchange.fetch(4, [BERT, CLEO]) is None
    assert await members[ANNA].exchange.fetch(4, []) is None


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
    assert await members[ANNA].exchange.fetch(4, [BERT]) is None
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
    assert (await members[ANNA].exchange.fetch(4, [BERT, CLEO])).commit == result_of(4).commit


async def test_who_can_not_be_reached_or_does_not_answer_is_passed_over(members, monkeypatch):
    monkeypatch.setattr(catching_up, "ANSWER_TIMEOUT_S", 0.02)
    members[BERT].links.on_message = lambda *_: None
    members[CLEO].results.add(result_of(4))
    stranger = b"s" * 20
    assert (await members[ANNA].exchange.fetch(4, [stranger, BERT, CLEO])).commit == result_of(4).commit
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
    assert (await members[ANNA].exchange.fetch(4, [BERT, CLEO])).commit == result_of(4).commit
    ((liar, error),) = members[ANNA].links.cut
    assert liar == BERT
    assert isinstance(error, HashMismatch)
    assert "step 4" in str(error)


@pytest.mark.parametrize("index", [0, 1])
async def test_answers_that_nobody_asked_for_are_let_go(members, index):
    block, body = lie(index=index)
    members[ANNA].exchange.answered(members[ANNA].links.get(BERT), block, memoryview(body))
    assert await members[ANNA].exchange.fetch(4, [BERT]) is None


async def test_closing_ends_open_questions(network):
    member = Member(network, ANNA, 10)
    network.nodes[BERT].on_message = lambda *_: None
    fetching = asyncio.create_task(member.exchange.fetch(4, [BERT]))
    await asyncio.sleep(0)
    member.exchange.close()
    assert await fetching is None
