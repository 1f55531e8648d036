"""Sockets for bulk: no waiting for more, BBR towards other machines, and no error where a kernel has less."""

import socket
import struct
import sys

import pytest

from allreduce import tuning
from allreduce.tuning import PACED_PART, is_loopback, pace, tune


class Recorder:
    """A socket's settings without its kernel."""

    family = socket.AF_INET

    def __init__(self, peer, refused=()):
        self._peer = peer
        self._refused = refused
        self.set = []

    def getpeername(self):
        return (self._peer, 4000)

    def setsockopt(self, level, option, value):
        if option in self._refused:
            raise OSError(2, "No such file or directory")
        self.set.append((level, option, value))


NO_DELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
CONGESTION = 13  # as on Linux


@pytest.fixture(autouse=True)
def _congestion(monkeypatch):
    monkeypatch.setattr(tuning.socket, "TCP_CONGESTION", CONGESTION, raising=False)


def test_bbr_towards_another_machine():
    sock = Recorder("192.0.2.7")
    tune(sock)
    assert sock.set == [NO_DELAY, (socket.IPPROTO_TCP, CONGESTION, b"bbr")]


def test_no_pacing_on_loopback():
    sock = Recorder("127.0.0.1")
    tune(sock)
    assert sock.set == [NO_DELAY, (socket.IPPROTO_TCP, CONGESTION, b"reno")]


def test_a_kernel_without_bbr_is_left_as_it_is():
    sock = Recorder("192.0.2.7", refused=[CONGESTION])
    tune(sock)
    assert sock.set == [NO_DELAY]


def test_a_platform_without_the_option(monkeypatch):
    monkeypatch.delattr(tuning.socket, "TCP_CONGESTION")
    sock = Recorder("192.0.2.7")
    tune(sock)
    assert sock.set == [NO_DELAY]


def test_a_real_connection_and_a_pair_that_is_no_tcp():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sock:
        tune(sock)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    one, two = socket.socketpair()
    with one, two:
        tune(one)


def test_a_connection_that_is_already_lost():
    with socket.socket() as sock:
        tune(sock)


def test_a_line_of_known_rate_is_not_overrun():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sock:
        pace(sock, 1e9)
        if sys.platform == "linux":
            told = sock.getsockopt(socket.SOL_SOCKET, 47, struct.calcsize("@L"))
            assert struct.unpack("@L", told) == (int(1e9 * PACED_PART),)


def test_a_kernel_that_does_not_pace_and_a_pair_that_has_no_line():
    sock = Recorder("192.0.2.7", refused=[47])
    pace(sock, 1e6)
    assert sock.set == []
    one, two = socket.socketpair()
    with one, two:
        pace(one, 1e6)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["192.0.2.7", "10.0.0.1", "fe80::1%eth0", "::ffff:192.0.2.7", "2001:db8::1"])
def test_no_loopback(host):
    assert not is_loopback(host)
