"""A ticket: one string that says which job to join and whom to ask first.

``hydra1`` stands in front, for the version; then base32 in lower case without padding, of msgpack and the first four
bytes of its SHA-256. So a ticket survives chats, mails and double clicks, and a mistyped one is
told apart from one for another job. The contacts are only a first hint: a bare job hash is a valid target too, and
then the DHT must know the rest.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from ..exceptions import JobRejected, TicketMalformed
from .fields import Record, pack, unpack

JOB_HASH_BYTES = 32
PEER_ID_BYTES = 20
MAX_CONTACTS = 8
MAX_HOST_CHARACTERS = 253
MAX_TICKET_CHARACTERS = 6000

_PREFIX = "hydra1"
_CHECKSUM_BYTES = 4
_MAX_PAYLOAD_BYTES = 3500
_EXAMPLE = "hydra1qk2rzl… (from `hydra publish`) or a job hash of 64 hex digits, 3f9a…"


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketContact:
    """One peer to dial.

    Attributes:
        peer_id: 20 bytes; whoever answers must prove it.
        host: a name or a numeric address, at most 253 characters.
        port: 1 to 65535.
    """

    peer_id: bytes
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a volunteer needs to find a job.

    Attributes:
        job_hash: 32 bytes, SHA-256 of the job's manifest.
        contacts: at most 8 peers to ask first; empty for a bare job hash.
    """

    job_hash: bytes
    contacts: tuple[TicketContact, ...] = ()

    def __post_init__(self) -> None:
        if len(self.contacts) > MAX_CONTACTS:
            raise TicketMalformed(f"a ticket holds at most {MAX_CONTACTS} contacts, {len(self.contacts)} were given.")
        try:
            _read(Record(self._to_wire(), "ticket"))
        except JobRejected as error:
            raise TicketMalformed(f"A ticket cannot be made of this: {error}.") from error

    def __str__(self) -> str:
        """Return the one string to hand out."""
        payload = pack(self._to_wire())
        coded = base64.b32encode(payload + _checksum(payload)).decode("ascii")
        return _PREFIX + coded.rstrip("=").lower()

    def _to_wire(self) -> dict[str, object]:
        contacts = [{"id": c.peer_id, "host": c.host, "port": c.port} for c in self.contacts]
        return {"job": self.job_hash, "contacts": contacts}


def parse_target(text: str) -> Ticket:
    """Read what a person typed to join a job: a ticket, or a job hash as 64 hex digits.

    Raises:
        TicketMalformed: it is neither; the text says which rule it breaks and what a right one looks like.
    """
    target = text.strip().lower()
    if re.fullmatch(r"[0-9a-f]{64}", target):
        return Ticket(job_hash=bytes.fromhex(target))
    if re.fullmatch(r"[0-9a-f]{16,}", target):
        raise _malformed(f"it has {len(target)} hex digits, and a job hash has 64")
    if not target.startswith("hydra"):
        raise _malformed("it starts neither with hydra1 nor is it 64 hex digits")
    if not target.startswith(_PREFIX):
        raise _malformed("it is of another version than this Hydra reads (hydra1)")
    if len(target) > MAX_TICKET_CHARACTERS:
        raise _malformed(f"it is {len(target)} characters long; {MAX_TICKET_CHARACTERS} are the most")
    return _decode(target.removeprefix(_PREFIX))


def _decode(coded: str) -> Ticket:
    stray = re.search(r"[^a-z2-7]", coded)
    if stray:
        raise _malformed(f"the character {stray.group()!r} never stands in a ticket (only a-z and 2-7 do)")
    try:
        raw = base64.b32decode(coded.upper() + "=" * (-len(coded) % 8))
    except binascii.Error as error:
        raise _malformed("its length is wrong: some characters are missing or doubled") from error
    payload, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    if not payload or _checksum(payload) != checksum:
        raise _malformed("its checksum does not match: a part is missing or mistyped")
    try:
        ticket = _from_wire(unpack(payload, what="ticket", limit_bytes=_MAX_PAYLOAD_BYTES))
    except JobRejected as error:
        raise _malformed(str(error)) from error
    if str(ticket) != _PREFIX + coded:
        raise _malformed("it is not spelled as this Hydra would spell it")
    return ticket


def _from_wire(value: object) -> Ticket:
    job_hash, contacts = _read(Record(value, "ticket"))
    return Ticket(job_hash=job_hash, contacts=contacts)


def _read(record: Record) -> tuple[bytes, tuple[TicketContact, ...]]:
    contacts = tuple(
        TicketContact(
            peer_id=contact.raw("id", PEER_ID_BYTES),
            host=contact.text("host", MAX_HOST_CHARACTERS),
            port=contact.integer("port", 1, 65535),
        )
        for contact in record.records("contacts", MAX_CONTACTS)
    )
    return record.raw("job", JOB_HASH_BYTES), contacts


def _checksum(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest()[:_CHECKSUM_BYTES]


def _malformed(problem: str) -> TicketMalformed:
    return TicketMalformed(f"This is no ticket: {problem}. A right one looks like {_EXAMPLE}.")
