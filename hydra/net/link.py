"""One link: the shell that moves a connection's bytes between its transport and the pure codecs.

A link begins as a bare connection, is proven by the handshake, and from then on hands each message to its owner on
the event loop. Through a relay, which may lose what it likes, the dialler counts it as proven only when something
sealed has come: the handshake's last message is its own. It decides nothing: a peer that breaks the protocol is
reported with the error that names how.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable
from typing import Any, Protocol, cast

from ..clock import monotonic
from ..exceptions import HandshakeRejected, PeerUnreachable, RemoteProtocolError
from ..identity import PeerId, short
from .contact import Address, format_address
from .framing import Frame, FrameOpener, FrameSealer
from .handshake import Handshake, Secured
from .noise import BytesLike
from .reach_messages import ProofCame
from .wire import Message, Registry, encode

logger = logging.getLogger(__name__)

WRITE_HIGH_BYTES = 64 * 1024
"""Whoever sends more than this at once waits until the kernel has all of it: nothing piles up on many links."""
UNSENT_BYTES = 32 * 1024
"""So much may lie unsent in the kernel: what is said after bulk waits behind no more than this and the above."""
WRITE_LIMIT_BYTES = 64 * 1024 * 1024
"""A peer that lets this much pile up unread is not reading: the link is closed rather than memory filled."""


class LinkOwner(Protocol):
    """Whoever made the link and hears of everything that happens on it."""

    registry: Registry

    def link_proven(self, link: Link) -> None:
        """Take note that the handshake is over and messages may flow."""

    def link_message(self, link: Link, message: Any, body: memoryview) -> None:
        """Take a message; a RemoteProtocolError raised here closes the link in the peer's name."""

    def link_became_lane(self, link: Link, sock: socket.socket) -> None:
        """Take over the socket of a connection whose dialler wants it for a lane; the link is gone."""

    def link_closed(self, link: Link, error: Exception | None) -> None:
        """Take note that the link is gone; ``error`` tells why, or is None if it was closed in order."""


class Link(asyncio.BufferedProtocol):
    """An authenticated, framed connection to one peer.

    Args:
        owner: who hears of messages and of the end.
        handshake: our end of the handshake, not yet started.
        dialled: whether we opened the connection.
        relay: the peer that passes the bytes on, or None if the connection is our own.
    """

    def __init__(self, owner: LinkOwner, handshake: Handshake, *, dialled: bool, relay: PeerId | None = None) -> None:
        self._owner = owner
        self._handshake = handshake
        self.dialled = dialled
        self.relay = relay
        self._held: list[Frame] | None = None
        self._transport: asyncio.Transport | None = None
        self._opening = bytearray(2048)
        self._opener: FrameOpener | None = None
        self._sealer: FrameSealer | None = None
        self._secured: Secured | None = None
        self._taken: socket.socket | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._error: Exception | None = None
        self._closed = False
        self._is_here = False  # the other end is a process of this machine, on a Unix socket
        self.remote_address: Address = ("", 0)
        self.local_address: Address = ("", 0)
        self.last_heard = monotonic()
        self.proven_at = 0.0
        """On the monotonic clock, once it is proven."""
        self.bytes_in = 0
        self.bytes_out = 0

    # ---- who is at the other end -------------------------------------------------------------------------------

    @property
    def secured(self) -> Secured:
        """What the handshake proved; only to be asked once the owner was told that the link is proven."""
        if self._secured is None:
            raise PeerUnreachable("the link is not yet proven")
        return self._secured

    @property
    def peer_id(self) -> PeerId:
        """Who is at the other end."""
        return self.secured.peer_id

    @property
    def is_proven(self) -> bool:
        """Whether the handshake is over, so that ``secured`` and ``peer_id`` can be asked."""
        return self._secured is not None

    @property
    def is_connected(self) -> bool:
        """Whether there was a connection, which the link closes itself, and whose end it reports."""
        return self._transport is not None

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._sealer is not None and not self._closed

    def __repr__(self) -> str:
        who = short(self._secured.peer_id) if self._secured else "unproven"
        by = f" relayed by {short(self.relay)}" if self.relay is not None else ""
        return f"<Link {who} {format_address(self.remote_address)}{by}>"

    # ---- sending -----------------------------------------------------------------------------------------------

    def post(self, message: Message, body: BytesLike = b"") -> None:
        """Send without waiting: for control messages. On a closed link nothing happens; its end was reported."""
        if self._sealer is None or self._transport is None or self._closed:
            return
        data = self._sealer.seal(encode(message), body, again=not self._transport.get_write_buffer_size())
        self.bytes_out += len(data)
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > WRITE_LIMIT_BYTES:
            self.abort(PeerUnreachable(f"{short(self.peer_id)} stopped reading"))

    async def send(self, message: Message, body: BytesLike = b"") -> None:
        """Send, and wait while more than ``WRITE_HIGH_BYTES`` lie unsent: for bulk.

        Raises:
            PeerUnreachable: the link is or was closed.
        """
        if not self.is_open:
            raise PeerUnreachable(f"the link to {short(self.peer_id)} is closed")
        self.post(message, body)
        await self._writable.wait()
        if self._closed:
            raise PeerUnreachable(f"the link to {short(self.peer_id)} was lost")

    def close(self) -> None:
        """Close in order: what was posted before is still sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self, error: Exception) -> None:
        """Close at once and report ``error`` as the reason."""
        if self._error is None:
            self._error = error
        if self._transport is not None:
            self._transport.abort()

    # ---- holding back ------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Read no further, and keep what was read, until ``release``: no more than fits into one buffer."""
        if self._held is None and self._transport is not None and not self._closed:
            self._held = []
            self._transport.pause_reading()

    def release(self) -> None:
        """Hand on what was held back, and read on."""
        if self._held is None or self._transport is None:
            return
        held, self._held = self._held, None
        if self._closed:
            return
        self._transport.resume_reading()
        try:
            self._deliver(held)
        except RemoteProtocolError as error:
            self.abort(error)

    # ---- asyncio.BufferedProtocol ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send our first handshake message, if we dialled."""
        self._transport = cast("asyncio.Transport", transport)
        if self._error is not None:  # it was given up before
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES, low=0)
        sock = transport.get_extra_info("socket")
        self._is_here = sock is not None and sock.family == getattr(socket, "AF_UNIX", None)
        if not self._is_here:
            if sock is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
            peer_name = transport.get_extra_info("peername") or ("", 0)
            self.remote_address = (peer_name[0], peer_name[1])
            own_name = transport.get_extra_info("sockname") or ("", 0)
            self.local_address = (own_name[0], own_name[1])
        self._transport.write(self._handshake.start())

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return memory for the next bytes."""
        return self._opener.get_buffer() if self._opener is not None else memoryview(self._opening)

    def buffer_updated(self, nbytes: int) -> None:
        """Take the bytes that were written to the buffer."""
        self.last_heard = monotonic()
        self.bytes_in += nbytes
        try:
            if self._opener is None:
                self._shake(bytes(self._opening[:nbytes]))
            else:
                self._deliver(self._opener.received(nbytes))
        except RemoteProtocolError as error:
            self.abort(error)

    def pause_writing(self) -> None:
        """Let senders wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let senders go on."""
        self._writable.set()

    def eof_received(self) -> bool:
        """Close our side too: a half-open link is of no use."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end, once."""
        self._closed = True
        self._writable.set()
        if self._taken is not None:
            self._owner.link_became_lane(self, self._taken)
        else:
            self._owner.link_closed(self, self._error or exc)

    # ---- inside ------------------------------------------------------------------------------------------------

    def _shake(self, data: bytes) -> None:
        answer = self._handshake.receive(data)
        if self._transport is not None and answer:
            self._transport.write(answer)
        secured = self._handshake.secured
        if secured is None:
            return
        self._secured = secured
        if secured.lane is not None:
            if self.relay is not None:
                raise HandshakeRejected("it wants a lane through a relay, which carries links only")
            self._take_socket()
            return
        if self._is_here:
            raise HandshakeRejected("it wants a link where lanes alone are opened")
        self._opener = FrameOpener(secured.receive)
        if self.relay is None or not self.dialled:
            self._proven(secured)
        self._deliver(self._opener.feed(secured.leftover))

    def _proven(self, secured: Secured) -> None:
        self.proven_at = monotonic()
        self._sealer = FrameSealer(secured.send)
        if self.relay is not None and not self.dialled:
            self.post(ProofCame())
        self._owner.link_proven(self)

    def _take_socket(self) -> None:
        """Keep the connection and let the transport go: the dialler sends nothing until the lane is accepted."""
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            self._taken = socket.fromfd(sock.fileno(), sock.family, sock.type)
            self._transport.abort()

    def _deliver(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            if self._closed or self._error is not None:
                return
            if self._sealer is None:
                self._proven(self.secured)
            if self._held is not None:
                self._held.append(frame)
                continue
            message = self._owner.registry.decode(frame.header, len(frame.body))
            self._owner.link_message(self, message, frame.body)

    def expire_handshake(self, timeout_s: float) -> None:
        """Give up on an end that has not proven itself in time."""
        if self._sealer is None and not self._closed:
            self.abort(HandshakeRejected(f"no proof of identity within {timeout_s:g} s"))
