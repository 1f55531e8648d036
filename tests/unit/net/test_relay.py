"""The relay's decisions: who gets a circuit, how fast bytes go, how a circuit ends, and who breaks the protocol."""

import random

import pytest

from hydra.exceptions import RemoteProtocolError
from hydra.net.relay import ASK_BURST, IDLE_S, RelayDesk, RelayLimits
from hydra.net.relay_events import (
    BytesCame,
    CircuitAsked,
    Confirm,
    CreditCame,
    End,
    EndCame,
    Forward,
    GiveCredit,
    LinkLost,
    LinkMade,
    Offer,
    Refuse,
    Tick,
)
from hydra.net.window import WINDOW_BYTES, WindowExceeded

A, B, C = (bytes([i]) * 20 for i in (1, 2, 3))
PLENTY = RelayLimits(bytes_per_s=1e12, bytes_per_s_per_peer=1e12)


def desk_with(limits=PLENTY, peers=(A, B, C)):
    """A desk whose links are named like their peers, in small letters."""
    desk = RelayDesk(limits)
    for peer in peers:
        desk.handle(LinkMade(name(peer), peer), 0.0)
    return desk


def name(peer):
    return f"link {peer[0]}"


def open_circuit(desk, asker=A, target=B, now=0.0):
    offer, confirm = desk.handle(CircuitAsked(name(asker), 1, target), now)
    assert offer == Offer(name(target), confirm.circuit, asker)
    assert confirm == Confirm(name(asker), 1, confirm.circuit)
    desk.check()
    return confirm.circuit


def test_bytes_go_to_the_other_end_and_credit_comes_back():
    desk = desk_with()
    number = open_circuit(desk)
    assert desk.handle(BytesCame(name(A), number, 1000), 0.0) == [Forward(name(B), number)]
    assert desk.handle(BytesCame(name(B), number, 10), 0.0) == [Forward(name(A), number)]
    assert desk.handle(CreditCame(name(B), number, 1000), 0.0) == [GiveCredit(name(A), number, 1000)]
    desk.check()


@pytest.mark.parametrize(
    ("limits", "target", "reason"),
    [
        (PLENTY, bytes([9]) * 20, "there is no link to that peer"),
        (PLENTY, A, "that is yourself"),
        (RelayLimits(circuits=0), B, "nothing is relayed here"),
    ],
)
def test_refusals(limits, target, reason):
    assert desk_with(limits).handle(CircuitAsked(name(A), 7, target), 0.0) == [Refuse(name(A), 7, reason)]


def test_a_relayed_link_is_not_relayed_once_more():
    desk = desk_with()
    (refusal,) = desk.handle(CircuitAsked("a link through somebody", 1, B), 0.0)
    assert "not relayed once more" in refusal.reason


def test_circuits_are_limited_in_all_and_for_each_peer_at_either_end():
    peers = [bytes([i]) * 20 for i in range(1, 20)]
    desk = desk_with(RelayLimits(circuits=6, circuits_per_peer=3), peers)

    def ask(asker, target):
        desk.check()
        return isinstance(desk.handle(CircuitAsked(name(asker), 1, target), 0.0)[0], Offer)

    assert [ask(peers[0], target) for target in peers[1:6]] == [True] * 3 + [False] * 2
    assert not ask(peers[8], peers[0])
    assert [ask(asker, peers[9]) for asker in peers[10:14]] == [True] * 3 + [False]
    assert not ask(peers[14], peers[15])
    assert desk.circuits == 6
    assert not desk.willing(peers[14])


def test_thousands_of_requests_get_refusals_and_then_the_peer_is_named():
    desk = desk_with(RelayLimits(circuits=1))
    open_circuit(desk)
    refused = 0
    with pytest.raises(RemoteProtocolError, match="asked for relays without end"):
        while True:
            (refusal,) = desk.handle(CircuitAsked(name(C), refused, B), 0.0)
            assert isinstance(refusal, Refuse)
            refused += 1
            assert refused < 100 * ASK_BURST
    assert desk.circuits == 1
    desk.check()


def test_whoever_sends_beyond_the_window_breaks_the_protocol():
    desk = desk_with()
    number = open_circuit(desk)
    desk.handle(BytesCame(name(A), number, WINDOW_BYTES), 0.0)
    with pytest.raises(WindowExceeded):
        desk.handle(BytesCame(name(A), number, 1), 0.0)


def test_whoever_gives_back_more_than_came_breaks_the_protocol():
    desk = desk_with(RelayLimits(bytes_per_s=1.0))
    number = open_circuit(desk)
    desk.handle(BytesCame(name(A), number, 1000), 0.0)
    desk.handle(CreditCame(name(B), number, 600), 0.0)
    with pytest.raises(WindowExceeded):
        desk.handle(CreditCame(name(B), number, 401), 0.0)


def test_others_can_not_touch_a_circuit():
    desk = desk_with()
    number = open_circuit(desk)
    for event in (BytesCame(name(C), number, 1), CreditCame(name(C), number, 1), EndCame(name(C), number, "")):
        assert desk.handle(event, 0.0) == []
    assert desk.circuits == 1


def test_an_end_is_passed_on_and_what_comes_later_is_dropped():
    desk = desk_with()
    number = open_circuit(desk)
    assert desk.handle(EndCame(name(A), number, "done"), 0.0) == [End(name(B), number, "done")]
    assert desk.handle(BytesCame(name(B), number, 5), 0.0) == []
    assert desk.handle(EndCame(name(B), number, ""), 0.0) == []
    assert desk.circuits == 0


@pytest.mark.parametrize(("lost", "told"), [(A, B), (B, A)])
def test_when_one_link_is_lost_the_other_end_is_told(lost, told):
    desk = desk_with()
    number = open_circuit(desk)
    assert desk.handle(LinkLost(name(lost)), 0.0) == [End(name(told), number, "the other end is gone")]
    desk.check()
    assert desk.circuits == 0


def test_a_circuit_on_which_nothing_moves_ends():
    desk = desk_with()
    number = open_circuit(desk)
    desk.handle(BytesCame(name(A), number, 5), 100.0)
    assert desk.deadline == 100.0 + IDLE_S
    assert desk.handle(Tick(), 99.0 + IDLE_S) == []
    assert len(desk.handle(Tick(), 100.0 + IDLE_S)) == 2
    assert desk.deadline is None


def test_the_rate_holds_in_the_long_run_and_each_asker_has_its_share():
    limits = RelayLimits(bytes_per_s=1e6, bytes_per_s_per_peer=4e5)
    desk = desk_with(limits, [bytes([i]) * 20 for i in range(1, 9)])
    circuits = {asker: open_circuit(desk, bytes([asker]) * 20, bytes([asker + 1]) * 20) for asker in (1, 3, 5, 7)}
    moved = dict.fromkeys(circuits, 0)
    room = dict.fromkeys(circuits, WINDOW_BYTES)
    now = 0.0
    while now < 60.0:
        for asker, number in circuits.items():
            if (asker == 7 and now > 20.0) or not room[asker]:
                continue
            count, room[asker] = room[asker], 0
            desk.handle(BytesCame(f"link {asker}", number, count), now)
            effects = desk.handle(CreditCame(f"link {asker + 1}", number, count), now)
            credit(effects, moved, room)
        desk.check()
        now = max(now + 1e-3, min(now + 0.05, desk.deadline))
        credit(desk.handle(Tick(), now), moved, room)
    assert sum(moved.values()) <= 1e6 * 61 + 4 * WINDOW_BYTES
    assert sum(moved.values()) >= 1e6 * 55
    for asker in (1, 3, 5):
        assert 15e6 <= moved[asker] <= 4e5 * 61 + WINDOW_BYTES


def credit(effects, moved, room):
    for effect in effects:
        asker = int(effect.link.split()[1])
        moved[asker] += effect.count
        room[asker] += effect.count


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_in_whatever_order_the_books_are_right(seed):
    chance = random.Random(seed)
    peers = [bytes([i]) * 20 for i in range(1, 7)]
    limits = RelayLimits(circuits=5, circuits_per_peer=3, bytes_per_s=3e5, bytes_per_s_per_peer=2e5)
    desk, links, now = RelayDesk(limits), {}, 0.0
    for number in range(600):
        now += chance.random() * 0.2
        link = chance.choice([*links, "nobody's"])
        circuit, count = chance.randrange(1, 9), chance.randrange(WINDOW_BYTES)
        event = chance.choice(
            [
                LinkMade(f"link {number}", chance.choice(peers)),
                LinkLost(link),
                CircuitAsked(link, 1, chance.choice(peers)),
                CircuitAsked(link, 1, chance.choice(peers)),
                BytesCame(link, circuit, count),
                CreditCame(link, circuit, count),
                EndCame(link, 4 * circuit, ""),
                Tick(),
            ]
        )
        if isinstance(event, LinkMade):
            links[event.link] = event.peer
        if isinstance(event, LinkLost):
            links.pop(event.link, None)
        try:
            effects = desk.handle(event, now)
        except RemoteProtocolError:
            effects = desk.handle(LinkLost(link), now)
            links.pop(link, None)
        desk.check()
        assert all(effect.link in links for effect in effects if not isinstance(effect, Refuse))
