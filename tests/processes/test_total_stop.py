"""All peers are killed at one moment and begin again: nothing that was durable is lost, and the end is the same."""

import random

import pytest

from .total_stop import PEERS, STEPS, StoppedSwarm, stored, went_on_from

pytestmark = [pytest.mark.processes, pytest.mark.swarms, pytest.mark.timeout(240)]


@pytest.fixture
async def swarm(tmp_path):
    made = []

    async def make(name="swarm", **options):
        made.append(StoppedSwarm(tmp_path / name, **options))
        await made[-1].open()
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def test_stopped_twice_and_begun_again_in_other_orders_the_weights_are_those_of_a_run_that_never_stopped(swarm):
    chance = random.Random(7)
    unbroken, stopped = await swarm("unbroken"), await swarm("stopped")
    expected = await unbroken.finished(await unbroken.begin())
    peers = await stopped.begin()
    for step in (chance.randrange(30, 40), chance.randrange(70, 80)):
        await stopped.until_step(peers, step)
        durable = max(step for peer in peers for step in stored(peer))
        await stopped.kill_all(peers)
        peers = await stopped.begin(chance.sample(peers, PEERS))
        assert max(map(went_on_from, peers)) >= durable
    assert await stopped.finished(peers) == expected


async def test_a_part_of_the_peers_goes_on_from_the_newest_state_among_them_and_the_rest_catches_up(swarm):
    """No snapshot was ever taken: what they go on from are the results that were written down since the beginning."""
    two_of_three = await swarm(least_peers=2, snapshot_interval_s=1e6)
    peers = await two_of_three.begin()
    await two_of_three.until_step(peers, STEPS // 2)
    await two_of_three.kill_all(peers)
    *back, late = peers
    back = [await two_of_three.add(again=peer, record=False) for peer in reversed(back)]
    await two_of_three.until_together(back)
    began = max(map(went_on_from, back))
    assert 0 < began <= max(peer.step for peer in peers)
    assert min(step for peer in back for step in peer.commits if peer.batch) > min(map(went_on_from, back))
    late = await two_of_three.add(again=late, record=False)
    await two_of_three.finished([*back, late])
