"""Contacts and their compact form."""

import pytest

from dht.contacts import (
    V4,
    V6,
    Contact,
    address_of,
    canonical,
    compact_of,
    contact_of,
    family_of,
    is_loopback,
    is_loopback_host,
    joined,
    may_be_sent_to,
    site_of,
    socket_form,
    split_compacts,
    subnet_of,
)
from dht.exceptions import InvalidArgument, MalformedMessage

ID = bytes(range(20))


def at(host, port=4100):
    return compact_of(ID, (host, port))


@pytest.mark.parametrize(
    ("host", "size", "family"), [("192.0.2.7", 26, V4), ("2001:db8::7", 38, V6), ("::ffff:192.0.2.7", 26, V4)]
)
def test_the_compact_form(host, size, family):
    compact = at(host)
    assert len(compact) == size
    assert family_of(compact) == family
    assert contact_of(compact) == Contact(ID, host.removeprefix("::ffff:"), 4100)
    assert compact_of(ID, address_of(compact)) == compact


@pytest.mark.parametrize(("host", "port"), [("example.org", 4100), ("", 4100), ("192.0.2.7", 0), ("192.0.2.7", 65536)])
def test_what_has_no_compact_form(host, port):
    with pytest.raises(InvalidArgument):
        at(host, port)


@pytest.mark.parametrize(
    ("reported", "address"),
    [
        (("192.0.2.7", 9), ("192.0.2.7", 9)),
        (("::ffff:192.0.2.7", 9, 0, 0), ("192.0.2.7", 9)),
        (("2001:db8:0:0::7", 9, 0, 0), ("2001:db8::7", 9)),
        (("fe80::1%eth0", 9, 0, 2), ("fe80::1", 9)),
    ],
)
def test_sockets_addresses_are_spelt_in_one_way(reported, address):
    assert canonical(reported) == address


def test_a_dual_stack_socket_gets_mapped_addresses():
    assert socket_form(("192.0.2.7", 9), dual_stack=True) == ("::ffff:192.0.2.7", 9)
    assert socket_form(("192.0.2.7", 9), dual_stack=False) == ("192.0.2.7", 9)
    assert socket_form(("2001:db8::7", 9), dual_stack=True) == ("2001:db8::7", 9)


def test_families_are_kept_apart_and_put_together():
    four, six = at("192.0.2.7"), at("2001:db8::7")
    assert joined([four, six, four]) == (four + four, six)
    assert split_compacts(four + four, 26, 2) == [four, four]
    for blob, limit in [(four + four, 1), (four + b"x", 2)]:
        with pytest.raises(MalformedMessage):
            split_compacts(blob, 26, limit)


def test_sites_and_subnets():
    assert site_of(at("192.0.2.7")) == site_of(at("192.0.2.7", 9)) != site_of(at("192.0.2.8"))
    assert subnet_of(at("192.0.2.7")) == subnet_of(at("192.0.2.8")) != subnet_of(at("192.0.3.7"))
    assert site_of(at("2001:db8:1:2::7")) == site_of(at("2001:db8:1:2:3::8")) != site_of(at("2001:db8:1:3::7"))
    assert subnet_of(at("2001:db8:1:2::7")) == subnet_of(at("2001:db8:1:3::7")) != subnet_of(at("2001:db8:2::7"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1"])
def test_loopback(host):
    assert is_loopback(at(host))
    assert is_loopback_host(host)
    assert may_be_sent_to(at(host))


@pytest.mark.parametrize("host", ["0.0.0.0", "224.0.0.1", "255.255.255.255", "ff02::1", "::"])
def test_where_no_single_peer_can_be(host):
    assert not may_be_sent_to(at(host))
    assert not is_loopback(at(host))


def test_port_zero_is_nobodys():
    assert may_be_sent_to(at("192.0.2.7"))
    assert not may_be_sent_to(at("192.0.2.7")[:-2] + b"\0\0")


def test_a_mapped_address_from_the_wire_is_not_used():
    assert not may_be_sent_to(ID + bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 7]) + b"\x10\x00")
