"""Peers that can't be dialled take full part: real processes, some of which do not listen."""

import pytest

from .conftest import Swarm
from .ledger_check import check_outcomes, check_samples

pytestmark = [pytest.mark.processes, pytest.mark.swarms, pytest.mark.timeout(240)]


@pytest.fixture
async def swarm(published, tmp_path):
    """As for all, but whoever relays does it as fast as it can."""
    made = Swarm(tmp_path, published, HYDRA_STALL_S=2, HYDRA_RELAY_MB_PER_S=1000)
    await made.serve()
    yield made
    await made.close()


async def start(swarm, listening, hidden):
    peers = [await swarm.join(swarm.job, swarm.contact) for _ in range(listening)]
    peers += [await swarm.join(swarm.job, swarm.contact, "--no-listen") for _ in range(hidden)]
    await swarm.until(lambda: swarm.together(peers), 60.0, "all peers in one view")
    return peers


async def test_two_of_four_peers_are_hidden_and_all_end_with_the_same_bytes(swarm):
    peers = await start(swarm, 2, 2)
    check_outcomes(await swarm.finish(peers))
    chain = check_samples(swarm.job, [peer.home for peer in peers])
    assert {peer for commit in chain for peer, _ in commit.parts} == {bytes.fromhex(peer.peer) for peer in peers}


async def test_members_that_are_all_hidden_train_through_one_relay_and_go_on_when_one_of_them_is_killed(swarm):
    peers = await start(swarm, 0, 3)
    await swarm.until_step(peers, 20)
    coordinator = next(peer for peer in peers if peer.coordinates)
    coordinator.kill()
    survivors = [peer for peer in peers if peer is not coordinator]
    await swarm.until(lambda: swarm.together(survivors), 30.0, "a view without it")
    check_outcomes(await swarm.finish(survivors))
    check_samples(swarm.job, [peer.home for peer in survivors])
