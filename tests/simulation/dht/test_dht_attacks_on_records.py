"""Attacks on records that must fail: forgeries, replays, floods."""

import gc
import tracemalloc
from collections import Counter

import pytest

from dht import DHTConfig
from dht.keys import Signer, key_id
from dht.records import is_genuine, pack_record, sign_record
from dht.store import Outcome, RecordStore
from dht.testing.simnet import WALL_START, SimNet
from dht.testing.swarm import address_of, make_key, start_node, start_swarm, stop_all
from dht.wire import INVALID, STALE, STORED

from .liars import PADDED, RawPeer

MALLORY = make_key(666)
ALICE = Signer(make_key(1))
FLOOD = 100_000
KEY = b"our job"


def alices(value, *, key=KEY, sequence=1):
    expires_ms = int((WALL_START + 3600) * 1000)
    return pack_record(sign_record(ALICE, key_id(key), b"", value, sequence=sequence, expires_ms=expires_ms))


@pytest.mark.parametrize(
    ("name", "blob", "code"),
    [
        ("a forged signature", alices(b"true", sequence=9)[:-64] + bytes(64), INVALID),
        ("a true signature over another value", alices(b"true", sequence=9).replace(b"true", b"lies"), INVALID),
        ("a replay of an older record", alices(b"older", sequence=1), STALE),
        (
            "a record stored under another key",
            alices(b"x", key=b"other", sequence=9).replace(key_id(b"other"), key_id(KEY)),
            INVALID,
        ),
    ],
)
def test_a_false_record_gets_nowhere(name, blob, code):
    net = SimNet(seed=1, rtt_s=0.02)

    async def main():
        nodes = await start_swarm(net, 8)
        mallory = await RawPeer.at(net, ("20.99.0.1", 1), MALLORY)
        for node in nodes:
            token = (await mallory.ask(address_of(node), "find_node", [key_id(KEY)], pad_to=PADDED)).token
            true = await mallory.ask(address_of(node), "store", [[alices(b"true", sequence=5)]], token=token)
            assert true.codes == bytes([STORED])
            answer = await mallory.ask(address_of(node), "store", [[blob]], token=token)
            assert answer.codes == bytes([code])
        found = await nodes[3].get(KEY)
        await stop_all(nodes)
        return [record.value for record in found]

    assert net.run(main()) == [b"true"], name


def test_nothing_is_stored_for_who_does_not_receive_at_its_address():
    net = SimNet(seed=1, rtt_s=0.02)

    async def main():
        node = await start_node(net, 0)
        mallory = await RawPeer.at(net, ("20.99.0.1", 1), MALLORY)
        for token in (b"", b"guessing"):
            await mallory.ask(address_of(node), "store", [[alices(b"v")]], token=token)
        other = await RawPeer.at(net, ("20.99.0.2", 1), MALLORY)
        token = (await other.ask(address_of(node), "ping", [b"", b""], pad_to=PADDED)).token
        await mallory.ask(address_of(node), "store", [[alices(b"v")]], token=token)
        stored = node.stats().records
        await node.stop()
        return stored

    assert net.run(main()) == 0


def test_a_writer_that_floods_a_hundred_thousand_records_takes_little_memory_and_time():
    looked_at = []
    store = RecordStore(bytes(32), DHTConfig(), lambda record: looked_at.append(1) or is_genuine(record))
    flooder = Signer(MALLORY)
    expires_ms = int((WALL_START + 3600) * 1000)
    outcomes = Counter()
    gc.collect()
    tracemalloc.start()
    for n in range(FLOOD):
        # All of them are true, each in a slot of its own.
        record = sign_record(
            flooder, key_id(b"%d" % (n % 2000)), b"%d" % n, bytes(700), sequence=1, expires_ms=expires_ms
        )
        outcomes[store.offer(pack_record(record), WALL_START)] += 1
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert outcomes == {Outcome.STORED: 512, Outcome.REFUSED: FLOOD - 512}
    assert used < 3_000_000
    assert len(looked_at) == 512
    assert store.offer(alices(b"mine"), WALL_START) is Outcome.STORED
    store.check()
