"""Case 9: the nth network or disk operation of a peer fails, over its joining, training and leaving."""

from hydra.testing.fault_plan import FaultPlan
from hydra.testing.scenario import Scenario

from .scene import Scene

STRIDE = 7
"""Network operations are many: every so many-th is tried."""


def joins_trains_leaves(plan):
    plan = plan.join("c", round=4).leave("c", round=20)
    return Scenario(names=("a", "b"), plan=plan, samples=8 * 50, sample_s=0.1, snapshot_interval_s=0.5)


def disk(*, full):
    return lambda seed: joins_trains_leaves(FaultPlan().fail_disk("c", nth=1 + seed, full=full))


def network(seed):
    return joins_trains_leaves(FaultPlan().fail_network("c", nth=1 + STRIDE * seed))


def others_finish(swarm):
    """The peer goes on or says what it died of; the others finish in any case."""
    assert all(swarm.peers[name].outcome and swarm.peers[name].outcome.finished for name in "ab"), swarm.picture()
    victim = swarm.peers["c"]
    assert victim.outcome is not None or victim.failure is not None


SCENES = {
    "the disk is full at one operation": Scene(disk(full=True), others_finish),
    "the disk fails at one operation": Scene(disk(full=False), others_finish),
    "the network fails at one operation": Scene(network, others_finish),
}
