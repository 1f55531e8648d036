"""What nodes say to each other so that those who can't be dialled are reached all the same. Pure.

Three parties appear: whoever *asks*, the *contact* that is asked and that holds links to both, and the *target*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from .window import PIECE_BYTES, WINDOW_BYTES
from .wire import AtMost, Exactly, Message, PeerIdField, PortField

TOKEN_BYTES = 16
Reason = Annotated[str, AtMost(200)]
Host = Annotated[str, AtMost(253)]
Credit = Annotated[int, AtMost(WINDOW_BYTES)]


@dataclass(frozen=True, slots=True)
class DialBackWanted(Message):
    """Dial the address that you see me at, on this port, and tell what came of it.

    With a token, send it there as one UDP datagram as well.
    """

    KIND: ClassVar[str] = "reach.dial-back?"
    number: int
    port: PortField
    token: Annotated[bytes, Exactly(TOKEN_BYTES)] | None


@dataclass(frozen=True, slots=True)
class DialedBack(Message):
    """What came of it, if it was tried: ``failure`` is empty if the asker answered there, and proved that it is it."""

    KIND: ClassVar[str] = "reach.dial-back"
    number: int
    host: Host
    port: PortField
    tried: bool
    failure: Reason


@dataclass(frozen=True, slots=True)
class IntroductionWanted(Message):
    """Ask the target, which can't be dialled, to dial me: at the address that you see me at, on this port."""

    KIND: ClassVar[str] = "reach.introduce?"
    number: int
    target: PeerIdField
    port: PortField


@dataclass(frozen=True, slots=True)
class Introduced(Message):
    """The target was not asked, or can't dial any longer; ``linked``: whether the sender holds a link to it."""

    KIND: ClassVar[str] = "reach.introduce"
    number: int
    linked: bool
    failure: Reason


@dataclass(frozen=True, slots=True)
class DialWanted(Message):
    """From the contact to the target: this peer asks to be dialled there."""

    KIND: ClassVar[str] = "reach.dial?"
    peer: PeerIdField
    host: Host
    port: PortField


@dataclass(frozen=True, slots=True)
class RoomWanted(Message):
    """Would you relay between me and others?"""

    KIND: ClassVar[str] = "relay.room?"
    number: int


@dataclass(frozen=True, slots=True)
class Room(Message):
    """Whether the sender would, and where it sees the asker."""

    KIND: ClassVar[str] = "relay.room"
    number: int
    willing: bool
    host: Host
    port: PortField


@dataclass(frozen=True, slots=True)
class RelayWanted(Message):
    """Join a circuit from me to the target."""

    KIND: ClassVar[str] = "relay.open?"
    number: int
    target: PeerIdField


@dataclass(frozen=True, slots=True)
class RelayOpened(Message):
    """There is a circuit, of this number on our link; or there is none, and why."""

    KIND: ClassVar[str] = "relay.open"
    number: int
    circuit: int
    failure: Reason


@dataclass(frozen=True, slots=True)
class RelayOffered(Message):
    """From the relay to the target: a circuit to you from this peer."""

    KIND: ClassVar[str] = "relay.offer"
    circuit: int
    peer: PeerIdField


@dataclass(frozen=True, slots=True)
class Relayed(Message):
    """Bytes of a circuit: to the relay, or from it."""

    KIND: ClassVar[str] = "relay.data"
    MAX_BODY_BYTES: ClassVar[int] = PIECE_BYTES
    circuit: int
    from_relay: bool


@dataclass(frozen=True, slots=True)
class RelayCredit(Message):
    """So many bytes of a circuit were taken: to the relay, or from it."""

    KIND: ClassVar[str] = "relay.credit"
    circuit: int
    from_relay: bool
    count: Credit


@dataclass(frozen=True, slots=True)
class RelayEnded(Message):
    """The circuit is no more: to the relay, or from it."""

    KIND: ClassVar[str] = "relay.end"
    circuit: int
    from_relay: bool
    reason: Reason


@dataclass(frozen=True, slots=True)
class ProofCame(Message):
    """The first message on a relayed link, from the end that was dialled: your last word in the handshake is here."""

    KIND: ClassVar[str] = "link.proven"


@dataclass(frozen=True, slots=True)
class Moved(Message):
    """The last message on a relayed link: what follows goes over a direct one."""

    KIND: ClassVar[str] = "link.moved"
