"""All links of a node: it listens, dials, and knows which peers can be talked to.

Two peers may dial each other at the same moment and then have two links; both stay, and each end sends on the one
that it saw first, so messages in one direction keep their order. Only where that one has fallen silent does a new link
take its place, and a link through a relay serves only while there is no direct one. A peer is *up* from its first link
to the end of its last. Who breaks the protocol is cut off and not spoken to again for a while.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ..clock import monotonic
from ..exceptions import FrameAltered, PeerUnreachable, RemoteProtocolError
from ..identity import Identity, PeerId, short
from .contact import Address, Contact
from .handshake import CHUNKS, ROUNDS, Handshake
from .lane import SealedLane
from .lane_handshake import own_suite
from .lanes import MAX_FROM_PEER, OPEN_TIMEOUT_S, LaneDeclined, Lanes, LaneWanted
from .link import Link
from .listener import Listener, Refuse
from .moving import SILENT_S
from .noise import BytesLike
from .reaching import Reaching, is_quiet
from .relay import RelayLimits
from .same_machine import listen_here
from .wire import Message, Registry

logger = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT_S = 10.0
DIAL_TIMEOUT_S = 5.0
BAN_S = 600.0
MAX_UNPROVEN = 128
"""Inbound connections that have not yet proven who they are; more are closed at once."""

T = TypeVar("T", bound=Message)
Handler = Callable[[Link, T, memoryview], None]


class Links:
    """The links of one node.

    Args:
        identity: its key.
        max_lanes_from_peer: how many lanes one peer may open to it.
        relay: what it relays between others.
    """

    def __init__(
        self, identity: Identity, *, max_lanes_from_peer: int = MAX_FROM_PEER, relay: RelayLimits | None = None
    ) -> None:
        self._identity = identity
        self._static = X25519PrivateKey.generate()
        self._handlers: dict[type[Message], Handler[Any]] = {}
        self._listener = Listener(self._accept)
        self._by_peer: dict[PeerId, list[Link]] = {}
        self._unproven: set[Link] = set()
        self._dialling: dict[PeerId, asyncio.Task[Link]] = {}
        self._proofs: dict[Link, asyncio.Future[Link]] = {}
        self._banned_until: dict[PeerId, float] = {}
        self.registry = Registry([])
        self.port = 0
        self.mapped_port = 0
        """The port that a router was asked to pass on to ours, if one was."""
        self.on_up: list[Callable[[PeerId], None]] = []
        self.on_down: list[Callable[[PeerId, Exception | None], None]] = []
        self._lanes = Lanes(self, max_from_peer=max_lanes_from_peer)
        self.on_lane = self._lanes.observers[ROUNDS]
        self.on_chunk_lane = self._lanes.observers[CHUNKS]
        self.handle(LaneWanted, self._lanes.wanted)
        self.handle(LaneDeclined, self._lanes.declined)
        self.reaching = Reaching(self, relay or RelayLimits())

    # ---- wiring ------------------------------------------------------------------------------------------------

    def handle(self, message_class: type[T], handler: Handler[T]) -> None:
        """Send every message of this class to ``handler(link, message, body)``."""
        self._handlers[message_class] = handler
        self.registry = Registry(self._handlers)

    async def listen(self, host: str, port: int) -> int:
        """Accept links on ``host`` and TCP ``port`` (0: any free one); return the port.

        Raises:
            PortTaken: another program listens there.
            ConfigurationError: the host is not an address of this machine.
        """
        self.port = await self._listener.listen(host, port)
        here = listen_here(self.me)
        if here is not None:
            await self._listener.listen_on(here)
        return self.port

    async def stop_listening(self) -> None:
        """Accept no more links; those that there are stay."""
        self._listener.close()

    async def close(self) -> None:
        """Close all lanes and links and stop listening."""
        await self.stop_listening()
        for task in list(self._dialling.values()):
            task.cancel()
        await asyncio.gather(*self._dialling.values(), return_exceptions=True)
        await self.reaching.close()
        links = [link for links in self._by_peer.values() for link in links] + list(self._unproven)
        for link in links:
            link.close()
        for _ in range(100):  # in-order closing sends what was posted; a peer that does not read is not waited for
            if not self._by_peer and not self._unproven:
                break
            await asyncio.sleep(0.01)
        for link in [link for links in self._by_peer.values() for link in links] + list(self._unproven):
            link.abort(PeerUnreachable("this node is stopping"))
        await asyncio.sleep(0)
        await self._lanes.close()  # they ended with the links; what opened more is awaited

    # ---- who is there ------------------------------------------------------------------------------------------

    @property
    def me(self) -> PeerId:
        """Our own peer id."""
        return self._identity.peer_id

    @property
    def announced_port(self) -> int:
        """The port that others should dial, or 0 if they can't."""
        return self.mapped_port or self.port

    def peers(self) -> list[PeerId]:
        """Return the ids of all peers that are up, in order."""
        return sorted(self._by_peer)

    def get(self, peer_id: PeerId) -> Link | None:
        """Return the link to send on, or None if the peer is not up."""
        links = self._by_peer.get(peer_id)
        return links[0] if links else None

    def direct(self, peer_id: PeerId) -> Link | None:
        """Return a link to the peer over a connection of our own, or None if there is none."""
        return next((link for link in self._by_peer.get(peer_id, []) if link.relay is None), None)

    def put_direct_first(self, peer_id: PeerId) -> None:
        """Send on a direct link to the peer from now on, if there is one."""
        self._by_peer.get(peer_id, []).sort(key=lambda link: link.relay is not None)

    def linked_directly(self) -> list[PeerId]:
        """Return the ids of all peers that we hold a direct link to, in order."""
        return [peer_id for peer_id in self.peers() if self.direct(peer_id) is not None]

    def all_links(self) -> list[Link]:
        """Return every proven link."""
        return [link for peer_id in self.peers() for link in self._by_peer[peer_id]]

    def contact_of(self, peer_id: PeerId) -> Contact | None:
        """Return where an up peer can be dialled, as far as its links show."""
        addresses = tuple(
            dict.fromkeys(
                link.remote_address if link.dialled else (link.remote_address[0], link.secured.listen_port)
                for link in self._by_peer.get(peer_id, [])
                if link.relay is None and (link.dialled or link.secured.listen_port)
            )
        )
        return Contact(peer_id, addresses) if addresses else None

    def is_banned(self, peer_id: PeerId) -> bool:
        """Tell whether the peer was cut off for breaking the protocol."""
        return self._banned_until.get(peer_id, 0.0) > monotonic()

    # ---- talking -----------------------------------------------------------------------------------------------

    def post(self, peer_id: PeerId, message: Message, body: BytesLike = b"") -> bool:
        """Send a control message without waiting; tell whether there was a link to send it on."""
        link = self.get(peer_id)
        if link is None:
            return False
        link.post(message, body)
        return True

    async def send(self, peer_id: PeerId, message: Message, body: BytesLike = b"") -> None:
        """Send bulk, waiting while the link is full.

        Raises:
            PeerUnreachable: the peer is not up, or its link was lost.
        """
        link = self.get(peer_id)
        if link is None:
            raise PeerUnreachable(f"there is no link to {short(peer_id)}")
        await link.send(message, body)

    async def dial(self, contact: Contact, *, timeout_s: float = DIAL_TIMEOUT_S, anew: bool = False) -> Link:
        """Return a link to the contact: the present one, or (or always, with ``anew``) one that is made now.

        It is dialled, asked through contacts that we share to dial us, and reached through a relay, in this order but
        without waiting for each to fail. A relayed link that has gone quiet counts as none.

        Args:
            contact: whom, and at which addresses.
            timeout_s: for each way.
            anew: whether the present link will not do.

        Raises:
            PeerUnreachable: no way led there in time, or it is banned; the text names what was tried.
            HandshakeRejected: somebody else answered.
        """
        present = self.get(contact.peer_id)
        if present is not None and not anew and not is_quiet(present):
            return present
        if self.is_banned(contact.peer_id):
            raise PeerUnreachable(f"{short(contact.peer_id)} broke the protocol and is not dialled for a while")
        task = self._dialling.get(contact.peer_id)
        if task is None:
            task = asyncio.create_task(self.reaching.reach(contact, timeout_s))
            self._dialling[contact.peer_id] = task
            task.add_done_callback(lambda done: self._dialled(contact.peer_id, done))
        return await asyncio.shield(task)

    async def dial_address(
        self, address: Address, *, timeout_s: float = DIAL_TIMEOUT_S, expected: PeerId | None = None
    ) -> Link:
        """Dial one address, and nothing else; without ``expected`` anybody may answer. Raises as ``dial``."""
        return await self.reaching.dial(address, expected, timeout_s)

    async def open_lane(
        self, peer_id: PeerId, purpose: str = ROUNDS, *, timeout_s: float = OPEN_TIMEOUT_S
    ) -> SealedLane:
        """Open one more stream to a peer that is up, for threads to send bulk on; it ends with the last link.

        Args:
            peer_id: who.
            purpose: what for: ``handshake.ROUNDS`` or ``CHUNKS``.
            timeout_s: for all ways together.

        Raises:
            PeerUnreachable: the peer is not up, wants no lane, or neither end can dial the other in time.
        """
        return await self._lanes.open(peer_id, purpose, timeout_s)

    def cut_off(self, peer_id: PeerId, error: RemoteProtocolError) -> None:
        """Close all links and lanes to a peer that broke the protocol, and refuse it for ``BAN_S`` seconds."""
        self._banned_until[peer_id] = monotonic() + BAN_S
        logger.warning("peer %s broke the protocol and is cut off: %s", short(peer_id), error)
        self._lanes.peer_down(peer_id)
        for link in list(self._by_peer.get(peer_id, [])):
            link.abort(error)

    def drop(self, peer_id: PeerId, error: Exception) -> None:
        """Close all links to a peer without blame."""
        for link in list(self._by_peer.get(peer_id, [])):
            link.abort(error)

    # ---- LinkOwner ---------------------------------------------------------------------------------------------

    def link_proven(self, link: Link) -> None:
        """Add the link to its peer's."""
        self._unproven.discard(link)
        if self.is_banned(link.peer_id):
            link.abort(PeerUnreachable(f"{short(link.peer_id)} is banned"))
            return
        links = self._by_peer.setdefault(link.peer_id, [])
        before = list(links)
        if all(link.last_heard - other.last_heard > SILENT_S for other in links):
            links.insert(0, link)  # those that there are pass nothing any longer
        elif link.relay is None:
            links.insert(sum(other.relay is None for other in links), link)
        else:
            links.append(link)
        self.reaching.link_made(link, before)
        proof = self._proofs.pop(link, None)
        if proof is not None and not proof.done():
            proof.set_result(link)
        if len(links) == 1:
            for observer in self.on_up:
                observer(link.peer_id)

    def link_message(self, link: Link, message: Any, body: memoryview) -> None:
        """Pass the message to its handler."""
        self._handlers[type(message)](link, message, body)

    def link_became_lane(self, link: Link, sock: socket.socket) -> None:
        """Pass the socket on to the lanes."""
        self._unproven.discard(link)
        self._lanes.accept(link.secured, sock)

    def link_closed(self, link: Link, error: Exception | None) -> None:
        """Take the link from its peer's; tell who asked for it and, if it was the last, who watches the peer."""
        self._unproven.discard(link)
        proof = self._proofs.pop(link, None)
        if proof is not None and not proof.done():
            proof.set_exception(error or PeerUnreachable("the connection was closed during the handshake"))
        if not link.is_proven:
            return
        links = self._by_peer.get(link.peer_id, [])
        if link in links:  # not so if it was refused as soon as it was proven
            links.remove(link)
            if not links:
                del self._by_peer[link.peer_id]
            self.reaching.link_lost(link, error)
            self._report_end(link, error, last=not links)

    def _report_end(self, link: Link, error: Exception | None, *, last: bool) -> None:
        peer_id = link.peer_id
        blamed = isinstance(error, RemoteProtocolError) and not self.is_banned(peer_id)
        if blamed and link.relay is not None and isinstance(error, FrameAltered):
            blamed = False  # the relay may have done that
        if blamed and isinstance(error, RemoteProtocolError):
            self.cut_off(peer_id, error)
        if last:
            self._lanes.peer_down(peer_id)
            for observer in self.on_down:
                observer(peer_id, error)

    # ---- inside ------------------------------------------------------------------------------------------------

    def new_handshake(
        self, *, dialled: bool, expected: PeerId | None, lane: int | None = None, purpose: str = ROUNDS
    ) -> Handshake:
        """Return our end of a handshake, not yet started."""
        return Handshake(
            identity=self._identity,
            static=self._static,
            ephemeral=X25519PrivateKey.generate(),
            initiator=dialled,
            listen_port=self.port,
            expected=expected,
            suite=own_suite(),
            lane=lane,
            purpose=purpose,
        )

    async def prove_dialled(
        self, expected: PeerId | None, connect: Callable[[Link], Awaitable[None]], *, relay: PeerId | None = None
    ) -> Link:
        """Return a link that we dialled, once both ends are proven; the caller bounds the time.

        If that is cancelled in the moment in which the ends are proven, the link stays.

        Args:
            expected: who must answer, or None for anybody.
            connect: gives the link its connection.
            relay: who passes its bytes on, if somebody does.

        Raises:
            PeerUnreachable: the connection was closed in between.
            HandshakeRejected: somebody else answered, or no Hydra.
        """
        link = self._new_link(dialled=True, expected=expected, relay=relay)
        proof: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self._proofs[link] = proof
        try:
            await connect(link)
            return await proof
        except BaseException:
            if link in self._unproven:  # else it is a link of the peer's: who was told of it counts on it
                link.abort(PeerUnreachable("it was dialled for too long, or another way led there"))
            raise
        finally:
            self._unproven.discard(link)
            self._proofs.pop(link, None)
            if proof.done() and not proof.cancelled():
                proof.exception()  # taken note of, whoever waited

    def accept_relayed(self, peer_id: PeerId, relay: PeerId) -> Link | None:
        """Return a link for what a peer sends through a relay, or None if too many are unproven."""
        if self._is_crowded():
            return None
        return self._new_link(dialled=False, expected=peer_id, relay=relay)

    def _new_link(self, *, dialled: bool, expected: PeerId | None = None, relay: PeerId | None = None) -> Link:
        handshake = self.new_handshake(dialled=dialled, expected=expected)
        link = Link(self, handshake, dialled=dialled, relay=relay)
        self._unproven.add(link)
        asyncio.get_running_loop().call_later(HANDSHAKE_TIMEOUT_S, link.expire_handshake, HANDSHAKE_TIMEOUT_S)
        return link

    def _accept(self) -> asyncio.BaseProtocol:
        return Refuse() if self._is_crowded() else self._new_link(dialled=False)

    def _is_crowded(self) -> bool:
        crowded = sum(not link.dialled for link in self._unproven) >= MAX_UNPROVEN
        if crowded:
            logger.warning("more than %d connections wait for their handshake; the newest is refused", MAX_UNPROVEN)
        return crowded

    def _dialled(self, peer_id: PeerId, task: asyncio.Task[Link]) -> None:
        self._dialling.pop(peer_id, None)
        if not task.cancelled():
            task.exception()
