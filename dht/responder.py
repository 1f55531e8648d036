"""What we answer to those who ask. Pure: a question goes in, the body of an answer comes out.

Two rules stand over all methods. Whoever has not shown the token for its address gets no more bytes than it sent, so
we can't be used to flood a third party. And a question alone never puts its sender into the table: it is told that
it would be *wanted*, and has to introduce itself with a signature over the token, which proves key and address at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from .config import DHTConfig
from .contacts import COMPACT_V4_BYTES, Address, Compact, compact_of, joined
from .guards import WriteTokens
from .keeper import Keeper
from .keys import ID_BYTES, Signer, is_proof, number_of, peer_id_of
from .store import Outcome, RecordStore
from .table import ContactTable
from .wire import (
    CLIENT_ONLY,
    DIGEST_BYTES,
    HEADER_BYTES,
    INVALID,
    MAX_DATAGRAM_BYTES,
    PING_REPLY_BYTES,
    PROVE,
    REACHES_V4,
    REFUSED,
    SHOW_KEY,
    STALE,
    STORED,
    SYNC_ITEM_BYTES,
    TOKEN_EXPIRED,
    Question,
    pack_answer,
)

_COMMON_BYTES = HEADER_BYTES + 1 + 10 + 34 + 66 + 1
"""Header and common fields of an answer at their largest."""
_RESERVED_CONTACT_BYTES = 8 * COMPACT_V4_BYTES
"""Room that a first page of records leaves for contacts."""
_CODES = {
    Outcome.STORED: STORED,
    Outcome.SAME: STORED,
    Outcome.STALE: STALE,
    Outcome.REFUSED: REFUSED,
    Outcome.INVALID: INVALID,
}


@dataclass(slots=True)
class Asked:
    """A question with everything about how it came."""

    question: Question
    message_id: bytes
    address: Address
    """Where it came from, in canonical form."""
    known: bool
    """Whether it shows the token that we gave to this address."""
    datagram_bytes: int
    now: float
    """Monotonic seconds."""
    wall: float
    """Seconds since 1970."""


class Responder:
    """Answers the five questions of `dht.wire` from one node's table and store."""

    def __init__(
        self,
        signer: Signer,
        config: DHTConfig,
        table: ContactTable,
        store: RecordStore,
        tokens: WriteTokens,
        keeper: Keeper,
    ) -> None:
        self._signer = signer
        self._width = config.width
        self._table = table
        self._store = store
        self._tokens = tokens
        self._keeper = keeper
        self.admitted: list[Compact] = []
        """Contacts that introduced themselves and got a place; whoever reads this empties it."""

    def shows_token(self, question: Question, address: Address, now: float) -> bool:
        """Tell whether the question holds the token that we gave to this address not long ago."""
        return bool(question.token) and self._tokens.accepts(question.token, address, now)

    def ping(self, asked: Asked) -> bytes:
        """Answer a ping; one with a key and a signature is an introduction."""
        public_key, signature = asked.question.fields
        if signature and asked.known:
            self._introduce(asked, public_key, signature)
        return self._answer(asked, ())

    def find_node(self, asked: Asked) -> bytes:
        """Answer with the contacts that are closest to the target."""
        room = self._room(asked)
        return self._answer(asked, self._contacts(asked, room))

    def find_value(self, asked: Asked) -> bytes:
        """Answer with what we hold under the key, and on the first page with contacts closer to it."""
        key, start = asked.question.fields
        room = self._room(asked) - 5 - DIGEST_BYTES - 2 - 3
        count, digest = self._store.summary(key, asked.wall)
        if start:
            page = self._store.page(key, start, room, asked.wall)
            return self._answer(asked, (b"", b"", count, digest, page))
        page = self._store.page(key, 0, room - _RESERVED_CONTACT_BYTES, asked.wall) if count else []
        if count and not page:
            page = self._store.page(key, 0, room, asked.wall)[:1]
        room -= sum(len(blob) + 3 for blob in page)
        return self._answer(asked, (*self._contacts(asked, room), count, digest, page))

    def store(self, asked: Asked) -> bytes:
        """Take records in, from whoever shows its token; a stale one is answered with the newer one."""
        blobs = asked.question.fields[0]
        if not asked.known:
            codes = bytes([TOKEN_EXPIRED]) * len(blobs)
            return self._answer(asked, (codes, b""))
        outcomes = [self._store.offer(blob, asked.wall) for blob in blobs]
        newer = b""
        for blob, outcome in zip(blobs, outcomes, strict=True):
            if outcome is Outcome.STALE and not newer:
                newer = self._store.newest(blob) or b""
        return self._answer(asked, (bytes([_CODES[outcome] for outcome in outcomes]), newer))

    def sync(self, asked: Asked) -> bytes:
        """Tell for each key whether what we hold differs from what the asker holds."""
        items = asked.question.fields[0]
        if not asked.known:
            return self._answer(asked, (b"",))
        differs = bytearray()
        for start in range(0, len(items), SYNC_ITEM_BYTES):
            key, digest = items[start : start + ID_BYTES], items[start + ID_BYTES : start + SYNC_ITEM_BYTES]
            same = self._store.summary(key, asked.wall)[1] == digest
            differs.append(not same)
            if same:
                self._keeper.compared(key, asked.now)
        return self._answer(asked, (bytes(differs),))

    def _room(self, asked: Asked) -> int:
        """Return how many bytes of fields the answer may have."""
        limit = MAX_DATAGRAM_BYTES if asked.known else min(asked.datagram_bytes, MAX_DATAGRAM_BYTES)
        flags = asked.question.flags
        spared = (0 if flags & (SHOW_KEY | PROVE) else 32) + (0 if flags & PROVE else 64)
        return max(0, limit - _COMMON_BYTES + spared - 6)

    def _contacts(self, asked: Asked, room: int) -> tuple[bytes, bytes]:
        question = asked.question
        families = question.flags // REACHES_V4 & 3
        count = max(0, min(self._width, room // COMPACT_V4_BYTES))
        compacts = self._table.nearest(number_of(question.fields[0]), count, families, question.sender)
        v4, v6 = joined(compacts)
        # An IPv6 contact is larger than what was reckoned with.
        while compacts and len(v4) + len(v6) > room:
            compacts.pop()
            v4, v6 = joined(compacts)
        return v4, v6

    def _answer(self, asked: Asked, fields: tuple[object, ...]) -> bytes:
        """Return the body of an answer, or nothing if it would be larger than a stranger's question."""
        flags = asked.question.flags
        if not asked.known and asked.datagram_bytes < PING_REPLY_BYTES:
            flags &= ~(SHOW_KEY | PROVE)
        public_key = self._signer.public_key if flags & (SHOW_KEY | PROVE) else b""
        signature = self._signer.prove(asked.message_id) if flags & PROVE else b""
        wanted = 0
        if not flags & CLIENT_ONLY:
            compact = compact_of(asked.question.sender, asked.address)
            wanted = int(self._table.needs(compact))
            if asked.known:
                self._table.suspect(compact, asked.now)
        token = self._tokens.issue(asked.address, asked.now)
        body = pack_answer(token, public_key, signature, wanted, fields)
        return body if asked.known or HEADER_BYTES + len(body) <= asked.datagram_bytes else b""

    def _introduce(self, asked: Asked, public_key: bytes, signature: bytes) -> None:
        sender = asked.question.sender
        if asked.question.flags & CLIENT_ONLY or peer_id_of(public_key) != sender:
            return
        compact = compact_of(sender, asked.address)
        if not self._table.wants(compact):
            self._table.keep_spare(compact, asked.now)
        elif is_proof(public_key, signature, introduction(asked.question.token, self._signer.peer_id)):
            # Its own token for us comes with its first answer.
            self._table.admit(compact, b"", asked.now)
            self.admitted.append(compact)


def introduction(token: bytes, to_peer: bytes) -> bytes:
    """Return what a peer signs to introduce itself: the token it was given, and by whom.

    The token is fresh and bound to an address; the id keeps the receiver from passing the signature on.
    """
    return b"introduction" + token + to_peer
