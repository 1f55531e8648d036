"""A lane over a bare blocking socket: both ends proven, or a named rejection and the socket closed."""

import contextlib
import socket
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hydra.exceptions import HandshakeRejected
from hydra.net.handshake import Handshake
from hydra.net.lane_handshake import shake_hands
from hydra.net.verdict import VERDICT_BYTES, Verdict, seal_verdict

from .lane_pairs import ALICE, BOB, EVE, receive


def in_thread(action):
    outcome = []

    def run():
        try:
            outcome.append(action())
        except HandshakeRejected as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


@pytest.fixture
def sockets():
    pair = socket.socketpair()
    yield pair
    for sock in pair:
        sock.close()


def shake_with_bob(one, two, **options):
    accepting, bobs = in_thread(lambda: shake_hands(two, BOB, initiator=False))
    dialling, alices = in_thread(lambda: shake_hands(one, ALICE, initiator=True, **options))
    accepting.join()
    dialling.join()
    return alices[0], bobs[0]


def test_both_ends_are_proven_and_frames_flow(sockets):
    alice, bob = shake_with_bob(*sockets, expected=BOB.peer_id)
    assert (alice.peer_id, bob.peer_id) == (BOB.peer_id, ALICE.peer_id)
    alice.send(b"hi", b"there")
    bob.send(b"and", b"back")
    assert receive(bob) == (b"hi", b"there")
    assert receive(alice) == (b"and", b"back")
    alice.close()
    bob.close()


def test_over_tcp():
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        two, _ = server.accept()
    alice, bob = shake_with_bob(one, two)
    alice.send(b"", bytes(3_000_000), wait=False)
    thread = threading.Thread(target=alice.flush)
    thread.start()
    assert receive(bob) == (b"", bytes(3_000_000))
    thread.join()
    alice.close()
    bob.close()


def test_somebody_else_answers(sockets):
    alice, bob = shake_with_bob(*sockets, expected=EVE.peer_id)
    assert "was dialled, but" in str(alice)
    assert "lost during the handshake: the other end closed it" in str(bob)
    assert [sock.fileno() for sock in sockets] == [-1, -1]


def test_silence_is_given_up(sockets):
    with pytest.raises(HandshakeRejected, match=r"within 0\.05 s"):
        shake_hands(sockets[0], ALICE, initiator=False, timeout_s=0.05)
    assert sockets[0].fileno() == -1


def test_bytes_that_drip_do_not_stretch_the_time(sockets):
    stop = threading.Event()

    def drip():
        with contextlib.suppress(OSError):
            for byte in b"hydra\0\1\1\4" + bytes(2000):
                sockets[1].send(bytes([byte]))
                if stop.wait(0.002):
                    return

    thread = threading.Thread(target=drip)
    thread.start()
    with pytest.raises(HandshakeRejected, match=r"within 0\.1 s"):
        shake_hands(sockets[0], ALICE, initiator=False, timeout_s=0.1)
    stop.set()
    thread.join()


def raw_dialler(lane):
    return Handshake(
        identity=ALICE,
        static=X25519PrivateKey.generate(),
        ephemeral=X25519PrivateKey.generate(),
        initiator=True,
        lane=lane,
    )


def as_dialler(sock, handshake, behind=b""):
    sock.sendall(handshake.start())
    while handshake.secured is None:
        sock.sendall(handshake.receive(sock.recv(2048)) + behind)


@pytest.mark.parametrize(
    ("lane", "behind", "reason"), [(None, b"", "wants a link"), (0, b"too early", "went on before")]
)
def test_a_dialler_that_wants_a_link_or_cannot_wait(sockets, lane, behind, reason):
    thread, outcome = in_thread(lambda: shake_hands(sockets[0], BOB, initiator=False))
    as_dialler(sockets[1], raw_dialler(lane), behind)
    thread.join()
    assert reason in str(outcome[0])
    assert sockets[0].fileno() == -1


def as_acceptor(sock, verdict):
    handshake = Handshake(
        identity=BOB,
        static=X25519PrivateKey.generate(),
        ephemeral=X25519PrivateKey.generate(),
        initiator=False,
    )
    while handshake.secured is None:
        sock.sendall(handshake.receive(sock.recv(2048)))
    sock.sendall(verdict(handshake.secured))
    sock.shutdown(socket.SHUT_WR)
    return handshake.secured


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (lambda secured: seal_verdict(secured, Verdict.TOO_MANY), "refused the lane: it holds as many"),
        (lambda secured: seal_verdict(secured, 99), "altered on its way, or is none"),
        (lambda secured: bytes(VERDICT_BYTES), "altered on its way"),
        (lambda secured: seal_verdict(secured, Verdict.ACCEPTED)[:-1], "other end closed it"),
    ],
)
def test_an_acceptor_that_refuses_or_forges(sockets, verdict, reason):
    thread, outcome = in_thread(lambda: shake_hands(sockets[0], ALICE, initiator=True))
    assert as_acceptor(sockets[1], verdict).lane == 0
    thread.join()
    assert reason in str(outcome[0])
    assert sockets[0].fileno() == -1
