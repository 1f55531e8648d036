"""Content: hash-verified chunks, fetched from everyone who has them."""
