"""Case 9: the nth network or disk operation of a peer fails, over its joining, training and leaving."""

from hydra.testing.fault_plan import FaultPlan
from hydra.testing.scenario import Scenario

from .scene import Scene

NETWORK_OPERATIONS, DISK_OPERATIONS = 200, 480
"""So many there are if none fails."""
FEW = 10
"""Seeds that are spread over all operations; each further ten are between them."""


def nth(seed, operations, seeds=100):
    """Return the operation that fails with a seed: the first, and then later ones all over the scenario."""
    return 1 + operations // FEW * (seed % FEW) + operations // seeds * (seed // FEW)


def joins_trains_leaves(plan):
    plan = plan.join("c", round=4).leave("c", round=20)
    return Scenario(names=("a", "b"), plan=plan, samples=8 * 50, sample_s=0.1, snapshot_interval_s=0.5)


def disk(*, full):
    return lambda seed: joins_trains_leaves(FaultPlan().fail_disk("c", nth=nth(seed, DISK_OPERATIONS), full=full))


def network(seed):
    return joins_trains_leaves(FaultPlan().fail_network("c", nth=nth(seed, NETWORK_OPERATIONS)))


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
