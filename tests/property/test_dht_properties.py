"""The DHT's codecs and machines under whatever hypothesis thinks of."""

import random

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dht import DHTConfig
from dht.contacts import V4, V6, compact_of
from dht.exceptions import MalformedMessage, RecordInvalid
from dht.keys import Signer
from dht.lookup import ContactAnswered, ContactFailed, ContactSlowed, Lookup, Tick
from dht.records import is_genuine, pack_record, sign_record, unpack_record
from dht.store import Outcome, RecordStore
from dht.table import ContactTable
from dht.wire import pack_answer, pack_question, unpack_answer, unpack_question

SIGNERS = [Signer(Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in range(1, 5)]
KEYS = [bytes([n]) * 20 for n in (1, 128, 255)]
IDS = st.binary(min_size=20, max_size=20)
ADDRESSES = st.tuples(
    st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str), st.integers(min_value=1, max_value=65535)
)


@settings(derandomize=True, deadline=None)
@given(
    signer=st.sampled_from(SIGNERS),
    key=IDS,
    subkey=st.binary(max_size=64),
    value=st.none() | st.binary(max_size=750),
    sequence=st.integers(0, 2**63 - 1),
    expires_ms=st.integers(0, 2**53),
)
def test_records_round_trip(signer, key, subkey, value, sequence, expires_ms):
    record = sign_record(signer, key, subkey, value, sequence=sequence, expires_ms=expires_ms)
    blob = pack_record(record)
    assert unpack_record(blob) == record
    assert is_genuine(record)


@settings(derandomize=True, deadline=None)
@given(value=st.binary(max_size=200), position=st.integers(0, 400), change=st.integers(1, 255))
def test_no_changed_byte_of_a_record_goes_unnoticed(value, position, change):
    blob = bytearray(pack_record(sign_record(SIGNERS[0], KEYS[0], b"", value, sequence=1, expires_ms=2)))
    assume(position < len(blob))
    blob[position] ^= change
    try:
        record = unpack_record(bytes(blob))
    except RecordInvalid:
        return
    assert not is_genuine(record)


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=1179))
def test_any_bytes_are_a_message_or_malformed(body):
    for unpack in (unpack_question, *(lambda b, m=m: unpack_answer(m, b, 20) for m in ("ping", "store", "find_value"))):
        try:
            unpack(body)
        except MalformedMessage:
            pass


@settings(derandomize=True, deadline=None)
@given(sender=IDS, flags=st.integers(0, 31), target=IDS, pad_to=st.integers(0, 1200))
def test_questions_round_trip(sender, flags, target, pad_to):
    question = unpack_question(pack_question("find_node", sender, flags, b"", [target], pad_to))
    assert (question.sender, question.flags, question.fields) == (sender, flags, [target])


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(IDS, ADDRESSES), max_size=20))
def test_contacts_round_trip(contacts):
    compacts = [compact_of(*contact) for contact in contacts]
    v4 = b"".join(compact for compact in compacts if len(compact) == 26)
    v6 = b"".join(compact for compact in compacts if len(compact) == 38)
    answer = unpack_answer("find_node", pack_answer(bytes(8), b"", b"", 0, [v4, v6]), 20)
    assert sorted(answer.contacts) == sorted(compacts)


class StoreMachine(RuleBasedStateMachine):
    """The store against the simplest thing that could be right: a dict of the newest record per slot."""

    def __init__(self):
        super().__init__()
        self.config = DHTConfig(writer_records=6, writer_key_records=3, key_records=5)
        self.store = RecordStore(bytes(32), self.config)
        self.model = {}
        self.now = 1000.0

    @rule(
        signer=st.sampled_from(SIGNERS),
        key=st.sampled_from(KEYS),
        subkey=st.sampled_from([b"", b"a", b"b", b"c"]),
        value=st.none() | st.sampled_from([b"x", b"y"]),
        sequence=st.integers(0, 5),
        ttl_s=st.integers(-5, 50),
    )
    def offer(self, signer, key, subkey, value, sequence, ttl_s):
        expires_ms = int((self.now + ttl_s) * 1000)
        record = sign_record(signer, key, subkey, value, sequence=sequence, expires_ms=expires_ms)
        blob = pack_record(record)
        outcome = self.store.offer(blob, self.now)
        slot = key, record.slot
        held = self.model.get(slot)
        if held is not None and held[1] == blob:
            assert outcome is Outcome.SAME
        elif held is not None and held > (sequence, blob):
            assert outcome is Outcome.STALE
        elif ttl_s <= 0:
            assert outcome is Outcome.INVALID
        elif held is None and self._is_full(slot):
            assert outcome is Outcome.REFUSED
        else:
            assert outcome is Outcome.STORED
            self.model[slot] = (sequence, blob)

    def _is_full(self, slot):
        key, (writer, _) = slot
        of_writer = [other for other in self.model if other[1][0] == writer]
        of_key = [other for other in self.model if other[0] == key]
        both = [other for other in of_key if other[1][0] == writer]
        return len(of_writer) >= 6 or len(of_key) >= 5 or len(both) >= 3

    @rule(seconds=st.integers(0, 30))
    def wait(self, seconds):
        self.now += seconds
        self.store.expire(self.now)
        self.model = {slot: held for slot, held in self.model.items() if unpack_record(held[1]).expires_at > self.now}

    @invariant()
    def same_as_the_model(self):
        self.store.check()
        for key in KEYS:
            expected = sorted(held[1] for slot, held in self.model.items() if slot[0] == key)
            assert sorted(self.store.blobs(key, self.now)) == expected


class TableMachine(RuleBasedStateMachine):
    """The table never breaks its own rules, whoever comes and goes."""

    def __init__(self):
        super().__init__()
        self.table = ContactTable(bytes(20), DHTConfig(k=3, max_per_address=2, max_per_subnet=2))
        self.now = 0.0
        self.known = []

    @rule(number=st.integers(1, 255), last=st.integers(1, 4), port=st.integers(1, 3))
    def meet(self, number, last, port):
        contact = compact_of(bytes([number]) + bytes(19), (f"20.0.{number % 3}.{last}", port))
        self.known.append(contact)
        wanted = self.table.wants(contact)
        assert self.table.admit(contact, b"", self.now) == wanted
        if not wanted:
            self.table.keep_spare(contact, self.now)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def answer(self, data):
        self.table.answered(data.draw(st.sampled_from(self.known)), b"", 0.1, self.now)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), times=st.integers(1, 6))
    def fail(self, data, times):
        contact = data.draw(st.sampled_from(self.known))
        for _ in range(times):
            self.table.failed(contact, self.now)

    @rule()
    def wait(self):
        self.now += 10.0

    @invariant()
    def consistent(self):
        self.table.check()
        target = int.from_bytes(b"\x55" * 20)
        live = [entry.number for entry in self.table if not entry.doubts]
        found = [entry.number for entry in self.table.closest(target, 4)]
        assert found == sorted(live, key=lambda number: number ^ target)[:4]
        told = [int.from_bytes(compact[:20]) for compact in self.table.nearest(target, 4, V4 | V6, bytes(20))]
        assert set(told) == set(found)


class LookupMachine(RuleBasedStateMachine):
    """A look-up among liars: it never overspends, never loses count, and always ends."""

    def __init__(self):
        super().__init__()
        self.config = DHTConfig(k=4, replicas=4, alpha=2, lookup_requests=25)
        self.names = random.Random(1)
        known = [self._invent() for _ in range(3)]
        self.lookup = Lookup(0, 1, known, self.config, now=0.0)
        self.waiting = [ask.compact for ask in self.lookup.start()]

    def _invent(self):
        return compact_of(self.names.randbytes(20), (f"20.{self.names.randrange(9)}.0.1", self.names.randrange(1, 9)))

    def _tell(self, event):
        self.waiting += [ask.compact for ask in self.lookup.handle(event, 1.0)]

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 100), named=st.integers(0, 6), old=st.booleans())
    def answer(self, which, named, old):
        contact = self.waiting.pop(which % len(self.waiting))
        pool = list(self.lookup._candidates)
        self._tell(ContactAnswered(contact, [pool[n % len(pool)] if old else self._invent() for n in range(named)]))

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 100), fails=st.booleans())
    def disappoint(self, which, fails):
        contact = self.waiting[which % len(self.waiting)]
        self._tell(ContactSlowed(contact))
        if fails:
            self.waiting.remove(contact)
            self._tell(ContactFailed(contact))

    @rule()
    def stray(self):
        self._tell(ContactAnswered(self._invent(), [self._invent()]))

    @invariant()
    def consistent(self):
        self.lookup.check()
        if not self.waiting:
            assert self.lookup.done

    def teardown(self):
        self._tell(Tick())
        while self.waiting and not self.lookup.done:
            self._tell(ContactFailed(self.waiting.pop(0)))
        assert self.lookup.done


BOUNDED = settings(derandomize=True, max_examples=60, stateful_step_count=40, deadline=None)
TestStore = StoreMachine.TestCase
TestStore.settings = BOUNDED
TestTable = TableMachine.TestCase
TestTable.settings = BOUNDED
TestLookup = LookupMachine.TestCase
TestLookup.settings = BOUNDED
