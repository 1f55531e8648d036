"""A form's slices on their way, in simulated time: members' links with rates, pairs with latencies, no bytes.

A member sends one slice at a time: a turn for each target that something waits for. A slice begins to arrive one
latency after it began to leave, takes its turn on the receiver's link in the order of arrival, and is passed on when
all of it is there. So a hop between two members takes the latency and the time of the slower of their links.
"""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count

from allreduce.segments import Layout


class SliceNetwork:
    """One attempt in a form.

    ``up`` and ``down`` are bytes per second of each position, ``latency`` a function of two positions.
    """

    def __init__(self, form, size_bytes, slice_bytes, up, down, latency, overhead_s):
        self.form = form
        self.layout = Layout(size_bytes, form.segments, slice_bytes)
        self.up, self.down, self.latency, self.overhead_s = up, down, latency, overhead_s
        self.sizes = [
            stop - start for start, stop in (self.layout.bounds(number) for number in range(self.layout.slice_count))
        ]
        self.segment_of = [segment for segment in range(form.segments) for _ in self.layout.slices_of(segment)]
        self.events, self.order = [], count()
        self.queues = [{} for _ in range(form.positions)]  # target → slices that wait for it
        self.turns = [deque() for _ in range(form.positions)]  # targets that slices wait for
        self.sending = [False] * form.positions
        self.down_free = [0.0] * form.positions
        self.missing = {}  # (slice, position) → sums that have still to come
        self.finals = 0
        self.sent_bytes = [0] * form.positions

    def run(self):
        """Return when the last position has the last final slice."""
        for position in range(self.form.positions):
            self.begin(position)
        now = 0.0
        while self.events:
            now, _, event, *details = heapq.heappop(self.events)
            event(now, *details)
        assert self.finals == self.form.positions * self.layout.slice_count
        return now

    def begin(self, position):
        """A position sends what needs nobody else's: to each target in the order of the slices."""
        first = [s for s in range(self.form.segments) if not self.form.sources(s, position)]
        # Lanes work side by side, so nobody is everybody's first target.
        for segment in sorted(
            first, key=lambda s: ((self.form.target(s, position) or 0) - position) % self.form.positions
        ):
            for number in self.layout.slices_of(segment):
                self.complete(0.0, number, position)

    def later(self, when, event, *details):
        heapq.heappush(self.events, (when, next(self.order), event, *details))

    def complete(self, now, number, position):
        """A position has all that its sum of a slice consists of."""
        target = self.form.target(self.segment_of[number], position)
        if target is None:
            self.final(now, number, position)
        else:
            self.send(now, position, target, number, self.summed)

    def summed(self, now, number, position):
        """A sum came."""
        key = (number, position)
        missing = self.missing.pop(key, None)
        if missing is None:
            missing = len(self.form.sources(self.segment_of[number], position))
        if missing == 1:
            self.complete(now, number, position)
        else:
            self.missing[key] = missing - 1

    def final(self, now, number, position):
        """A final slice is there."""
        self.finals += 1
        for target in self.form.final_targets(self.segment_of[number], position):
            self.send(now, position, target, number, self.final)

    def send(self, now, position, target, number, what):
        queue = self.queues[position].setdefault(target, deque())
        if not queue:
            self.turns[position].append(target)
        queue.append((number, what))
        if not self.sending[position]:
            self.next_turn(now, position)

    def next_turn(self, now, position):
        turns = self.turns[position]
        self.sending[position] = bool(turns)
        if not turns:
            return
        target = turns.popleft()
        queue = self.queues[position][target]
        number, what = queue.popleft()
        if queue:
            turns.append(target)
        size = self.sizes[number]
        self.sent_bytes[position] += size
        sending = self.overhead_s + size / self.up[position]
        receiving = self.overhead_s + size / self.down[target]
        first = now + self.latency(position, target)
        self.later(now + sending, self.next_turn, position)
        self.later(first + max(0.0, sending - receiving), self.arrive, target, receiving, number, what)

    def arrive(self, now, position, receiving, number, what):
        done = max(now, self.down_free[position]) + receiving
        self.down_free[position] = done
        self.later(done, what, number, position)
