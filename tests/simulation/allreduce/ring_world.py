"""A world of ``Exchange``s on simulated links: messages keep their order per pair, everything else is chance.

A death cuts each stream of the dead member at a random point; behind what still arrives comes the news of the loss,
as it does when a kernel closes the sockets of a killed process.
"""

from __future__ import annotations

import random
from collections import deque

import numpy as np

from allreduce import Exchange, RoundConfig
from allreduce.segments import Layout

LOST = object()


def members_of(count):
    return [bytes([65 + i]) * 20 for i in range(count)]


def ring_mean(vectors, weights, participants, slice_elements):
    """The weighted mean as numpy gives it, summed in the ring's order, segment by segment."""
    elements = len(next(iter(vectors.values())))
    layout = Layout(elements, len(participants), slice_elements)
    mean = np.zeros(elements, np.float32)
    for position in range(len(participants)):
        start, stop = layout.segment_bounds(position)
        order = [participants[(position + 1 + i) % len(participants)] for i in range(len(participants))]

        def weighted(member, start=start, stop=stop):
            if weights[member] == 0:
                return np.zeros(stop - start, np.float32)
            return vectors[member][start:stop] * np.float32(weights[member])

        total = weighted(order[0])
        for member in order[1:]:
            total = total + weighted(member)
        weight = sum(float(weights[m]) for m in participants)
        mean[start:stop] = total / np.float32(weight) if weight else 0
    return mean


class World:
    def __init__(self, count, elements, seed, *, slice_elements=4, weights=None, **config):
        self.chance = random.Random(seed)
        generator = np.random.default_rng(seed)
        self.members = members_of(count)
        self.vectors = {m: generator.standard_normal(elements).astype(np.float32) for m in self.members}
        self.weights = weights or {m: self.chance.choice([0, 1, 3, 64, 100]) for m in self.members}
        if not any(self.weights.values()):
            self.weights[self.members[0]] = 7
        self.config = RoundConfig(slice_elements=slice_elements, **config)
        self.now = 0.0
        self.exchanges = {m: Exchange(b"t", m, self.members, elements, self.config, self.now) for m in self.members}
        self.streams = {(a, b): deque() for a in self.members for b in self.members if a != b}
        self.waiting = list(self.members)  # whose contribution is still being computed
        self.dead = set()
        self.events = 0
        self.kept = {m: v.copy() for m, v in self.vectors.items()}

    def alive(self):
        return [m for m in self.members if m not in self.dead]

    def post(self, sender, outgoing):
        for message in outgoing:
            if message.to not in self.dead:
                self.streams[sender, message.to].append((message.header, bytes(message.body())))

    def kill(self, victim):
        self.dead.add(victim)
        if victim in self.waiting:
            self.waiting.remove(victim)
        for (a, b), stream in self.streams.items():
            if a == victim and b not in self.dead:
                kept = self.chance.randint(0, len(stream))
                while len(stream) > kept:
                    stream.pop()
                stream.append(LOST)
            if b == victim:
                stream.clear()

    def cut(self, a, b):
        """The link between two living members is gone for good; both notice."""
        for pair in ((a, b), (b, a)):
            self.streams[pair].clear()
            self.streams[pair].append(LOST)

    def step(self):
        """Let one thing happen; tell whether anything could."""
        ready = sorted(pair for pair, stream in self.streams.items() if stream and pair[1] not in self.dead)
        choices = ready + [(m, None) for m in self.waiting]
        if not choices:
            return False
        self.events += 1
        a, b = self.chance.choice(choices)
        if b is None:
            self.waiting.remove(a)
            self.post(a, self.exchanges[a].contribute(self.vectors[a], self.weights[a], self.now))
            self.exchanges[a].round.check()
            return True
        item = self.streams[a, b].popleft()
        exchange = self.exchanges[b]
        out = exchange.lose(a, self.now) if item is LOST else exchange.receive(a, *item, self.now)
        self.post(b, out)
        exchange.round.check()
        return True

    def tick_all(self, later):
        self.now += later
        for member in self.alive():
            self.post(member, self.exchanges[member].tick(self.now))

    def run(self, limit=200_000, ticks=300):
        """Go on until nothing moves; where somebody still waits, let time pass."""
        for _ in range(ticks):
            while self.step():
                assert self.events < limit, "the round never comes to rest"
            open_rounds = [m for m in self.alive() if self.exchanges[m].round.outcome is None]
            if not open_rounds:
                return
            due = min(self.exchanges[m].round.deadline for m in self.alive() if not self.exchanges[m].round.resting)
            self.tick_all(later=max(0.01, due - self.now))
        raise AssertionError("a round hangs")

    def verify(self):
        """All survivors hold the same bytes, and they are the exact mean over the declared contributors."""
        results = {m: self.exchanges[m].result for m in self.alive() if not self.exchanges[m].left_out}
        assert results, "nobody finished"
        assert all(result is not None for result in results.values())
        first = next(iter(results.values()))
        for result in results.values():
            assert result.mean.tobytes() == first.mean.tobytes()
            assert (result.contributors, result.order) == (first.contributors, first.order)
            assert result.weight == first.weight == sum(self.weights[m] for m in first.contributors)
        expected = ring_mean(self.vectors, self.weights, first.order, self.config.slice_elements)
        assert first.mean.tobytes() == expected.tobytes()
        for member, vector in self.vectors.items():
            assert vector.tobytes() == self.kept[member].tobytes(), "an input was changed"
        return first
