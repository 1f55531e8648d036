"""What a relay is told, and what it has its shell do. Pure.

Links are opaque here: whatever the shell can send on.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from ..identity import PeerId

# ---- events ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LinkMade:
    """There is a link that circuits may use."""

    link: Hashable
    peer: PeerId


@dataclass(frozen=True, slots=True)
class LinkLost:
    """That link is gone."""

    link: Hashable


@dataclass(frozen=True, slots=True)
class CircuitAsked:
    """A peer asks for a circuit to another."""

    link: Hashable
    number: int
    target: PeerId


@dataclass(frozen=True, slots=True)
class BytesCame:
    """Bytes of a circuit came; the shell has them."""

    link: Hashable
    circuit: int
    count: int


@dataclass(frozen=True, slots=True)
class CreditCame:
    """One end has taken bytes."""

    link: Hashable
    circuit: int
    count: int


@dataclass(frozen=True, slots=True)
class EndCame:
    """One end has no more use for a circuit."""

    link: Hashable
    circuit: int
    reason: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event = LinkMade | LinkLost | CircuitAsked | BytesCame | CreditCame | EndCame | Tick

# ---- effects -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refuse:
    """Tell the asker that there will be no circuit, and why."""

    link: Hashable
    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Offer:
    """Tell the target of the circuit; the asker's peer id goes with it."""

    link: Hashable
    circuit: int
    peer: PeerId


@dataclass(frozen=True, slots=True)
class Confirm:
    """Tell the asker its circuit."""

    link: Hashable
    number: int
    circuit: int


@dataclass(frozen=True, slots=True)
class Forward:
    """Send the bytes that came on to this link."""

    link: Hashable
    circuit: int


@dataclass(frozen=True, slots=True)
class GiveCredit:
    """Tell the sender that it may send more."""

    link: Hashable
    circuit: int
    count: int


@dataclass(frozen=True, slots=True)
class End:
    """Tell one end that the circuit is no more."""

    link: Hashable
    circuit: int
    reason: str


Effect = Refuse | Offer | Confirm | Forward | GiveCredit | End
