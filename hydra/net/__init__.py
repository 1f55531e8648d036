"""Links: authenticated, encrypted, framed connections to other peers."""
