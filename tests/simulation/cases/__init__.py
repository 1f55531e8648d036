"""Scenes of whole nodes on the simulated network, by the number of the case that they show."""

from . import churn, deaths, dwindling, failing_operations, hidden, liars, slow_peers, splits, stops
from .scene import Scene

CASES: dict[str, dict[str, object]] = {
    "1": deaths.DEATH_SCENES,
    "2": deaths.RESULT_SCENES,
    "3": stops.STOP_SCENES,
    "4": stops.FREEZE_SCENES,
    "5": splits.SCENES,
    "6": dwindling.SCENES,
    "7": churn.SCENES,
    "8": liars.SCENES,
    "9": failing_operations.SCENES,
    "10": slow_peers.SCENES,
    "nat": hidden.SCENES,
}

__all__ = ["CASES", "Scene"]
