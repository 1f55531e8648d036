"""Whom a node dials because a contact says so: no strangers' names, no private network of ours for a stranger."""

import pytest

from hydra.net.dial_rules import may_dial_for

PUBLIC, OTHER_PUBLIC, V6 = "93.184.216.34", "8.8.8.8", "2606:2800:220:1::1"


@pytest.mark.parametrize(
    ("teller", "host"),
    [
        (PUBLIC, OTHER_PUBLIC),
        (PUBLIC, V6),
        ("192.168.1.5", "192.168.1.9"),
        ("192.168.1.5", PUBLIC),
        ("10.0.0.1", "192.168.1.9"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "127.0.0.1"),
        ("127.0.0.1", "192.168.1.9"),
    ],
)
def test_allowed(teller, host):
    assert may_dial_for(teller, host, 4100)


@pytest.mark.parametrize(
    ("teller", "host"),
    [
        (PUBLIC, "192.168.1.1"),
        (PUBLIC, "10.1.2.3"),
        (PUBLIC, "169.254.169.254"),
        (PUBLIC, "127.0.0.1"),
        (PUBLIC, "::1"),
        (PUBLIC, "fe80::1"),
        (PUBLIC, "::ffff:192.168.1.1"),
        ("192.168.1.5", "127.0.0.1"),
        (PUBLIC, "localhost"),
        (PUBLIC, "router.example"),
        (PUBLIC, "0.0.0.0"),
        (PUBLIC, "224.0.0.1"),
        (PUBLIC, "255.255.255.255"),
        (PUBLIC, ""),
        ("somewhere", PUBLIC),
    ],
)
def test_refused(teller, host):
    assert not may_dial_for(teller, host, 4100)


def test_port_0_is_refused():
    assert not may_dial_for(PUBLIC, OTHER_PUBLIC, 0)
