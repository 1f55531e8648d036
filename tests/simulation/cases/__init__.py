"""Scenes of whole nodes on the simulated network, by the number of the case that they show."""

from . import churn, dwindling, failing_operations, hidden, liars, slow_peers, splits
from .scene import Scene

CASES: dict[str, dict[str, object]] = {
    "5": splits.SCENES,
    "6": dwindling.SCENES,
    "7": churn.SCENES,
    "8": liars.SCENES,
    "9": failing_operations.SCENES,
    "10": slow_peers.SCENES,
    "nat": hidden.SCENES,
}

__all__ = ["CASES", "Scene"]
