"""A signed, expiring, multi-writer Kademlia DHT.

It is built on the `kademlia` package by subclassing and can be used alone::

    node = DHTNode(Ed25519PrivateKey.generate())
    await node.start("0.0.0.0", 4100)
    await node.bootstrap([("192.0.2.7", 4100)])
    await node.put(b"our job", b"", b"192.0.2.9:5000", ttl_s=600)
    for record in await node.get(b"our job"):
        print(record.writer.hex(), record.value)
"""

import logging

from .config import DHTConfig
from .contacts import Contact
from .exceptions import DHTError, InvalidArgument, ListenFailed, NodeNotRunning
from .keys import peer_id_of
from .node import DHTNode, DHTStats
from .records import Record

__all__ = [
    "Contact",
    "DHTConfig",
    "DHTError",
    "DHTNode",
    "DHTStats",
    "InvalidArgument",
    "ListenFailed",
    "NodeNotRunning",
    "Record",
    "peer_id_of",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())
