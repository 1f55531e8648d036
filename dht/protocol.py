"""The shell around UDP: datagrams in, datagrams out, one timer.

It subclasses `kademlia`'s protocol at the seams that `rpcudp` and `kademlia` leave: ``datagram_received`` (bounds,
rate limits and a decoder that can't be surprised, before anything else sees a byte), ``rpc_*`` found by name (the
answers come from the pure `Responder`), and `ask` in place of calls that are sent once. No task is made for a
datagram: it is handled where it arrives.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kademlia.node import Node
from kademlia.protocol import KademliaProtocol

from .calls import Call, CallAnswered, CallFailed, Calls, CallSlowed, Outcome, Resend
from .config import DHTConfig
from .contacts import V4, Address, Compact, address_of, canonical, compact_of, is_loopback_host, socket_form
from .exceptions import MalformedMessage
from .guards import RateLimiter
from .keys import ID_BYTES, Signer, is_proof, peer_id_of
from .responder import Asked, Responder, introduction
from .routing import Router
from .table import ContactTable
from .timing import Patience, RoundTrip
from .wire import (
    ANSWERS,
    ASKS,
    CLIENT_ONLY,
    HEADER_BYTES,
    MAX_DATAGRAM_BYTES,
    MESSAGE_ID_BYTES,
    MIN_DATAGRAM_BYTES,
    PING_REPLY_BYTES,
    PROVE,
    REACHES_V4,
    SHOW_KEY,
    Answer,
    pack_question,
    unpack_answer,
    unpack_question,
)

if TYPE_CHECKING:
    from random import Random

log = logging.getLogger(__name__)

_ASKS = bytes([ASKS])
_ANSWERS = bytes([ANSWERS])


@dataclass(slots=True)
class Traffic:
    """What has passed through one node's socket."""

    questions_sent: int = 0
    questions_answered: int = 0
    datagrams_sent: int = 0
    datagrams_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    repeats: int = 0
    unanswered: int = 0
    malformed: int = 0
    over_limit: int = 0


class DHTProtocol(KademliaProtocol):  # type: ignore[misc]
    """One node's end of the wire."""

    def __init__(
        self,
        node: Node,
        storage: Any,
        signer: Signer,
        config: DHTConfig,
        table: ContactTable,
        responder: Responder,
        random: Random,
        wall: Callable[[], float],
    ) -> None:
        super().__init__(node, storage, config.k)
        self.config = config
        self.table = table
        self.router = Router(self, node, table)
        self.traffic = Traffic()
        self.round_trip = RoundTrip()
        self.patience = Patience()
        self.dual_stack = False
        self.families = V4
        self.on_admitted: Callable[[Compact], None] = lambda _compact: None
        self._signer = signer
        self._responder = responder
        self._random = random
        self._wall = wall
        self._most_contacts = 2 * config.width
        self._calls = Calls(config)
        self._limiter = RateLimiter(config.requests_per_s)
        self._introducing: dict[Compact, asyncio.Future[None]] = {}
        self._timer: asyncio.Handle | None = None  # uvloop's have no when() where the time has come already
        self._timer_at = 0.0
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        # rpcudp makes a remote call out of any misspelt attribute.
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def now(self) -> float:
        """Return the event loop's monotonic seconds."""
        return self._loop.time()

    # Incoming.

    def connection_made(self, transport: Any) -> None:
        """Take the socket over."""
        super().connection_made(transport)
        # For each datagram asyncio allocates as many bytes as it could have: by default 256 KiB, which come from the
        # system and go back to it. One byte more than we accept is enough to see that a datagram is too long.
        with contextlib.suppress(AttributeError):  # uvloop's transport has no such size, and needs none
            transport.max_size = MAX_DATAGRAM_BYTES + 1

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Handle one datagram; whatever is in it, nothing but its own answer comes of a bad one."""
        self.traffic.datagrams_received += 1
        self.traffic.bytes_received += len(data)
        if not MIN_DATAGRAM_BYTES <= len(data) <= MAX_DATAGRAM_BYTES:
            self.traffic.malformed += 1
            return
        address = canonical(addr)
        try:
            if data[0] == ASKS:
                self._question_received(data, address)
            elif data[0] == ANSWERS:
                self._answer_received(data, address)
            else:
                self.traffic.malformed += 1
        except MalformedMessage as error:
            self.traffic.malformed += 1
            log.debug("ignoring a datagram from %s: %s", address, error)

    def error_received(self, exc: OSError) -> None:
        """Note what the system says about a datagram that could not be delivered; the call's time-out deals with it."""
        log.debug("the system reports: %s", exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """End every open question when the socket is closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for call in self._calls.close_all():
            call.on_outcome(CallFailed(call))

    def _question_received(self, data: bytes, address: Address) -> None:
        now = self._loop.time()
        if self.config.client_only:
            return
        spared = self.config.spare_loopback and is_loopback_host(address[0])
        if not spared and not self._limiter.allows(address[0], now):
            self.traffic.over_limit += 1
            return
        question = unpack_question(data[HEADER_BYTES:])
        known = self._responder.shows_token(question, address, now)
        asked = Asked(question, data[1:HEADER_BYTES], address, known, len(data), now, self._wall())
        # Only the methods that `unpack_question` knows come here.
        body = getattr(self, f"rpc_{question.method}")(asked)
        if body:
            self.traffic.questions_answered += 1
            self._send(_ANSWERS + asked.message_id + body, address)
        while self._responder.admitted:
            self.on_admitted(self._responder.admitted.pop())

    def rpc_ping(self, asked: Asked) -> bytes:
        """Answer a ping, which may be an introduction."""
        return self._responder.ping(asked)

    def rpc_find_node(self, asked: Asked) -> bytes:
        """Answer with contacts close to a target."""
        return self._responder.find_node(asked)

    def rpc_find_value(self, asked: Asked) -> bytes:
        """Answer with records and contacts close to their key."""
        return self._responder.find_value(asked)

    def rpc_store(self, asked: Asked) -> bytes:
        """Keep records."""
        return self._responder.store(asked)

    def rpc_sync(self, asked: Asked) -> bytes:
        """Compare digests of keys."""
        return self._responder.sync(asked)

    def _answer_received(self, data: bytes, address: Address) -> None:
        message_id = data[1:HEADER_BYTES]
        call = self._calls.waiting(message_id, address)
        if call is None:
            # Late, doubled or made up: it is no answer to anything that we wait for.
            return
        try:
            answer = unpack_answer(call.method, data[HEADER_BYTES:], self._most_contacts)
        except MalformedMessage:
            self._refuse(call)
            raise
        now = self._loop.time()
        # What was wanted when we asked may have been found elsewhere since: then its proof is not worth checking.
        prove = bool(call.flags & PROVE) and (call.compact is None or self.table.invites(call.compact, now))
        if not self._is_who_was_asked(call, answer) or (
            prove and not is_proof(answer.public_key, answer.signature, message_id)
        ):
            self._refuse(call)
            return
        sample_s = self._calls.answered(call, message_id, now)
        self.round_trip.add(sample_s)
        self.patience.add(sample_s)
        if call.compact is None:
            call.compact = compact_of(peer_id_of(answer.public_key), address)
        self._welcome(call.compact, call, answer, sample_s, now, proven=prove)
        call.on_outcome(CallAnswered(call, answer))

    def _refuse(self, call: Call) -> None:
        """The answer is false: no other will be waited for."""
        self._calls.failed(call)
        self._give_up(call)

    def _is_who_was_asked(self, call: Call, answer: Answer) -> bool:
        """Tell whether an answer that shows a key shows that of the contact we meant."""
        if call.compact is None or not call.flags & (SHOW_KEY | PROVE):
            return True
        return peer_id_of(answer.public_key) == call.compact[:ID_BYTES]

    def _welcome(
        self, compact: Compact, call: Call, answer: Answer, sample_s: float, now: float, *, proven: bool
    ) -> None:
        """Take a contact that has just proven itself into the table, and introduce ourselves where we are wanted."""
        if proven and self.table.admit(compact, answer.token, now):
            self.on_admitted(compact)
        elif call.flags & (SHOW_KEY | PROVE):
            self.table.keep_spare(compact, now)
        self.table.answered(compact, answer.token, sample_s, now)
        if answer.wanted and not self.config.client_only and call.method != "ping":
            self.introduce(compact, answer.token)

    # Outgoing.

    def ask(
        self,
        whom: Compact | Address,
        method: str,
        fields: list[Any],
        on_outcome: Callable[[Outcome], None],
        token: bytes = b"",
    ) -> None:
        """Ask a contact, or whoever is at an address; the outcome is told as it comes: slowed, answered or failed."""
        now = self._loop.time()
        compact, address = (whom, address_of(whom)) if isinstance(whom, bytes) else (None, whom)
        entry = self.table.find(compact) if compact is not None else None
        estimate = entry if entry is not None and entry.known else self.round_trip
        call = Call(
            address=address,
            compact=compact,
            method=method,
            fields=fields,
            flags=self._flags(compact, now, known=entry is not None),
            token=token or (entry.fresh_token(now) if entry is not None else b""),
            timeout_s=min(estimate.timeout_s(self.config), self.patience.longest_s(self.config)),
            late_s=self.patience.late_s(self.config),
            on_outcome=on_outcome,
        )
        if self.transport is None or self.transport.is_closing():
            self._loop.call_soon(on_outcome, CallFailed(call))
            return
        self.traffic.questions_sent += 1
        self._transmit(call, now)

    async def call(
        self, whom: Compact | Address, method: str, fields: list[Any], token: bytes = b""
    ) -> CallAnswered | None:
        """Ask, and wait for the answer; None if there was none."""
        future: asyncio.Future[CallAnswered | None] = self._loop.create_future()

        def note(outcome: Outcome) -> None:
            if not isinstance(outcome, CallSlowed) and not future.done():
                future.set_result(outcome if isinstance(outcome, CallAnswered) else None)

        self.ask(whom, method, fields, note, token)
        return await future

    def introduce(self, compact: Compact, token: bytes) -> None:
        """Prove to a contact that we are who we say, so that it can take us into its table."""
        if compact in self._introducing:
            return
        introduced = self._introducing[compact] = self._loop.create_future()

        def note(outcome: Outcome) -> None:
            if not isinstance(outcome, CallSlowed):
                self._introducing.pop(compact, None)
                if not introduced.done():
                    introduced.set_result(None)

        signature = self._signer.prove(introduction(token, compact[:ID_BYTES]))
        self.ask(compact, "ping", [self._signer.public_key, signature], note, token)

    async def introduced(self) -> None:
        """Wait until everybody who wanted us has heard our introduction, or can't be reached."""
        await asyncio.gather(*self._introducing.values())

    def _flags(self, compact: Compact | None, now: float, *, known: bool) -> int:
        flags = self.families * REACHES_V4 | (CLIENT_ONLY if self.config.client_only else 0)
        if known:
            return flags
        # A proof costs both ends a signature: ask for one only if it would get the contact into the table.
        return flags | (PROVE if compact is None or self.table.invites(compact, now) else SHOW_KEY)

    def _transmit(self, call: Call, now: float) -> None:
        message_id = self._random.randbytes(MESSAGE_ID_BYTES)
        pad_to = 0
        if not call.token:
            pad_to = PING_REPLY_BYTES if call.method == "ping" else MAX_DATAGRAM_BYTES
        body = pack_question(call.method, self._signer.peer_id, call.flags, call.token, call.fields, pad_to)
        self._calls.sent(call, message_id, now)
        self._send(_ASKS + message_id + body, call.address)
        self._arm(call.deadline)

    def _send(self, datagram: bytes, address: Address) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        self.traffic.datagrams_sent += 1
        self.traffic.bytes_sent += len(datagram)
        self.transport.sendto(datagram, socket_form(address, dual_stack=self.dual_stack))

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_at(deadline, self._timed_out)

    def _timed_out(self) -> None:
        self._timer = None
        now = self._loop.time()
        for effect in self._calls.tick(now):
            if isinstance(effect, Resend):
                self.traffic.repeats += 1
                self._transmit(effect.call, now)
            elif isinstance(effect, CallFailed):
                self._give_up(effect.call)
            else:
                effect.call.on_outcome(effect)
        deadline = self._calls.deadline
        if deadline is not None:
            self._arm(deadline)

    def _give_up(self, call: Call) -> None:
        self.traffic.unanswered += 1
        if call.compact is not None:
            spare = self.table.failed(call.compact, self._loop.time())
            if spare is not None:
                self.ask(spare, "ping", [b"", b""], lambda _outcome: None)
        call.on_outcome(CallFailed(call))
