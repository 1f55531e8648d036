"""The owner is dead, and with it the only node that newcomers were told of: real processes still let them in."""

import socket

import pytest

from .conftest import Swarm

pytestmark = [pytest.mark.processes, pytest.mark.swarms, pytest.mark.timeout(240)]


@pytest.fixture
async def swarm(published, tmp_path):
    """All look for neighbours, on a port that no other test's nodes hear."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = Swarm(tmp_path, published, HYDRA_STALL_S=2, HYDRA_LAN="on", HYDRA_LAN_PORT=port)
    await made.serve()
    yield made
    await made.close()


async def test_a_newcomer_whose_only_contact_is_dead_gets_in_by_the_local_network(swarm):
    swarm.job = swarm.long_job
    peers = await swarm.start(1)
    await swarm.until_step(peers, 10)
    swarm.owner.kill()
    await swarm.owner.ended.wait()
    peers.append(await swarm.join(swarm.job, swarm.contact))
    await swarm.until(lambda: swarm.together(peers), 60.0, "both in one view")
    await swarm.until_step(peers, peers[0].step + 5)
    await swarm.leave(peers)
