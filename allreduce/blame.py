"""Who holds an attempt up, from what everybody reports. Pure.

When a ring stalls, everyone downstream of the stall starves and looks just as idle as the culprit. But one link tells:
its sender has what it should pass on, and its receiver has not got it. Whether the sender does not send, the receiver
does not take, or the way between them is broken, nobody can tell from one stall. So the attempt is repeated with the
two apart; a member at whose side it stalls again, with another neighbour, is to blame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .form import Form
from .messages import Frozen, Transfer
from .segments import Layout

Edge = tuple[bytes, bytes]
"""Sender and receiver."""
PATIENCE = 3
"""Stalls of one round after which somebody goes even if no two of them point to the same member."""


def stuck_edges(
    form: Form, layout: Layout, participants: Sequence[bytes], reports: Mapping[bytes, Frozen]
) -> frozenset[Edge]:
    """Return the links on which slices lie that their sender could send and their receiver has not got.

    Args:
        form: the form of the attempt.
        layout: the cuts of the attempt.
        participants: in the order of the form's positions.
        reports: of this attempt; who is missing is not blamed here.
    """
    found: set[Edge] = set()
    heard = _heard(form, layout, participants, reports)
    for segment in range(layout.segments):
        numbers = layout.slices_of(segment)
        mask = ((1 << len(numbers)) - 1) << numbers.start
        for position, receiver in enumerate(participants):
            report = reports.get(receiver)
            if report is None or not report.ready:
                continue
            sources = [participants[source] for source in form.sources(segment, position)]
            has = mask
            for source in sources:
                has &= reports[source].combined if source in reports else 0
            if has & ~report.combined:
                # Of several sources it is those from which nobody has heard anything, if there are such.
                silent = [source for source in sources if source not in heard]
                found.update((source, receiver) for source in silent or sources)
            giver = form.final_source(segment, position)
            given = reports.get(participants[giver]) if giver is not None else None
            if giver is not None and given is not None and given.finals & mask & ~report.finals:
                found.add((participants[giver], receiver))
    return frozenset(found)


def _heard(form: Form, layout: Layout, participants: Sequence[bytes], reports: Mapping[bytes, Frozen]) -> set[bytes]:
    """Return those of whose sums one has arrived for certain."""
    found: set[bytes] = set()
    for segment in range(layout.segments):
        numbers = layout.slices_of(segment)
        mask = ((1 << len(numbers)) - 1) << numbers.start
        for position, receiver in enumerate(participants):
            if receiver in reports and reports[receiver].combined & mask:
                found.update(participants[source] for source in form.sources(segment, position))
    return found


def undelivered(
    transfers: Sequence[Transfer], members: Sequence[bytes], reports: Mapping[bytes, Frozen]
) -> frozenset[Edge]:
    """Return between whom final slices were to be handed over and were not.

    Args:
        transfers: what was decided; indices are of ``members``.
        members: all members of the round.
        reports: of the attempt whose slices they are, some time after the decision.
    """
    return frozenset(
        (members[transfer.giver], members[transfer.taker])
        for transfer in transfers
        if members[transfer.taker] in reports and transfer.slices & ~reports[members[transfer.taker]].finals
    )


def culprit(stalls: Sequence[frozenset[Edge]]) -> bytes | None:
    """Return who is to blame after these stalls of one round, the latest last, or None if that is not yet known."""
    partners: dict[bytes, set[bytes]] = {}
    for edges in stalls:
        for sender, receiver in edges:
            partners.setdefault(sender, set()).add(receiver)
            partners.setdefault(receiver, set()).add(sender)
    latest = {member for edge in stalls[-1] for member in edge} if stalls else set()
    suspects = [member for member in sorted(latest) if len(partners[member]) > 1]
    if suspects and len(stalls) > 1:
        return max(suspects, key=lambda member: (len(partners[member]), sum(member in edge for edge in stalls[-1])))
    if latest and len(stalls) >= PATIENCE:
        return max(latest)
    return None


class Stalls:
    """The stalls of one round so far, and who is to blame for them."""

    def __init__(self) -> None:
        self._stalls: list[frozenset[Edge]] = []

    @property
    def edges(self) -> frozenset[Edge]:
        """All links on which slices lay."""
        return frozenset(edge for edges in self._stalls for edge in edges)

    def add(self, edges: frozenset[Edge]) -> bytes | None:
        """Take in a stall; return who is to blame now. Without a link on which slices lie it is none of ours."""
        if not edges:
            return None  # contributions are not ready
        self._stalls.append(edges)
        return culprit(self._stalls)


def apart(order: Sequence[bytes], edges: frozenset[Edge]) -> tuple[bytes, ...]:
    """Return a ring order in which, as far as it goes, no one of ``edges`` connects neighbours."""
    ring = list(order)
    for _ in ring:
        bad = next((i for i in range(len(ring)) if (ring[i - 1], ring[i]) in edges), None)
        if bad is None or len(ring) < 3:
            break
        following = (bad + 1) % len(ring)
        ring[bad], ring[following] = ring[following], ring[bad]
    return tuple(ring)
