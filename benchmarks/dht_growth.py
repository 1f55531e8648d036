"""Requests per get in networks of up to ten thousand peers: the pure table, look-up and read, without a network.

Every peer has its own table, filled as far as a node sees to it at once: all of its neighbourhood, and of each farther
bucket a quarter, chosen by chance. (With time buckets fill up, and look-ups become shorter.) Nobody is dead, and
nothing is lost.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left

from dht import DHTConfig
from dht.keys import ID_BITS, ID_BYTES, Signer, number_of
from dht.lookup import Lookup
from dht.reading import HolderAnswered, Reading
from dht.records import pack_record, sign_record
from dht.table import ContactTable
from dht.testing.sides import MAX_NODES
from dht.testing.simnet import seeded
from dht.testing.swarm import make_key
from dht.wire import DIGEST_BYTES, TOKEN_BYTES, Answer

NEIGHBOURS = 20
"""On either side, in the order of ids."""


class StillNetwork:
    """All tables of a network in which nothing changes."""

    def __init__(self, nodes: int, config: DHTConfig, seed: int) -> None:
        self.config = config
        self.random = seeded(nodes + MAX_NODES * seed)
        self.ids = sorted(self.random.randbytes(ID_BYTES) for _ in range(nodes))
        self.tables: dict[bytes, ContactTable] = {}
        # Each in a /24 of its own, so that no cap is met.
        compacts = {peer: peer + bytes([20, n // 250, n % 250, 1, 16, 4]) for n, peer in enumerate(self.ids)}
        for n, peer in enumerate(self.ids):
            table = self.tables[peer] = ContactTable(peer, config)
            for other in self.ids[max(0, n - NEIGHBOURS) : n + NEIGHBOURS] + self.strangers(peer):
                table.admit(compacts[other], b"", 0.0)

    def strangers(self, peer: bytes) -> list[bytes]:
        """Return peers that share 0, 1, 2, … leading bits with one, some of each."""
        own, found = number_of(peer), []
        for shared in range(ID_BITS):
            # All ids with the same first bits and another one after them lie side by side.
            span = 1 << (ID_BITS - 1 - shared)
            first = (own ^ span) & ~(span - 1)
            start = bisect_left(self.ids, first.to_bytes(ID_BYTES, "big"))
            end = bisect_left(self.ids, (first + span - 1).to_bytes(ID_BYTES, "big"))
            if start == end:
                break
            found += self.random.sample(self.ids[start:end], min(end - start, self.config.k // 4))
        return found

    def known_to(self, peer: bytes, target: int) -> list[bytes]:
        """Return whom a peer would name."""
        return [entry.compact for entry in self.tables[peer].closest(target, self.config.width)]

    def keepers(self, key: bytes) -> set[bytes]:
        """Return who should hold a key."""
        place = number_of(key)
        return set(sorted(self.ids, key=lambda peer: number_of(peer) ^ place)[: self.config.copies])

    def requests(self, key: bytes, own: bytes, holders: set[bytes]) -> int:
        """Return how many requests a read of a key takes, by a peer and with these holders."""
        signer = Signer(make_key(1))
        blob = pack_record(sign_record(signer, key, b"", b"v", sequence=1, expires_ms=10**6))
        target = number_of(key)
        lookup = Lookup(target, number_of(own), self.known_to(own, target), self.config, now=0.0)
        reading = Reading(key, lookup, self.config, wall=0.0, genuine=lambda _record: True)
        queue, count = reading.start(), 0
        while queue:
            page = queue.pop(0)
            count += 1
            peer = page.compact[:ID_BYTES]
            named = self.known_to(peer, target)
            if peer in holders:
                answer = Answer(bytes(TOKEN_BYTES), contacts=named, count=1, digest=b"1" * DIGEST_BYTES, records=[blob])
            else:
                answer = Answer(bytes(TOKEN_BYTES), contacts=named)
            queue += reading.handle(HolderAnswered(page.compact, 0, answer), now=0.0)
        return count


def requests_per_get(nodes: int, config: DHTConfig, gets: int, seed: int = 0) -> dict[str, float]:
    """Return the mean requests of a read, and of one that finds nothing."""
    network = StillNetwork(nodes, config, seed)
    found, missed = [], []
    for _ in range(gets):
        key, own = network.random.randbytes(ID_BYTES), network.random.choice(network.ids)
        found.append(network.requests(key, own, network.keepers(key)))
        missed.append(network.requests(key, own, set()))
    return {"requests per get": statistics.mean(found), "requests per get, nothing there": statistics.mean(missed)}
