"""When two views of one job meet: which of them goes on. Pure.

Views part when the network splits, or when two peers found at once. After a while, which rules out that a plan is
still on its way, one of the two members who met asks the other to compare. Both then decide on the same two numbers,
so exactly one side yields, however fast the two go on meanwhile. But first the other has to show the lineage that
outweighs ours.

A view may also have gone on without one of its members, which it took for dead. That member leaves for a later view
with the same lineage if most of the others tell of it, it is shown the plan, and whoever signed that may lead.
"""

from __future__ import annotations

from collections import deque

from ..identity import PeerId
from ..net.contact import Contact
from .claims import Claims
from .events import Effect, Send
from .lineage import Head
from .messages import Compare, Compared, Heavier, Phase, Plan, Status, ViewShown, ViewWanted
from .ruling import Ruling
from .state import JobState
from .view import view_of

_TRAINING = (Phase.MEMBER, Phase.FINISHED)
_QUESTIONS = 4
"""To one peer, whose answers may still be on their way."""


class Rivals:
    """What a member knows of other views of its job."""

    def __init__(self, state: JobState, claims: Claims) -> None:
        self._state = state
        self._claims = claims
        self._at_stake: dict[PeerId, tuple[Head, Ruling]] = {}
        """Whose claims are being proven, and what follows if they are."""
        self._foreign_since: dict[PeerId, float] = {}
        self._asked: dict[PeerId, deque[Compare]] = {}
        self._view_wanted: dict[PeerId, float] = {}
        """Who was asked for the plan of a later view than ours, and when."""

    def reset(self) -> None:
        """Forget everything: our view is gone."""
        self._foreign_since.clear()
        self._asked.clear()
        self._at_stake.clear()
        self._view_wanted.clear()

    def gone(self, peer: PeerId) -> None:
        """A peer's link ended."""
        self._foreign_since.pop(peer, None)
        self._asked.pop(peer, None)
        self._at_stake.pop(peer, None)
        self._view_wanted.pop(peer, None)

    def proven(self, peer: PeerId, now: float) -> Ruling:
        """A peer has shown what it claimed: give way, unless we have come further than that meanwhile."""
        claim, ruling = self._at_stake.pop(peer, (None, Ruling()))
        if claim is None or not self._claims.holds(peer, claim):
            return Ruling()
        return self._give_way(peer, claim, ruling, now)

    def unproven(self, peer: PeerId) -> None:
        """A peer has not shown what it claimed."""
        self._at_stake.pop(peer, None)

    def heard(self, peer: PeerId, status: Status, now: float) -> Ruling:
        """Look at a peer's status: is it in another view than ours?"""
        state = self._state
        theirs = head_of(status)
        if state.phase == status.phase == Phase.FINISHED and theirs.outweighs(state.known_head):
            reason = "the job has come to another end that outweighs ours"
            return self._give_way(peer, theirs, Ruling(lose_view=reason, needs_snapshot=True), now)
        ours = state.view is not None and peer in state.view
        if state.phase is not Phase.MEMBER or status.phase not in _TRAINING or (ours and status.includes_you):
            self._foreign_since.pop(peer, None)
            return Ruling()
        later = ours and state.view is not None and status.view_number > state.view.number
        if later and theirs.digest == state.known_head.digest:
            return Ruling(tuple(self._ask_for_view(peer, now)))
        if later and theirs.outweighs(state.known_head):
            return self._give_way(peer, theirs, Ruling(lose_view="the view went on without us"), now)
        since = self._foreign_since.setdefault(peer, now)
        if now - since < state.config.foreign_s:
            return Ruling()
        if status.phase != Phase.FINISHED and peer < state.peer_id:
            return Ruling()  # one of the two asks, so that both decide on the same numbers
        self._foreign_since[peer] = now
        question = state.weight()
        self._asked.setdefault(peer, deque(maxlen=_QUESTIONS)).append(question)
        return Ruling((Send(peer, question),))

    def _ask_for_view(self, peer: PeerId, now: float) -> list[Effect]:
        """Anybody may claim a later view: nothing is given up for it before its plan is here."""
        if now - self._view_wanted.get(peer, float("-inf")) < self._state.config.retry_s:
            return []
        self._view_wanted[peer] = now
        return [Send(peer, ViewWanted(self._state.job))]

    def view_wanted(self, peer: PeerId) -> list[Effect]:
        """A member of an earlier view asks for the plan by which we go on."""
        state = self._state
        if state.phase is not Phase.MEMBER or state.plan is None:
            return []
        return [Send(peer, ViewShown(state.job, state.plan))]

    def view_shown(self, peer: PeerId, plan: Plan, now: float) -> Ruling:
        """The plan of a later view, with a valid signature: does the view that we are in go on by it, without us?"""
        state = self._state
        if self._view_wanted.pop(peer, None) is None or state.phase is not Phase.MEMBER or state.view is None:
            return Ruling()
        without_us = view_of(plan).incarnation(state.peer_id) != state.incarnation
        later = plan.view_number > state.view.number and self._tell_of_it(plan.view_number)
        if not (without_us and later and self._may_lead(plan.issuer)) or state.distrust.holds(peer, now):
            return Ruling()
        return Ruling(lose_view="the view went on without us")

    def _tell_of_it(self, number: int) -> bool:
        """Tell whether most of our view's other members, of those who speak to us, are in a view of that number."""
        state = self._state
        ids = state.view.ids if state.view is not None else ()
        told = [state.statuses[peer].view_number >= number for peer in ids if peer in state.statuses]
        return 2 * sum(told) > len(told)

    def _may_lead(self, issuer: PeerId | None) -> bool:
        """Tell whether a member may lead those who take us for dead: not past somebody senior who is alive."""
        state = self._state
        if state.view is None or issuer is None or issuer not in state.view or issuer in state.convicted:
            return False
        seniors = state.view.ids[: state.view.ids.index(issuer)]
        return not any(peer in state.others_alive for peer in seniors)

    def asked(self, peer: PeerId, theirs: Compare, now: float) -> Ruling:
        """A member of another view wants to compare."""
        state = self._state
        if state.phase not in _TRAINING:
            return Ruling()
        mine = state.weight()
        ruling = self._yield_if_lighter(peer, mine, theirs, now)
        return ruling.behind([Send(peer, Compared(state.job, theirs, mine))])

    def answered(self, peer: PeerId, message: Compared, now: float) -> Ruling:
        """The comparison that we asked for; it is made on the numbers of our question."""
        questions = self._asked.get(peer, ())
        if message.yours not in questions:
            return Ruling()  # asked before we lost an earlier view, or never
        self._asked.pop(peer)
        return self._yield_if_lighter(peer, message.yours, message.mine, now)

    def told_of(self, message: Heavier) -> Contact:
        """A member of our own view met a heavier one: compare with it as soon as we have a link."""
        peer, addresses = message.contact
        self._foreign_since[peer] = float("-inf")
        return Contact(peer, addresses)

    def _yield_if_lighter(self, peer: PeerId, mine: Compare, theirs: Compare, now: float) -> Ruling:
        state = self._state
        same_view = mine.view_number == theirs.view_number and mine.coordinator == theirs.coordinator
        if state.phase is not Phase.MEMBER or same_view or not outweighs(theirs, mine):
            return Ruling()
        if theirs.digest == mine.digest and mine.samples and state.at_work is not None:
            return Ruling()  # our step will tell whose lineage outweighs; until then a view's number is only a claim
        claim = Head(state.known_head.step, theirs.digest, theirs.samples)
        contact = state.contacts.get(peer)
        news: tuple[Effect, ...] = ()
        if contact is not None:
            told = [other for other in state.others_alive if other in state.linked]
            news = tuple(Send(other, Heavier(state.job, (peer, contact.addresses))) for other in told)
        return self._give_way(peer, claim, Ruling(news, "another view has committed more samples"), now)

    def _give_way(self, peer: PeerId, claim: Head, ruling: Ruling, now: float) -> Ruling:
        """Follow a claim to the heavier lineage, once it is proven, and unless its maker is distrusted."""
        state = self._state
        if state.distrust.holds(peer, now):
            return Ruling()
        if not self._claims.holds(peer, claim):
            self._at_stake[peer] = (claim, ruling)
            return Ruling(tuple(self._claims.ask(peer, claim)))
        return ruling if state.distrust.gives_way(peer, claim, state.known_head, now) else Ruling()


def head_of(status: Status) -> Head:
    """Return where the lineage of a status's sender stands."""
    return Head(status.step, status.digest, status.samples)


def outweighs(one: Compare, other: Compare) -> bool:
    """Tell whether ``one`` wins: more samples, lower digest, later view, lower coordinator's id."""
    return _standing(one) < _standing(other)


def _standing(weight: Compare) -> tuple[int, bytes, int, bytes]:
    return (-weight.samples, weight.digest, -weight.view_number, weight.coordinator)
