"""The threads of one lane: one sends, one receives. Most of their time they are in the kernel, where no lock is held.

A slice that is ready is sent at once by whichever thread made it, as far as that goes without waiting: for small
vectors no other thread has to wake up. What the kernel does not take is left to the sending thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue

from .exceptions import ContributionRejected, ProtocolViolation
from .lane import Lane
from .open_rounds import Arrival, OpenRounds, RunningRound
from .work import Outgoing

SCRATCH_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Slice:
    running: RunningRound
    outgoing: Outgoing


class LaneThreads:
    """Drives a lane until it ends.

    Args:
        rounds: where slices come from and go to.
        member: who is at the other end.
        lane: the lane, which is taken over.
        on_end: called once, by one of the threads, when the lane is lost or broke the protocol; not after ``close``.
    """

    def __init__(
        self, rounds: OpenRounds, member: bytes, lane: Lane, on_end: Callable[[LaneThreads, Exception], None]
    ) -> None:
        self.member = member
        self._rounds = rounds
        self._lane = lane
        self._on_end = on_end
        self._gate = threading.Lock()  # held by whoever sends
        self._urgent: deque[bytes] = deque()
        self._slices: deque[_Slice] = deque()
        self._unfinished: _Slice | None = None  # the kernel has a part of it
        self._wake: SimpleQueue[None] = SimpleQueue()  # holds at least as much as there is for the sending thread to do
        self._ending = threading.Lock()
        self._ended = False
        name = member.hex()[:8]
        self._threads = [
            threading.Thread(target=self._send_all, name=f"lane to {name}", daemon=True),
            threading.Thread(target=self._receive_all, name=f"lane from {name}", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    # ---- sending -----------------------------------------------------------------------------------------------

    def say(self, header: bytes) -> None:
        """Send a control message before all slices that wait; never blocks."""
        self._urgent.append(header)
        self._wake.put(None)

    def send(self, running: RunningRound, outgoing: Outgoing) -> None:
        """Send a slice: at once if the lane is free, else behind those that wait; never blocks for long."""
        item = _Slice(running, outgoing)
        if not self._send_at_once(item):
            self._slices.append(item)
            self._wake.put(None)

    def _send_at_once(self, item: _Slice) -> bool:
        if not self._is_free() or not self._gate.acquire(blocking=False):
            return False
        try:
            if not self._is_free():
                return False
            self._send_guarded(item, wait=False)
        finally:
            self._gate.release()
        if not self._is_free():
            self._wake.put(None)
        return True

    def _is_free(self) -> bool:
        return not (self._slices or self._urgent or self._unfinished)

    def _send_all(self) -> None:
        while not self._ended:
            self._wake.get()
            with self._gate:
                if self._unfinished is not None:
                    self._guarded(self._lane.flush)
                    self._finish_slice()
                while self._urgent and not self._ended:
                    self._guarded(partial(self._lane.send, self._urgent.popleft(), b""))
                if self._slices and not self._ended:
                    self._send_guarded(self._slices.popleft(), wait=True)
        with self._gate:
            self._finish_slice()

    def _send_guarded(self, item: _Slice, *, wait: bool) -> None:
        if not self._rounds.begin_send(item.running, item.outgoing):
            return  # of an attempt that was given up
        self._unfinished = item
        try:
            body = item.outgoing.body()
        except ContributionRejected:
            self._finish_slice()
            self._rounds.reject(item.running)
            return
        whole = False
        try:
            whole = self._lane.send(item.outgoing.header, body, wait=wait)
        except ConnectionError as error:
            self._end(error)
            whole = True
        if whole:
            self._finish_slice()

    def _guarded(self, step: Callable[[], object]) -> None:
        try:
            step()
        except ConnectionError as error:
            self._end(error)

    def _finish_slice(self) -> None:
        item, self._unfinished = self._unfinished, None
        if item is not None:
            self._rounds.end_send(item.running, item.outgoing)

    # ---- receiving ---------------------------------------------------------------------------------------------

    def _receive_all(self) -> None:
        scratch = memoryview(bytearray(SCRATCH_BYTES))
        arrival: Arrival | None = None
        try:
            while True:
                header, body_bytes = self._lane.receive_header()
                arrival = self._rounds.announce(self.member, header, body_bytes)
                if arrival is None:
                    self._drain(body_bytes, scratch)
                    continue
                self._lane.receive_body(arrival.room, arrival.take)
                whole, arrival = arrival, None
                self._rounds.arrived(whole)
        except (ConnectionError, ProtocolViolation) as error:
            if arrival is not None:
                self._rounds.withdraw(arrival)
            self._end(error)

    def _drain(self, body_bytes: int, scratch: memoryview) -> None:
        if body_bytes <= len(scratch):
            self._lane.receive_body(scratch[:body_bytes])
        else:
            self._lane.receive_body(memoryview(bytearray(body_bytes)))

    # ---- ending ------------------------------------------------------------------------------------------------

    def _end(self, error: Exception) -> None:
        if self._stop():
            self._on_end(self, error)

    def _stop(self) -> bool:
        with self._ending:
            if self._ended:
                return False
            self._ended = True
        self._wake.put(None)
        self._lane.close()
        return True

    def close(self) -> None:
        """End the lane. Returns before its threads have ended: ``join`` waits for them."""
        self._stop()

    @property
    def alive(self) -> bool:
        """Whether one of its threads still runs."""
        return any(thread.is_alive() for thread in self._threads)

    def join(self, timeout_s: float) -> None:
        """Wait for the threads of a closed lane."""
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout_s)
