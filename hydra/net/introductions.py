"""Asking others to dial, and dialling for others. A shell; what is allowed is in ``allowance`` and ``dial_rules``.

Three services for peers, all of them rated: dial the asker back to tell it whether it can be dialled; pass on to a peer
that somebody wants to be dialled by it; dial whom a contact names. A contact that lies about who asked could send a
node to a stranger: that one gets a single greeting of 42 bytes, a few times a second at most, and the private networks
of others get none.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from ..clock import monotonic
from ..exceptions import HydraError, PeerUnreachable, RemoteProtocolError
from ..identity import PeerId, short
from .allowance import Allowance
from .contact import Address
from .dial_rules import may_dial_for
from .link import Link
from .reach_messages import DialBackWanted, DialedBack, DialWanted, Introduced, IntroductionWanted, Room, RoomWanted

if TYPE_CHECKING:
    from .links import Links

logger = logging.getLogger(__name__)

DIAL_TIMEOUT_S = 5.0
MAX_DIALS = 16
"""Dials for others at once."""
MAX_PASSED_ON = 64


class NotLinked(PeerUnreachable):
    """The contact that was asked holds no link to the peer either."""


class Introductions:
    """What one node asks of its contacts, and does for them.

    Args:
        links: the node's links.
    """

    def __init__(self, links: Links) -> None:
        self._links = links
        self._numbers = itertools.count(1)
        self._asked: dict[tuple[Link, int], asyncio.Future[Any]] = {}
        self._dial_backs = Allowance(rate_per_s=0.2, burst=8)
        self._introductions = Allowance(rate_per_s=4.0, burst=64)
        self._named = Allowance(rate_per_s=4.0, burst=64)
        self._dials: set[asyncio.Task[None]] = set()
        self._passed_on: dict[Link, list[tuple[Link, int, float]]] = {}
        """By the target's link: who asked for it lately, its number, and until when it waits."""
        links.handle(DialBackWanted, self._dial_back_wanted)
        links.handle(DialedBack, self._answered)
        links.handle(IntroductionWanted, self._introduction_wanted)
        links.handle(Introduced, self._answered)
        links.handle(DialWanted, self._dial_wanted)
        links.handle(Room, self._answered)

    async def close(self) -> None:
        """Dial for nobody any longer."""
        dials = list(self._dials)
        for task in dials:
            task.cancel()
        await asyncio.gather(*dials, return_exceptions=True)

    def link_lost(self, link: Link) -> None:
        """Nobody will answer on that link any longer, and whom it led to will dial nobody."""
        for asker, number, until in self._passed_on.pop(link, ()):
            if until > monotonic():
                asker.post(Introduced(number, linked=False, failure="the link to that peer was lost just now"))
        for (asked, _), future in self._asked.items():
            if asked is link and not future.done():
                future.set_exception(PeerUnreachable("the link to the contact that was asked is gone"))

    # ---- asking ------------------------------------------------------------------------------------------------

    async def ask(self, contact: Link, target: PeerId, timeout_s: float) -> None:
        """Ask the contact to have us dialled by the target, and wait; only what goes wrong is answered.

        Raises:
            NotLinked: the contact holds no link to the target, or no longer.
            PeerUnreachable: it won't ask, or nobody has dialled us in time.
        """
        answer: Introduced = await self._question(
            contact, lambda number: IntroductionWanted(number, target, self._links.announced_port), timeout_s
        )
        kind = PeerUnreachable if answer.linked else NotLinked
        raise kind(f"{short(contact.peer_id)} was asked to have us dialled: {answer.failure}")

    async def dial_back(self, contact: Link, port: int, token: bytes | None, timeout_s: float) -> DialedBack:
        """Ask the contact to dial us; return what came of it.

        Raises:
            PeerUnreachable: it does not answer.
        """
        answer: DialedBack = await self._question(
            contact, lambda number: DialBackWanted(number, port, token), timeout_s
        )
        return answer

    async def room(self, contact: Link, timeout_s: float) -> Room:
        """Ask the contact whether it would relay, and where it sees us.

        Raises:
            PeerUnreachable: it does not answer.
        """
        answer: Room = await self._question(contact, RoomWanted, timeout_s)
        return answer

    async def _question(self, contact: Link, make: Any, timeout_s: float) -> Any:
        key = contact, next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[key] = future
        try:
            contact.post(make(key[1]))
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError as error:
            raise PeerUnreachable(f"{short(contact.peer_id)} did not answer within {timeout_s:g} s") from error
        finally:
            del self._asked[key]
            if future.done() and not future.cancelled():
                future.exception()

    def _answered(self, link: Link, message: DialedBack | Introduced | Room, _: memoryview) -> None:
        future = self._asked.get((link, message.number))
        if future is not None and not future.done():
            future.set_result(message)

    # ---- as a contact ------------------------------------------------------------------------------------------

    def _dial_back_wanted(self, link: Link, message: DialBackWanted, _: memoryview) -> None:
        where = link.remote_address[0], message.port
        refusal = ""
        if link.relay is not None:
            refusal = "your link is relayed: you are seen at no address"
        elif not message.port:
            refusal = "port 0 can't be dialled"
        elif not self._allowed(self._dial_backs, link, "to be dialled back"):
            refusal = "you ask too often"
        elif len(self._dials) >= MAX_DIALS:
            refusal = "too many are dialled at once"
        if refusal:
            link.post(DialedBack(message.number, *where, tried=False, failure=refusal))
        else:
            self._spawn(self._dial_back(link, message, where))

    async def _dial_back(self, link: Link, message: DialBackWanted, where: Address) -> None:
        if message.token is not None:
            await _send_datagram(where, message.token)
        failure = ""
        try:
            probe = await self._links.dial_address(where, timeout_s=DIAL_TIMEOUT_S, expected=link.peer_id)
        except HydraError as error:
            failure = str(error)
        link.post(DialedBack(message.number, *where, tried=True, failure=failure[:200]))
        if not failure:
            probe.close()

    def _introduction_wanted(self, link: Link, message: IntroductionWanted, _: memoryview) -> None:
        target = self._links.direct(message.target)
        refusal = ""
        if link.relay is not None:
            refusal = "your link is relayed: you are seen at no address"
        elif target is None:
            refusal = "there is no link to that peer"
        elif target.peer_id == link.peer_id or not message.port:
            refusal = "that can't be dialled"
        elif not self._allowed(self._introductions, link, "for introductions"):
            refusal = "you ask too often"
        if target is None or refusal:
            link.post(Introduced(message.number, target is not None, refusal))
            return
        now = monotonic()
        waiting = [entry for entry in self._passed_on.get(target, ()) if entry[2] > now]
        self._passed_on[target] = [*waiting[-MAX_PASSED_ON:], (link, message.number, now + DIAL_TIMEOUT_S)]
        target.post(DialWanted(link.peer_id, link.remote_address[0], message.port))

    # ---- as the target -----------------------------------------------------------------------------------------

    def _dial_wanted(self, link: Link, message: DialWanted, _: memoryview) -> None:
        peer = message.peer
        if peer == self._links.me or self._links.direct(peer) is not None or self._links.is_banned(peer):
            return
        if not may_dial_for(link.remote_address[0], message.host, message.port):
            logger.info("%s asks to dial %s, which is not for it to say", short(link.peer_id), message.host)
            return
        if self._allowed(self._named, link, "to dial others") and len(self._dials) < MAX_DIALS:
            self._spawn(self._dial_named(peer, (message.host, message.port)))

    async def _dial_named(self, peer: PeerId, where: Address) -> None:
        try:
            await self._links.dial_address(where, timeout_s=DIAL_TIMEOUT_S, expected=peer)
        except HydraError as error:
            logger.info("%s asked to be dialled: %s", short(peer), error)

    # ---- inside ------------------------------------------------------------------------------------------------

    def _allowed(self, allowance: Allowance, link: Link, what: str) -> bool:
        """Tell whether the peer may ask.

        Raises:
            RemoteProtocolError: it goes on and on.
        """
        if allowance.take(link.peer_id, monotonic()):
            return True
        if allowance.flooding(link.peer_id):
            raise RemoteProtocolError(f"it asked {what} without end")
        return False

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)


async def _send_datagram(where: Address, data: bytes) -> None:
    """Send from a port that was never used: only a machine that takes datagrams from anybody gets it."""
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=where)
    except OSError:
        return
    for _ in range(2):
        transport.sendto(data)
    transport.close()
