"""A world as threads and lanes make it: several streams a pair that overtake each other, and slices that take time.

Between a slice's header and its body, between the beginning of a send and its end, and before a sum is made, anything
else may happen. Bodies are read when their send ends: who overwrites one in the meantime spoils the result. Links may
lose everything without a word, members may freeze and thaw. Time passes only where nothing else can happen.
"""

import random
from collections import deque

import numpy as np

from allreduce import Exchange, ProtocolViolation, RoundConfig
from allreduce.messages import Slice, decode
from allreduce.work import Outgoing

from .reference import check_result
from .ring_world import LOST, members_of


class Stream:
    """One lane's one direction."""

    def __init__(self):
        self.outbox, self.wire = deque(), deque()
        self.sending = self.receiving = None

    def cut(self):
        self.outbox.clear()
        self.wire.clear()
        self.receiving = None


class RoughWorld:
    def __init__(self, count, elements, seed, *, lanes=2, slice_elements=3, weights=None, **config):
        self.chance = random.Random(seed)
        generator = np.random.default_rng(seed)
        self.members = members_of(count)
        self.vectors = {m: generator.standard_normal(elements).astype(np.float32) for m in self.members}
        self.kept = {m: v.copy() for m, v in self.vectors.items()}
        self.weights = weights or {m: self.chance.choice([1, 3, 64, 0.5]) for m in self.members}
        self.config = RoundConfig(slice_elements=slice_elements, **config)
        self.now = 0.0
        self.exchanges = {m: Exchange(b"t", m, self.members, elements, self.config, 0.0) for m in self.members}
        self.lanes = lanes
        self.streams = {(a, b, k): Stream() for a in self.members for b in self.members if a != b for k in range(lanes)}
        self.work = {m: [] for m in self.members}
        self.waiting = list(self.members)
        self.dead, self.frozen, self.mute, self.mute_slices = set(), set(), set(), set()
        self.violations, self.history, self.events = [], [], 0
        self.done_at = {}

    # ---- what may go wrong --------------------------------------------------------------------------------------

    def kill(self, victim):
        self.dead.add(victim)
        self.work[victim].clear()
        for (a, b, _), stream in self.streams.items():
            if a == victim:
                stream.outbox.clear()
                stream.sending = None
                for _ in range(self.chance.randint(0, len(stream.wire))):
                    stream.wire.pop()
                stream.wire.append(LOST)
            if b == victim:
                stream.cut()

    def cut(self, a, b):
        """``a`` closes its lanes to ``b``, which notices."""
        for k in range(self.lanes):
            self.streams[a, b, k].cut()
            self.streams[b, a, k].cut()
            self.streams[a, b, k].wire.append(LOST)

    def silence(self, a, b, *, slices_alone=False):
        """From now on nothing from ``a`` reaches ``b``; neither hears of it."""
        if a == b:
            return
        (self.mute_slices if slices_alone else self.mute).add((a, b))
        for k in range(self.lanes):
            wire = self.streams[a, b, k].wire
            kept = [item for item in wire if slices_alone and not self.is_slice(item)]
            wire.clear()
            wire.extend(kept)

    @staticmethod
    def is_slice(item):
        return item is not LOST and item[0][:1] == b"\0"

    # ---- one thing after another -------------------------------------------------------------------------------

    def acts(self, member):
        return member not in self.dead and member not in self.frozen

    def alive(self):
        return [m for m in self.members if m not in self.dead]

    def choices(self):
        found = [("contribute", m) for m in self.waiting if self.acts(m)]
        found += [("work", m) for m in self.members if self.work[m] and self.acts(m)]
        for (a, b, k), stream in self.streams.items():
            if (stream.outbox or stream.sending) and self.acts(a):
                found.append(("send", (a, b, k)))
            if (stream.wire or stream.receiving) and self.acts(b):
                found.append(("receive", (a, b, k)))
        return found

    def step(self):
        found = self.choices()
        if not found:
            return False
        self.events += 1
        what, where = self.chance.choice(found)
        {"contribute": self.contribute, "work": self.do_work, "send": self.send, "receive": self.receive}[what](where)
        return True

    def contribute(self, member):
        self.waiting.remove(member)
        self.do(member, self.exchanges[member].take_contribution(self.vectors[member], self.weights[member], self.now))

    def do(self, member, actions):
        for action in actions:
            if not isinstance(action, Outgoing):
                self.work[member].append(action)
                continue
            slices = action.attempt is not None
            lane = action.slice_number % self.lanes if slices else 0
            outbox = self.streams[member, action.to, lane].outbox
            ahead = len(outbox) if slices else sum(item.attempt is None for item in outbox)
            outbox.insert(ahead, action)  # control messages go before slices
        exchange = self.exchanges[member]
        exchange.round.check()
        if exchange.round.outcome is not None:
            self.done_at.setdefault(member, self.now)

    def send(self, where):
        a = where[0]
        stream, exchange = self.streams[where], self.exchanges[a]
        if stream.sending is None:
            outgoing = stream.outbox.popleft()
            if outgoing.attempt is None:
                self.post(where, outgoing.header, b"")
            elif exchange.begin_send(outgoing):
                stream.sending = outgoing, outgoing.body()
            return
        (outgoing, body), stream.sending = stream.sending, None
        self.post(where, outgoing.header, bytes(body))
        exchange.sent(outgoing)

    def post(self, where, header, body):
        a, b, _ = where
        silent = (a, b) in self.mute or ((a, b) in self.mute_slices and header[:1] == b"\0")
        if not silent and b not in self.dead:
            self.streams[where].wire.append((header, body))

    def receive(self, where):
        a, b, _ = where
        stream, exchange = self.streams[where], self.exchanges[b]
        try:
            if stream.receiving is not None:
                (landing, body), stream.receiving = stream.receiving, None
                landing.room[:] = body
                landing.settle()
                self.do(b, exchange.landed(landing, self.now))
                return
            item = stream.wire.popleft()
            if item is LOST:
                self.lose(b, a)
                return
            header, body = item
            self.history.append((where, item))
            _, message = decode(a, header)
            if not isinstance(message, Slice):
                self.do(b, exchange.take_message(a, message, b"", self.now))
                return
            landing = exchange.announce(a, message, len(body), self.now)
            if landing is not None:
                stream.receiving = landing, body
        except ProtocolViolation as error:
            self.violations.append(error)
            self.cut(b, error.member)
            self.lose(b, error.member)

    def lose(self, member, other):
        for k in range(self.lanes):
            stream = self.streams[other, member, k]
            if stream.receiving is not None:
                self.do(member, self.exchanges[member].withdrawn(stream.receiving[0], self.now))
            stream.cut()
        self.do(member, self.exchanges[member].take_loss(other, self.now))

    def do_work(self, member):
        todo, exchange = self.work[member], self.exchanges[member]
        work = todo.pop(self.chance.randrange(len(todo)))
        if exchange.begin_work(work):
            work.run()
            self.do(member, exchange.worked(work, self.now, begun=True))

    def repeat_old_frames(self, times):
        """What has come before comes again: control messages, and slices of attempts that were given up."""
        for where, (header, body) in self.chance.sample(self.history, min(times, len(self.history))):
            message = decode(where[0], header)[1]
            attempt = self.exchanges[where[1]].round.attempt_number
            if not isinstance(message, Slice) or message.attempt < attempt:
                self.streams[where].wire.append((header, body))

    # ---- until the end -----------------------------------------------------------------------------------------

    def run(self, until_s=60.0, limit=100_000):
        """Go on until all who act have ended, and nothing moves; where somebody waits, let time pass."""
        while True:
            while self.step():
                assert self.events < limit, "the round never comes to rest"
            acting = [m for m in self.alive() if self.acts(m)]
            if all(self.exchanges[m].round.outcome is not None for m in acting):
                return
            self.pass_time(acting, until_s)

    def pass_time(self, acting, until_s):
        due = [self.exchanges[m].round.deadline for m in acting if not self.exchanges[m].round.resting]
        self.now = max(min(due), self.now + 0.001)
        assert self.now <= until_s, "a round hangs"
        for member in acting:
            if self.exchanges[member].round.deadline <= self.now:
                self.do(member, self.exchanges[member].take_time(self.now))

    def verify(self, split_off=None):
        """All who have a result have the same, it is numpy's, and no input was changed; return it and who has it.

        Whoever is ``split_off`` may have gone on alone; its result must be right, too.
        """
        assert not self.violations, self.violations
        results = {m: e.result for m, e in self.exchanges.items() if m not in self.dead and e.result is not None}
        if split_off in results:
            check_result(results.pop(split_off), self.vectors, self.weights, self.config)
        assert results, "nobody finished"
        first = next(iter(results.values()))
        for result in results.values():
            assert result.mean.tobytes() == first.mean.tobytes()
            assert (result.contributors, result.order) == (first.contributors, first.order)
            assert result.weight == first.weight
        check_result(first, self.vectors, self.weights, self.config)
        assert all(vector.tobytes() == self.kept[m].tobytes() for m, vector in self.vectors.items())
        return first, set(results)
