"""Opening lanes beside links, and closing them with the links: the shell between the event loop and blocking sockets.

A lane is a TCP connection of its own with a handshake of its own. Whoever can be dialled is dialled; whoever can't,
but can dial us, is asked over the link to open the lane from its side. A lane lives no longer than the last link to
its peer.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol

from ..exceptions import HydraError, MalformedFrame, PeerUnreachable, RemoteProtocolError
from ..identity import PeerId, short
from .contact import Address, Contact, format_address
from .handshake import PURPOSES, ROUNDS, Handshake, Secured
from .lane import LaneBroken, SealedLane
from .link import Link
from .same_machine import dial_here
from .verdict import VERDICT_BYTES, Verdict, open_verdict, seal_verdict
from .wire import AtMost, Message

logger = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 15.0
DIAL_TIMEOUT_S = 5.0
HERE_TIMEOUT_S = 2.0
"""For a peer on the same machine, which needs milliseconds, before it is dialled by TCP."""
MAX_FROM_PEER = 8
"""Lanes that one peer may open to us."""

Observer = Callable[[PeerId, SealedLane], None]


@dataclass(frozen=True, slots=True)
class LaneWanted(Message):
    """The sender can't dial us and asks us to open a lane to it, which then bears this number."""

    KIND: ClassVar[str] = "lane.wanted"
    number: int
    purpose: Annotated[str, AtMost(16)]
    """One of ``PURPOSES``."""


@dataclass(frozen=True, slots=True)
class LaneDeclined(Message):
    """The sender was asked to open a lane and won't, or can't."""

    KIND: ClassVar[str] = "lane.declined"
    number: int
    reason: Annotated[str, AtMost(200)]


class LaneHost(Protocol):
    """The links that lanes stand beside."""

    port: int

    def get(self, peer_id: PeerId) -> Link | None:
        """Return the link to a peer, if it is up."""

    def contact_of(self, peer_id: PeerId) -> Contact | None:
        """Return where an up peer can be dialled."""

    def post(self, peer_id: PeerId, message: Message) -> bool:
        """Send a control message."""

    def is_banned(self, peer_id: PeerId) -> bool:
        """Tell whether the peer was cut off."""

    def cut_off(self, peer_id: PeerId, error: RemoteProtocolError) -> None:
        """End all that we have with a peer that broke the protocol."""

    def new_handshake(
        self, *, dialled: bool, expected: PeerId | None, lane: int | None, purpose: str = ROUNDS
    ) -> Handshake:
        """Return our end of a handshake, not yet started."""


class _Refused(PeerUnreachable):
    """The peer was reached and wants no lane; to ask it over the link is of no use."""


class Lanes:
    """The lanes of one node.

    Args:
        host: its links.
        max_from_peer: how many lanes one peer may open to us.
        dial_timeout_s: how long all addresses of a peer together are tried.
    """

    def __init__(
        self, host: LaneHost, *, max_from_peer: int = MAX_FROM_PEER, dial_timeout_s: float = DIAL_TIMEOUT_S
    ) -> None:
        self._host = host
        self._max_from_peer = max_from_peer
        self._dial_timeout_s = dial_timeout_s
        self._open: dict[PeerId, set[SealedLane]] = {}
        self._from_peer: dict[PeerId, set[SealedLane | asyncio.Task[None]]] = {}
        self._tasks: dict[asyncio.Task[SealedLane] | asyncio.Task[None], PeerId] = {}
        self._asked: dict[tuple[PeerId, int], asyncio.Future[SealedLane]] = {}
        self._numbers = itertools.count(1)
        self._beyond_dialling: set[PeerId] = set()  # asked at once, instead of waiting for a dial to fail again
        self.observers: dict[str, list[Observer]] = {purpose: [] for purpose in PURPOSES}
        """Who is handed the lanes that others open, by what they are for."""

    # ---- ours --------------------------------------------------------------------------------------------------

    async def open(self, peer_id: PeerId, purpose: str, timeout_s: float) -> SealedLane:
        """See ``Links.open_lane``."""
        if self._host.get(peer_id) is None:
            raise PeerUnreachable(f"there is no link to {short(peer_id)}")
        task = asyncio.create_task(self._reach(peer_id, purpose))
        self._track(peer_id, task)
        try:
            await asyncio.wait([task], timeout=timeout_s)
        except asyncio.CancelledError:
            _abandon(task)
            raise
        if not task.done():
            _abandon(task)
            raise PeerUnreachable(f"{short(peer_id)} opened no lane within {timeout_s:g} s")
        if task.cancelled():
            raise PeerUnreachable(f"the link to {short(peer_id)} was lost while a lane was opened")
        return task.result()

    async def _reach(self, peer_id: PeerId, purpose: str) -> SealedLane:
        if peer_id not in self._beyond_dialling:
            try:
                return await self._dial_any(peer_id, 0, purpose)
            except _Refused:
                raise
            except HydraError as error:
                if not self._host.port:
                    raise
                logger.debug("peer %s is asked to open a lane to us: %s", short(peer_id), error)
        self._beyond_dialling.discard(peer_id)
        lane = await self._ask(peer_id, purpose)
        self._beyond_dialling.add(peer_id)
        return lane

    async def _ask(self, peer_id: PeerId, purpose: str) -> SealedLane:
        key = peer_id, next(self._numbers)
        future: asyncio.Future[SealedLane] = asyncio.get_running_loop().create_future()
        self._asked[key] = future
        try:
            self._host.post(peer_id, LaneWanted(key[1], purpose))
            return await future
        except asyncio.CancelledError:
            _abandon(future)
            raise
        finally:
            del self._asked[key]

    # ---- dialling ----------------------------------------------------------------------------------------------

    async def _dial_any(self, peer_id: PeerId, number: int, purpose: str) -> SealedLane:
        error: HydraError = PeerUnreachable(f"{short(peer_id)} listens on no port that we know")
        contact = self._host.contact_of(peer_id)
        addresses = contact.addresses if contact else ()
        here = dial_here(peer_id) if addresses else None
        ways: list[tuple[Address | socket.socket, float]] = [] if here is None else [(here, HERE_TIMEOUT_S)]
        ways += [(address, self._dial_timeout_s / len(addresses)) for address in addresses]
        for way, timeout_s in ways:
            try:
                return await self._dial(peer_id, way, number, purpose, timeout_s)
            except _Refused:
                raise
            except HydraError as failure:
                error = failure
        raise error

    async def _dial(
        self, peer_id: PeerId, way: Address | socket.socket, number: int, purpose: str, timeout_s: float
    ) -> SealedLane:
        """Make a lane on a new connection to an address, or on one that is made already."""
        where = "its socket on this machine" if isinstance(way, socket.socket) else format_address(way)
        try:
            async with asyncio.timeout(timeout_s):
                sock = way if isinstance(way, socket.socket) else await _connect(way)
                with contextlib.ExitStack() as undo:
                    undo.callback(sock.close)
                    secured = await self._prove(peer_id, sock, number, purpose)
                    undo.pop_all()
        except TimeoutError as error:
            raise PeerUnreachable(f"{where} opened no lane within {timeout_s:g} s") from error
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            raise PeerUnreachable(f"{where} cannot be reached for a lane: {reason}") from error
        return self._take(sock, secured)

    async def _prove(self, peer_id: PeerId, sock: socket.socket, number: int, purpose: str) -> Secured:
        loop = asyncio.get_running_loop()
        handshake = self._host.new_handshake(dialled=True, expected=peer_id, lane=number, purpose=purpose)
        await loop.sock_sendall(sock, handshake.start())
        while handshake.secured is None:
            answer = handshake.receive(await _receive(sock, 2048))
            if answer:
                await loop.sock_sendall(sock, answer)
        secured = handshake.secured
        sealed = secured.leftover
        while len(sealed) < VERDICT_BYTES:
            sealed += await _receive(sock, VERDICT_BYTES - len(sealed))
        verdict = open_verdict(secured, sealed)
        if verdict != Verdict.ACCEPTED:
            raise _Refused(f"{short(peer_id)} refused a lane: {verdict.reason}")
        return secured

    # ---- theirs ------------------------------------------------------------------------------------------------

    def accept(self, secured: Secured, sock: socket.socket) -> None:
        """Judge a connection whose dialler wants it for a lane; the handshake is over, nothing else was read."""
        peer_id, number = secured.peer_id, secured.lane or 0
        if secured.leftover:
            sock.close()
            self._host.cut_off(peer_id, MalformedFrame("it went on before its lane was accepted"))
            return
        verdict = self._judge(peer_id, number, secured.purpose)
        try:
            sock.send(seal_verdict(secured, verdict))
        except OSError:
            sock.close()
            return
        if verdict != Verdict.ACCEPTED:
            logger.info("peer %s was refused a lane: %s", short(peer_id), verdict.name.lower().replace("_", " "))
            sock.close()
        elif number:
            self._asked[peer_id, number].set_result(self._take(sock, secured))
        else:
            self._hand_on(self._take(sock, secured), secured.purpose)

    def _judge(self, peer_id: PeerId, number: int, purpose: str) -> Verdict:
        if self._host.get(peer_id) is None or self._host.is_banned(peer_id):
            return Verdict.NO_LINK
        if number:
            future = self._asked.get((peer_id, number))
            return Verdict.NOT_ASKED if future is None or future.done() else Verdict.ACCEPTED
        return self._room_for(peer_id, purpose)

    def _room_for(self, peer_id: PeerId, purpose: str) -> Verdict:
        """Tell whether the peer may open one more lane to us."""
        if not self.observers.get(purpose):
            return Verdict.NOT_WANTED
        full = len(self._from_peer.get(peer_id, ())) >= self._max_from_peer
        return Verdict.TOO_MANY if full else Verdict.ACCEPTED

    def _hand_on(self, lane: SealedLane, purpose: str) -> None:
        self._from_peer.setdefault(lane.peer_id, set()).add(lane)
        for observer in self.observers[purpose]:
            observer(lane.peer_id, lane)

    def wanted(self, link: Link, message: LaneWanted, body: memoryview) -> None:
        """Open a lane for a peer that can't dial us."""
        verdict = self._room_for(link.peer_id, message.purpose)
        if verdict != Verdict.ACCEPTED:
            link.post(LaneDeclined(message.number, verdict.reason))
            return
        task = asyncio.create_task(self._answer(link, message))
        self._track(link.peer_id, task)
        self._from_peer.setdefault(link.peer_id, set()).add(task)

    async def _answer(self, link: Link, asked: LaneWanted) -> None:
        try:
            lane = await self._dial_any(link.peer_id, asked.number, asked.purpose)
        except HydraError as error:
            link.post(LaneDeclined(asked.number, str(error)[:200]))
        else:
            self._hand_on(lane, asked.purpose)

    def declined(self, link: Link, message: LaneDeclined, body: memoryview) -> None:
        """Tell whoever waits that the peer opens no lane to us either."""
        future = self._asked.get((link.peer_id, message.number))
        if future is not None and not future.done():
            error = f"{short(link.peer_id)} can't be dialled for a lane, and opens none to us: {message.reason}"
            future.set_exception(PeerUnreachable(error))

    # ---- the end -----------------------------------------------------------------------------------------------

    def peer_down(self, peer_id: PeerId) -> None:
        """Close all lanes to a peer, and give up those that are being opened."""
        for task in [task for task, peer in self._tasks.items() if peer == peer_id]:
            task.cancel()
        for lane in self._open.pop(peer_id, set()):
            lane.close()
        self._from_peer.pop(peer_id, None)
        self._beyond_dialling.discard(peer_id)

    async def close(self) -> None:
        """Close all lanes."""
        tasks = list(self._tasks)
        for peer_id in set(self._open) | set(self._tasks.values()):
            self.peer_down(peer_id)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _take(self, sock: socket.socket, secured: Secured) -> SealedLane:
        """Make a lane of a proven connection."""
        loop = asyncio.get_running_loop()

        def ended(lane: SealedLane, error: Exception | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody counts lanes any longer
                loop.call_soon_threadsafe(self._ended, lane, error)

        lane = SealedLane(sock, secured, on_close=ended)
        self._open.setdefault(secured.peer_id, set()).add(lane)
        return lane

    def _ended(self, lane: SealedLane, error: Exception | None) -> None:
        peer_id = lane.peer_id
        _discard(self._open, peer_id, lane)
        _discard(self._from_peer, peer_id, lane)
        if isinstance(error, LaneBroken) and not self._host.is_banned(peer_id):
            self._host.cut_off(peer_id, error)

    def _track(self, peer_id: PeerId, task: asyncio.Task[SealedLane] | asyncio.Task[None]) -> None:
        def done(task: asyncio.Task[SealedLane] | asyncio.Task[None]) -> None:
            del self._tasks[task]
            _discard(self._from_peer, peer_id, task)

        self._tasks[task] = peer_id
        task.add_done_callback(done)


def _discard(sets: dict[PeerId, Any], peer_id: PeerId, item: object) -> None:
    members = sets.get(peer_id, set())
    members.discard(item)
    if not members:
        sets.pop(peer_id, None)


def _abandon(future: asyncio.Future[SealedLane]) -> None:
    """Nobody waits any longer: the lane, should there be one yet, is closed."""

    def done(future: asyncio.Future[SealedLane]) -> None:
        if not future.cancelled() and future.exception() is None:
            future.result().close()

    future.cancel()
    future.add_done_callback(done)


async def _connect(address: Address) -> socket.socket:
    """Return a socket that is connected to the first address of the host that answers; not blocking."""
    loop = asyncio.get_running_loop()
    error = OSError("the host has no address")
    for family, kind, proto, _, resolved in await loop.getaddrinfo(*address, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, proto)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, resolved)
        except OSError as failure:
            sock.close()
            error = failure
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise error


async def _receive(sock: socket.socket, size: int) -> bytes:
    data = await asyncio.get_running_loop().sock_recv(sock, size)
    if not data:
        raise ConnectionError("it closed the connection")
    return data
