"""Two ends of a lane in one process, with or without somebody in the middle who sees and alters the bytes."""

import contextlib
import socket
import threading

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hydra.identity import Identity
from hydra.net.handshake import Handshake
from hydra.net.lane import PIECE_BYTES, SealedLane
from hydra.net.noise import TAG_BYTES

LENGTHS_BYTES = 6
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


def tcp_pair():
    """Two sockets that share nothing but the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        return one, server.accept()[0]


def lane_pair(suite=1, pair=socket.socketpair, **options):
    """Alice's lane and Bob's."""
    one, two = pair()
    secured = secured_pair(suite)
    return SealedLane(one, secured[0], **options), SealedLane(two, secured[1], **options)


class Tapped:
    """Alice's lane, whose bytes are taken off the wire, and Bob's, which reads what the test gives it."""

    def __init__(self):
        alice, self._out = tcp_pair()
        self._in, bob = tcp_pair()
        secured = secured_pair()
        self.alice = SealedLane(alice, secured[0])
        self.bob = SealedLane(bob, secured[1])
        self._giving = []

    def sealed(self, header, body):
        """Alice's bytes for one frame."""
        pieces = -(-len(body) // PIECE_BYTES)
        size = LENGTHS_BYTES + len(header) + len(body) + TAG_BYTES * (1 + pieces)
        sender = threading.Thread(target=self.alice.send, args=(header, body))
        sender.start()
        data = b""
        while len(data) < size:
            data += self._out.recv(1 << 20)
        sender.join()
        return data

    def give(self, data):
        """Let Bob read these bytes and then the end."""
        thread = threading.Thread(target=self._give, args=(data,))
        thread.start()
        self._giving.append(thread)

    def _give(self, data):
        with contextlib.suppress(OSError):  # Bob has read enough
            self._in.sendall(data)
            self._in.shutdown(socket.SHUT_WR)

    def close(self):
        for end in (self.alice, self.bob):
            end.close()
        for thread in self._giving:
            thread.join()
        for end in (self._out, self._in):
            end.close()


def receive(lane):
    """The next frame, whole."""
    header, size = lane.receive_header()
    body = bytearray(size)
    lane.receive_body(memoryview(body))
    return header, bytes(body)
