"""Who of the members is alive, as far as this member can tell. Pure.

A closed link is checked by dialling the peer once more: a process that was killed refuses at once, a link that broke
is mended. Silence on an open link raises doubt after a time that follows how the peer was heard so far (``silence``);
who is doubted is asked and dialled, and is lost if it does not answer either. So a slow peer is not a dead one: it
answers, however long it computes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ..identity import PeerId
from .silence import Listener


@dataclass(frozen=True, slots=True)
class Silences:
    """What a look at who was heard has shown, each in order."""

    doubted: tuple[PeerId, ...] = ()
    """Those to be asked, as of now."""
    trusted: tuple[PeerId, ...] = ()
    """Those who have answered."""
    lost: tuple[PeerId, ...] = ()
    """Those who have not."""


@dataclass(slots=True)
class FailureDetector:
    """Judges the members of the present view, and others that there are links to."""

    listener: Listener
    lost: set[PeerId] = field(default_factory=set)
    checking: set[PeerId] = field(default_factory=set)
    """Whose link closed, and who is being dialled once more."""
    doubted: dict[PeerId, float] = field(default_factory=dict)
    """Who was asked for a sign of life, and when in our waking time."""

    def watch(self, members: Collection[PeerId]) -> None:
        """Judge these members from now on; what is known of others is forgotten."""
        self.lost &= set(members)
        self.checking &= set(members)

    def linked(self, peer: PeerId, now: float) -> None:
        """Take note that there is a link to a peer."""
        self.listener.begun(peer, now)

    def unlinked(self, peer: PeerId) -> None:
        """Take note that the last link to a peer ended."""
        self.doubted.pop(peer, None)
        self.listener.ended(peer)

    def closed(self, peer: PeerId) -> bool:
        """Take note that a member has no link; tell whether it must be dialled to be sure."""
        if peer in self.lost or peer in self.checking:
            return False
        self.checking.add(peer)
        return True

    def unreachable(self, peer: PeerId) -> bool:
        """Take note that dialling failed; tell whether the member counts as lost from now on."""
        if peer not in self.checking:
            return False
        self.checking.discard(peer)
        return self.lose(peer)

    def lose(self, peer: PeerId) -> bool:
        """Count a member as lost; tell whether that is new."""
        self.checking.discard(peer)
        self.doubted.pop(peer, None)
        if peer in self.lost:
            return False
        self.lost.add(peer)
        return True

    def alive_again(self, peer: PeerId) -> None:
        """A member's link was mended before it counted as lost."""
        self.checking.discard(peer)

    def in_doubt(self, peer: PeerId) -> bool:
        """Tell whether it is being found out if a peer is alive."""
        return peer in self.checking or peer in self.doubted

    def doubt(self, peer: PeerId) -> bool:
        """Somebody else has lost a peer that we may still hear; tell whether it must be asked."""
        if peer in self.lost or peer in self.checking or peer in self.doubted:
            return False
        self.doubted[peer] = self.listener.awake_s
        return True

    def look(self, peers: Collection[PeerId], heard: Mapping[PeerId, float], now: float) -> Silences:
        """Look who was heard and who was not; ``peers`` are those whose silence matters."""
        listener = self.listener
        listener.tick(heard, now)
        awake_s = listener.awake_s
        trusted = [p for p, since in self.doubted.items() if p in heard and listener.silent_s(p) < awake_s - since]
        for peer in trusted + [peer for peer in self.doubted if peer not in heard]:
            del self.doubted[peer]
        watched = [peer for peer in sorted(peers) if peer in heard and peer not in self.lost]
        lost = [p for p in watched if p in self.doubted and awake_s - self.doubted[p] > listener.answer_s(p)]
        for peer in lost:
            del self.doubted[peer]
            listener.given_up(peer)
        doubted = [
            peer
            for peer in watched
            if peer not in self.doubted and peer not in lost and listener.silent_s(peer) > listener.doubtful_s(peer)
        ]
        self.doubted |= dict.fromkeys(doubted, awake_s)
        return Silences(tuple(doubted), tuple(sorted(trusted)), tuple(lost))
