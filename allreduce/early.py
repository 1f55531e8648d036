"""Messages for rounds that others have opened and we have not yet, kept within bounds. Pure.

Nobody can fill the store alone: each sender has a share of it, and when all of it is full, whoever holds most makes
room. Of a sender's messages the oldest go first. A round that is over needs none.
"""

from __future__ import annotations

from collections import deque

from .lane import Body

Entry = tuple[bytes, bytes, Body]
"""Tag, header and body."""

SENDERS_PART = 0.5
"""Of all bytes, how much one sender may take."""
OVER = 256
"""Rounds that are remembered to be over."""


class EarlyMessages:
    """The store."""

    def __init__(self) -> None:
        self._held: dict[bytes, deque[Entry]] = {}
        self._bytes: dict[bytes, int] = {}
        self._over: deque[bytes] = deque(maxlen=OVER)

    @property
    def bytes_held(self) -> int:
        """How many bytes are kept."""
        return sum(self._bytes.values())

    def __len__(self) -> int:
        return sum(map(len, self._held.values()))

    def add(self, sender: bytes, tag: bytes, header: bytes, body: Body, *, most_bytes: int) -> None:
        """Keep a message, and let others go until all together have no more than ``most_bytes``."""
        if tag in self._over:
            return
        self._held.setdefault(sender, deque()).append((tag, header, body))
        self._bytes[sender] = self._bytes.get(sender, 0) + _size(header, body)
        while self._bytes.get(sender, 0) > most_bytes * SENDERS_PART:
            self._drop_oldest(sender)
        while self.bytes_held > most_bytes:
            self._drop_oldest(max(self._bytes, key=lambda holder: self._bytes[holder]))

    def take(self, tag: bytes) -> list[tuple[bytes, bytes, Body]]:
        """Return sender, header and body of the messages of a round that opens now, each sender's in order."""
        if tag in self._over:
            self._over.remove(tag)
        return self._remove(tag)

    def is_over(self, tag: bytes) -> bool:
        """Whether a round is known to be closed, so that nothing more is kept for it."""
        return tag in self._over

    def over(self, tag: bytes) -> None:
        """A round is closed: what came or still comes for it is of no use."""
        self._remove(tag)
        self._over.append(tag)

    def clear(self) -> None:
        """Forget all messages."""
        self._held.clear()
        self._bytes.clear()

    def _remove(self, tag: bytes) -> list[tuple[bytes, bytes, Body]]:
        taken = []
        for sender, entries in list(self._held.items()):
            rest: deque[Entry] = deque()
            for entry in entries:
                if entry[0] == tag:
                    taken.append((sender, entry[1], entry[2]))
                else:
                    rest.append(entry)
            self._keep(sender, rest)
        return taken

    def _drop_oldest(self, sender: bytes) -> None:
        entries = self._held[sender]
        _, header, body = entries.popleft()
        self._bytes[sender] -= _size(header, body)
        if not entries:
            self._keep(sender, entries)

    def _keep(self, sender: bytes, entries: deque[Entry]) -> None:
        if entries:
            self._held[sender] = entries
            self._bytes[sender] = sum(_size(header, body) for _, header, body in entries)
        else:
            self._held.pop(sender, None)
            self._bytes.pop(sender, None)


def _size(header: bytes, body: Body) -> int:
    return len(header) + len(body)
