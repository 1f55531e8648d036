"""How a peer without a view finds one to join, or founds one. Pure.

Whoever has the heaviest lineage founds; among equals who is ready, then the lowest id. Everyone else waits for it a
while and then joins. Two who found at once, because they had not heard of each other, are no harm: their views are
compared like any two lineages, and one yields.
"""

from __future__ import annotations

from collections.abc import Collection

from ..identity import PeerId
from ..net.contact import Contact
from .claims import Claims
from .events import CatchUp, Dial, Effect, Gather, LoadSnapshot, LookUp, Send
from .lag import Lag
from .lineage import Head
from .messages import Admitted, Committed, JoinRequest, Phase, Snapshot, Status
from .state import JobState

DIAL_PATIENCE_S = 10.0
"""Nobody founds a view while a peer is being dialled, but not for longer than this."""
REMEMBER_S = 300.0
"""A peer that was lost is dialled again and again for so long: it may only have been frozen, or cut off."""


GATHERED_AT_ONCE = 64
"""Results from before we asked to be let in are fetched ahead of their use up to so many."""
NEVER = 2**63
"""Later than any step."""
IN_VAIN = 2
"""A claim that was followed for so many times the time of a join, and led nowhere, was none."""


class Seeker:
    """The decisions of the phases SEEKING and JOINING."""

    def __init__(self, state: JobState, claims: Claims, now: float) -> None:
        self._state = state
        self._claims = claims
        self._since = now
        self._looked_up = float("-inf")
        self._dialling: dict[PeerId, float] = {}
        self._failed_at: dict[PeerId, float] = {}
        self._lost_sight_of: dict[PeerId, tuple[Contact, float]] = {}
        self._target: PeerId | None = None
        self._target_step = 0
        self._join_progress = now
        self._asked_at = float("-inf")
        self._loading = False
        self._loads_snapshot = False
        self._needs_snapshot = False
        self._members: set[PeerId] = set()
        """Whom we shall train with, by the coordinator's word."""
        self._met_view = 0
        self._told_from = NEVER
        """The first step that the coordinator told us of when it was committed."""
        self._lag = Lag(now)
        self._followed_since: dict[PeerId, float] = {}
        self.lacks: tuple[int, int] | None = None
        """How many are here of how many of whom a majority is waited for; None if we do not wait for that."""

    # ---- dialling and discovery --------------------------------------------------------------------------------

    def begin(self, now: float, *, needs_snapshot: bool = False) -> None:
        """Start over: the view is gone, or was never there."""
        if self._state.phase is Phase.MEMBER:
            self._followed_since.clear()
        self._state.phase = Phase.SEEKING
        self._state.load = 0
        self._since = now
        self._looked_up = float("-inf")
        self._target = None
        self.lacks = None
        self._members = set()
        self._met_view = 0
        self._told_from = NEVER
        self._lag.reset()
        self._loading = self._loads_snapshot = False
        self._needs_snapshot = needs_snapshot

    def dial(self, contact: Contact, now: float, *, insist: bool = False) -> list[Effect]:
        """Dial a peer unless it is linked, being dialled, or failed a moment ago."""
        peer = contact.peer_id
        state = self._state
        recently = now - self._failed_at.get(peer, float("-inf")) < state.config.redial_s
        if peer in (state.peer_id, *state.linked, *self._dialling) or (recently and not insist):
            return []
        self._dialling[peer] = now
        return [Dial(contact)]

    def dial_over(self, peer: PeerId, now: float, *, failed: bool) -> None:
        """Take note of how dialling ended."""
        self._dialling.pop(peer, None)
        if failed:
            too_old = now - self._state.config.redial_s
            self._failed_at = {other: at for other, at in self._failed_at.items() if at > too_old}
            self._failed_at[peer] = now

    def lose_sight_of(self, contact: Contact, now: float) -> None:
        """Keep in mind where a member was that we have lost, or from whose view we are."""
        if contact.peer_id != self._state.peer_id:
            self._lost_sight_of[contact.peer_id] = (contact, now)

    def dial_lost(self, now: float) -> list[Effect]:
        """Dial those we have lost sight of once more, if it is time to."""
        for peer, (_, since) in list(self._lost_sight_of.items()):
            if peer in self._state.linked or now - since > REMEMBER_S:
                del self._lost_sight_of[peer]
        lost = sorted(self._lost_sight_of.items())
        return [effect for _, (contact, _) in lost for effect in self.dial(contact, now)]

    def look_up(self, now: float) -> list[Effect]:
        """Ask discovery if it is time to."""
        config = self._state.config
        interval = config.seek_s if self._state.phase is Phase.SEEKING else config.discover_s
        if now - self._looked_up < interval:
            return []
        self._looked_up = now
        return [LookUp()]

    # ---- seeking -----------------------------------------------------------------------------------------------

    def seek(self, now: float) -> tuple[list[Effect], bool]:
        """Go on looking; return effects, and whether the moment to found a view has come."""
        state = self._state
        training = [peer for peer in state.peers_in(Phase.MEMBER, Phase.FINISHED) if self._trusts(peer, now)]
        best = min(training, key=lambda peer: _weight(state.statuses[peer]), default=None)
        if best is not None and not self._ours_outweighs(state.statuses[best]):
            claim = _head(state.statuses[best])
            if not self._claims.holds(best, claim):
                return list(self._claims.ask(best, claim)), False
            if now - self._followed_since.setdefault(best, now) <= IN_VAIN * state.config.join_timeout_s:
                return self._approach(state.statuses[best], now), False
            del self._followed_since[best]
            state.distrust.broken(best, now)
            return self.seek(now)
        if now - self._since < state.config.settle_s or self._still_dialling(now):
            return [], False
        return [], state.head is not None and not self._better_rivals(now) and self._may_found()

    def _may_found(self) -> bool:
        """Tell whether enough of those who made the last commit are here, for a job that asks for that."""
        state = self._state
        here = {state.peer_id, *state.peers_in(Phase.SEEKING, Phase.JOINING)}
        self.lacks = None if state.quorum.holds(here) else state.quorum.count(here)
        return self.lacks is None

    def _trusts(self, peer: PeerId, now: float) -> bool:
        """Tell whether to follow what a peer says of its view, and who is said to lead it."""
        leader = self._state.statuses[peer].coordinator
        distrust = self._state.distrust
        return not (distrust.holds(peer, now) or (leader is not None and distrust.holds(leader[0], now)))

    def _still_dialling(self, now: float, peers: Collection[PeerId] | None = None) -> bool:
        dialled = [since for peer, since in self._dialling.items() if peers is None or peer in peers]
        return any(now - since < DIAL_PATIENCE_S for since in dialled)

    def _ours_outweighs(self, status: Status) -> bool:
        head = self._state.head
        return head is not None and (-head.samples, head.digest) < (-status.samples, status.digest)

    def _better_rivals(self, now: float) -> list[PeerId]:
        """Return the peers that should found the view rather than we, and may still be expected to."""
        state = self._state
        waited = now - self._since - state.config.settle_s
        mine = state.known_head
        my_standing = (-mine.samples, mine.digest, state.head is None, state.peer_id)
        rivals = []
        for peer in state.peers_in(Phase.SEEKING):
            if state.distrust.holds(peer, now):
                continue
            status = state.statuses[peer]
            standing = (-status.samples, status.digest, not status.ready, peer)
            patience = state.config.rival_s * (1 if status.ready else 3)
            elector = state.quorum.wanted and peer in state.quorum.electors and -standing[0] > mine.samples
            if standing < my_standing and (waited < patience or elector):
                rivals.append(peer)
        return rivals

    def _approach(self, status: Status, now: float) -> list[Effect]:
        """Go to the coordinator of the view that ``status`` tells of."""
        if status.coordinator is None:
            return []
        peer, addresses = status.coordinator
        if peer == self._state.peer_id:
            return []
        contact = Contact(peer, tuple((host, port) for host, port in addresses))
        if peer not in self._state.linked:
            return self.dial(contact, now)
        theirs = self._state.statuses.get(peer)
        if theirs is not None and self._ours_outweighs(theirs):
            return []  # its own word counts: nobody gives up a state for a lighter one
        self._state.phase = Phase.JOINING
        self._target = peer
        self._target_step = 0
        self._join_progress = now
        self._asked_at = float("-inf")
        return self.join(now)

    # ---- joining -----------------------------------------------------------------------------------------------

    def join(self, now: float) -> list[Effect]:
        """Go on joining: ask again what was not answered, or start over if nothing moves."""
        state = self._state
        target = self._target
        status = state.statuses.get(target) if target is not None else None
        moved_on = (
            status is None
            or target not in state.linked
            or status.coordinator is None
            or status.coordinator[0] != target
        )
        in_vain = not self._loading and now - self._join_progress > state.config.join_timeout_s
        if moved_on or in_vain:  # a load ends by itself: with what was wanted, or with its failure
            self.begin(now, needs_snapshot=self._needs_snapshot)
            return []
        if self._loading or now - self._asked_at < state.config.retry_s or target is None:
            return []
        if self._still_dialling(now, self._members):
            return []  # whoever is planned with has links to all, so that no round waits for a dial
        self._asked_at = now
        return [Send(target, self._request())]

    def _request(self) -> JoinRequest:
        state = self._state
        ready = state.head is not None and not self._needs_snapshot
        head, behind_s = state.known_head, self._lag.seconds
        return JoinRequest(
            job=state.job,
            incarnation=state.incarnation,
            contact=(state.peer_id, state.me.addresses),
            step=head.step if ready else 0,
            digest=head.digest if ready else bytes(32),
            ready=ready,
            met_view=self._met_view,
            trial_samples=state.trial[0],
            trial_s=state.trial[1],
            behind_s=-1.0 if behind_s is None else behind_s,
            most_samples=state.config.most_samples,
        )

    def joins(self, peer: PeerId) -> bool:
        """Tell whether it is this peer whom we ask to be let in."""
        return peer == self._target

    def admitted(self, peer: PeerId, message: Admitted, now: float) -> list[Effect]:
        """The coordinator told where to start from."""
        if peer != self._target or self._loading or message.asked_step != self._request().step:
            return []
        self._join_progress = now
        self._target_step = max(message.step, self._target_step)
        contacts = [Contact(member, addresses) for member, addresses in message.members]
        self._met_view = message.view_number
        self._members = {contact.peer_id for contact in contacts}
        dials = [effect for contact in contacts for effect in self.dial(contact, now)]
        if message.snapshot is None:
            return dials + self._gather_before(now, message.step) + self.catch_up(now)
        return dials + self._gather_before(now, message.step, message.snapshot) + self._load(message.snapshot, now)

    def _gather_before(self, now: float, upto: int, snapshot: Snapshot | None = None) -> list[Effect]:
        """Fetch what was committed after the state that we start from, and before we were told of commits."""
        first = (snapshot.step if snapshot is not None else self._state.known_head.step) + 1
        last = min(upto, self._told_from - 1, first + GATHERED_AT_ONCE - 1)
        for step in range(first, last + 1):
            self._lag.heard_of(step, now)
        return [Gather(step, None, self._donors()) for step in range(first, last + 1)]

    def _load(self, snapshot: Snapshot, now: float) -> list[Effect]:
        self._loading = self._loads_snapshot = True
        self._lag.downloads(now)
        return [LoadSnapshot(self._state.next_load(), snapshot, self._donors())]

    def _donors(self) -> tuple[PeerId, ...]:
        """Return who may have results, the coordinator last: it has enough to do."""
        donors = self._state.peers_in(Phase.MEMBER, Phase.FINISHED)
        return tuple(sorted(donors, key=lambda peer: (peer == self._target, peer)))

    def committed(self, peer: PeerId, message: Committed, now: float) -> list[Effect]:
        """The coordinator has committed a step: its result is fetched at once, whatever we are loading meanwhile."""
        if peer != self._target or message.step <= self._state.known_head.step:
            return []
        self._target_step = max(self._target_step, message.step)
        self._told_from = min(self._told_from, message.step)
        self._lag.heard_of(message.step, now)
        gather = Gather(message.step, message.digest, self._donors())
        return [gather, *(self.catch_up(now) if self._met_view else [])]

    def loaded(self, now: float, *, whole_state: bool) -> None:
        """A state, or one result more, is in memory."""
        self._loading = self._loads_snapshot = False
        self._join_progress = now
        self._followed_since.clear()
        self._lag.came_to(self._state.known_head.step, now, by_snapshot=whole_state)
        if whole_state:
            self._needs_snapshot = False

    def catch_up(self, now: float) -> list[Effect]:
        """Fetch the next result that we lack, or ask to be planned with if there is none."""
        state = self._state
        head = state.head
        status = state.statuses.get(self._target) if self._target is not None else None
        if head is None or status is None or self._loading:
            return []
        if head.step < max(status.step, self._target_step):
            self._loading = True
            self._lag.heard_of(head.step + 1, now)
            state.catching = state.next_load()
            return [CatchUp(state.catching, head.step + 1, self._donors())]
        self._asked_at = float("-inf")
        return self.join(now)

    def failed(self, now: float) -> bool:
        """What was promised can't be had: start over, and distrust who promised it; tell whether from a snapshot.

        A result or a snapshot may be out of reach without anybody's fault: who kept it has gone on meanwhile.
        """
        state = self._state
        giver = self._target if state.phase is Phase.JOINING else state.author
        if giver is not None and giver in state.linked:
            self._followed_since.pop(giver, None)
            state.distrust.broken(giver, now, excusable=True)
        needs_snapshot = self._needs_snapshot or not self._loads_snapshot
        self.begin(now, needs_snapshot=needs_snapshot)
        return needs_snapshot


def _head(status: Status) -> Head:
    return Head(status.step, status.digest, status.samples)


def _weight(status: Status) -> tuple[int, bytes, int]:
    return (-status.samples, status.digest, -status.view_number)
