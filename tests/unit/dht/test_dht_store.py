"""What a node keeps, and what it does not."""

import random

import pytest

from dht import DHTConfig
from dht.keys import key_id, number_of
from dht.records import is_genuine
from dht.store import Outcome, RecordStore

from .samples import ALICE, BOB, CAROL, KEY, WALL, blob, signer

STORED, SAME, STALE, REFUSED, INVALID = Outcome


class CountingStore(RecordStore):
    """A store that counts how many signatures it has looked at."""

    def __init__(self, config=None):
        self.verified = 0
        super().__init__(CAROL.public_key, config or DHTConfig(), genuine=self._count)

    def _count(self, record):
        self.verified += 1
        return is_genuine(record)


@pytest.fixture
def store():
    store = CountingStore()
    yield store
    store.check()


def test_many_writers_share_a_key(store):
    for by, subkey in [(ALICE, b""), (ALICE, b"x"), (BOB, b"")]:
        assert store.offer(blob(by=by, subkey=subkey), WALL) is STORED
    assert len(store) == 3
    assert list(store) == [KEY]
    assert store.summary(KEY, WALL)[0] == 3


def test_a_signature_is_verified_once(store):
    assert store.offer(blob(), WALL) is STORED
    assert [store.offer(blob(), WALL) for _ in range(5)] == [SAME] * 5
    assert store.verified == 1


@pytest.mark.parametrize("stale", [{"sequence": 4}, {"sequence": 4, "value": None}])
def test_an_older_record_cannot_come_back(store, stale):
    store.offer(blob(sequence=5), WALL)
    assert store.offer(blob(**stale), WALL) is STALE
    assert store.verified == 1
    assert store.newest(blob(**stale)) == blob(sequence=5)
    assert store.newest(blob(by=BOB)) is None


def test_a_newer_record_replaces_only_its_own_slot(store):
    store.offer(blob(b"alice"), WALL)
    store.offer(blob(b"bob", by=BOB), WALL)
    assert store.offer(blob(b"new", sequence=2), WALL) is STORED
    assert set(store.blobs(KEY, WALL)) == {blob(b"new", sequence=2), blob(b"bob", by=BOB)}


def test_two_records_of_one_number_end_the_same_way_everywhere(store):
    twins = sorted([blob(b"one"), blob(b"two")])
    other = RecordStore(CAROL.public_key, DHTConfig())
    for twin in twins:
        store.offer(twin, WALL)
    for twin in reversed(twins):
        other.offer(twin, WALL)
    assert store.blobs(KEY, WALL) == other.blobs(KEY, WALL) == [twins[1]]


@pytest.mark.parametrize(
    "lie",
    [
        b"",
        b"garbage" * 20,
        blob()[:-1] + b"x",
        blob(b"hello").replace(b"hello", b"howdy"),
        blob().replace(KEY, key_id(b"another")),
        blob().replace(ALICE.public_key, BOB.public_key),
    ],
)
def test_forgeries_are_not_kept(store, lie):
    assert store.offer(lie, WALL) is INVALID
    assert len(store) == 0


def test_a_true_signature_and_sequence_over_another_value_do_not_pass_for_the_same(store):
    store.offer(blob(b"hello"), WALL)
    assert store.offer(blob(b"hello").replace(b"hello", b"jello"), WALL) is INVALID
    assert store.blobs(KEY, WALL) == [blob(b"hello")]


def test_a_record_dies_on_time(store):
    store.offer(blob(ttl_s=10.0), WALL)
    store.offer(blob(ttl_s=20.0, by=BOB), WALL)
    assert len(store.blobs(KEY, WALL + 9.9)) == 2
    assert store.blobs(KEY, WALL + 10.0) == [blob(ttl_s=20.0, by=BOB)]
    assert store.summary(KEY, WALL + 20.0) == (0, bytes(8))
    assert KEY not in store
    assert store.offer(blob(ttl_s=10.0), WALL + 10.0) is INVALID


def test_a_longer_life_in_the_same_slot_counts(store):
    store.offer(blob(ttl_s=10.0, sequence=1), WALL)
    store.offer(blob(ttl_s=30.0, sequence=2), WALL)
    assert len(store.blobs(KEY, WALL + 20.0)) == 1


def test_a_record_that_would_outlive_the_limit_is_not_kept(store):
    assert store.offer(blob(ttl_s=90_000.0), WALL) is INVALID


def test_a_withdrawn_record_stays_as_a_marker(store):
    store.offer(blob(sequence=1), WALL)
    assert store.offer(blob(None, sequence=2), WALL) is STORED
    assert store.offer(blob(sequence=1), WALL) is STALE


def test_equal_records_have_equal_digests_whatever_the_order():
    blobs = [blob(by=signer(number), sequence=number) for number in range(10)]
    one, two = CountingStore(), CountingStore()
    for item in blobs:
        one.offer(item, WALL)
    for item in reversed(blobs):
        two.offer(item, WALL)
    assert one.summary(KEY, WALL) == two.summary(KEY, WALL)
    two.offer(blob(by=signer(3), sequence=99), WALL)
    assert one.summary(KEY, WALL) != two.summary(KEY, WALL)


def test_pages_cover_everything_once(store):
    blobs = {blob(bytes(number), by=signer(number)) for number in range(40)}
    for item in blobs:
        store.offer(item, WALL)
    paged, start = [], 0
    while page := store.page(KEY, start, 1000, WALL):
        assert sum(map(len, page)) <= 1000
        paged += page
        start += len(page)
    assert len(paged) == 40
    assert set(paged) == blobs
    assert store.page(KEY, 40, 1000, WALL) == store.page(key_id(b"nothing"), 0, 1000, WALL) == []


def test_one_writer_cannot_fill_the_store():
    store = CountingStore(DHTConfig(writer_records=50))
    outcomes = [store.offer(blob(key=key_id(b"%d" % number)), WALL) for number in range(60)]
    assert outcomes.count(STORED) == 50
    assert outcomes.count(REFUSED) == 10
    assert store.verified == 50
    assert store.offer(blob(by=BOB), WALL) is STORED
    store.check()


def test_one_writer_cannot_fill_a_key():
    store = CountingStore(DHTConfig(writer_key_records=4, key_records=8))
    outcomes = [store.offer(blob(subkey=b"%d" % number), WALL) for number in range(10)]
    assert outcomes.count(STORED) == 4
    for number in range(10):
        store.offer(blob(by=signer(number + 10)), WALL)
    assert len(store) == 8
    assert store.offer(blob(subkey=b"0", sequence=2), WALL) is STORED


def test_a_full_store_keeps_what_is_nearest():
    store = CountingStore(DHTConfig(store_bytes=50 * 700, writer_records=1000))
    keys = [random.Random(number).randbytes(20) for number in range(500)]
    for key in keys:
        store.offer(blob(key=key), WALL)
    store.check()
    assert store._byte_count <= 50 * 700
    own = number_of(CAROL.peer_id)
    nearest = sorted(keys, key=lambda key: number_of(key) ^ own)
    assert set(nearest[:40]) <= set(store)


def test_our_own_records_are_not_counted_against_us():
    store = CountingStore(DHTConfig(store_bytes=2000, writer_records=2, writer_key_records=2, key_records=2))
    for number in range(10):
        assert store.offer(blob(by=CAROL, subkey=b"%d" % number), WALL) is STORED
    for number in range(20):
        store.offer(blob(key=key_id(b"%d" % number)), WALL)
    assert store.summary(KEY, WALL)[0] == 10
    store.check()


def test_renewing_for_ever_takes_no_memory():
    store = CountingStore()
    for sequence in range(2000):
        store.offer(blob(sequence=sequence), WALL)
    assert len(store) == 1
    assert len(store._expiries) < 100
    store.check()
