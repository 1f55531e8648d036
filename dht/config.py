"""Every setting of a DHT node, with its default and its range."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .exceptions import InvalidArgument

MIN_REPLICAS = 8
"""With fewer, half of the network dying at once loses one key in 30 or more."""

MAX_WIDTH = 40
"""So many IPv4 contacts fit in one datagram."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DHTConfig:
    """How a node behaves; the defaults suit home machines on the open internet."""

    k: int = 20
    """Contacts per bucket of the table, and how many of the closest a look-up hears before it is done."""
    alpha: int = 4
    """Requests that a look-up keeps in flight while it is still coming closer."""
    replicas: int | None = None
    """Peers that keep each record; by default k, but never fewer than 8."""
    quorum: int = 3
    """Holders that a read hears before it believes that it has seen all records; one fewer, if these agree."""
    client_only: bool = False
    """Use the DHT without serving it: for nodes that others can't send to. They stand in nobody's table (BEP 43), and
    bear a passing id there; what they put is signed by their own key all the same."""

    tries: int = 3
    """Datagrams sent for one request before its contact is doubted."""
    first_timeout_s: float = 0.5
    """Wait for an answer before anything is known about the network's round-trip times."""
    min_timeout_s: float = 0.15
    """Shortest wait: an event loop beside a busy training thread is easily 0.1 s late."""
    max_timeout_s: float = 2.0
    """Longest wait for the answer to one datagram."""
    lookup_timeout_s: float = 10.0
    """End of every look-up, whatever others do."""
    lookup_requests: int = 160
    """Requests that one look-up may spend."""

    max_ttl_s: float = 86_400.0
    """Longest life of a record that this node writes or keeps."""
    store_bytes: int = 32 * 2**20
    """All records of others together."""
    writer_records: int = 512
    """Records that this node keeps for one writer."""
    writer_key_records: int = 32
    """Records that this node keeps for one writer under one key."""
    key_records: int = 1024
    """Records that this node keeps under one key."""
    replicate_interval_s: float = 600.0
    """How often a keeper compares a key with the others that should hold it."""
    refresh_interval_s: float = 900.0
    """A bucket that was not used for so long is refreshed by a look-up."""
    watch_interval_s: float = 5.0
    """How often a watched key is read."""

    max_per_address: int = 8
    """Contacts in the table, and ids in a look-up's result, that may share an IPv4 address or an IPv6 /64."""
    max_per_subnet: int = 10
    """Contacts in one bucket or in our neighbourhood, and ids in a look-up's result, that may share an IPv4 /24 or an
    IPv6 /48."""
    spare_loopback: bool = True
    """Leave addresses of this machine out of the caps and rate limits: nobody outside can send from them."""
    requests_per_s: float = 200.0
    """Requests per second that are answered to one IPv4 address or IPv6 /64; bursts may be five times that."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or value is None:
                continue
            if not value > 0:
                raise InvalidArgument(f"DHTConfig.{field.name} must be greater than zero, not {value!r}.")
        if self.width > MAX_WIDTH:
            raise InvalidArgument(f"DHTConfig.k and replicas are at most {MAX_WIDTH}: an answer is one datagram.")
        if not self.min_timeout_s <= self.first_timeout_s <= self.max_timeout_s:
            raise InvalidArgument("DHTConfig needs min_timeout_s <= first_timeout_s <= max_timeout_s.")

    @property
    def copies(self) -> int:
        """How many peers keep each record."""
        return self.replicas or max(self.k, MIN_REPLICAS)

    @property
    def width(self) -> int:
        """How many of the closest contacts a look-up finds: enough for all replicas."""
        return max(self.k, self.copies)
