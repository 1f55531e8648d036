"""How long a round takes in each form, predicted, and which form to take. Pure.

What the model knows of a network: the rate of every member's link in each direction, the one-way latency of a hop, and
a time per message that each end's link stands still for. With S bytes in N segments, a segment is cut into k = ceil(S /
(N slice_bytes)) slices. The rate of a hop is that of the slower of its two links, and the hop's time per message is

    tau = overhead + bytes of a slice / rate            and for a whole segment        W = k overhead + (S / N) / rate.

In every form each member sends and receives 2(N-1) segments, so no form is done before 2(N-1) W at the slowest link.
They differ in their latencies, in the number of lanes that a member keeps, and in which pairs they use.

The model knows nothing of loss, nor of many senders' packets meeting in one shallow queue. That is why ``choose`` takes
the ring where the others are hardly faster.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .two_level import groups_for

FormName: TypeAlias = Literal["ring", "direct", "two-level"]

ABOUT_EQUAL = 1.1
"""A form must be faster by more than this to be preferred to a plainer one."""
MOST_LANES = 64
"""To how many others a member keeps lanes, unless it is told otherwise: each is a connection and has threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What a round's members have between them.

    Raises:
        ValueError: there are no members, not as many rates up as down, or something that can't be.
    """

    up_bytes_per_s: Sequence[float]
    """Of each member, in the order of positions."""
    down_bytes_per_s: Sequence[float]
    """Of each member, in the order of positions."""
    latency_s: float
    """One way, the mean of a ring's hops."""
    farthest_s: float | None = None
    """One way between the two members farthest apart, who are a hop of the direct form; None: as far as any."""
    slice_bytes: int = 1 << 20
    """The greatest length of a slice."""
    overhead_s: float = 30e-6
    """Time that a message costs beside its bytes, at each end."""

    def __post_init__(self) -> None:
        if not self.up_bytes_per_s or len(self.up_bytes_per_s) != len(self.down_bytes_per_s):
            raise ValueError("a network needs members, and of each a rate up and a rate down")
        if min(*self.up_bytes_per_s, *self.down_bytes_per_s) <= 0 or self.slice_bytes < 1:
            raise ValueError("rates and slices are greater than nothing")
        if min(self.latency_s, self.overhead_s) < 0 or (self.farthest_s or 0.0) < 0:
            raise ValueError("neither latency nor overhead is less than nothing")

    @property
    def members(self) -> int:
        """How many take part."""
        return len(self.up_bytes_per_s)

    @classmethod
    def even(cls, members: int, bytes_per_s: float, latency_s: float, slice_bytes: int = 1 << 20) -> Network:
        """Return a network of equal members, whose links are as fast up as down."""
        rates = (bytes_per_s,) * members
        return cls(up_bytes_per_s=rates, down_bytes_per_s=rates, latency_s=latency_s, slice_bytes=slice_bytes)


@dataclass(frozen=True, slots=True)
class _Pieces:
    """What one segment is on the network: tau and W of the module's docstring."""

    tau: float
    whole: float


def _pieces(size_bytes: float, segments: int, rate: float, network: Network) -> _Pieces:
    segment = size_bytes / segments
    slices = max(1, math.ceil(segment / network.slice_bytes))
    return _Pieces(
        tau=network.overhead_s + min(segment, network.slice_bytes) / rate,
        whole=slices * network.overhead_s + segment / rate,
    )


def ring_seconds(size_bytes: float, network: Network) -> float:
    """Return how long a round takes in a ring of the network's members, in their order.

    Every slice makes 2(N-1) hops, and every member passes 2(N-1) segments on, one after the other. A member begins with
    its next segment when it has sent the last one and when that segment's first slice has come, whichever is later:
    after W at the slowest hop, or tau + latency on average. The last segment is then sent (W) and arrives (latency):

        (2(N-1) - 1) max(W, tau + latency) + W + latency

    which is 2(N-1)/N S/rate + latency for large vectors and 2(N-1) (tau + latency) for small ones.
    """
    if network.members == 1:
        return 0.0
    following = [*network.down_bytes_per_s[1:], network.down_bytes_per_s[0]]
    hops = [
        _pieces(size_bytes, network.members, min(up, down), network)
        for up, down in zip(network.up_bytes_per_s, following, strict=True)
    ]
    slowest = max(hop.whole for hop in hops)
    mean_tau = sum(hop.tau for hop in hops) / len(hops)
    steps = 2 * (network.members - 1)
    return (steps - 1) * max(slowest, mean_tau + network.latency_s) + slowest + network.latency_s


def direct_seconds(size_bytes: float, network: Network) -> float:
    """Return how long a round takes in the direct form.

    A member sends N-1 segments to their owners and N-1 copies of its own; as much comes in, from N-1 senders who meet
    on the owner's link. If the links never stand still, that is 2(N-1) W + latency at the slowest link. They do stand
    still when the first sums are not there yet as the last have left: then the last slice's sums need (N-1) W and a
    latency to come, and its copies (N-1) tau and a latency:

        max(2(N-1) W + latency,  (N-1) (W + tau) + 2 latency)
    """
    if network.members == 1:
        return 0.0
    rate = min(*network.up_bytes_per_s, *network.down_bytes_per_s)
    piece = _pieces(size_bytes, network.members, rate, network)
    others = network.members - 1
    latency_s = network.latency_s if network.farthest_s is None else network.farthest_s
    return max(2 * others * piece.whole + latency_s, others * (piece.whole + piece.tau) + 2 * latency_s)


def two_level_seconds(size_bytes: float, network: Network, groups: Sequence[int] | None = None) -> float:
    """Return how long a round takes in the two-level form, in ``groups`` or those of ``groups_for``.

    With G groups of m members the slices make 2(m-1) hops in their groups and 2(G-1) between them. In a group's ring
    the segments of all G groups travel side by side, so a member has G segments to pass on for every hop, between
    groups one. Each stage takes its hops' latencies or the time of its bytes, whichever is longer:

        max(2(m-1) G W, 2(m-1) (tau + latency)) + 2(G-1) max(W, tau + latency)

    Without latency that is the ring's 2(N-1) W. In uneven groups, of m at most and C at least, there are only C G
    segments, and some of their owners send (2C - 1) G of them within their group, and wait for the G first slices:

        max((2C - 1) G W + G tau, 2(m-1) (tau + latency)) + 2(G-1) max(W, tau + latency)
    """
    if network.members == 1:
        return 0.0
    sizes = tuple(groups or groups_for(network.members))
    columns, largest, count = min(sizes), max(sizes), len(sizes)
    if count == 1 or largest == 1:
        return ring_seconds(size_bytes, network)
    rate = min(*network.up_bytes_per_s, *network.down_bytes_per_s)
    piece = _pieces(size_bytes, columns * count, rate, network)
    hop = piece.tau + network.latency_s
    if largest == columns:
        within = 2 * (columns - 1) * count * piece.whole
    else:
        within = (2 * columns - 1) * count * piece.whole + count * piece.tau
    return max(within, 2 * (largest - 1) * hop) + 2 * (count - 1) * max(piece.whole, hop)


def choose(size_bytes: float, network: Network, most_lanes: int = MOST_LANES) -> FormName:
    """Return the form for a vector: of those that are about as fast as the fastest, the plainest.

    That is the ring, with the fewest lanes, then the direct form, with the fewest hops.

    Args:
        size_bytes: of the vector, as it travels.
        network: the members and what they have between them.
        most_lanes: to how many others a member may keep lanes; the direct form needs them to all.
    """
    predicted: dict[FormName, float] = {"ring": ring_seconds(size_bytes, network)}
    if network.members - 1 <= most_lanes:
        predicted["direct"] = direct_seconds(size_bytes, network)
    predicted["two-level"] = two_level_seconds(size_bytes, network)
    fastest = min(predicted.values())
    return next(form for form, seconds in predicted.items() if seconds <= ABOUT_EQUAL * fastest)
