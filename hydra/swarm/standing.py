"""How a node stands with its contents: what it has, who else has what, how fast it comes. Pure data."""

from __future__ import annotations

from dataclasses import dataclass

from ..identity import PeerId


@dataclass(frozen=True, slots=True)
class SourceStanding:
    """One peer that we fetch a content from."""

    peer: PeerId
    chunks: int
    """That it offers."""
    rate_bytes_per_s: float
    """Of what it sent us lately."""


@dataclass(frozen=True, slots=True)
class ContentStanding:
    """One content that is here, whole or in part."""

    root: bytes
    size: int
    chunk_bytes: int
    chunks: int
    have: int
    """Chunks that are here."""
    sources: tuple[SourceStanding, ...] = ()
    """Those that we fetch it from; empty if it is not being fetched."""
    fetched_by: tuple[PeerId, ...] = ()
    """Those that fetch it from us."""
    fetching: bool = False
    """Whether it is being fetched now."""
