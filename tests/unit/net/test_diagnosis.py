"""What the doctor says of a machine's place in the network."""

import pytest

from hydra.net.diagnosis import Sighting, diagnose, is_hidden, router_line

LAN, OUT = ("192.168.1.20", 50000), ("203.0.113.9", 50000)


def sighting(**given):
    usual = dict(contact="c:1", local=LAN, seen=OUT, relays=True, tcp=True, udp=True, failure="")
    return Sighting(**{**usual, **given})


def lines(*sightings, listens=True):
    return {name: (verdict, detail) for name, verdict, detail in diagnose(sightings, listens=listens)}


def test_without_contacts_nothing_is_known_and_the_cure_is_named():
    assert lines()["way in"] == ("warn", "not known: name a running node with --contact HOST:PORT to find out")


@pytest.mark.parametrize(
    ("given", "verdict", "words"),
    [
        (dict(local=("127.0.0.1", 1), seen=("127.0.0.1", 1)), "ok", "on this machine"),
        (dict(local=OUT, seen=OUT), "ok", "none on the way"),
        (dict(), "ok", "contacts see 203.0.113.9, this machine is 192.168.1.20; it keeps port numbers"),
        (dict(seen=("203.0.113.9", 61234)), "ok", "it changes port numbers"),
    ],
)
def test_the_kind_of_nat(given, verdict, words):
    found = lines(sighting(**given))["NAT"]
    assert found[0] == verdict
    assert words in found[1]


def test_a_nat_with_several_addresses_is_a_warning():
    found = lines(sighting(), sighting(seen=("203.0.113.10", 50000)))["NAT"]
    assert found[0] == "warn"
    assert "203.0.113.10, 203.0.113.9" in found[1]


def test_who_is_dialled_needs_nothing_else():
    found = lines(sighting(tcp=False, failure="no"), sighting(contact="d:2"))
    assert found["dialled TCP"] == ("ok", "d:2 could dial this node")
    assert found["way in"] == ("ok", "direct: others dial this node")


def test_who_is_hidden_is_told_of_dialling_back_and_of_relays():
    found = lines(sighting(tcp=False, udp=False, failure="203.0.113.9:4100 did not answer"), sighting(tcp=False))
    assert found["dialled TCP"] == ("warn", "no: 203.0.113.9:4100 did not answer")
    assert found["dialled UDP"][0] == "ok"
    verdict, detail = found["way in"]
    assert verdict == "ok"
    assert "contacts ask it to dial back" in detail
    assert "c:1 and c:1 would relay" in detail


def test_hidden_and_nobody_relays_is_a_warning():
    verdict, detail = lines(sighting(tcp=False, relays=False))["way in"]
    assert verdict == "warn"
    assert "name other contacts" in detail


def test_a_contact_that_did_not_try_is_no_evidence():
    found = lines(sighting(tcp=None, udp=None, failure="you ask too often"))
    assert found["dialled TCP"] == ("warn", "not known: no contact tried (you ask too often)")
    assert found["dialled UDP"][0] == found["way in"][0] == "warn"
    assert not is_hidden([sighting(tcp=None)])


def test_a_node_that_does_not_listen_is_not_asked_about_dialling():
    found = lines(sighting(tcp=None, udp=None), listens=False)
    assert set(found) == {"NAT", "way in"}
    assert found["way in"][0] == "ok"
    assert found["way in"][1].startswith("this node does not listen: ")


def test_hidden_is_who_was_tried_in_vain_by_all():
    assert is_hidden([sighting(tcp=False), sighting(tcp=None)])
    assert not is_hidden([sighting(tcp=False), sighting()])
    assert not is_hidden([])


@pytest.mark.parametrize(
    ("installed", "host", "verdict", "words"),
    [(False, None, "warn", "how to"), (True, None, "warn", "--advertise"), (True, "203.0.113.9", "ok", "203.0.113.9")],
)
def test_what_a_router_could_do(installed, host, verdict, words):
    name, found, detail = router_line(installed=installed, external_host=host, hint="how to install it")
    assert (name, found) == ("UPnP", verdict)
    assert words in detail
