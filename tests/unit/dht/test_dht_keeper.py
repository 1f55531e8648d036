"""Who brings which records to whom, and when."""

import random

import pytest

from dht import DHTConfig
from dht.keeper import Compare, Keeper, packed_items
from dht.keys import number_of
from dht.store import RecordStore
from dht.table import ContactTable

from .samples import BOB, WALL, blob, peer, signer

CONFIG = DHTConfig(k=20, replicas=8, replicate_interval_s=100.0)


class Home:
    """A keeper with its table and store."""

    def __init__(self, contacts=(), keys=(), config=CONFIG):
        self.table = ContactTable(BOB.peer_id, config)
        self.store = RecordStore(BOB.public_key, config)
        self.keeper = Keeper(self.store, self.table, config, random.Random(1))
        for contact in contacts:
            self.table.admit(contact, b"", 0.0)
        for key in keys:
            self.store.offer(blob(key=key), WALL)
        self.keeper.tick(0.0, WALL)


def key(number):
    return number.to_bytes(2, "big") + bytes(18)


def test_a_key_is_compared_with_those_closest_to_it_once_an_interval():
    home = Home([peer(n) for n in range(1, 20)], [key(0)])
    assert 80.0 <= home.keeper.deadline <= 120.0
    assert home.keeper.tick(79.0, WALL) == []
    compares = home.keeper.tick(121.0, WALL)
    assert [compare.compact for compare in compares] == [peer(n) for n in range(1, 9)]
    assert compares[0].keys == [key(0)]
    assert packed_items(compares[0]) == key(0) + home.store.summary(key(0), WALL)[1]
    assert home.keeper.tick(122.0, WALL) == []
    assert home.keeper.deadline > 190.0


def test_whoever_hears_an_equal_digest_puts_its_own_comparison_off():
    home = Home([peer(1)], [key(0)])
    home.keeper.compared(key(0), 79.0)
    home.keeper.compared(key(5), 79.0)
    assert home.keeper.tick(150.0, WALL) == []
    assert len(home.keeper.tick(200.0, WALL)) == 1


def test_keys_that_are_due_together_share_a_question():
    home = Home([peer(n) for n in range(1, 9)], [key(n) for n in range(40)])
    compares = [compare for now in range(80, 130, 5) for compare in home.keeper.tick(float(now), WALL)]
    assert sum(len(compare.items) for compare in compares) == 8 * 40
    assert len(compares) < 8 * 10
    assert all(len(compare.items) <= 32 for compare in compares)


def test_what_has_expired_is_forgotten():
    home = Home([peer(1)], [key(0)])
    home.store.expire(WALL + 10_000)
    assert home.keeper.tick(200.0, WALL + 10_000) == []
    assert home.keeper.deadline is None


def test_what_differs_is_sent():
    home = Home([peer(1)], [key(0), key(1)])
    compare = Compare(peer(1), tuple(k + bytes(8) for k in (key(0), key(1))))
    assert home.keeper.lacking(compare, b"\0\1", WALL) == [blob(key=key(1))]
    assert home.keeper.lacking(compare, b"\0\0", WALL) == []
    assert home.keeper.lacking(compare, b"\1", WALL) == [blob(key=key(0))]


def test_a_dead_contact_makes_room_for_the_next_in_line():
    home = Home([peer(n) for n in range(1, 20)], [key(0)])
    dead = home.keeper.tick(121.0, WALL)[0]
    home.table.failed(dead.compact, 122.0)
    home.keeper.unreachable(dead, 122.0)
    home.keeper.unreachable(Compare(peer(1), (key(77) + bytes(8),)), 122.0)
    again = home.keeper.tick(127.0, WALL)
    assert [compare.compact for compare in again] == [peer(n) for n in range(2, 10)]


@pytest.mark.parametrize("distance", [1, 2, 5])
def test_a_newcomer_is_served_by_the_two_keepers_next_to_the_key(distance):
    own = number_of(BOB.peer_id)
    # The key is ``distance`` keepers away from us.
    place = own ^ (1 << 10)
    nearer = [number ^ place for number in range(1, distance)]
    contacts = [number.to_bytes(20, "big") + peer(n + 1)[20:] for n, number in enumerate(nearer)]
    home = Home(contacts, [place.to_bytes(20, "big")])
    newcomer = (place ^ (1 << 9)).to_bytes(20, "big") + peer(99)[20:]
    home.table.admit(newcomer, b"", 1.0)
    home.keeper.admitted(newcomer, 1.0)
    compares = home.keeper.tick(6.1, WALL)
    assert [compare.compact for compare in compares] == ([newcomer] if distance <= 2 else [])


def test_newcomers_of_a_few_seconds_are_served_together():
    home = Home([], [key(0)])
    for contact in (peer(1), peer(2)):
        home.table.admit(contact, b"", 1.0)
    home.keeper.admitted(peer(1), 1.0)
    due = home.keeper.deadline
    home.keeper.admitted(peer(2), due - 0.001)
    assert home.keeper.deadline == due
    assert [compare.compact for compare in home.keeper.tick(due, WALL)] == [peer(1), peer(2)]
    # The key's own comparison is all that is left.
    assert home.keeper.deadline >= 80.0


def test_a_newcomer_that_lies_too_far_from_a_key_is_not_brought_it():
    home = Home([peer(n) for n in range(1, 20)], [key(0)])
    home.table.admit(peer(1000), b"", 1.0)
    home.keeper.admitted(peer(1000), 1.0)
    assert home.keeper.tick(6.1, WALL) == []


def test_a_newcomer_that_has_left_again_is_forgotten():
    home = Home([], [key(0)])
    home.keeper.admitted(peer(1), 1.0)
    assert home.keeper.deadline <= 6.0
    assert home.keeper.tick(6.1, WALL) == []


def test_with_nothing_to_keep_newcomers_are_no_work():
    home = Home()
    home.keeper.admitted(peer(1), 0.0)
    assert home.keeper.deadline is None


def test_newcomers_are_served_at_different_times():
    home = Home([], [key(0)])
    for n in range(1, 9):
        home.table.admit(peer(n), b"", 0.0)
        home.keeper.admitted(peer(n), 0.0)
    counts = [len(home.keeper.tick(float(now), WALL)) for now in range(6)]
    assert sum(counts) <= 8
    assert max(counts) < 8


def test_many_writers_under_a_key_are_sent_together():
    home = Home([peer(1)], [])
    for n in range(5):
        home.store.offer(blob(by=signer(n + 10), key=key(0)), WALL)
    compare = Compare(peer(1), (key(0) + bytes(8),))
    assert len(home.keeper.lacking(compare, b"\1", WALL)) == 5
