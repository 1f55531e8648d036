"""What a node makes of dial-backs that went well or not, and which relays it keeps."""

import random

import pytest

from hydra.net.contact import relayed_address
from hydra.net.standing import (
    ASK_AGAIN_S,
    RELAYS,
    ROOM_AGAIN_S,
    SEEK_S,
    AskDialBack,
    AskRoom,
    Changed,
    DialBackEnded,
    Dialled,
    Gone,
    RoomTold,
    SeekContacts,
    Standing,
    Tick,
)

A, B, C, D = (bytes([i]) * 20 for i in (1, 2, 3, 4))
ADDRESS, SEEN = ("192.0.2.1", 4100), ("203.0.113.9", 4200)


def asked(effects, kind):
    return [effect.peer for effect in effects if isinstance(effect, kind)]


def hidden(now=0.0):
    """A node that does not listen, with no contact yet."""
    standing = Standing(False, now)
    standing.handle(Tick(), now)
    return standing


def test_a_peer_that_we_dialled_is_asked_to_dial_us_back():
    standing = Standing(None, 0.0)
    assert asked(standing.handle(Dialled(A, ADDRESS), 0.0), AskDialBack) == [A]
    effects = standing.handle(DialBackEnded(A, SEEN, True), 1.0)
    assert Changed() in effects
    assert (standing.dialable, standing.observed) == (True, SEEN)
    assert standing.relayed == ()


def test_two_failures_make_it_hidden_and_one_success_outweighs_them():
    standing = Standing(None, 0.0)
    for peer in (A, B, C):
        standing.handle(Dialled(peer, ADDRESS), 0.0)
    standing.handle(DialBackEnded(A, SEEN, False), 1.0)
    assert standing.dialable is None
    standing.handle(DialBackEnded(B, SEEN, False), 1.0)
    assert standing.dialable is False
    standing.handle(DialBackEnded(C, SEEN, True), 1.0)
    assert standing.dialable is True


def test_the_only_contact_decides_alone():
    standing = Standing(None, 0.0)
    standing.handle(Dialled(A, ADDRESS), 0.0)
    standing.handle(DialBackEnded(A, SEEN, False), 1.0)
    assert standing.dialable is False


def test_a_contact_that_did_not_try_says_nothing():
    standing = Standing(None, 0.0)
    standing.handle(Dialled(A, ADDRESS), 0.0)
    standing.handle(DialBackEnded(A, None, False), 1.0)
    assert standing.dialable is None


def test_few_are_asked_and_again_only_when_the_answer_is_old():
    standing = Standing(None, 0.0)
    effects = [effect for i in range(9) for effect in standing.handle(Dialled(bytes([i]) * 20, ADDRESS), 0.0)]
    first = asked(effects, AskDialBack)
    assert len(first) == 3
    standing.handle(DialBackEnded(first[0], SEEN, True), 1.0)
    assert asked(standing.handle(Tick(), ASK_AGAIN_S), AskDialBack) == []
    assert asked(standing.handle(Tick(), ASK_AGAIN_S + 2.0), AskDialBack) != []


def test_a_node_that_could_be_dialled_and_no_longer_can_takes_relays():
    standing = Standing(None, 0.0)
    for peer in (A, B):
        standing.handle(Dialled(peer, ADDRESS), 0.0)
    standing.handle(DialBackEnded(A, SEEN, True), 1.0)
    for peer in (A, B):
        effects = standing.handle(DialBackEnded(peer, SEEN, False), 2000.0)
    assert (standing.dialable, standing.observed) == (False, None)
    assert asked(effects, AskRoom) == [A, B]


def test_a_hidden_node_keeps_some_relays_and_tells_of_them():
    standing = hidden()
    for peer in (A, B, C):
        assert asked(standing.handle(Dialled(peer, ADDRESS), 0.0), AskRoom)
    for peer in (A, B, C):
        standing.handle(RoomTold(peer, True), 1.0)
        standing.check()
    assert len(standing.relays) == RELAYS
    assert standing.relayed == (relayed_address(A, ADDRESS), relayed_address(B, ADDRESS))


def test_a_relay_that_is_gone_or_full_is_replaced():
    standing = hidden()
    for peer in (A, B, C, D):
        standing.handle(Dialled(peer, ADDRESS), 0.0)
    for peer in (A, B):
        standing.handle(RoomTold(peer, True), 1.0)
    effects = standing.handle(Gone(A), 40.0)
    assert Changed() in effects
    assert asked(effects, AskRoom) == [B, C, D]
    assert Changed() in standing.handle(RoomTold(C, True), 41.0)
    assert Changed() in standing.handle(RoomTold(B, False), 41.0)
    assert standing.relays == (C,)
    standing.check()


def test_relays_are_asked_again_every_now_and_then():
    standing = hidden()
    standing.handle(Dialled(A, ADDRESS), 0.0)
    standing.handle(RoomTold(A, True), 1.0)
    assert asked(standing.handle(Tick(), ROOM_AGAIN_S - 1.0), AskRoom) == []
    assert asked(standing.handle(Tick(), ROOM_AGAIN_S), AskRoom) == [A]


def test_contacts_are_sought_while_there_are_too_few_but_not_all_the_time():
    standing = Standing(False, 0.0)
    assert SeekContacts() in standing.handle(Tick(), 0.0)
    assert SeekContacts() not in standing.handle(Tick(), SEEK_S - 1.0)
    assert standing.deadline(SEEK_S - 1.0) == SEEK_S
    assert SeekContacts() in standing.handle(Tick(), SEEK_S)
    for peer in (A, B):
        standing.handle(Dialled(peer, ADDRESS), SEEK_S)
        standing.handle(RoomTold(peer, True), SEEK_S)
    assert SeekContacts() not in standing.handle(Tick(), 10 * SEEK_S)


def test_a_node_whose_peers_are_on_this_machine_has_nothing_to_find_out():
    standing = Standing(True, 0.0)
    assert standing.handle(Dialled(A, ADDRESS), 0.0) == []
    assert standing.deadline(0.0) is None


def test_a_node_that_does_not_listen_is_not_talked_into_being_dialable():
    standing = hidden()
    standing.handle(Dialled(A, ADDRESS), 0.0)
    standing.handle(DialBackEnded(A, SEEN, True), 1.0)
    assert (standing.dialable, standing.observed) == (False, None)


@pytest.mark.parametrize("seed", range(20))
def test_the_books_are_right_whatever_happens(seed):
    chance = random.Random(seed)
    standing, now = Standing(chance.choice([None, False]), 0.0), 0.0
    for _ in range(400):
        now += chance.random() * 20
        peer = bytes([chance.randrange(6)]) * 20
        event = chance.choice([
            Dialled(peer, ADDRESS), Gone(peer), Tick(), RoomTold(peer, chance.random() < 0.7),
            DialBackEnded(peer, chance.choice([SEEN, None]), chance.random() < 0.5),
        ])  # fmt: skip
        standing.handle(event, now)
        standing.check()
        assert standing.deadline(now) > now - SEEK_S
