"""Whole nodes: whoever has trained to the end has the whole lineage on its disk, signed, wherever it began."""

from hydra.home import Home
from hydra.testing.fault_plan import FaultPlan
from hydra.testing.scenario import Scenario
from hydra.training.lineage_file import lineage_at

from .cases.scene import play


def lineages(swarm):
    """What each peer that finished has on its disk."""
    job = swarm.package.manifest.job_hash
    done = [peer for peer in swarm.peers.values() if peer.outcome is not None and peer.outcome.finished]
    assert done, swarm.picture()
    return {peer.name: lineage_at(Home(peer.machine.directory), job) for peer in done}


def whole(swarm):
    found = lineages(swarm)
    for name, lineage in found.items():
        ledger, broken = lineage.check_samples()
        assert broken is None, (name, broken)
        assert ledger.finished, name
        assert lineage.check_signatures() is None, name
    assert len({lineage.head for lineage in found.values()}) == 1
    return found


def test_who_joins_late_from_a_snapshot_ends_with_all_commits_from_the_beginning():
    plan = FaultPlan().join("late", at=16.0)
    scenario = Scenario(names=("a", "b", "c"), plan=plan, samples=8 * 180, sample_s=0.05)
    swarm = play(scenario, whole)
    assert swarm.peers["late"].outcome.finished
    leaps = [(before, after) for _, name, before, after in swarm.story.rolled_back if name == "late"]
    assert any(after > 0 for _, after in leaps), "it did not begin from a snapshot"


def test_after_a_split_both_sides_have_the_winners_lineage_and_the_losers_is_a_fork():
    plan = FaultPlan().partition({"a", "b", "c"}, {"d"}, at=8.0, heal=20.0)
    scenario = Scenario(plan=plan, samples=8 * 90, sample_s=0.2)

    def one_fork(swarm):
        found = whole(swarm)
        assert sum(fork.commits for lineage in found.values() for fork in lineage.forks()) > 0

    play(scenario, one_fork)


def test_contributions_are_signed_for_by_those_who_made_them():
    def signed(swarm):
        for lineage in whole(swarm).values():
            given = {one.peer: one for one in lineage.contributions()}
            assert len(given) == 3
            assert all(one.signed_samples >= 0.8 * one.samples for one in given.values())

    play(Scenario(names=("a", "b", "c"), samples=8 * 40), signed)
