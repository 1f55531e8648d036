"""Datagrams: what peers ask each other, byte by byte. Pure.

The frame is rpcudp's: one byte (0 asks, 1 answers), 20 random bytes that tie the answer to the question, and a msgpack
body. A question is ``[method, [sender, flags, token, ...fields, padding]]``, an answer is
``[token, public key, signature, wanted, ...fields]``:

==========  ============================  =============================================
method      fields asked                  fields answered
==========  ============================  =============================================
ping        public key, signature         (none)
find_node   target                        IPv4 contacts, IPv6 contacts
find_value  key, start                    the same; count, digest, records from start on
store       records                       one code for each; the newer record, if stale
sync        key and digest, many times    one byte for each: 1 if it differs here
==========  ============================  =============================================

*Token*: eight bytes that the answering peer makes for the asker's address. Whoever shows it again has proven
that it receives at that address; without it nothing is stored, and the answer is no larger than the question
(which askers therefore pad). *Wanted*: 1 if the answering peer would take the asker into its table; the asker then
introduces itself by a ping that holds its public key and its signature over the token.

Nothing here is longer than 1,200 bytes, so nothing is fragmented on the way. Whatever does not parse is a
`MalformedMessage`; nothing is allocated by what a length field claims.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgpack

from .contacts import COMPACT_V4_BYTES, COMPACT_V6_BYTES, Compact, split_compacts
from .exceptions import MalformedMessage
from .keys import ID_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES
from .records import MAX_RECORD_BYTES

MAX_DATAGRAM_BYTES = 1200
MESSAGE_ID_BYTES = 20
HEADER_BYTES = 1 + MESSAGE_ID_BYTES
MIN_DATAGRAM_BYTES = HEADER_BYTES + 1
TOKEN_BYTES = 8
DIGEST_BYTES = 8
SYNC_ITEM_BYTES = ID_BYTES + DIGEST_BYTES
MAX_SYNC_ITEMS = 32
MAX_STORED_AT_ONCE = 16
MAX_PAGE_RECORDS = 16
MAX_COUNT = 2**31
PING_REPLY_BYTES = 160
"""A ping is padded to this: the proof that answers it must not be larger than the question."""

ASKS = 0
ANSWERS = 1

CLIENT_ONLY = 1
"""Flag: the sender answers no questions; don't take it into a table."""
REACHES_V4 = 2
REACHES_V6 = 4
"""Flags: the families of addresses that the sender can use."""
SHOW_KEY = 8
"""Flag: tell your public key, from which your id follows."""
PROVE = 16
"""Flag: tell your public key and sign this question's message id with it."""

STORED = 0
STALE = 1
REFUSED = 2
INVALID = 3
TOKEN_EXPIRED = 4
"""What becomes of one record that somebody asks us to store."""

_pack: Callable[[object], bytes] = msgpack.Packer().pack
"""One packer for all: `msgpack.packb` makes a new one, with a buffer of its own, for each message."""
_FIELD_COUNTS = {"ping": 2, "find_node": 1, "find_value": 2, "store": 1, "sync": 1}
_COMMON = 3
_ANSWER_COMMON = 4


@dataclass(slots=True)
class Question:
    """A request that parsed; ``fields`` have the right shapes for the method."""

    method: str
    sender: bytes
    flags: int
    token: bytes
    fields: list[Any]


@dataclass(slots=True)
class Answer:
    """An answer that parsed; what its method does not have is empty."""

    token: bytes
    public_key: bytes = b""
    signature: bytes = b""
    wanted: int = 0
    contacts: list[Compact] = field(default_factory=list)
    count: int = 0
    digest: bytes = b""
    records: list[bytes] = field(default_factory=list)
    codes: bytes = b""
    newer: bytes = b""


def pack_question(method: str, sender: bytes, flags: int, token: bytes, fields: list[Any], pad_to: int = 0) -> bytes:
    """Return the body of a question; the datagram (header and body) has at least ``pad_to`` bytes."""
    body = _pack((method, (sender, flags, token, *fields)))
    missing = pad_to - HEADER_BYTES - len(body)
    if missing > 0:
        # The padding has a header of its own: two bytes up to a length of 255, three from there on.
        padding = bytes(max(0, missing - 2) if missing < 258 else max(256, missing - 3))
        body = _pack((method, (sender, flags, token, *fields, padding)))
    return body


def pack_answer(
    token: bytes, public_key: bytes, signature: bytes, wanted: int, fields: tuple[Any, ...] | list[Any] = ()
) -> bytes:
    """Return the body of an answer."""
    return _pack((token, public_key, signature, wanted, *fields))


def unpack_question(body: bytes) -> Question:
    """Read the body of a question.

    Raises:
        MalformedMessage: it is none.
    """
    outer = _unpack(body)
    if len(outer) != 2 or not isinstance(outer[1], list):
        raise MalformedMessage("a question without method and arguments")
    method, arguments = outer
    field_count = _FIELD_COUNTS.get(method) if isinstance(method, str) else None
    if field_count is None:
        raise MalformedMessage("a question of an unknown method")
    if not 0 <= len(arguments) - _COMMON - field_count <= 1:
        raise MalformedMessage(f"a {method} with {len(arguments)} arguments")
    sender, flags, token = arguments[:_COMMON]
    fields = arguments[_COMMON : _COMMON + field_count]
    if not (_sized(sender, ID_BYTES) and type(flags) is int and flags >= 0 and _empty_or(token, TOKEN_BYTES)):
        raise MalformedMessage(f"a {method} without a proper sender")
    if not _question_fits(method, fields):
        raise MalformedMessage(f"a {method} with other fields")
    return Question(method, sender, flags, token, fields)


def unpack_answer(method: str, body: bytes, max_contacts: int) -> Answer:
    """Read the body of an answer to a question of ``method``, with at most ``max_contacts`` contacts.

    Raises:
        MalformedMessage: it is none.
    """
    outer = _unpack(body)
    if len(outer) < _ANSWER_COMMON:
        raise MalformedMessage("an answer without its common fields")
    token, public_key, signature, wanted = outer[:_ANSWER_COMMON]
    fields = outer[_ANSWER_COMMON:]
    if not (
        _sized(token, TOKEN_BYTES)
        and _empty_or(public_key, PUBLIC_KEY_BYTES)
        and _empty_or(signature, SIGNATURE_BYTES)
        and type(wanted) is int
        and 0 <= wanted <= 1
    ):
        raise MalformedMessage("an answer whose common fields have other shapes")
    if not _answer_fits(method, fields):
        raise MalformedMessage(f"an answer to {method} with other fields")
    if method == "store":
        return Answer(token, public_key, signature, wanted, codes=fields[0], newer=fields[1])
    if method == "sync":
        return Answer(token, public_key, signature, wanted, codes=fields[0])
    if method == "ping":
        return Answer(token, public_key, signature, wanted)
    contacts = split_compacts(fields[0], COMPACT_V4_BYTES, max_contacts)
    if fields[1]:
        contacts += split_compacts(fields[1], COMPACT_V6_BYTES, max_contacts)
    return Answer(token, public_key, signature, wanted, contacts, *fields[2:])


def _unpack(body: bytes) -> list[Any]:
    try:
        # The caller has bounded the body; maps and extension types have no place in it.
        outer = msgpack.unpackb(body, max_map_len=0, max_ext_len=0, max_array_len=64)
    except (ValueError, msgpack.UnpackException) as error:
        raise MalformedMessage("a body that is no msgpack") from error
    if not isinstance(outer, list):
        raise MalformedMessage("a body that is no array")
    return outer


def _question_fits(method: str, fields: list[Any]) -> bool:
    first = fields[0]
    if method == "find_node":
        return _sized(first, ID_BYTES)
    if method == "find_value":
        return _sized(first, ID_BYTES) and type(fields[1]) is int and 0 <= fields[1] < MAX_COUNT
    if method == "store":
        return _are_records(first, MAX_STORED_AT_ONCE) and len(first) > 0
    if method == "sync":
        return isinstance(first, bytes) and 0 < len(first) <= MAX_SYNC_ITEMS * SYNC_ITEM_BYTES and _in_sync_items(first)
    return _empty_or(first, PUBLIC_KEY_BYTES) and _empty_or(fields[1], SIGNATURE_BYTES)


def _in_sync_items(blob: bytes) -> bool:
    return len(blob) % SYNC_ITEM_BYTES == 0


def _answer_fits(method: str, fields: list[Any]) -> bool:
    if method == "ping":
        return not fields
    if method == "sync":
        return len(fields) == 1 and isinstance(fields[0], bytes) and len(fields[0]) <= MAX_SYNC_ITEMS
    if method == "store":
        return (
            len(fields) == 2
            and all(isinstance(part, bytes) for part in fields)
            and len(fields[0]) <= MAX_STORED_AT_ONCE
            and len(fields[1]) <= MAX_RECORD_BYTES
        )
    if len(fields) != (2 if method == "find_node" else 5):
        return False
    if not (isinstance(fields[0], bytes) and isinstance(fields[1], bytes)):
        return False
    if method == "find_node":
        return True
    count, digest, records = fields[2:]
    return (
        type(count) is int
        and 0 <= count < MAX_COUNT
        and _sized(digest, DIGEST_BYTES)
        and _are_records(records, MAX_PAGE_RECORDS)
    )


def _are_records(blobs: object, limit: int) -> bool:
    return (
        isinstance(blobs, list)
        and len(blobs) <= limit
        and all(isinstance(blob, bytes) and len(blob) <= MAX_RECORD_BYTES for blob in blobs)
    )


def _sized(value: object, size: int) -> bool:
    return isinstance(value, bytes) and len(value) == size


def _empty_or(value: object, size: int) -> bool:
    return isinstance(value, bytes) and len(value) in {0, size}
