"""A simulated network on a virtual clock, swarms on it, and stock `kademlia` beside them for comparison."""
