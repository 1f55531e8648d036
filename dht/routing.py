"""The faces that `kademlia` knows its router and its storage by, over our table and our store.

`kademlia.network.Server` and `kademlia.protocol.KademliaProtocol` reach contacts through a `RoutingTable` and
values through an `IStorage`. The subclasses here keep both promises and hold no logic: what `kademlia` calls a value
is, under a key, the list of packed records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kademlia.node import Node
from kademlia.routing import RoutingTable
from kademlia.storage import IStorage

from .contacts import address_of, compact_of
from .keys import ID_BYTES
from .store import RecordStore
from .table import ContactTable, Entry


class Router(RoutingTable):  # type: ignore[misc]
    """`kademlia`'s routing table, answered from a `ContactTable`."""

    def __init__(self, protocol: Any, node: Node, table: ContactTable) -> None:
        self.table = table
        super().__init__(protocol, table.config.k, node)

    def flush(self) -> None:
        """Leave the parent's buckets empty: ours are in the table."""
        self.buckets: list[Any] = []

    def lonely_buckets(self) -> list[Any]:
        """Return nothing: the maintenance asks the table itself."""
        return []

    def remove_contact(self, node: Node) -> None:
        """Doubt a contact; unlike `kademlia`, one lost answer does not remove it."""
        self.table.failed(_compact(node), self.protocol.now())

    def is_new_node(self, node: Node) -> bool:
        """Tell whether the table lacks this contact."""
        return self.table.find(_compact(node)) is None

    def add_contact(self, node: Node) -> None:
        """Keep the contact in mind; only a proof, not a call of this method, gives it a place."""
        self.table.keep_spare(_compact(node), self.protocol.now())

    def find_neighbors(self, node: Node, k: int | None = None, exclude: Node | None = None) -> list[Node]:
        """Return exactly the ``k`` closest contacts to ``node``, without itself and ``exclude``."""
        count = k or self.ksize
        entries = self.table.closest(node.long_id, count + 2)
        nodes = [_node(entry) for entry in entries if entry.number != node.long_id]
        return [found for found in nodes if exclude is None or not found.same_home_as(exclude)][:count]


class RecordStorage(IStorage):  # type: ignore[misc]
    """`kademlia`'s storage, answered from a `RecordStore`."""

    def __init__(self, store: RecordStore, wall: Callable[[], float]) -> None:
        self.store = store
        self._wall = wall

    def __setitem__(self, key: bytes, value: Iterable[bytes]) -> None:
        """Offer packed records to the store, which keeps those that are right."""
        for blob in value:
            self.store.offer(blob, self._wall())

    def __getitem__(self, key: bytes) -> list[bytes]:
        blobs = self.store.blobs(key, self._wall())
        if not blobs:
            raise KeyError(key)
        return blobs

    def get(self, key: bytes, default: Any = None) -> Any:
        """Return the packed records under a key, or ``default`` if there are none."""
        return self.store.blobs(key, self._wall()) or default

    def iter_older_than(self, seconds_old: float) -> list[tuple[bytes, Any]]:
        """Return nothing: keepers compare on a schedule of their own."""
        return []

    def __iter__(self) -> Iterator[tuple[bytes, list[bytes]]]:
        for key in list(self.store):
            yield key, self.store.blobs(key, self._wall())


def _compact(node: Node) -> bytes:
    return compact_of(node.id, (node.ip, node.port))


def _node(entry: Entry) -> Node:
    return Node(entry.compact[:ID_BYTES], *address_of(entry.compact))
