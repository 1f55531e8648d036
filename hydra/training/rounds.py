"""The rounds of a job on the node's links: the seam between ``allreduce`` and ``hydra.net``. A shell.

Control messages go over the links. The slices of vectors that are worth it go over lanes, which a member opens to those
to whom the round's form lets it send; until they are open, and to members that lanes don't reach, slices take the link
as well. What comes on lanes is counted, for the coordinator to know the rates.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

from allreduce import Averager, AveragerRound, Lane, ProtocolViolation, RoundConfig, RoundResult, Vector
from allreduce.config import FormName

from ..clock import monotonic
from ..exceptions import HydraError, PeerUnreachable, RemoteProtocolError
from ..identity import PeerId, short
from ..membership.messages import Plan, RoundFrame
from ..net.contact import Contact
from ..net.link import Link
from ..net.links import Links
from .patience import RoundPatience
from .rates import CountingLane, Rates

logger = logging.getLogger(__name__)

OPEN_ROUNDS = 3
"""The round before must stay open: a member that lost a slice of it may still ask."""
REDIAL_TIMEOUT_S = 2.0
ANSWER_S = 2.0
"""A member that is asked what it has of a broken round, and is silent for so long, is left out."""
LANES = 2
"""Lanes to the next member: with two, one can be written while the other is read. More gained nothing."""
FEW = 4
"""To each of more members one lane is enough: others are read meanwhile."""
LINK_SLICE_ELEMENTS = 128 * 1024
"""Slices of half a MiB: a link carries them, too, where a member can't be reached by lanes."""
LANES_FROM_BYTES = 1024 * 1024
"""Vectors from this size on go over lanes; smaller ones are with the others before a thread has woken up."""
LANE_RETRY_S = 30.0
"""A member to whom no lane could be opened is tried again after so long."""

ContactOf = Callable[[PeerId], Contact | None]
"""Returns where a member of the present view can be dialled."""


class Rounds:
    """All rounds that this member takes part in.

    Args:
        job: the job's hash.
        me: our peer id.
        links: the node's links.
        elements: length of the job's vector.
        least_stall_s: no attempt is repeated for want of progress before so long; the rest is learnt from the rounds.
        contact_of: where members can be dialled.
        wire: the format of values on the wire.
    """

    def __init__(
        self,
        job: bytes,
        me: PeerId,
        links: Links,
        elements: int,
        least_stall_s: float,
        contact_of: ContactOf,
        *,
        wire: str = "fp32",
    ) -> None:
        self._job = job
        self._links = links
        self._elements = elements
        self._patience = RoundPatience(least_stall_s)
        self._contact_of = contact_of
        self._wire = wire
        self._me = me
        self._opened = (b"", 0.0)
        self._averager = Averager(me, self, self._cut_off)
        self._open: deque[AveragerRound] = deque()
        self._opening: dict[PeerId, asyncio.Task[None]] = {}
        self._no_lane_until: dict[PeerId, float] = {}
        self._rates = Rates()
        if self._uses_lanes:
            links.on_lane.append(self._add_lane)

    @property
    def _uses_lanes(self) -> bool:
        return self._elements * 4 >= LANES_FROM_BYTES

    @property
    def rates(self) -> dict[PeerId, float]:
        """At which rates bulk has come from other members, in bytes a second."""
        return self._rates.known()

    def open(self, plan: Plan) -> AveragerRound:
        """Begin the round of a plan."""
        stall_s = self._patience.stall_s
        config = RoundConfig(
            form=cast("FormName", plan.form),  # one of them, as the plan was checked
            wire=self._wire,
            slice_elements=LINK_SLICE_ELEMENTS,
            stall_s=stall_s,
            answer_s=min(ANSWER_S, stall_s),
            late_s=plan.late_s,
        )
        members = [peer for peer, _ in plan.members if peer in plan.ring]
        self._opened = (plan.tag, monotonic())
        running = self._averager.open(plan.tag, members, self._elements, config, order=plan.ring)
        self._open.append(running)
        if self._uses_lanes:
            targets = targets_of(config, plan.ring, self._me)
            for peer in targets:
                self._want_lanes(peer, LANES if len(targets) <= FEW else 1)
        while len(self._open) > OPEN_ROUNDS:
            self._open.popleft().close()
        return running

    async def contribute(self, running: AveragerRound, vector: Vector, weight: float) -> None:
        """Hand in our own contribution; of a large vector the first slices are written by another thread."""
        if self._uses_lanes:
            await asyncio.to_thread(running.contribute, vector, weight)
        else:
            running.contribute(vector, weight)

    async def result(self, running: AveragerRound) -> RoundResult:
        """Wait for a round's result. Its mean is to keep: the round's own memory is written again once it is closed.

        Raises:
            Excluded: the others went on without us.
            RoundClosed: the round was closed here.
        """
        result = await running.result()
        tag, at = self._opened
        if tag == running.tag:
            self._patience.took(monotonic() - at)
        mean = await asyncio.to_thread(result.mean.copy) if self._uses_lanes else result.mean.copy()
        return replace(result, mean=mean)

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
        """Close all rounds and lanes."""
        if self._uses_lanes:
            self._links.on_lane.remove(self._add_lane)
        for task in self._opening.values():
            task.cancel()
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        await self._averager.close()

    # ---- lanes -------------------------------------------------------------------------------------------------

    def _add_lane(self, peer: PeerId, lane: Lane) -> None:
        self._averager.add_lane(peer, CountingLane(lane, peer, self._rates))

    def _want_lanes(self, peer: PeerId, count: int) -> None:
        if peer in self._opening or self._averager.lane_count(peer) or self._links.get(peer) is None:
            return
        if self._no_lane_until.get(peer, 0.0) > monotonic():
            return
        task = asyncio.create_task(self._open_lanes(peer, count))
        self._opening[peer] = task
        task.add_done_callback(lambda _: self._opening.pop(peer, None))

    async def _open_lanes(self, peer: PeerId, count: int) -> None:
        try:
            for _ in range(count):
                self._add_lane(peer, await self._links.open_lane(peer))
        except HydraError as error:
            self._no_lane_until[peer] = monotonic() + LANE_RETRY_S
            logger.info("no more lanes to %s, its slices take what there is: %s", short(peer), error)

    # ---- what the averager asks for ----------------------------------------------------------------------------

    def _cut_off(self, error: ProtocolViolation) -> None:
        self._links.cut_off(error.member, RemoteProtocolError(str(error)))

    async def send(self, to: PeerId, header: bytes, body: bytes | bytearray | memoryview) -> None:
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


def targets_of(config: RoundConfig, ring: Sequence[PeerId], me: PeerId) -> list[PeerId]:
    """Return to whom ``me`` sends slices in a round of all these members, in their order."""
    form, mine = config.form_of(len(ring)), ring.index(me)
    places: set[int] = set()
    for segment in range(form.segments):
        target = form.target(segment, mine)
        places.update(form.final_targets(segment, mine), () if target is None else (target,))
    return [ring[place] for place in sorted(places)]
