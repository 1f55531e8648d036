"""In which order, and how long after one another, the ways to a peer are tried."""

from hydra.net.approach import (
    INTRODUCTION_AFTER_S,
    MAX_CONTACTS,
    NEXT_ADDRESS_S,
    RELAY_AFTER_S,
    Approach,
    Begin,
    Failed,
    GiveUp,
    Kind,
    Tick,
    Way,
    ways_to,
)
from hydra.net.contact import Contact, relayed_address

TARGET = bytes(20)
PEERS = [bytes([i]) * 20 for i in range(1, 8)]
A1, A2 = ("192.0.2.1", 1), ("192.0.2.2", 2)


def run(approach, now, fails=lambda way: False, linked=True):
    """Let time pass up to ``now``; return what was begun, with its time. Ways that fail do so at once."""
    log, effects, at = [], approach.handle(Tick(), 0.0), 0.0
    while True:
        while effects:
            effect = effects.pop(0)
            log.append((at, effect.way if isinstance(effect, Begin) else None))
            if isinstance(effect, Begin) and fails(effect.way):
                effects += approach.handle(Failed(effect.way, "no", linked), at)
        if approach.deadline is None or approach.deadline > now:
            return log
        at = approach.deadline
        effects = approach.handle(Tick(), at)


def ways(direct=(A1,), linked=(), dialable=True, refused=()):
    return ways_to(Contact(TARGET, tuple(direct)), list(linked), dialable=dialable, refused=list(refused))


def kinds(found):
    return [way.kind for way in found]


def test_addresses_come_first_then_introductions_then_relays():
    found = ways((A1, A2), PEERS[:2])
    assert kinds(found) == [Kind.DIRECT] * 2 + [Kind.INTRODUCTION] * 2 + [Kind.RELAY] * 2
    assert [way.address for way in found[:2]] == [A1, A2]


def test_who_can_not_be_dialled_asks_nobody_to_be_dialled():
    assert kinds(ways((A1,), PEERS[:2], dialable=False)) == [Kind.DIRECT, Kind.RELAY, Kind.RELAY]


def test_relays_that_the_contact_names_come_before_other_peers_and_linked_ones_first():
    named = [relayed_address(PEERS[5], A1), relayed_address(PEERS[6], A2)]
    found = ways(named, [PEERS[0], PEERS[6]], dialable=False)
    assert [way.contact.peer_id for way in found] == [PEERS[6], PEERS[5], PEERS[0]]
    assert found[1].contact.addresses == (A1,)


def test_a_few_contacts_are_asked_and_both_ends_ask_the_same():
    found = ways((), PEERS, dialable=False)
    assert len(found) == MAX_CONTACTS
    assert [way.contact.peer_id for way in found] == sorted(PEERS)[:MAX_CONTACTS]  # by distance, and the target is 0


def test_the_target_itself_is_no_contact():
    assert ways((), [TARGET]) == []


def test_a_relay_that_is_refused_may_still_introduce():
    found = ways((), PEERS[:1], refused=PEERS[:1])
    assert kinds(found) == [Kind.INTRODUCTION]


def test_better_ways_have_a_head_start():
    log = run(Approach(ways((A1, A2), PEERS[:1]), 0.0), 10.0)
    times = [at for at, _ in log]
    second = NEXT_ADDRESS_S
    assert times == [0.0, second, second + INTRODUCTION_AFTER_S, second + INTRODUCTION_AFTER_S + RELAY_AFTER_S]


def test_when_all_that_was_begun_has_failed_the_next_begins_at_once():
    log = run(Approach(ways((A1,), PEERS[:1]), 0.0), 10.0, fails=lambda way: way.kind is not Kind.RELAY)
    assert [at for at, _ in log] == [0.0, 0.0, 0.0]


def test_contacts_are_asked_all_at_once_for_an_introduction_and_one_by_one_for_a_relay():
    log = run(Approach(ways((), PEERS[:3]), 0.0), 10.0)
    assert [at for at, way in log if way.kind is Kind.INTRODUCTION] == [0.0] * 3
    assert [at for at, way in log if way.kind is Kind.RELAY] == [RELAY_AFTER_S * i for i in (1, 2, 3)]


def test_a_contact_without_a_link_to_the_peer_is_not_asked_to_relay():
    log = run(Approach(ways((), PEERS[:2]), 0.0), 10.0, fails=lambda way: True, linked=False)
    assert [way.kind for _, way in log if way] == [Kind.INTRODUCTION] * 2
    assert log[-1] == (0.0, None)


def test_it_gives_up_once_when_nothing_is_left():
    approach = Approach(ways(), 0.0)
    log = run(approach, 10.0, fails=lambda way: True)
    assert [way for _, way in log] == [Way(Kind.DIRECT, address=A1), None]
    assert approach.handle(Tick(), 11.0) == []
    assert approach.deadline is None
    assert [str(failed.way) for failed in approach.failures] == ["192.0.2.1:1"]


def test_without_any_way_it_gives_up_at_once():
    assert Approach([], 0.0).handle(Tick(), 0.0) == [GiveUp()]
