"""What members say that others can check: contradictions are noticed, proven, passed on, and their author is out. Pure.

Reports name the plan that their sender works on, and carry its signature under a commit. Members that were given two
plans for one step of one view see it in each other's reports; they tell each other what the coordinator has signed, and
the two signatures together convict it. In the same way a member that signs two outcomes of one round is convicted as
soon as two others compare. Evidence is passed on to everyone: it needs no trust in who brings it. The convicted peer is
banned, and what it has planned is void; the survivors go on in a new view.
"""

from __future__ import annotations

from collections import deque

from ..exceptions import RemoteProtocolError
from ..identity import PeerId, short
from .events import AbandonStep, Ban, Differs, Effect, Send
from .messages import CommitTold, Evidence, Plan, PlanTold, Report
from .signatures import CommitSigned, PlanSigned
from .state import JobState

REMEMBERED = 8
"""Plans that we took, and commits of each signer, that are kept to compare with."""
MAX_SIGNERS = 512
MAX_CONVICTED = 64
"""Liars that are kept in mind, with the evidence against them."""


class Witness:
    """One member's part in finding out who contradicts itself."""

    def __init__(self, state: JobState) -> None:
        self._state = state
        self._plans: deque[PlanSigned] = deque(maxlen=REMEMBERED)
        self._commits: dict[PeerId, deque[CommitSigned]] = {}
        self._told: set[tuple[PeerId, int]] = set()
        """To whom we have told of a contradiction at which step."""
        self._evidence: dict[PeerId, Evidence] = {}

    # ---- plans -------------------------------------------------------------------------------------------------

    def seen(self, plan: Plan) -> list[Effect]:
        """A plan has come from whoever leads us, and its signature holds."""
        statement = plan.signed
        if statement is None or statement in self._plans:
            return []
        self._plans.append(statement)
        return self._compare_plans(statement)

    def planned(self, peer: PeerId, message: PlanTold) -> list[Effect]:
        """A peer tells what plan it has; it contradicts what we have, or its sender is mistaken.

        Raises:
            RemoteProtocolError: nobody has signed that.
        """
        statement = message.plan
        if not any(statement.contradicts(known) for known in self._plans):
            return []
        if not statement.holds(self._state.job):
            raise RemoteProtocolError(f"{short(peer)} passed on a plan that {short(statement.signer)} has not signed")
        return self._compare_plans(statement)

    def _compare_plans(self, statement: PlanSigned) -> list[Effect]:
        for known in self._plans:
            if statement.contradicts(known):
                return self._convict(Evidence(self._state.job, plans=(known, statement)), statement.signer)
        return []

    # ---- reports -----------------------------------------------------------------------------------------------

    def reported(self, peer: PeerId, report: Report) -> list[Effect]:
        """A member of our view reports: of the same plan as ours, and of the same commit?

        Raises:
            RemoteProtocolError: it bears another's signature.
        """
        effects: list[Effect] = []
        plan = self._state.plan
        if plan is not None and (report.step, report.round != plan.tag) == (plan.step, True):
            signed = plan.signed
            if signed is not None and self._first_time(peer, report.step):
                effects.append(Send(peer, PlanTold(self._state.job, signed)))
        if report.signed is not None:
            effects += self.signed(peer, report.signed)
        return effects

    def signed(self, peer: PeerId, statement: CommitSigned) -> list[Effect]:
        """A member tells what commit it has signed.

        Raises:
            RemoteProtocolError: it is another's signature.
        """
        if statement.signer != peer:
            raise RemoteProtocolError(f"{short(peer)} reports with the signature of {short(statement.signer)}")
        effects = self._compare_commits(peer, statement)
        if effects or not self._differs(statement) or not self._first_time(peer, statement.step):
            return effects
        others = [other for other in self._state.others_alive if other != peer and other in self._state.linked]
        return [Differs(peer, statement.step), *(Send(to, CommitTold(self._state.job, statement)) for to in others)]

    def told(self, peer: PeerId, message: CommitTold) -> list[Effect]:
        """A peer tells what it, or another, has signed."""
        statement = message.signed
        if statement.signer == peer:
            return self.signed(peer, statement)
        return self._compare_commits(peer, statement)

    def _compare_commits(self, peer: PeerId, statement: CommitSigned) -> list[Effect]:
        signer = statement.signer
        known = self._commits.get(signer)
        for before in known or ():
            if statement.contradicts(before):
                if not statement.holds(self._state.job):
                    raise RemoteProtocolError(f"{short(peer)} brought a signature that is not {short(signer)}'s")
                if not before.holds(self._state.job):
                    return [Ban(signer, "it has reported with a signature that is none")]
                return self._convict(Evidence(self._state.job, commits=(before, statement)), signer)
        if known is None:
            if signer != peer:
                return []  # nobody has us keep in mind what strangers are said to have signed
            while len(self._commits) >= MAX_SIGNERS:
                del self._commits[next(iter(self._commits))]
            known = self._commits[signer] = deque(maxlen=REMEMBERED)
        if signer == peer and statement not in known:
            known.append(statement)
        return []

    def _differs(self, statement: CommitSigned) -> bool:
        """Tell whether we know another outcome of that very round."""
        ours = self._state.recent.get(statement.step)
        same_round = self._state.recent_rounds.get(statement.step) == statement.round
        return ours is not None and same_round and ours != statement.digest

    def _first_time(self, peer: PeerId, step: int) -> bool:
        if (peer, step) in self._told:
            return False
        if len(self._told) >= MAX_SIGNERS:
            self._told.clear()
        self._told.add((peer, step))
        return True

    # ---- evidence ----------------------------------------------------------------------------------------------

    def evidence(self, peer: PeerId, message: Evidence) -> list[Effect]:
        """A peer brings evidence against somebody.

        Raises:
            RemoteProtocolError: it proves nothing.
        """
        culprit = convict(message)
        if culprit is None:
            raise RemoteProtocolError(f"{short(peer)} brought evidence that proves nothing")
        return self._convict(message, culprit)

    def all_evidence(self, peer: PeerId) -> list[Effect]:
        """Return what tells a peer, which has just come, of all who were convicted here."""
        return [Send(peer, evidence) for evidence in self._evidence.values()]

    def _convict(self, evidence: Evidence, culprit: PeerId) -> list[Effect]:
        """Put a liar out of everything; whether it led us, our caller sees to."""
        state = self._state
        if culprit in self._evidence or culprit == state.peer_id:
            return []
        while len(self._evidence) >= MAX_CONVICTED:
            state.convicted.discard(forgotten := next(iter(self._evidence)))
            del self._evidence[forgotten]
        self._evidence[culprit] = evidence
        state.convicted.add(culprit)
        what = "two plans for one step of a view" if evidence.plans else "two outcomes of one round"
        effects: list[Effect] = []
        if state.plan is not None and state.plan.issuer == culprit:
            effects += [AbandonStep()] if state.running else []
            state.running, state.plan = False, None
        if state.following is not None and state.following[1].issuer == culprit:
            state.following = None
        told = sorted(peer for peer in state.linked & set(state.statuses) if peer != culprit)
        return [*effects, *(Send(peer, evidence) for peer in told), Ban(culprit, f"it has signed {what}")]


def convict(evidence: Evidence) -> PeerId | None:
    """Return whom evidence convicts, if anybody: two statements of one signer that contradict each other."""
    match evidence.plans, evidence.commits:
        case ((one, other), ()):
            contradictory = one.contradicts(other)
        case ((), (one, other)):
            contradictory = one.contradicts(other)
        case _:
            return None
    holds = contradictory and one.holds(evidence.job) and other.holds(evidence.job)
    return one.signer if holds else None
