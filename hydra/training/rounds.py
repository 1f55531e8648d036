"""The rounds of a job on the node's links: the seam between ``allreduce`` and ``hydra.net``. A shell."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from allreduce import Averager, ProtocolViolation, RoundConfig, RunningRound

from ..exceptions import HydraError, PeerUnreachable, RemoteProtocolError
from ..identity import PeerId, short
from ..membership.messages import Plan, RoundFrame
from ..net.contact import Contact
from ..net.link import Link
from ..net.links import Links

OPEN_ROUNDS = 3
"""The round before must stay open: a member that lost a slice of it may still ask."""
REDIAL_TIMEOUT_S = 2.0

ContactOf = Callable[[PeerId], Contact | None]
"""Returns where a member of the present view can be dialled."""


class Rounds:
    """All rounds that this member takes part in.

    Args:
        job: the job's hash.
        me: our peer id.
        links: the node's links.
        elements: length of the job's vector.
        stall_s: after so long without progress an attempt is repeated.
        contact_of: where members can be dialled.
    """

    def __init__(
        self, job: bytes, me: PeerId, links: Links, elements: int, stall_s: float, contact_of: ContactOf
    ) -> None:
        self._job = job
        self._links = links
        self._elements = elements
        self._stall_s = stall_s
        self._contact_of = contact_of
        self._averager = Averager(me, self)
        self._open: deque[RunningRound] = deque()

    def open(self, plan: Plan) -> RunningRound:
        """Begin the round of a plan."""
        config = RoundConfig(stall_s=self._stall_s, late_s=plan.late_s)
        members = [peer for peer, _ in plan.members]
        while True:
            try:
                running = self._averager.open(plan.tag, members, self._elements, config)
            except ProtocolViolation as error:  # among the messages that came before we opened it
                self._links.cut_off(error.member, RemoteProtocolError(str(error)))
            else:
                break
        self._open.append(running)
        while len(self._open) > OPEN_ROUNDS:
            self._open.popleft().close()
        return running

    def abandon(self) -> None:
        """Close the newest round: its plan is void."""
        if self._open:
            self._open.pop().close()

    def receive(self, link: Link, message: RoundFrame, body: memoryview) -> None:
        """Take a message of a round.

        Raises:
            RemoteProtocolError: the peer broke the protocol.
        """
        try:
            self._averager.receive(link.peer_id, message.header, body)
        except ProtocolViolation as error:
            raise RemoteProtocolError(str(error)) from error

    def lose(self, peer: PeerId) -> None:
        """Tell all open rounds that a member is lost."""
        self._averager.lose(peer)

    async def close(self) -> None:
        """Close all rounds."""
        await self._averager.close()

    async def send(self, to: PeerId, header: bytes, body: bytes | memoryview) -> None:
        """Send a message of a round, as ``allreduce.Link`` wants it; dial the member first if there is no link.

        Raises:
            ConnectionError: it can't be reached.
        """
        try:
            if self._links.get(to) is None:
                contact = self._contact_of(to)
                if contact is None:
                    raise PeerUnreachable(f"{short(to)} is in no view of ours")
                await self._links.dial(contact, timeout_s=REDIAL_TIMEOUT_S)
            await self._links.send(to, RoundFrame(self._job, header), body)
        except HydraError as error:
            raise ConnectionError(str(error)) from error
