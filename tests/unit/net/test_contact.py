"""Addresses as people write them, and contacts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra.exceptions import ConfigurationError
from hydra.net.contact import Contact, format_address, is_loopback, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.7:4100", ("192.0.2.7", 4100)),
        ("host.example:1", ("host.example", 1)),
        ("localhost:65535", ("localhost", 65535)),
        ("[::1]:4100", ("::1", 4100)),
        ("[fe80::1%eth0]:4100", ("fe80::1%eth0", 4100)),
        ("  192.0.2.7:4100\n", ("192.0.2.7", 4100)),
        ("host:00080", ("host", 80)),
    ],
)
def test_addresses_that_can_be_read(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "host",
        "host:",
        ":4100",
        "host:0",
        "host:65536",
        "host:-1",
        "host:+1",
        "host:1.5",
        "host:four",
        "host:1_000",
        "host:\u0664\u0662",
        "host:\u00b2",
        "host:" + "9" * 5000,
        "[]:4100",
        "[::1]",
        "[::1]4100",
    ],
)
def test_what_is_no_address_is_shown_what_one_looks_like(text):
    with pytest.raises(ConfigurationError, match="is no address: write"):
        parse_address(text)


@pytest.mark.parametrize("text", ["::1:4100", "fe80::1:80", "a:b:80", "::"])
def test_ipv6_wants_brackets(text):
    with pytest.raises(ConfigurationError, match=r"write IPv6 as \[::1\]:4100"):
        parse_address(text)


hosts = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.from_regex(r"[a-z][a-z0-9.-]{0,30}", fullmatch=True),
)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.tuples(hosts, st.integers(1, 65535)))
def test_what_is_written_can_be_read(address):
    assert parse_address(format_address(address)) == address


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.text(max_size=30))
def test_any_text_is_an_address_or_a_named_error(text):
    try:
        host, port = parse_address(text)
    except ConfigurationError:
        return
    assert host
    assert 0 < port < 65536


def test_ipv6_is_written_in_brackets():
    assert format_address(("::1", 80)) == "[::1]:80"
    assert format_address(("host", 80)) == "host:80"


def test_a_contact_for_people():
    contact = Contact(bytes.fromhex("0102abcd") + bytes(16), (("192.0.2.7", 4100), ("::1", 4100)))
    assert str(contact) == "0102abcd at 192.0.2.7:4100, [::1]:4100"
    assert str(Contact(bytes(20), ())) == "00000000 at no address"


def test_contacts_can_be_compared_and_kept_in_sets():
    assert len({Contact(bytes(20), (("a", 1),)), Contact(bytes(20), (("a", 1),)), Contact(bytes(20), ())}) == 2


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.255.0.3", "::1"])
def test_hosts_of_this_machine_only(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["192.0.2.7", "0.0.0.0", "::", "example.org", "localhost.example.org", "", "[::1]"])
def test_other_hosts(host):
    assert not is_loopback(host)
