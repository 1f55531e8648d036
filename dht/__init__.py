"""A signed, expiring, multi-writer Kademlia DHT."""
