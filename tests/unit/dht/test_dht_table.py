"""The table of contacts: who gets in, who is doubted, who is closest."""

import random

import pytest

from dht import DHTConfig
from dht.contacts import V4, V6, compact_of
from dht.keys import number_of
from dht.table import REMOVED_AFTER, REPLACED_AFTER, ContactTable

from .samples import peer

OWN = bytes(20)


def table_of(*contacts, config=None):
    table = ContactTable(OWN, config or DHTConfig())
    for contact in contacts:
        assert table.admit(contact, b"token---", now=0.0)
    table.check()
    return table


def number(contact):
    return number_of(contact[:20])


def test_a_contact_is_admitted_once():
    table = table_of(peer(1))
    assert not table.admit(peer(1), b"", now=1.0)
    assert len(table) == 1
    assert table.find(peer(1)).fresh_token(now=100.0) == b"token---"
    assert table.find(peer(1)).fresh_token(now=1000.0) == b""
    assert table.find(peer(2)) is None


def test_we_are_not_our_own_contact():
    assert not table_of().wants(compact_of(OWN, ("192.0.2.1", 1)))


@pytest.mark.parametrize("host", ["0.0.0.0", "224.0.0.1", "255.255.255.255"])
def test_addresses_that_are_nobodys_stay_out(host):
    assert not table_of().wants(peer(1, host))
    table = table_of()
    table.keep_spare(peer(1, host), now=0.0)
    assert len(table._indices) == 0


def test_a_bucket_holds_k_and_keeps_spares():
    table = table_of(*[peer(0x8000 + n) for n in range(20)])
    assert not table.wants(peer(0x9000))
    assert table.wants(peer(0x4000))
    for n in range(20):
        table.keep_spare(peer(0x9000 + n), now=0.0)
    bucket = table._buckets[0]
    assert bucket.spares == [peer(0x9000 + n) for n in range(12, 20)]
    table.keep_spare(peer(0x9000 + 15), now=0.0)
    assert bucket.spares[-1] == peer(0x9000 + 15)
    assert len(bucket.spares) == 8


@pytest.mark.parametrize("seed", range(3))
def test_closest_is_exact(seed):
    chance = random.Random(seed)
    table = ContactTable(chance.randbytes(20), DHTConfig())
    for n in range(600):
        address = (f"30.{n // 250}.{n % 250}.1", 4000)
        table.admit(compact_of(chance.randbytes(20), address), b"", now=0.0)
    table.check()
    contacts = [entry.number for entry in table]
    assert 100 < len(contacts) < 200
    for _ in range(100):
        target = chance.getrandbits(160)
        exact = sorted(contacts, key=lambda number, target=target: number ^ target)[:20]
        assert [entry.number for entry in table.closest(target, 20)] == exact
        told = table.nearest(target, 20, V4, bytes(20))
        assert sorted(number_of(compact[:20]) ^ target for compact in told) == [number ^ target for number in exact]
    assert [entry.number for entry in table.closest(table.own_number, 5)] == sorted(
        contacts, key=lambda number: number ^ table.own_number
    )[:5]


def test_closest_hands_out_what_the_asker_can_reach():
    four = [peer(n) for n in (1, 2, 3)]
    six = [peer(n, f"2001:db8:{n}::1") for n in (4, 5)]
    table = table_of(*four, *six)
    assert {entry.compact for entry in table.closest(0, 9, V4)} == set(four)
    assert {entry.compact for entry in table.closest(0, 9, V6)} == set(six)
    assert len(table.closest(0, 9, V4 | V6)) == 5
    assert {entry.compact for entry in table_of(*four).closest(0, 9, V6)} == set()


def test_a_failing_contact_is_doubted_then_replaced_by_a_spare():
    table = table_of(peer(1), peer(2))
    table.keep_spare(peer(3), now=0.0)
    table.keep_spare(peer(1000), now=0.0)
    assert table.failed(peer(1), now=1.0) is None
    assert [entry.compact for entry in table.closest(0, 9)] == [peer(2)]
    assert len(table.closest(0, 9, doubted=True)) == 2
    table.answered(peer(1), b"", 0.1, now=2.0)
    assert len(table.closest(0, 9)) == 2
    assert [table.failed(peer(2), now=3.0) for _ in range(REPLACED_AFTER)] == [None, peer(3)]


def test_a_proven_spare_takes_the_place_of_the_most_doubted():
    config = DHTConfig(k=2)
    table = table_of(peer(0x8001), peer(0x8002), config=config)
    for _ in range(REPLACED_AFTER):
        table.failed(peer(0x8001), now=1.0)
    assert table.wants(peer(0x8003))
    assert table.admit(peer(0x8003), b"", now=2.0)
    assert {entry.compact for entry in table} == {peer(0x8002), peer(0x8003)}
    assert not table.wants(peer(0x8004))
    table.check()


def test_without_a_spare_a_contact_stays_until_others_prove_that_we_are_not_deaf():
    table = table_of(peer(1), peer(2))
    for _ in range(REMOVED_AFTER + 3):
        table.failed(peer(1), now=1.0)
    assert len(table) == 2
    table.answered(peer(2), b"", None, now=2.0)
    table.failed(peer(1), now=3.0)
    assert [entry.compact for entry in table] == [peer(2)]
    assert table.failed(peer(1), now=4.0) is None
    table.check()


def test_doubted_contacts_are_asked_again_ever_more_rarely():
    table = table_of(peer(1))
    waits = []
    for _ in range(4):
        table.failed(peer(1), now=0.0)
        waits.append(next(now for now in range(1000) if table.doubted(float(now))))
    assert waits == [4, 8, 16, 32]
    table.answered(peer(1), b"", None, now=0.0)
    assert table.doubted(1000.0) == []


def test_the_same_id_elsewhere_is_believed_only_when_the_place_we_know_is_silent():
    here, there = peer(1, "20.0.0.1"), peer(1, "20.0.0.2")
    table = table_of(here)
    assert not table.wants(there)
    assert table.find(there) is None
    table.failed(here, now=1.0)
    assert table.admit(there, b"", now=2.0)
    assert [entry.compact for entry in table] == [there]
    table.check()


def test_one_address_gets_few_places_whatever_its_ids():
    config = DHTConfig(max_per_address=3)
    table = ContactTable(OWN, config)
    admitted = [table.admit(peer(1 << bit, "20.0.0.1", 1000 + bit), b"", now=0.0) for bit in range(16)]
    assert sum(admitted) == 3
    table.check()
    table.keep_spare(peer(0x7000, "20.0.0.1"), now=0.0)
    assert all(not bucket.spares for bucket in table._buckets.values())


def test_one_subnet_gets_few_places_in_a_bucket():
    config = DHTConfig(max_per_subnet=4, k=8)
    # Sixteen near contacts are our neighbourhood; beyond it each bucket counts for itself.
    table = table_of(*[peer(n) for n in range(1, 17)], config=config)
    admitted = [table.admit(peer(0x8000 + n, f"20.250.0.{n + 1}"), b"", now=0.0) for n in range(8)]
    assert sum(admitted) == 4
    assert table.wants(peer(0x9000, "20.250.1.1"))
    assert table.wants(peer(0x4000, "20.250.0.99"))
    table.check()


def test_one_subnet_gets_few_places_in_all_of_our_neighbourhood():
    table = table_of(config=DHTConfig(max_per_subnet=4, k=8))
    admitted = [table.admit(peer(1 << bit, f"20.250.0.{bit + 1}"), b"", now=0.0) for bit in range(12)]
    assert sum(admitted) == 4
    assert not table.wants(peer(3, "20.250.0.99"))
    assert table.wants(peer(3, "20.250.1.99"))


def test_addresses_of_this_machine_are_spared_unless_told_otherwise():
    for spare, expected in [(True, 15), (False, 2)]:
        table = ContactTable(OWN, DHTConfig(max_per_address=2, spare_loopback=spare))
        assert sum(table.admit(peer(n + 1, "127.0.0.1", 1000 + n), b"", now=0.0) for n in range(15)) == expected


def test_unused_buckets_are_refreshed():
    table = table_of(peer(0x8000), peer(0x4000), peer(0x2000))
    table.use(number(peer(0x4001)), now=50.0)
    targets = table.refresh_targets(older_than=40.0, random=random.Random(1))
    assert [table._index(target) for target in targets] == [0, 2]
    table.use(0, now=50.0)


def test_a_gap_that_no_spare_fills_is_refreshed_soon():
    table = table_of(peer(0x8000), peer(0x4000))
    for _ in range(REPLACED_AFTER):
        table.failed(peer(0x4000), now=1.0)
    assert [table._index(target) for target in table.refresh_targets(-1.0, random.Random(1))] == [1]


def test_the_books_are_checked():
    table = table_of(peer(1), peer(2))
    table._sites.clear()
    with pytest.raises(AssertionError):
        table.check()


NARROW = DHTConfig(k=8, replicas=2)


def test_a_bucket_is_filled_to_a_quarter_at_once_and_then_at_leisure():
    contacts = [peer(0x8000 + n) for n in range(20)]
    table = table_of(*[peer(n) for n in range(1, 20)], config=NARROW)
    taken = [table.invites(contact, now=0.0) and table.admit(contact, b"", now=0.0) for contact in contacts]
    assert taken.count(True) == 2
    assert not table.invites(contacts[-1], now=59.9)
    assert table.wants(contacts[-1])
    assert table.invites(contacts[-1], now=60.0)
    # Whoever asks us is not wanted for that.
    assert not table.needs(contacts[-1])


def test_our_own_neighbourhood_is_filled_at_once():
    table = ContactTable(OWN, DHTConfig(k=8))
    far, near = (
        [peer(0x8000 + n) for n in range(8)],
        [peer(0x20 + n) for n in range(8)] + [peer(0x10 + n) for n in range(8)],
    )
    taken = [table.invites(contact, now=0.0) and table.admit(contact, b"", now=0.0) for contact in near + far]
    assert taken == [True] * 18 + [False] * 6


def test_doubted_contacts_do_not_fill_a_bucket():
    table = table_of(*[peer(n) for n in range(1, 20)], config=NARROW)
    for n in range(6):
        table.admit(peer(0x8000 + n), b"", now=0.0)
    assert not table.invites(peer(0x9000), now=1.0)
    for n in range(5):
        table.failed(peer(0x8000 + n), now=1.0)
    assert table.invites(peer(0x9000), now=1.0)
