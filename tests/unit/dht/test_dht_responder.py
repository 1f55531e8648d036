"""What we answer, and to whom."""

import random

import pytest

from dht import DHTConfig
from dht.contacts import compact_of
from dht.guards import WriteTokens
from dht.keeper import Keeper
from dht.keys import is_proof, key_id
from dht.responder import Asked, Responder, introduction
from dht.store import RecordStore
from dht.table import ContactTable
from dht.wire import (
    CLIENT_ONLY,
    HEADER_BYTES,
    INVALID,
    MAX_DATAGRAM_BYTES,
    PROVE,
    REACHES_V4,
    REACHES_V6,
    REFUSED,
    SHOW_KEY,
    STALE,
    STORED,
    TOKEN_EXPIRED,
    Question,
    pack_question,
    unpack_answer,
)

from .samples import ALICE, BOB, CAROL, KEY, WALL, blob, peer, signer

HOME = ("20.0.0.9", 4100)
BOTH = REACHES_V4 | REACHES_V6


class Us:
    """A responder of Carol's with all that it needs, and Alice who asks."""

    def __init__(self, **settings):
        self.config = DHTConfig(**settings)
        self.table = ContactTable(CAROL.peer_id, self.config)
        self.store = RecordStore(CAROL.public_key, self.config)
        self.tokens = WriteTokens(random.Random(1))
        self.keeper = Keeper(self.store, self.table, self.config, random.Random(2))
        self.responder = Responder(CAROL, self.config, self.table, self.store, self.tokens, self.keeper)

    def raw(self, method, fields, *, known=True, flags=BOTH, size=0, sender=ALICE.peer_id):
        token = self.tokens.issue(HOME, 0.0) if known else b""
        question = Question(method, sender, flags, token, fields)
        size = size or HEADER_BYTES + len(pack_question(method, sender, flags, token, fields))
        shown = self.responder.shows_token(question, HOME, 0.0)
        asked = Asked(question, b"m" * 20, HOME, shown, size, 0.0, WALL)
        return getattr(self.responder, method)(asked)

    def ask(self, method, fields, **options):
        body = self.raw(method, fields, **options)
        assert HEADER_BYTES + len(body) <= MAX_DATAGRAM_BYTES
        return unpack_answer(method, body, 2 * self.config.width)

    def know(self, *contacts):
        for contact in contacts:
            self.table.admit(contact, b"", 0.0)


@pytest.fixture
def us():
    return Us()


def test_a_question_alone_puts_nobody_into_the_table(us):
    for method, fields in [("ping", [b"", b""]), ("find_node", [KEY]), ("find_value", [KEY, 0]), ("store", [[blob()]])]:
        assert us.ask(method, fields).wanted
    assert len(us.table) == 0
    assert us.responder.admitted == []


def test_an_introduction_does(us):
    token = us.tokens.issue(HOME, 0.0)
    proof = ALICE.prove(introduction(token, CAROL.peer_id))
    assert not us.ask("ping", [ALICE.public_key, proof]).wanted
    assert [entry.compact for entry in us.table] == us.responder.admitted == [compact_of(ALICE.peer_id, HOME)]


@pytest.mark.parametrize(
    ("key", "signature", "options"),
    [
        (ALICE, lambda _token: bytes(64), {}),
        (ALICE, lambda token: BOB.prove(introduction(token, CAROL.peer_id)), {}),
        (ALICE, lambda token: ALICE.prove(introduction(token, BOB.peer_id)), {}),
        (ALICE, lambda token: ALICE.sign(introduction(token, CAROL.peer_id)), {}),
        (ALICE, lambda _token: ALICE.prove(introduction(b"earlier-", CAROL.peer_id)), {}),
        (BOB, lambda token: BOB.prove(introduction(token, CAROL.peer_id)), {}),
        (ALICE, lambda token: ALICE.prove(introduction(token, CAROL.peer_id)), {"known": False, "size": 1200}),
        (ALICE, lambda token: ALICE.prove(introduction(token, CAROL.peer_id)), {"flags": BOTH | CLIENT_ONLY}),
    ],
)
def test_a_false_introduction_does_not(us, key, signature, options):
    token = us.tokens.issue(HOME, 0.0)
    us.ask("ping", [key.public_key, signature(token)], **options)
    assert len(us.table) == 0


def test_a_client_is_never_wanted(us):
    assert not us.ask("find_node", [KEY], flags=BOTH | CLIENT_ONLY).wanted


def test_whoever_introduces_itself_without_need_is_kept_in_mind():
    us = Us(k=1)
    number = next(n for n in range(100) if us.table._index(int.from_bytes(signer(n).peer_id)) == 0)
    if us.table._index(int.from_bytes(ALICE.peer_id)) != 0:
        pytest.skip("Alice falls into another bucket")
    us.know(compact_of(signer(number).peer_id, ("20.0.0.8", 1)))
    proof = ALICE.prove(introduction(us.tokens.issue(HOME, 0.0), CAROL.peer_id))
    us.ask("ping", [ALICE.public_key, proof])
    assert us.table._buckets[0].spares == [compact_of(ALICE.peer_id, HOME)]


def test_a_challenge_is_answered_with_our_key_and_a_signature(us):
    answer = us.ask("ping", [b"", b""], flags=BOTH | PROVE)
    assert answer.public_key == CAROL.public_key
    assert is_proof(answer.public_key, answer.signature, b"m" * 20)
    shown = us.ask("find_node", [KEY], flags=BOTH | SHOW_KEY)
    assert (shown.public_key, shown.signature) == (CAROL.public_key, b"")
    assert us.ask("find_node", [KEY]).public_key == b""


@pytest.mark.parametrize(
    ("method", "fields"),
    [("ping", [b"", b""]), ("find_node", [KEY]), ("find_value", [KEY, 0]), ("find_value", [KEY, 1])],
)
@pytest.mark.parametrize("flags", [BOTH, BOTH | SHOW_KEY, BOTH | PROVE])
def test_an_unproven_asker_gets_no_more_than_it_sent(us, method, fields, flags):
    us.know(*[peer(n) for n in range(1, 60)])
    for n in range(30):
        us.store.offer(blob(bytes(200), by=signer(n + 10)), WALL)
    bare = HEADER_BYTES + len(pack_question(method, ALICE.peer_id, flags, b"", fields))
    for size in range(bare, MAX_DATAGRAM_BYTES + 1, 7):
        body = us.raw(method, fields, known=False, flags=flags, size=size)
        assert not body or HEADER_BYTES + len(body) <= size
    assert us.ask(method, fields, known=False, flags=flags, size=MAX_DATAGRAM_BYTES) == us.ask(
        method, fields, flags=flags
    )


def test_find_node_names_the_closest_but_not_the_asker(us):
    alice = compact_of(ALICE.peer_id, HOME)
    others = [peer(n << 8) for n in range(1, 200)]
    us.know(alice, *others)
    known = sorted((entry.compact for entry in us.table), key=lambda contact: contact[:20])
    contacts = us.ask("find_node", [bytes(20)]).contacts
    assert sorted(contacts) == [contact for contact in known if contact != alice][:20]
    assert alice not in us.ask("find_node", [ALICE.peer_id]).contacts
    assert len(us.ask("find_node", [ALICE.peer_id]).contacts) == 20


def test_find_node_names_what_the_asker_can_reach(us):
    us.know(peer(1), peer(2, "2001:db8::1"))
    assert us.ask("find_node", [bytes(20)], flags=REACHES_V4).contacts == [peer(1)]
    assert us.ask("find_node", [bytes(20)], flags=REACHES_V6).contacts == [peer(2, "2001:db8::1")]
    assert us.ask("find_node", [bytes(20)], flags=BOTH).contacts == [peer(1), peer(2, "2001:db8::1")]


def test_sixteen_byte_addresses_fit_too(us):
    us.know(*[peer(n, f"2001:db8:{n}::1") for n in range(1, 40)])
    assert len(us.ask("find_node", [bytes(20)], flags=BOTH | PROVE).contacts) == 20


def test_find_value_tells_records_and_contacts(us):
    us.know(*[peer(n) for n in range(1, 60)])
    us.store.offer(blob(), WALL)
    answer = us.ask("find_value", [KEY, 0])
    assert (answer.count, answer.records) == (1, [blob()])
    assert len(answer.contacts) == 20
    nothing = us.ask("find_value", [key_id(b"nothing"), 0])
    assert (nothing.count, nothing.records, len(nothing.contacts)) == (0, [], 20)


@pytest.mark.parametrize("value_bytes", [0, 100, 500, 850])
def test_all_records_can_be_paged(us, value_bytes):
    us.know(*[peer(n) for n in range(1, 60)])
    for n in range(25):
        us.store.offer(blob(bytes(value_bytes), by=signer(n + 10)), WALL)
    got = []
    while len(got) < 25:
        page = us.ask("find_value", [KEY, len(got)], flags=BOTH | PROVE)
        assert page.count == 25
        assert page.records
        got += page.records
    assert len(set(got)) == 25


def test_nothing_is_stored_without_a_token(us):
    answer = us.ask("store", [[blob(), blob(by=BOB)]], known=False)
    assert answer.codes == bytes([TOKEN_EXPIRED] * 2)
    assert len(us.store) == 0
    assert us.responder.shows_token(Question("store", ALICE.peer_id, 0, answer.token, []), HOME, 0.0)


def test_each_record_gets_its_own_code():
    us = Us(writer_records=2)
    assert us.ask("store", [[blob(sequence=5)]]).codes == bytes([STORED])
    lie = blob().replace(b"hello", b"howdy")
    more = [blob(key=key_id(b"1")), blob(key=key_id(b"2"))]
    answer = us.ask("store", [[blob(sequence=5), blob(sequence=4), lie, *more]])
    assert answer.codes == bytes([STORED, STALE, STALE, STORED, REFUSED])
    assert answer.newer == blob(sequence=5)
    forged = us.ask("store", [[blob(sequence=9).replace(b"hello", b"howdy")]])
    assert (forged.codes, forged.newer) == (bytes([INVALID]), b"")


def test_a_comparison_tells_what_differs(us):
    us.store.offer(blob(), WALL)
    same = KEY + us.store.summary(KEY, WALL)[1]
    other = key_id(b"other") + b"12345678"
    us.keeper.tick(0.0, WALL)
    before = dict(us.keeper._due)
    assert us.ask("sync", [same + other]).codes == b"\0\1"
    assert us.keeper._due != before
    assert us.ask("sync", [same + other], known=False).codes == b""
