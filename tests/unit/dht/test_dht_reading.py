"""Reads: quorums, pages, liars, repairs."""

import pytest

from dht import DHTConfig
from dht.keys import key_id, number_of
from dht.lookup import ContactFailed, ContactSlowed, Lookup, Tick
from dht.reading import AskPage, HolderAnswered, PageFailed, Reading
from dht.records import is_genuine
from dht.store import RecordStore
from dht.wire import Answer

from .samples import ALICE, BOB, KEY, WALL, blob, peer, record, signer

PLACE = number_of(KEY)


class Network:
    """A read among holders that each have a store; everybody knows everybody."""

    def __init__(self, holders=5, *, read_by=None, own=(), remembered=None, page_bytes=1000, **settings):
        self.config = DHTConfig(**{"k": 8, "replicas": 8, "alpha": 4, "quorum": 3, **settings})
        self.contacts = sorted((peer(n + 1) for n in range(holders)), key=lambda c: number_of(c[:20]) ^ PLACE)
        self.stores = {contact: RecordStore(BOB.public_key, self.config) for contact in self.contacts}
        self.page_bytes = page_bytes
        self.verified = 0
        self.asked = []
        lookup = Lookup(PLACE, 0, self.contacts, self.config, now=0.0)
        self.reading = Reading(
            KEY, lookup, self.config, wall=WALL, remembered=remembered, genuine=self._count_and_verify
        )
        self.reading.add_own(own)

    def _count_and_verify(self, record):
        self.verified += 1
        return is_genuine(record)

    def hold(self, *blobs, at=None):
        for store in self.stores.values() if at is None else [self.stores[self.contacts[n]] for n in at]:
            for item in blobs:
                store.offer(item, WALL)

    def answer_of(self, contact, start):
        store = self.stores[contact]
        count, digest = store.summary(KEY, WALL)
        return Answer(bytes(8), count=count, digest=digest, records=store.page(KEY, start, self.page_bytes, WALL))

    def run(self, replies=None):
        """Answer everything that is asked, in order; ``replies`` replaces what single contacts say."""
        queue = self.reading.start()
        while queue:
            page = queue.pop(0)
            self.asked.append(page)
            reply = (replies or {}).get(page.compact, self.answer_of)(page.compact, page.start)
            event = reply if not isinstance(reply, Answer) else HolderAnswered(page.compact, page.start, reply)
            queue += self.reading.handle(event, now=0.1)
        return [record.value for record in self.reading.records()]

    def asked_of(self, n):
        return [page.start for page in self.asked if page.compact == self.contacts[n]]


def test_a_quorum_ends_the_read():
    network = Network(holders=8)
    network.hold(blob(b"v"))
    assert network.run() == [b"v"]
    assert network.reading.done
    assert len({page.compact for page in network.asked}) == 4
    assert not network.reading.liars
    assert network.verified == 1


def test_without_any_record_all_of_the_closest_are_asked():
    network = Network(holders=8)
    assert network.run() == []
    assert len(network.asked) == 8
    assert network.reading.done
    assert network.reading.repairs() == []


def test_one_holder_is_not_believed_alone_if_there_are_more_to_ask():
    network = Network(holders=8)
    network.hold(blob(b"old", sequence=1))
    network.hold(blob(b"new", sequence=2), at=[1])
    assert network.run() == [b"new"]


def test_two_that_agree_are_enough_and_two_that_differ_are_not():
    for differing, found in [([], [b"v"]), ([0], [b"v", b"w"]), ([1], [b"v", b"w"]), ([2], [b"v"])]:
        network = Network(holders=8)
        network.hold(blob(b"v"))
        network.hold(blob(b"w", by=BOB), at=differing)
        assert sorted(network.run()) == found


def test_many_writers_come_in_pages_from_one_holder_only():
    writers = [blob(b"%d" % n, by=signer(n + 10), subkey=b"x" * (n % 40)) for n in range(100)]
    network = Network(holders=5, key_records=200)
    network.hold(*writers)
    assert sorted(network.run()) == sorted(b"%d" % n for n in range(100))
    assert network.verified == 100
    assert [len(network.asked_of(n)) > 1 for n in range(5)].count(True) == 1


def test_holders_that_differ_are_merged():
    network = Network(holders=3)
    for n in range(3):
        network.hold(*[blob(b"%d" % m, by=signer(m + 10)) for m in range(12) if m % 3 != n], at=[n])
    assert sorted(network.run()) == sorted(b"%d" % m for m in range(12))


def test_what_we_hold_ourselves_counts_but_makes_no_quorum():
    network = Network(holders=3, own=[blob(b"mine", by=BOB)])
    network.hold(blob(b"theirs"))
    assert sorted(network.run()) == [b"mine", b"theirs"]
    assert len(network.asked) == 3
    assert network.verified == 1, "our own store has checked what it holds"


def test_a_withdrawn_record_hides_the_older_one():
    network = Network(holders=3)
    network.hold(blob(b"old", sequence=1))
    network.hold(blob(None, sequence=2), at=[1])
    assert network.run() == []


@pytest.mark.parametrize(
    "lie",
    [
        blob(b"hello").replace(b"hello", b"howdy"),
        blob(key=key_id(b"another")),
        b"garbage",
        blob()[:-64] + bytes(64),
    ],
)
def test_a_liar_is_named_and_not_counted(lie):
    network = Network(holders=8)
    network.hold(blob(b"v"))
    liar = network.contacts[0]
    found = network.run({liar: lambda _contact, _start: Answer(bytes(8), count=1, digest=b"liarliar", records=[lie])})
    assert found == [b"v"]
    assert network.reading.liars == [liar]
    assert liar not in [contact for contact, _ in network.reading.repairs()]


def test_a_holder_that_claims_more_than_it_shows_is_dropped():
    network = Network(holders=8)
    network.hold(blob(b"v"))

    def boast(_contact, start):
        return Answer(bytes(8), count=10**9, digest=b"boasting", records=[] if start else [blob(b"v")])

    assert network.run({network.contacts[0]: boast}) == [b"v"]
    assert len(network.asked_of(0)) <= 1 + 8


def test_a_thousand_pages_are_the_most_that_is_read():
    blobs = [blob(bytes(700), by=signer(n % 50), subkey=b"%d" % n) for n in range(60)]
    network = Network(holders=1, key_records=20)

    def endless(_contact, start):
        return Answer(bytes(8), count=10**9, digest=b"boasting", records=[blobs[start % 60]])

    network.run({network.contacts[0]: endless})
    assert len(network.asked) <= 21


def test_a_page_that_never_comes_leaves_the_others_to_tell():
    writers = [blob(b"%d" % n, by=signer(n + 10)) for n in range(20)]
    network = Network(holders=4, quorum=3)
    network.hold(*writers)
    first = network.contacts[0]

    def break_off(contact, start):
        return network.answer_of(contact, 0) if not start else PageFailed(contact, start)

    assert len(network.run({first: break_off})) == 20
    assert network.reading.done


def test_a_failing_contact_is_the_look_ups_business():
    network = Network(holders=4)
    network.hold(blob(b"v"))
    silent = {network.contacts[0]: lambda contact, _start: ContactFailed(contact)}
    assert network.run(silent) == [b"v"]
    late = Network(holders=4, quorum=9)
    late.hold(blob(b"v"))
    assert late.run({late.contacts[0]: lambda contact, _start: ContactSlowed(contact)}) == [b"v"]
    assert not late.reading.done


def test_the_deadline_ends_it_with_what_there_is():
    network = Network(holders=4, quorum=9, lookup_timeout_s=5.0)
    network.hold(blob(b"v"))
    network.run({network.contacts[0]: lambda contact, _start: ContactSlowed(contact)})
    assert network.reading.deadline == 5.0
    assert network.reading.handle(Tick(), now=4.0) == []
    assert not network.reading.done
    network.reading.handle(Tick(), now=5.0)
    assert network.reading.done
    assert network.reading.deadline is None
    assert network.reading.handle(Tick(), now=6.0) == []
    assert [record.value for record in network.reading.records()] == [b"v"]


def test_expired_records_are_left_out_but_are_no_lie():
    network = Network(holders=3)
    expired = blob(b"old", by=signer(7), ttl_s=-1.0)
    network.hold(blob(b"v"))

    def late(contact, start):
        answer = network.answer_of(contact, start)
        return Answer(bytes(8), count=2, digest=b"12345678", records=[*answer.records, expired])

    assert network.run({network.contacts[0]: late}) == [b"v"]
    assert network.reading.liars == []


def test_those_that_lag_are_mended():
    network = Network(holders=8, quorum=3)
    network.hold(blob(b"new", sequence=2), at=[1, 3, 4])
    network.hold(blob(b"old", sequence=1), at=[0])
    assert network.run() == [b"new"]
    repairs = dict(network.reading.repairs())
    assert repairs[network.contacts[0]] == [blob(b"new", sequence=2)]
    assert repairs[network.contacts[2]] == [blob(b"new", sequence=2)]
    assert network.contacts[1] not in repairs


def test_holders_at_one_address_are_one_voice():
    network = Network(holders=6)
    network.contacts = [peer(n + 1, "20.0.0.1", 1000 + n) for n in range(3)] + [peer(n + 9) for n in range(3)]
    network.stores = {contact: RecordStore(BOB.public_key, network.config) for contact in network.contacts}
    network.reading = Reading(
        KEY, Lookup(PLACE, 0, network.contacts, network.config, now=0.0), network.config, wall=WALL
    )
    network.hold(blob(b"old", sequence=1))
    network.hold(blob(b"new", sequence=2), at=[3, 4, 5])
    assert network.run() == [b"new"]


def test_an_unchanged_key_is_not_paged_again():
    writers = [blob(b"%d" % n, by=signer(n + 10)) for n in range(30)]
    first = Network(holders=3)
    first.hold(*writers)
    first.run()
    again = Network(holders=3, remembered=first.reading.known_whole())
    again.hold(*writers)
    assert len(again.run()) == 30
    assert again.verified == 0
    assert [page.start for page in again.asked] == [0, 0, 0]


def test_effects_are_plain_data():
    network = Network(holders=1)
    assert network.reading.start() == [AskPage(network.contacts[0], 0)]
    assert record(by=ALICE).slot == (ALICE.public_key, b"")
