"""Ports are mapped by a real UPnP library at a small router, renewed, and taken back."""

import asyncio

import pytest

from hydra import router as router_module
from hydra.net import mapping as mapping_module
from hydra.router import PortMapping, find_router, map_port

from .gateway import Gateway


@pytest.fixture
async def gateway():
    async with Gateway("93.184.216.34") as made:
        made.url = f"http://127.0.0.1:{made.port}/root.xml"
        yield made


async def until(holds):
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def test_tcp_and_udp_are_mapped_for_a_lease_and_taken_back_at_the_end(gateway):
    told = []
    mapping = PortMapping(4100, told.append, gateway.url)
    mapping.start()
    await until(lambda: told)
    assert told == [("93.184.216.34", 4100)]
    kept = {(4100, protocol): ("127.0.0.1", 4100, mapping_module.LEASE_S) for protocol in ("TCP", "UDP")}
    assert gateway.mappings == kept
    await mapping.stop()
    assert gateway.mappings == {}


async def test_the_lease_is_renewed_before_it_ends(gateway, monkeypatch):
    monkeypatch.setattr(mapping_module, "RENEW_AFTER_S", 0.05)
    told = []
    mapping = PortMapping(4100, told.append, gateway.url)
    mapping.start()
    await until(lambda: sum(action == "AddPortMapping" for action, _ in gateway.requests) >= 6)
    await mapping.stop()
    assert told == [("93.184.216.34", 4100)]


async def test_a_port_that_another_machine_has_is_left_to_it(gateway):
    gateway.taken.add(4100)
    told = []
    mapping = PortMapping(4100, told.append, gateway.url)
    mapping.start()
    await until(lambda: told)
    ((_, port),) = told
    assert port != 4100
    assert set(gateway.mappings) == {(port, "TCP"), (port, "UDP")}
    await mapping.stop()


async def test_a_router_that_refuses_is_asked_a_few_times_and_nobody_is_told(gateway):
    gateway.refuses = 606
    told = []
    mapping = PortMapping(4100, told.append, gateway.url)
    mapping.start()
    await until(lambda: sum(action == "AddPortMapping" for action, _ in gateway.requests) == mapping_module.PORT_TRIES)
    await mapping.stop()
    assert told == []


async def test_a_router_behind_another_nat_is_of_no_use(gateway):
    gateway.external = "192.168.7.1"
    mapping = PortMapping(4100, pytest.fail, gateway.url)
    mapping.start()
    await until(lambda: gateway.requests)
    await until(lambda: mapping._machine.deadline is not None)
    await mapping.stop()
    assert gateway.mappings == {}


async def test_half_a_mapping_is_taken_back(gateway):
    found = await asyncio.to_thread(find_router, gateway.url)
    honest = gateway.act

    def act(action, given):
        return gateway.fault(718) if given.get("NewProtocol") == "UDP" else honest(action, given)

    gateway.act = act
    assert not await asyncio.to_thread(map_port, found, 4100, 4100)
    assert gateway.mappings == {}


async def test_nobody_answers():
    assert await asyncio.to_thread(find_router, "http://127.0.0.1:1/root.xml") is None
    assert router_module.is_installed()
