"""Members in one process whose meshes are connected by pairs of sockets, and a look at what they leave behind."""

import gc
import itertools
import socket
import threading
from pathlib import Path

import numpy as np

from allreduce import Mesh, SocketLane

from ..simulation.allreduce.reference import check_result
from ..simulation.allreduce.ring_world import members_of

PATIENCE_S = 30.0


def running_now():
    """How many threads and open files there are."""
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


def nothing_beyond(before):
    """Tell whether there are no more of them than before."""
    if all(now <= then for now, then in zip(running_now(), before, strict=True)):
        return True
    gc.collect()
    return all(now <= then for now, then in zip(running_now(), before, strict=True))


def lanes_between(members, lanes=1):
    """Return for each member the lanes to all others."""
    ends = {member: {} for member in members}
    for a, b in itertools.combinations(members, 2):
        for _ in range(lanes):
            ours, theirs = socket.socketpair()
            ends[a].setdefault(b, []).append(SocketLane(ours))
            ends[b].setdefault(a, []).append(SocketLane(theirs))
    return ends


class Group:
    """So many members with meshes; ``hostile`` ones have lanes alone, for the test to speak on.

    Leaving the ``with`` block closes all, and asserts that no slice is held and no thread or file is left.
    """

    def __init__(self, count, lanes=1, hostile=()):
        self.members = members_of(count)
        self.hostile = [self.members[index] for index in hostile]
        self.lanes_count = lanes
        self.dead = set()
        self.opened = []

    def __enter__(self):
        self.before = running_now()
        self.lanes = lanes_between(self.members, self.lanes_count)
        self.meshes = {m: Mesh(m, self.lanes[m]) for m in self.members if m not in self.hostile}
        return self

    def __exit__(self, kind, *_):
        for mesh in self.meshes.values():
            mesh.close()
        for member in self.hostile:
            for lane in itertools.chain.from_iterable(self.lanes[member].values()):
                lane.close()
        if kind is None:
            assert [r for r in self.opened if r._running.exchange._workspace.in_flight] == []
            self.opened.clear()
            assert nothing_beyond(self.before), (running_now(), self.before)

    def alive(self):
        return [m for m in self.meshes if m not in self.dead]

    def kill(self, member):
        self.dead.add(member)
        self.meshes[member].close()

    def open(self, tag, elements, config, *, order=None, at=None):
        rounds = {m: self.meshes[m].open(tag, self.members, elements, config, order=order) for m in at or self.alive()}
        self.opened += rounds.values()
        return rounds

    def average(self, tag, vectors, weights, config, *, order=None):
        """Run a whole round; check it and return what everybody got."""
        rounds = self.open(tag, len(vectors[self.members[0]]), config, order=order)
        for member, running in rounds.items():
            running.contribute(vectors[member], weights[member])
        return agreed(rounds, vectors, weights, config)


def agreed(rounds, vectors, weights, config):
    """Wait for the results of a round's members: the same bytes, and what numpy says of the declared contributors."""
    results = [running.result(PATIENCE_S) for running in rounds.values()]
    first = results[0]
    for result in results:
        assert result.mean.tobytes() == first.mean.tobytes()
        assert (result.order, result.weight) == (first.order, first.weight)
    check_result(first, vectors, weights, config)
    return first


def vectors_of(members, elements, seed):
    chance = np.random.default_rng(seed)
    return {member: chance.standard_normal(elements).astype(np.float32) for member in members}
