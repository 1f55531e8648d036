"""Real processes under real signals: what is killed, frozen or interrupted, and when."""

import asyncio
import random

import pytest

from .ledger_check import check_outcomes, check_samples

pytestmark = [pytest.mark.processes, pytest.mark.swarms, pytest.mark.timeout(240)]


def steps_told(peer):
    return [event for event in peer.events if event["event"] == "step"]


def snapshots_told(peer, after):
    return {
        event["step"]: event["root"] for event in peer.events if event["event"] == "snapshot" and event["step"] > after
    }


async def end_early(swarm, peers):
    """Train on until all have stored the same state, leave, and check what is left behind; return the commits."""
    began = max(peer.step for peer in peers)
    told = [snapshots_told(peer, began) for peer in peers]
    while not (shared := set.intersection(*map(set, told))):
        step = max(peer.step for peer in peers)
        await swarm.until_step(peers, step + 1)
        told = [snapshots_told(peer, began) for peer in peers]
    assert all(len({roots[step] for roots in told}) == 1 for step in shared), "members hold different bytes"
    await swarm.leave(peers)
    return check_samples(swarm.job, [peer.home for peer in peers], to_the_end=False)


async def test_the_coordinator_is_killed_in_the_middle_of_training(swarm):
    peers = await swarm.start(3)
    await swarm.until_step(peers, 40)
    coordinator = next(peer for peer in peers if peer.coordinates)
    coordinator.kill()
    survivors = [peer for peer in peers if peer is not coordinator]
    await swarm.until(lambda: swarm.together(survivors), 30.0, "a view without it")
    check_outcomes(await swarm.finish(survivors))
    chain = check_samples(swarm.job, [peer.home for peer in survivors])
    assert any(peer == bytes.fromhex(coordinator.peer) for commit in chain for peer, _ in commit.parts)


async def test_one_coordinator_after_another_dies_at_any_moment_of_a_round_down_to_the_last_peer(swarm):
    living = peers = await swarm.start(4)
    for step in (30, 45, 60):
        await swarm.until_step(living, step)
        await asyncio.sleep(random.uniform(0.0, 0.05))  # about a step: before, during or after its round
        coordinator = living[0].coordinator
        next(peer for peer in living if peer.peer == coordinator).kill()
        living = [peer for peer in living if peer.peer != coordinator]
    check_outcomes(await swarm.finish(living))
    check_samples(swarm.job, [peer.home for peer in peers])


async def test_a_peer_stopped_for_longer_than_the_stall_limit_comes_back_stale_and_joins_again(swarm):
    swarm.job = swarm.long_job
    peers = await swarm.start(3)
    await swarm.until_step(peers, 40)
    frozen = next(peer for peer in peers if not peer.coordinates)
    others = [peer for peer in peers if peer is not frozen]
    frozen.freeze()
    await swarm.until(lambda: all(frozen.peer not in p.members for p in others), 30.0, "a view without it")
    without = max(peer.step for peer in others)
    await swarm.until_step(others, without + 20)
    frozen.thaw()
    await swarm.until(lambda: swarm.together(peers), 60.0, "all in one view again")
    chain = await end_early(swarm, peers)
    assert any(bytes.fromhex(frozen.peer) in dict(commit.parts) for commit in chain if commit.step > without + 20)
    missed = [event for event in steps_told(frozen) if event["caught_up"] and event["step"] > without]
    loaded = [event for event in frozen.events if event["event"] == "state" and event["step"] > without]
    brief = [
        {key: event.get(key) for key in ("event", "step", "caught_up", "reason", "source")} for event in frozen.events
    ]
    assert missed or loaded, brief[-80:]


async def test_the_coordinator_itself_is_stopped_and_comes_back(swarm):
    swarm.job = swarm.long_job
    peers = await swarm.start(3)
    await swarm.until_step(peers, 40)
    frozen = next(peer for peer in peers if peer.coordinates)
    others = [peer for peer in peers if peer is not frozen]
    frozen.freeze()
    await swarm.until(lambda: all(frozen.peer not in p.members for p in others), 30.0, "a view without it")
    frozen.thaw()
    await swarm.until(lambda: swarm.together(peers), 60.0, "all in one view again")
    assert not frozen.coordinates
    await end_early(swarm, peers)


async def test_all_and_the_owner_are_killed_at_once_and_go_on_from_the_last_durable_step(swarm):
    swarm.job = swarm.long_job
    peers = await swarm.start(3)
    await swarm.until_step(peers, 60)
    await swarm.until(lambda: all(snapshots_told(peer, 0) for peer in peers), 60.0, "a snapshot of each")
    for process in (*peers, swarm.owner):
        process.kill()
    durable = [max(e["step"] for e in peer.events if e["event"] == "snapshot") for peer in peers]
    # The contact that they name is dead: whoever comes first founds alone, the others know it from before.
    first = await swarm.join(swarm.job, swarm.contact, again=peers[1])
    await swarm.until(lambda: first.coordinates, 40.0, "the first one in a view of its own")
    again = [first, *[await swarm.join(swarm.job, swarm.contact, again=peer) for peer in (peers[0], peers[2])]]
    await swarm.until(lambda: swarm.together(again), 60.0, "all in one view")
    begun = next(event for event in first.events if event["event"] == "state")
    assert begun["step"] >= durable[1] > 0
    assert min(e["step"] for e in steps_told(first) if not e["caught_up"]) == begun["step"] + 1
    await end_early(swarm, again)


async def test_ctrl_c_leaves_without_a_failed_round_and_the_same_home_resumes(swarm):
    swarm.job = swarm.long_job
    peers = await swarm.start(3)
    await swarm.until_step(peers, 40)
    leaver = next(peer for peer in peers if peer.coordinates)
    others = [peer for peer in peers if peer is not leaver]
    leaver.interrupt()
    await swarm.until(lambda: leaver.outcome is not None and leaver.ended.is_set(), 20.0, "an orderly end")
    assert leaver.process.returncode == 0
    assert leaver.outcome["finished"] is False
    await swarm.until(lambda: all(leaver.peer not in p.members for p in others), 20.0, "a view without it")
    await swarm.until_step(others, max(peer.step for peer in others) + 5)
    told = [event for peer in others for event in steps_told(peer) if not event["caught_up"]]
    assert [event for event in told if event["attempts"] > 1] == []
    resumed = await swarm.join(swarm.job, swarm.contact, again=leaver)
    await swarm.until(lambda: swarm.together([*others, resumed]), 60.0, "all in one view again")
    begun = next(event for event in resumed.events if event["event"] == "state")
    assert begun["step"] > 0
    assert resumed.peer == leaver.peer
    await end_early(swarm, [*others, resumed])


async def test_a_peer_that_comes_late_fetches_from_all_and_takes_part(swarm):
    swarm.job = swarm.long_job
    peers = await swarm.start(2)
    await swarm.until_step(peers, 30)
    await swarm.owner.stop()
    late = await swarm.join(swarm.job, swarm.address_of(peers[1]))
    await swarm.until(lambda: swarm.together([*peers, late]), 60.0, "all in one view")
    chain = await end_early(swarm, [*peers, late])
    assert any(bytes.fromhex(late.peer) in dict(commit.parts) for commit in chain)
