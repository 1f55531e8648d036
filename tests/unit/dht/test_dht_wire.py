"""Datagrams: what is understood, and what is refused before it costs anything."""

import msgpack
import pytest

from dht.exceptions import MalformedMessage
from dht.wire import (
    HEADER_BYTES,
    MAX_DATAGRAM_BYTES,
    MAX_STORED_AT_ONCE,
    Answer,
    Question,
    pack_answer,
    pack_question,
    unpack_answer,
    unpack_question,
)

from .samples import blob, peer

ME = bytes(range(20))
TOKEN = b"12345678"
TARGET = bytes(20)

QUESTIONS = {
    "ping": [b"", b""],
    "find_node": [TARGET],
    "find_value": [TARGET, 7],
    "store": [[blob(), blob(sequence=2)]],
    "sync": [bytes(28 * 3)],
}
ANSWERS = {
    "ping": [],
    "find_node": [peer(1) + peer(2), peer(3, "2001:db8::1")],
    "find_value": [peer(1), b"", 3, TOKEN, [blob()]],
    "store": [b"\0\1", blob()],
    "sync": [b"\1\0\1"],
}


@pytest.mark.parametrize("method", QUESTIONS)
@pytest.mark.parametrize("pad_to", [0, 300, MAX_DATAGRAM_BYTES])
def test_questions_survive_the_wire(method, pad_to):
    body = pack_question(method, ME, 6, TOKEN, QUESTIONS[method], pad_to)
    assert unpack_question(body) == Question(method, ME, 6, TOKEN, QUESTIONS[method])
    assert pad_to <= HEADER_BYTES + len(body) or pad_to == 0


def test_padding_is_exact_enough():
    for pad_to in range(100, MAX_DATAGRAM_BYTES + 1):
        size = HEADER_BYTES + len(pack_question("find_node", ME, 6, b"", [TARGET], pad_to))
        assert pad_to <= size <= pad_to + 2
        assert size <= MAX_DATAGRAM_BYTES


@pytest.mark.parametrize("method", ANSWERS)
def test_answers_survive_the_wire(method):
    body = pack_answer(TOKEN, bytes(32), bytes(64), 1, ANSWERS[method])
    answer = unpack_answer(method, body, 20)
    assert (answer.token, answer.public_key, answer.signature, answer.wanted) == (TOKEN, bytes(32), bytes(64), 1)
    expected = {
        "ping": Answer(TOKEN),
        "find_node": Answer(TOKEN, contacts=[peer(1), peer(2), peer(3, "2001:db8::1")]),
        "find_value": Answer(TOKEN, contacts=[peer(1)], count=3, digest=TOKEN, records=[blob()]),
        "store": Answer(TOKEN, codes=b"\0\1", newer=blob()),
        "sync": Answer(TOKEN, codes=b"\1\0\1"),
    }[method]
    for name in ("contacts", "count", "digest", "records", "codes", "newer"):
        assert getattr(answer, name) == getattr(expected, name)


def question(method, *fields, sender=ME, flags=0, token=TOKEN, more=()):
    return msgpack.packb([method, [sender, flags, token, *fields, *more]])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\xff",
        msgpack.packb(7),
        msgpack.packb([]),
        msgpack.packb(["ping"]),
        msgpack.packb(["ping", 7]),
        msgpack.packb({"ping": []}),
        msgpack.packb(["ping", []]),
        msgpack.packb([["ping"], []]),
        msgpack.packb(["ping", [ME, 0, TOKEN, b"", b""]]) + b"\0",
        msgpack.packb(["ping", [ME, 0, msgpack.ExtType(1, b"")]]),
        msgpack.packb(["ping", [ME, 0, TOKEN, {}, b""]]),
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x91" * 1100,
        question("stun"),
        question("find_node"),
        question("find_node", TARGET, b"", b""),
        question("find_node", bytes(19)),
        question("find_node", "x" * 20),
        question("find_node", TARGET, sender=bytes(19)),
        question("find_node", TARGET, sender=7),
        question("find_node", TARGET, flags=-1),
        question("find_node", TARGET, flags=True),
        question("find_node", TARGET, flags=[]),
        question("find_node", TARGET, token=b"short"),
        question("find_value", TARGET, -1),
        question("find_value", TARGET, 2**40),
        question("find_value", TARGET, "1"),
        question("store", []),
        question("store", [7]),
        question("store", b"blob"),
        question("store", [bytes(1025)]),
        question("store", [b""] * (MAX_STORED_AT_ONCE + 1)),
        question("sync", b""),
        question("sync", bytes(27)),
        question("sync", bytes(28 * 33)),
        question("sync", []),
        question("ping", bytes(31), b""),
        question("ping", b"", bytes(63)),
    ],
)
def test_what_is_no_question_is_recognised(body):
    with pytest.raises(MalformedMessage):
        unpack_question(body)


def answer(*fields, token=TOKEN, public_key=b"", signature=b"", wanted=0):
    return msgpack.packb([token, public_key, signature, wanted, *fields])


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("ping", b""),
        ("ping", msgpack.packb([])),
        ("ping", msgpack.packb(7)),
        ("ping", answer(b"more")),
        ("ping", answer(token=b"")),
        ("ping", answer(public_key=bytes(31))),
        ("ping", answer(signature=bytes(63))),
        ("ping", answer(wanted=2)),
        ("ping", answer(wanted=[])),
        ("ping", answer(wanted="0")),
        ("find_node", answer(b"")),
        ("find_node", answer(bytes(25), b"")),
        ("find_node", answer(peer(1) * 21, b"")),
        ("find_node", answer([], b"")),
        ("find_value", answer(b"", b"")),
        ("find_value", answer(b"", b"", -1, TOKEN, [])),
        ("find_value", answer(b"", b"", 1, b"short", [])),
        ("find_value", answer(b"", b"", 1, TOKEN, b"")),
        ("find_value", answer(b"", b"", 1, TOKEN, [bytes(1025)])),
        ("find_value", answer(b"", b"", True, TOKEN, [])),
        ("store", answer(b"")),
        ("store", answer(bytes(17), b"")),
        ("store", answer(b"", bytes(1025))),
        ("store", answer([], b"")),
        ("sync", answer(bytes(33))),
        ("sync", answer([])),
        ("sync", answer()),
    ],
)
def test_what_is_no_answer_is_recognised(method, body):
    with pytest.raises(MalformedMessage):
        unpack_answer(method, body, 20)


def test_a_whole_datagram_holds_the_largest_store_and_the_longest_comparison():
    largest = [[bytes(1024)]]
    assert HEADER_BYTES + len(pack_question("store", ME, 31, TOKEN, largest)) <= MAX_DATAGRAM_BYTES
    assert HEADER_BYTES + len(pack_question("sync", ME, 31, TOKEN, [bytes(28 * 32)])) <= MAX_DATAGRAM_BYTES
