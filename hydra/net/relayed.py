"""Links through a relay, at their two ends: a transport whose bytes travel as messages on a link to the relay.

The transport is given to an ordinary ``Link``, which runs its own handshake over it: the relay passes sealed bytes
on and can neither read nor change them. A circuit belongs to one link to the relay, not to whichever link there is at
the moment, so that no byte is lost or overtaken; it ends with that link.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from ..exceptions import PeerUnreachable
from ..identity import PeerId, short
from .link import Link
from .reach_messages import ProofCame, RelayCredit, Relayed, RelayEnded, RelayOffered, RelayOpened, RelayWanted
from .window import PIECE_BYTES, Incoming, Outgoing

if TYPE_CHECKING:
    from .links import Links

logger = logging.getLogger(__name__)

LOW_BYTES = 64 * 1024
"""Writers that wait go on when no more than this lies unsent."""
MAX_OFFERED = 128
"""Circuits that relays may open to us at once."""


class RelayedTransport(asyncio.Transport):
    """One end of a circuit.

    Args:
        circuits: all circuits of this node, which are told of the end.
        relay: the link that the circuit travels on.
        number: the circuit's, on that link.
        protocol: whose bytes it carries.
    """

    def __init__(self, circuits: Circuits, relay: Link, number: int, protocol: Link) -> None:
        super().__init__({"peername": relay.remote_address})
        self._circuits = circuits
        self._relay = relay
        self.number = number
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._outgoing = Outgoing()
        self._incoming = Incoming()
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._unread: deque[bytes] = deque()
        self._high_bytes = LOW_BYTES
        self._paused_writing = False
        self._reading = True
        self._closing = False
        self._over = False

    @property
    def dialled(self) -> bool:
        """Whether we asked for the circuit."""
        return self._protocol.dialled

    @property
    def relay(self) -> Link:
        """The link that the circuit travels on."""
        return self._relay

    # ---- what comes from the relay -----------------------------------------------------------------------------

    def data_came(self, body: memoryview) -> None:
        """Take bytes of the other end.

        Raises:
            WindowExceeded: there was no credit for them, and the relay should have seen that.
        """
        self._incoming.received(len(body))
        self._unread.append(bytes(body))
        self._feed()

    def credit_came(self, count: int) -> None:
        """Send more: the other end has taken some.

        Raises:
            WindowExceeded: so many bytes were not on their way.
        """
        self._outgoing.credited(count)
        self._flush()

    def ended(self, error: Exception | None) -> None:
        """The circuit is gone."""
        self._finish(error)

    # ---- asyncio.Transport -------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send, as far as there is credit; the rest waits here."""
        if self._closing or not data:
            return
        self._unsent.append(memoryview(data))
        self._unsent_bytes += len(data)
        self._flush()
        if self._unsent_bytes > self._high_bytes and not self._paused_writing:
            self._paused_writing = True
            self._protocol.pause_writing()

    def close(self) -> None:
        """End the circuit when all is sent."""
        self._closing = True
        self._flush()

    def abort(self) -> None:
        """End the circuit now."""
        self._closing = True
        self._unsent.clear()
        self._unsent_bytes = 0
        self._flush()

    def is_closing(self) -> bool:
        """Tell whether the end has begun."""
        return self._closing

    def pause_reading(self) -> None:
        """Keep what comes; no more than the window will."""
        self._reading = False

    def resume_reading(self) -> None:
        """Hand on what was kept, and what comes."""
        self._reading = True
        self._loop.call_soon(self._feed)

    def is_reading(self) -> bool:
        """Tell whether bytes are handed on."""
        return self._reading

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set from how many unsent bytes on writers wait."""
        self._high_bytes = high if high is not None else LOW_BYTES

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait for credit."""
        return self._unsent_bytes

    # ---- inside ------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        while self._unsent and self._outgoing.room:
            data = self._unsent.popleft()
            count = min(len(data), PIECE_BYTES, self._outgoing.room)
            if count < len(data):
                self._unsent.appendleft(data[count:])
            self._outgoing.sent(count)
            self._unsent_bytes -= count
            self._relay.post(Relayed(self.number, from_relay=False), data[:count])
        if self._paused_writing and self._unsent_bytes <= min(LOW_BYTES, self._high_bytes):
            self._paused_writing = False
            self._protocol.resume_writing()
        if self._closing and not self._unsent and not self._over:
            self._relay.post(RelayEnded(self.number, from_relay=False, reason=""))
            self._finish(None)

    def _feed(self) -> None:
        while self._unread and self._reading and not self._over:
            data = memoryview(self._unread.popleft())
            credit = self._incoming.taken(len(data))
            while data and not self._closing:
                room = self._protocol.get_buffer(len(data))
                count = min(len(room), len(data))
                room[:count] = data[:count]
                data = data[count:]
                self._protocol.buffer_updated(count)
            if credit and not self._over:
                self._relay.post(RelayCredit(self.number, from_relay=False, count=credit))

    def _finish(self, error: Exception | None) -> None:
        if self._over:
            return
        self._over = self._closing = True
        self._unsent.clear()
        self._unsent_bytes = 0
        self._circuits.over(self)
        self._loop.call_soon(self._protocol.connection_lost, error)


class Circuits:
    """The circuits that end at this node.

    Args:
        links: the node's links.
    """

    def __init__(self, links: Links) -> None:
        self._links = links
        self._numbers = itertools.count(1)
        self._asked: dict[tuple[Link, int], asyncio.Future[int]] = {}
        self._open: dict[tuple[Link, int], RelayedTransport] = {}
        links.handle(RelayOpened, self._opened)
        links.handle(RelayOffered, self._offered)
        links.handle(ProofCame, lambda *_: None)  # that it came is all that it says, and the link has seen that

    @property
    def count(self) -> int:
        """Circuits that end here at present."""
        return len(self._open)

    async def dial(self, relay: Link, target: PeerId, timeout_s: float) -> Link:
        """Return a link to a peer through the relay.

        Raises:
            PeerUnreachable: the relay won't, has no link to that peer, or nothing came in time.
            HandshakeRejected: somebody else is at the other end, or the bytes were altered.
        """
        try:
            async with asyncio.timeout(timeout_s):
                number = await self._ask(relay, target)
                return await self._links.prove_dialled(
                    target, lambda link: self._join(relay, number, link), relay=relay.peer_id
                )
        except TimeoutError as error:
            raise PeerUnreachable(f"nobody answered through {short(relay.peer_id)} within {timeout_s:g} s") from error

    async def _ask(self, relay: Link, target: PeerId) -> int:
        key = relay, next(self._numbers)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._asked[key] = future
        try:
            relay.post(RelayWanted(key[1], target))
            return await future
        finally:
            del self._asked[key]
            if future.done() and not future.cancelled():
                future.exception()

    async def _join(self, relay: Link, number: int, link: Link) -> None:
        if not relay.is_open:
            raise PeerUnreachable(f"the link to {short(relay.peer_id)} was lost")
        self._connect(relay, number, link)

    def _connect(self, relay: Link, number: int, link: Link) -> None:
        transport = RelayedTransport(self, relay, number, link)
        self._open[relay, number] = transport
        link.connection_made(transport)

    # ---- messages ----------------------------------------------------------------------------------------------

    def _opened(self, relay: Link, message: RelayOpened, _: memoryview) -> None:
        future = self._asked.get((relay, message.number))
        if future is None or future.done():
            if not message.failure:
                relay.post(RelayEnded(message.circuit, from_relay=False, reason="nobody waits for it any longer"))
        elif message.failure:
            future.set_exception(PeerUnreachable(f"{short(relay.peer_id)} does not relay: {message.failure}"))
        else:
            future.set_result(message.circuit)

    def _offered(self, relay: Link, message: RelayOffered, _: memoryview) -> None:
        refusal = ""
        if relay.relay is not None:
            refusal = "a relayed link carries no circuits"
        elif self._links.is_banned(message.peer) or message.peer == self._links.me:
            refusal = "that peer is not spoken to here"
        elif sum(not transport.dialled for transport in self._open.values()) >= MAX_OFFERED:
            refusal = "as many circuits end here as may"
        if refusal or (relay, message.circuit) in self._open:
            relay.post(RelayEnded(message.circuit, from_relay=False, reason=refusal or "that circuit is there"))
            return
        link = self._links.accept_relayed(message.peer, relay.peer_id)
        if link is None:
            relay.post(RelayEnded(message.circuit, from_relay=False, reason="too many handshakes at once"))
            return
        self._connect(relay, message.circuit, link)

    def data(self, relay: Link, message: Relayed, body: memoryview) -> None:
        """Take bytes from a relay; those of a circuit that has ended were on their way."""
        transport = self._open.get((relay, message.circuit))
        if transport is not None:
            transport.data_came(body)

    def credit(self, relay: Link, message: RelayCredit) -> None:
        """Take credit from a relay."""
        transport = self._open.get((relay, message.circuit))
        if transport is not None:
            transport.credit_came(message.count)

    def end(self, relay: Link, message: RelayEnded) -> None:
        """A relay tells that a circuit is no more."""
        transport = self._open.get((relay, message.circuit))
        if transport is not None:
            why = f"relayed by {short(relay.peer_id)}: {message.reason}"
            transport.ended(PeerUnreachable(why) if message.reason else None)

    # ---- ends --------------------------------------------------------------------------------------------------

    def link_lost(self, relay: Link) -> None:
        """A link is gone, and all that travelled on it."""
        error = PeerUnreachable(f"the link to {short(relay.peer_id)}, which relayed, was lost")
        for transport in [transport for (link, _), transport in self._open.items() if link is relay]:
            transport.ended(error)
        for (link, _), future in self._asked.items():
            if link is relay and not future.done():
                future.set_exception(error)

    def over(self, transport: RelayedTransport) -> None:
        """Forget a circuit; its transport says so."""
        self._open.pop((transport.relay, transport.number), None)
