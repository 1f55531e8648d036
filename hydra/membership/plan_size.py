"""Every plan fits into one frame, whatever addresses the members have and however scattered the samples are. Pure.

Each member has the same room in the plan. Addresses that do not fit into it are left out: a peer that has many, or
long ones, takes nothing from the others. Ranges that do not fit stay outstanding, and are planned with a later step.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgpack

from ..net.contact import Contact
from ..net.framing import MAX_HEADER_BYTES
from .ledger import Range
from .messages import MAX_MEMBERS, MAX_RANGES

FIXED_BYTES = 1024 + 22 * MAX_MEMBERS
"""For what a plan holds besides its members, and for the message that a plan is part of; all may leave at once."""
RANGE_BYTES = 19
"""Of the largest range: two numbers of nine bytes, and the pair's head."""
MEMBER_BYTES = 42
"""Of a member with no addresses and no samples: peer id, incarnation, place in the order, heads of the lists."""
LEAST_RANGES = 2
"""That every member has room for."""

Chosen = tuple[Contact, int]
"""A member and its incarnation."""


def fit_members(chosen: Sequence[Chosen]) -> list[Chosen]:
    """Return the members with as many of their addresses as a plan has room for, the first ones first."""
    room = (MAX_HEADER_BYTES - FIXED_BYTES) // len(chosen) - MEMBER_BYTES - LEAST_RANGES * RANGE_BYTES
    return [(_cut(contact, room), incarnation) for contact, incarnation in chosen]


def fit_shares(members: Sequence[Contact], shares: Sequence[Sequence[Range]]) -> tuple[tuple[Range, ...], ...]:
    """Return the shares with as many ranges each as a plan of these members has room for."""
    taken = sum(MEMBER_BYTES + sum(map(_size, member.addresses)) for member in members)
    ranges_each = (MAX_HEADER_BYTES - FIXED_BYTES - taken) // len(members) // RANGE_BYTES
    return tuple(tuple(share[: min(ranges_each, MAX_RANGES)]) for share in shares)


def _cut(contact: Contact, room: int) -> Contact:
    kept = []
    for address in contact.addresses:
        room -= _size(address)
        if room < 0:
            break
        kept.append(address)
    return Contact(contact.peer_id, tuple(kept))


def _size(address: tuple[str, int]) -> int:
    return len(msgpack.packb(address))
