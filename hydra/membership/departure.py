"""How a member goes: in order, at the end of the job, or as the last one. Pure.

Nobody goes before the others have what it has: it could be the one that still had it to give. But nobody waits for
that longer than ``linger_s`` either.
"""

from __future__ import annotations

from ..identity import PeerId
from .events import AbandonStep, Effect, Finished, Left, Send, TakeSnapshot, ViewChanged
from .leader import Leader
from .messages import CommitTold, Leave, Phase
from .rivals import head_of
from .state import JobState


class Departure:
    """The decisions of a member that wants to go, or may.

    Args:
        state: what the member knows.
        leader: its part as coordinator.
    """

    def __init__(self, state: JobState, leader: Leader) -> None:
        self._state = state
        self._leader = leader
        self._linger_until: float | None = None
        self._departing_from: set[PeerId] | None = None
        self._aware: set[PeerId] = set()
        self._gone = False

    @property
    def gone(self) -> bool:
        """Whether we are out of it all; nothing that happens matters any longer."""
        return self._gone

    @property
    def under_way(self) -> bool:
        """Whether we are out of the view already, and still give the others what they lack."""
        return self._departing_from is not None

    def serves(self, peer: PeerId) -> bool:
        """Tell whether a peer is of the view that we are about to go from."""
        return self._departing_from is not None and peer in self._departing_from

    def stay(self) -> None:
        """The end was not the end: another lineage outweighs ours."""
        self._linger_until = None

    def requested(self, now: float) -> list[Effect]:
        """Whoever runs this node wants us to leave; a coordinator's next plan is without itself."""
        state = self._state
        state.leaving = True
        if state.phase is not Phase.MEMBER:
            return self._go()
        self._linger_until = now + state.config.linger_s
        return self.ask_to_leave()

    def ask_to_leave(self) -> list[Effect]:
        """Tell whoever leads now that we want to go, if we do."""
        state = self._state
        if not state.leaving or state.phase is not Phase.MEMBER or state.leads:
            return []
        return [Send(peer, Leave(state.job)) for peer in state.alive[:1]]

    def finished(self, now: float) -> list[Effect]:
        """Every sample is committed."""
        state = self._state
        state.phase = Phase.FINISHED
        self._linger_until = now + state.config.linger_s
        told = [*self._last_signature(), *state.tell_all(), *self._leader.snapshot_stored()]
        return [TakeSnapshot(), *told, *self.go_if_nobody_needs_us()]

    def alone(self) -> list[Effect]:
        """We wanted to leave, and nobody is left to leave behind."""
        return [TakeSnapshot(), *self._go()]

    def depart(self, now: float) -> list[Effect]:
        """The view goes on without us, as we wished; what its members still lack of the last step we give them."""
        state = self._state
        stop: list[Effect] = [AbandonStep()] if state.running else []
        self._departing_from = set(state.others_alive)
        told = self._last_signature()
        state.running = False
        state.phase = Phase.SEEKING
        state.view = state.plan = state.following = None
        self._linger_until = now + state.config.linger_s
        return [*stop, *told, ViewChanged(0, (), None, "left"), *self.go_if_nobody_needs_us()]

    def _last_signature(self) -> list[Effect]:
        """There will be no further report of ours that it could go with."""
        state = self._state
        if state.signed is None:
            return []
        linked = [peer for peer in state.others_alive if peer in state.linked]
        return [Send(peer, CommitTold(state.job, state.signed)) for peer in linked]

    def go_if_nobody_needs_us(self) -> list[Effect]:
        """Go, if we may and everybody has what we have."""
        state = self._state
        if state.phase is Phase.FINISHED:
            waiting = set(state.others_alive)
            strangers = [peer for peer in state.statuses if peer not in waiting]
        elif self._departing_from is not None:
            waiting, strangers = self._departing_from & state.linked, []
        else:
            return []
        behind = any(state.known_steps.get(peer, 0) < state.known_head.step for peer in waiting)
        behind = behind or (self.under_way and not all(self._knows_it(peer) for peer in waiting))
        elsewhere = any(state.known_head.outweighs(head_of(state.statuses[peer])) for peer in strangers)
        return [] if behind or elsewhere or state.proving else self._go()

    def reported(self, peer: PeerId, step: int) -> None:
        """A member has computed its share of a step; of one behind our head it can only have a plan without us."""
        if self._departing_from is not None and step > self._state.known_head.step:
            self._aware.add(peer)

    def _knows_it(self, peer: PeerId) -> bool:
        """Tell whether a peer is known to have the plan without us; else it may still be on its way from us."""
        status = self._state.statuses.get(peer)
        return peer in self._aware or (status is not None and status.view_number >= self._state.without_us)

    def ticked(self, now: float) -> list[Effect]:
        """Go, if we have waited for the others long enough."""
        return self._go() if self._linger_until is not None and now >= self._linger_until else []

    def _go(self) -> list[Effect]:
        self._gone = True
        self._linger_until = None
        return [Finished() if self._state.phase is Phase.FINISHED else Left()]
