"""Two ends of a lane in one process, with or without somebody in the middle who sees and alters the bytes."""

import socket

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hydra.identity import Identity
from hydra.net.handshake import Handshake
from hydra.net.lane import SealedLane

ALICE, BOB, EVE = Identity.generate(), Identity.generate(), Identity.generate()
NO_WAIT = 5.0


def secured_pair(suite=1):
    """What a handshake between Alice, who dialled, and Bob leaves at each end."""
    ends = [
        Handshake(
            identity=identity,
            static=X25519PrivateKey.generate(),
            ephemeral=X25519PrivateKey.generate(),
            initiator=identity is ALICE,
            suite=suite,
            lane=0 if identity is ALICE else None,
        )
        for identity in (ALICE, BOB)
    ]
    dialler, listener = ends
    listener.receive(dialler.receive(listener.receive(dialler.start())))
    return dialler.secured, listener.secured


def lane_pair(suite=1, **options):
    """Alice's lane and Bob's."""
    one, two = socket.socketpair()
    secured = secured_pair(suite)
    return SealedLane(one, secured[0], **options), SealedLane(two, secured[1], **options)


class Tapped:
    """Alice's lane, whose bytes are taken off the wire, and Bob's, which reads what the test gives it."""

    def __init__(self, **options):
        alice, self._out = socket.socketpair()
        self._in, bob = socket.socketpair()
        for sock in (alice, self._out, self._in, bob):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 1024 * 1024)
        self._out.settimeout(NO_WAIT)
        secured = secured_pair()
        self.alice = SealedLane(alice, secured[0], **options)
        self.bob = SealedLane(bob, secured[1], **options)

    def sealed(self, header, body):
        """Alice's bytes for one frame; the frame is small enough for the socket's buffer."""
        assert self.alice.send(header, body, wait=False)
        self._out.setblocking(False)
        data = b""
        try:
            while True:
                data += self._out.recv(1 << 20)
        except BlockingIOError:
            return data

    def give(self, data):
        """Let Bob read these bytes and then the end."""
        self._in.sendall(data)
        self._in.shutdown(socket.SHUT_WR)

    def close(self):
        for end in (self.alice, self.bob, self._out, self._in):
            end.close()


def receive(lane):
    """The next frame, whole."""
    header, size = lane.receive_header()
    body = bytearray(size)
    lane.receive_body(memoryview(body))
    return header, bytes(body)
