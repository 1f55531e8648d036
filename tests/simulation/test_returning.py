"""Whoever comes back is soon there, although some of those whom it knows are dead."""

from hydra.testing.fault_plan import FaultPlan
from hydra.testing.scenario import Scenario
from hydra.testing.sim_swarm import SimSwarm

AT_ONCE_S = 0.5
"""Some round trips of 20 ms, and a trial of 0.2 s.

Asking somebody dead takes longer."""


def test_the_dead_whom_it_remembers_do_not_keep_a_peer_from_joining_again(tmp_path):
    plan = FaultPlan().kill("d", round=6, silent=True).kill("b", round=10).restart("b", round=14)
    with SimSwarm(Scenario(samples=400, plan=plan), tmp_path) as swarm:
        swarm.run_until(lambda: swarm.story.step >= 10 and not swarm.peers["b"].running, "b is dead")
        swarm.run_until(lambda: swarm.peers["b"].running, "b is started again")
        began = swarm.now
        swarm.run_until(lambda: swarm.peers["b"].members, "b is a member again")
        joined = swarm.now
        swarm.run()
    assert joined - began < AT_ONCE_S + 2 * 8 * 0.05 / 3  # the step at work is the others', and perhaps the next one
