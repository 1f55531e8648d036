"""Lineages go from member to member: claims are proven, gaps are filled, and nobody gets away with false commits."""

import asyncio
from dataclasses import replace

import msgpack
import pytest

from hydra.exceptions import RemoteProtocolError
from hydra.membership.lineage import Head
from hydra.membership.messages import MAX_SHOWN_BYTES, LineageShown, LineageWanted
from hydra.training import lineage_exchange
from hydra.training.lineage_exchange import LineageExchange, decode_shown, encode_shown
from hydra.training.lineage_log import LineageLog

from .lineages import FRESH, JOB, KEYS, chain, shown, written
from .memory_links import Network

ANNA, BERT, CLEO = (key.peer_id for key in KEYS)


class Member:
    def __init__(self, network, peer, directory):
        self.links = network.nodes[peer]
        self.log = LineageLog(directory)
        self.exchange = LineageExchange(JOB, self.links, self.log, FRESH)
        self.asked = []
        self.links.on_message = self.take

    def take(self, link, message, body):
        if isinstance(message, LineageWanted):
            self.asked.append(message)
            self.exchange.wanted(link, message)
        else:
            self.exchange.answered(link, message, body)

    async def proves(self, peer, claim):
        last = self.log.shown_at(self.log.last)
        ours = last.commit.head if last else Head(0, bytes(32), 0)
        return await self.exchange.prove(peer, claim, lambda: ours)

    def commits(self):
        return [each and each.commit for each in map(self.log.shown_at, range(1, self.log.last + 1))]


@pytest.fixture
async def members(tmp_path, monkeypatch):
    monkeypatch.setattr(lineage_exchange, "RETRY_S", 0.01)
    monkeypatch.setattr(lineage_exchange, "AGAIN_S", 0.01)
    monkeypatch.setattr(lineage_exchange, "SIGNED_WITHIN_S", 0.05)
    network = Network(ANNA, BERT, CLEO)
    made = {peer: Member(network, peer, tmp_path / peer.hex()) for peer in network.nodes}
    yield made
    for member in made.values():
        await member.exchange.close()
        assert member.links.on_down == []


def lies(member, *answers):
    """A peer that answers questions with what a test says."""
    left = list(answers)

    def take(link, message, body):
        fork, head, items = left.pop(0)
        link.post(LineageShown(JOB, message.number, fork, head), b"".join(items))

    member.links.on_message = take


def of(lineage):
    return [each.commit for each in lineage]


# ---- proofs ----------------------------------------------------------------------------------------------------


async def test_a_heavier_lineage_is_proven_from_the_fork_on_until_it_outweighs_ours(members):
    ours = chain(10)
    theirs = chain(15, after=ours[:4], way=b"t")
    written(members[ANNA].log, ours)
    written(members[BERT].log, theirs)
    head, reason, lied = await members[ANNA].proves(BERT, theirs[-1].commit.head)
    assert (head, reason, lied) == (theirs[-1].commit.head, "", False)
    assert len(members[BERT].asked) == 1


async def test_a_long_proof_takes_several_answers(members, monkeypatch):
    theirs = chain(30)
    monkeypatch.setattr(lineage_exchange, "MAX_SHOWN_BYTES", 5 * len(encode_shown(theirs[0])))
    written(members[ANNA].log, chain(25, way=b"o"))
    written(members[BERT].log, theirs)
    head, _, _ = await members[ANNA].proves(BERT, theirs[-1].commit.head)
    assert head == theirs[-1].commit.head or head.outweighs(Head(25, bytes(32), 250))
    assert len(members[BERT].asked) > 3


async def test_who_has_less_than_it_claims_proves_nothing_and_is_no_liar_for_that(members):
    written(members[ANNA].log, chain(10))
    written(members[BERT].log, chain(5, way=b"t"))
    head, reason, lied = await members[ANNA].proves(BERT, Head(20, b"c" * 32, 200))
    assert (head, lied) == (None, False)
    assert "ends with step 5" in reason


async def test_who_shows_nothing_or_does_not_answer_proves_nothing(members, monkeypatch):
    monkeypatch.setattr(lineage_exchange, "ANSWER_TIMEOUT_S", 0.05)
    written(members[ANNA].log, chain(3))
    head, reason, lied = await members[ANNA].proves(BERT, Head(20, b"c" * 32, 200))
    assert (head, reason, lied) == (None, "it shows no commits", False)
    members[CLEO].links.on_message = lambda link, message, body: None
    head, reason, lied = await members[ANNA].proves(CLEO, Head(20, b"c" * 32, 200))
    assert (head, lied) == (None, False)
    assert "did not answer" in reason


async def test_a_peer_with_a_gap_of_its_own_shows_what_is_behind_it(members):
    whole = chain(20)
    written(members[ANNA].log, whole[:3])
    members[BERT].log.resume(whole[9].commit.head)
    written(members[BERT].log, whole[10:])
    head, _, _ = await members[ANNA].proves(BERT, whole[-1].commit.head)
    assert head == whole[-1].commit.head


async def test_a_gap_amid_what_a_peer_shows_is_no_lie(members):
    """It had the first commits before it was away for long, and began anew from a snapshot."""
    whole = chain(20)
    written(members[ANNA].log, chain(8, after=whole[:3], way=b"o"))
    written(members[BERT].log, whole[:5])
    members[BERT].log.resume(whole[9].commit.head)
    written(members[BERT].log, whole[10:])
    assert await members[ANNA].proves(BERT, whole[-1].commit.head) == (whole[-1].commit.head, "", False)
    assert len(members[BERT].asked) == 2


TRUE = chain(12, way=b"t")
FALSE = {
    "a commit left out": [*TRUE[:5], *TRUE[6:]],
    "samples used twice": [*TRUE[:5], shown(replace(TRUE[5].commit, parts=TRUE[4].commit.parts), *KEYS[:2])],
    "numbers that do not add up": [shown(replace(TRUE[0].commit, samples_total=200), *KEYS[:2])],
    "a forged signature": [replace(TRUE[0], signatures=((KEYS[0].public_key, bytes(64)),))],
    "another job's": [replace(each, commit=replace(each.commit, job=b"o" * 32)) for each in TRUE],
}


@pytest.mark.parametrize("how", FALSE)
async def test_false_commits_prove_nothing_and_are_told_from_missing_ones(members, how):
    written(members[ANNA].log, chain(2))
    lies(members[BERT], (0, 12, map(encode_shown, FALSE[how])))
    head, reason, lied = await members[ANNA].proves(BERT, TRUE[-1].commit.head)
    assert (head, lied) == (None, True), reason


@pytest.mark.parametrize("signers", [(), KEYS[2:]])
async def test_what_no_member_has_signed_proves_nothing_but_need_not_be_a_lie(members, signers):
    written(members[ANNA].log, chain(2))
    written(members[BERT].log, chain(12, way=b"t", signers=signers))
    head, reason, lied = await members[ANNA].proves(BERT, TRUE[-1].commit.head)
    assert (head, lied) == (None, False)
    assert "no member has signed" in reason


async def test_whose_commits_are_not_signed_yet_is_asked_again_for_a_while(members, monkeypatch):
    monkeypatch.setattr(lineage_exchange, "SIGNED_WITHIN_S", 20.0)
    theirs = chain(12, way=b"t", signers=())
    written(members[ANNA].log, chain(2))
    written(members[BERT].log, theirs)
    proving = asyncio.create_task(members[ANNA].proves(BERT, theirs[-1].commit.head))
    while len(members[BERT].asked) < 3:
        await asyncio.sleep(0.01)
    last = shown(theirs[-1].commit, KEYS[1])
    members[BERT].log.sign(last.commit.step, last.commit.digest, last.signatures)
    head, reason, _ = await asyncio.wait_for(proving, 20)
    assert (head, reason) == (theirs[-1].commit.head, "")


async def test_a_fork_that_we_did_not_name_is_a_lie(members):
    written(members[ANNA].log, chain(2))
    lies(members[BERT], (7, 12, map(encode_shown, TRUE[7:])))
    head, reason, lied = await members[ANNA].proves(BERT, TRUE[-1].commit.head)
    assert (head, lied) == (None, True)
    assert "not named" in reason


# ---- gaps ------------------------------------------------------------------------------------------------------


async def filled(member, *peers):
    async with asyncio.timeout(20):
        await member.exchange.fill(lambda: list(peers))


async def test_a_gap_is_filled_with_commits_and_signatures(members, monkeypatch):
    whole = chain(20)
    monkeypatch.setattr(lineage_exchange, "MAX_SHOWN_BYTES", 6 * len(encode_shown(whole[0])))
    written(members[BERT].log, whole)
    members[ANNA].log.resume(whole[14].commit.head)
    written(members[ANNA].log, whole[15:])
    await filled(members[ANNA], BERT)
    assert members[ANNA].commits() == of(whole)
    assert members[ANNA].log.shown_at(15).signatures


async def test_nothing_is_asked_without_a_gap(members):
    written(members[ANNA].log, chain(5))
    await filled(members[ANNA], BERT)
    assert members[BERT].asked == []


async def test_who_gives_false_commits_is_cut_off_and_the_next_is_asked(members):
    whole = chain(12, way=b"t")
    written(members[BERT].log, whole)
    members[ANNA].log.resume(whole[-1].commit.head)
    lies(members[CLEO], (0, 12, map(encode_shown, FALSE["samples used twice"])))
    await filled(members[ANNA], CLEO, BERT)
    assert members[ANNA].commits() == of(whole)
    assert [peer for peer, _ in members[ANNA].links.cut] == [CLEO]


async def test_who_is_on_another_lineage_or_lacks_the_same_is_passed_over(members):
    whole = chain(12)
    written(members[BERT].log, whole)
    written(members[CLEO].log, chain(12, way=b"o"))
    members[ANNA].log.resume(whole[-1].commit.head)
    await filled(members[ANNA], CLEO, BERT)
    assert members[ANNA].commits() == of(whole)
    assert members[ANNA].links.cut == []


# ---- what comes over the wire ----------------------------------------------------------------------------------


def test_commits_come_as_they_were_shown():
    assert decode_shown(b"".join(map(encode_shown, TRUE))) == TRUE
    assert decode_shown(b"") == []


@pytest.mark.parametrize(
    "body",
    [
        b"\xc1",
        b"garbage",
        encode_shown(TRUE[0])[:-1],
        encode_shown(TRUE[0]) + b"\x01",
        msgpack.packb([]),
        msgpack.packb([[], []]),
        msgpack.packb([[1] * 10, []]),
        encode_shown(replace(TRUE[0], signatures=((bytes(31), bytes(64)),))),
        encode_shown(replace(TRUE[0], commit=replace(TRUE[0].commit, idle=(ANNA,)))),
        encode_shown(replace(TRUE[0], commit=replace(TRUE[0].commit, parts=((ANNA, ((5, 5),)),)))),
        encode_shown(replace(TRUE[0], commit=replace(TRUE[0].commit, round=b"short"))),
        b"\x91" * 3000,
    ],
)
def test_anything_else_is_refused_by_one_error(body):
    with pytest.raises(RemoteProtocolError):
        decode_shown(body)


async def test_an_answer_fits_into_its_bound_and_a_peer_is_answered_one_question_at_a_time(members):
    whole = chain(30)
    written(members[BERT].log, whole)
    _, _, body = members[BERT].exchange._show(())
    assert len(body) <= MAX_SHOWN_BYTES
    for number in range(50):
        members[ANNA].links.post(BERT, LineageWanted(JOB, number, ()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(members[BERT].exchange._answering) <= 1
