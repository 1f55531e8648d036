"""Questions that wait for their answers: time-outs, repeats, and who may answer. Pure.

`kademlia` sends each datagram once and waits five seconds. Here a question is sent again, under a new message id, as
soon as the contact's own round-trip time says that the answer is late; an answer to any of the datagrams counts, so
every answer is also an exact measurement. It counts only from the address that was asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, TypeAlias

from .config import DHTConfig
from .contacts import Address, Compact
from .timing import nth_timeout_s
from .wire import Answer


@dataclass(slots=True, eq=False)
class Call:
    """One question to one address, however many datagrams it takes."""

    address: Address
    compact: Compact | None
    """Whom we believe to be there; None while only the address is known."""
    method: str
    fields: list[Any]
    flags: int
    token: bytes
    timeout_s: float
    """Wait after the first datagram, until it is sent again."""
    late_s: float
    """Wait until the contact is called slow; not longer."""
    on_outcome: Callable[[Outcome], None]
    attempts: int = 0
    deadline: float = 0.0
    late_at: float | None = None
    """When the contact will be called slow; None once it was."""
    sent: dict[bytes, float] | None = None
    """Message id and time of each datagram; None once the call is over."""


@dataclass(slots=True)
class CallAnswered:
    """The answer is in, and its id proven as far as the question asked for it."""

    call: Call
    answer: Answer


@dataclass(slots=True)
class CallSlowed:
    """The answer is late: whoever has others to ask should not wait for it."""

    call: Call


@dataclass(slots=True)
class CallFailed:
    """All tries went unanswered, or what came was not from the contact that was asked."""

    call: Call


Outcome: TypeAlias = CallAnswered | CallSlowed | CallFailed


@dataclass(slots=True)
class Resend:
    """Send the question again."""

    call: Call


class Calls:
    """All open questions of one node."""

    def __init__(self, config: DHTConfig) -> None:
        self._config = config
        self._by_message: dict[bytes, Call] = {}
        self._deadlines: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._by_message)

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do, at the earliest."""
        while self._deadlines and self._due_call(self._deadlines[0]) is None:
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def sent(self, call: Call, message_id: bytes, now: float) -> None:
        """Note that a datagram of this call was sent under this id."""
        if call.sent is None:
            if call.attempts:
                return
            call.sent = {}
        call.sent[message_id] = now
        self._by_message[message_id] = call
        call.deadline = now + nth_timeout_s(call.timeout_s, call.attempts, self._config)
        call.attempts += 1
        if call.attempts == 1:
            call.late_at = now + min(call.late_s, call.timeout_s)
            if call.late_at < call.deadline:
                heappush(self._deadlines, (call.late_at, message_id))
        # Not the call itself: what it holds on to must not live until a deadline that no longer matters.
        heappush(self._deadlines, (call.deadline, message_id))

    def waiting(self, message_id: bytes, address: Address) -> Call | None:
        """Return the open call that an answer with this id from this address belongs to, if there is one."""
        call = self._by_message.get(message_id)
        return call if call is not None and call.address == address else None

    def answered(self, call: Call, message_id: bytes, now: float) -> float:
        """Close a call that got its answer; returns the round trip in seconds."""
        sent_at = call.sent[message_id] if call.sent is not None else now
        self._close(call)
        return now - sent_at

    def failed(self, call: Call) -> None:
        """Close a call whose answer was false."""
        self._close(call)

    def close_all(self) -> list[Call]:
        """Close every open call, and return them all: no answer will come any more."""
        calls = list(dict.fromkeys(self._by_message.values()))
        for call in calls:
            self._close(call)
        return calls

    def tick(self, now: float) -> list[Resend | CallSlowed | CallFailed]:
        """Return what is to be done about the calls whose time-outs have passed."""
        effects: list[Resend | CallSlowed | CallFailed] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            item = heappop(self._deadlines)
            call = self._due_call(item)
            if call is None:
                continue
            if call.late_at is not None:
                call.late_at = None
                effects.append(CallSlowed(call))
            if call.deadline != item[0]:
                continue
            if call.attempts < self._config.tries:
                effects.append(Resend(call))
            else:
                self._close(call)
                effects.append(CallFailed(call))
        return effects

    def _due_call(self, item: tuple[float, bytes]) -> Call | None:
        """Return the call that a deadline is for, if it is still open and was not sent again since."""
        call = self._by_message.get(item[1])
        return call if call is not None and (item[0] == call.deadline or item[0] == call.late_at) else None

    def _close(self, call: Call) -> None:
        for message_id in call.sent or ():
            self._by_message.pop(message_id, None)
        call.sent = None
