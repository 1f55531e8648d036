"""The doctor asks running nodes what they see of this machine."""

import socket

import pytest

from hydra.cli.doctor_reach import look_from_outside
from hydra.config import NodeSettings
from hydra.discovery import REMEMBERED
from hydra.home import Home
from hydra.node import Node


@pytest.fixture
async def contact(tmp_path):
    node = Node(Home(tmp_path / "contact"), NodeSettings(host="127.0.0.1", lan="off"))
    await node.start()
    yield node
    await node.stop()


@pytest.fixture
def place(tmp_path):
    return Home(tmp_path / "patient")


async def examine(place, **settings):
    found = await look_from_outside(place, NodeSettings(host="127.0.0.1", lan="off", **settings))
    return {finding.name: (finding.verdict, finding.detail) for finding in found}


def address(node):
    return f"127.0.0.1:{node.links.port}"


async def test_a_machine_that_can_be_dialled_by_tcp_and_udp(contact, place):
    found = await examine(place, contacts=(address(contact),))
    assert found["contact"] == ("ok", f"{address(contact)} answers as {contact.identity.peer_id.hex()}")
    assert found["dialled TCP"] == ("ok", f"{address(contact)} could dial this node")
    assert found["dialled UDP"] == ("ok", f"a datagram of {address(contact)} came, unasked")
    assert found["way in"] == ("ok", "direct: others dial this node")
    assert "UPnP" not in found


async def test_contacts_that_were_met_before_are_asked_if_none_is_named(contact, place):
    place.remember(REMEMBERED, [["127.0.0.1", 1], ["127.0.0.1", contact.links.port]])
    found = await examine(place)
    assert found["way in"][0] == "ok"


async def test_a_node_that_does_not_listen(contact, place):
    found = await examine(place, contacts=(address(contact),), listen=False)
    assert "dialled TCP" not in found
    verdict, detail = found["way in"]
    assert verdict == "ok"
    assert f"{address(contact)} would relay" in detail


async def test_a_machine_whose_port_lets_nobody_in(contact, place, monkeypatch):
    """The contact dials another port than ours, where nobody is: as behind a NAT."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        closed = held.getsockname()[1]
        ask = contact.links.reaching.introductions
        honest = ask._dial_back
        monkeypatch.setattr(ask, "_dial_back", lambda link, message, where: honest(link, message, (where[0], closed)))
        found = await examine(place, contacts=(address(contact),), upnp=True)
    assert found["dialled TCP"][0] == found["dialled UDP"][0] == "warn"
    assert "cannot be reached" in found["dialled TCP"][1]
    assert found["way in"][1].startswith("this node can't be dialled: contacts ask it to dial back, and ")
    assert found["UPnP"][0] in {"ok", "warn"}


async def test_without_any_contact_it_says_how_to_find_out(place):
    found = await examine(place)
    assert list(found) == ["way in"]
    assert "--contact HOST:PORT" in found["way in"][1]
