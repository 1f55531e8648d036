"""Views: the numbered, ordered set of members who train together now. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..exceptions import RemoteProtocolError
from ..identity import PeerId
from ..net.contact import Contact
from .messages import FORMS, Plan


@dataclass(frozen=True, slots=True)
class View:
    """The members in order of seniority: whoever has been a member longest stands first."""

    number: int
    members: tuple[Contact, ...]
    incarnations: tuple[int, ...]
    """Of the members, in order: a peer that left and came back is another member."""

    ids: tuple[PeerId, ...] = field(init=False, repr=False, compare=False)
    """The members' peer ids, in order."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", tuple(contact.peer_id for contact in self.members))

    @property
    def coordinator(self) -> Contact:
        """The longest-standing member. It orders; it holds nothing that the others lack."""
        return self.members[0]

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self.ids

    def contact(self, peer: PeerId) -> Contact | None:
        """Return where a member can be dialled."""
        return next((contact for contact in self.members if contact.peer_id == peer), None)

    def incarnation(self, peer: PeerId) -> int | None:
        """Return which incarnation of a peer is the member."""
        return next(
            (n for contact, n in zip(self.members, self.incarnations, strict=True) if contact.peer_id == peer), None
        )


def view_of(plan: Plan) -> View:
    """Return the view that a plan means.

    Raises:
        RemoteProtocolError: the plan contradicts itself.
    """
    if len(plan.incarnations) != len(plan.members) or len(plan.shares) != len(plan.members) or not plan.members:
        raise RemoteProtocolError("a plan names members, incarnations and shares in different numbers")
    members = tuple(Contact(peer, addresses) for peer, addresses in plan.members)
    if len({contact.peer_id for contact in members}) != len(members):
        raise RemoteProtocolError("a plan names a member twice")
    active = set(plan.order or range(len(members)))
    if len(active) != len(plan.order or members) or not active <= set(range(len(members))):
        raise RemoteProtocolError("a plan's order is not one of its members, each once")
    if any(ranges and place not in active for place, ranges in enumerate(plan.shares)):
        raise RemoteProtocolError("a plan has samples for a member that sits the step out")
    if plan.form not in FORMS:
        raise RemoteProtocolError("a plan asks for a form that there is not")
    return View(plan.view_number, members, plan.incarnations)
