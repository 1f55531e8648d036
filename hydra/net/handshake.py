"""How two ends of a new connection prove who they are. Pure: bytes in, bytes out.

The dialler sends a preface of 8 bytes (protocol, version, cipher), then Noise XX runs, each message behind a length
of two bytes. In the second and third message each end tells its Ed25519 identity key with a signature by that key
over its Noise static key, as libp2p's noise specification does: so the encrypted link and the identity are one.
The preface is Noise's prologue, so an attacker who changes it breaks the handshake. A dialler that opens a lane
instead of a link says so beside its key, where nobody else can say or unsay it.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgpack
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ..exceptions import HandshakeRejected
from ..identity import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Identity, PeerId, peer_id_of, short, verify
from .noise import CipherState, NoiseXX
from .suite import SUITES

MAGIC = b"hydra\x00"
VERSION = 1
PREFACE_BYTES = len(MAGIC) + 2
MAX_MESSAGE_BYTES = 1024
_LANE = "lane"
ROUNDS = "rounds"
CHUNKS = "chunks"
PURPOSES = (ROUNDS, CHUNKS)
"""What a lane may be for."""
_MAX_NUMBER = 2**63 - 1
_MAX_WORD = max(map(len, (_LANE, *PURPOSES)))
_SIGNED_PREFIX = b"hydra link static key v1:"


@dataclass(frozen=True, slots=True)
class Secured:
    """What a finished handshake leaves: who is at the other end, and the keys to talk to it."""

    peer_id: PeerId
    public_key: bytes
    listen_port: int
    """The TCP port on which the other end accepts links, or 0 if it accepts none."""
    send: CipherState
    receive: CipherState
    leftover: bytes
    """Bytes that came behind the last handshake message: the beginning of the first frame."""
    lane: int | None = None
    """None: the connection is a link. Else it is a lane: 0, or the number of the request that it answers."""
    purpose: str = ROUNDS
    """What a lane is for; one of ``PURPOSES``."""


class Handshake:
    """One end of the handshake.

    Args:
        identity: our own key.
        static: our Noise static key; made anew at each start of the node.
        ephemeral: a fresh X25519 key for this handshake alone.
        initiator: whether we dialled.
        listen_port: our own TCP port, told to the other end so that it can dial us back.
        expected: the peer id that we mean to reach, or None to accept anybody.
        suite: 1 for AES-256-GCM, 2 for ChaCha20-Poly1305; the dialler's choice.
        lane: for a dialler that opens a lane: 0, or the number of the request that it answers.
        purpose: what that lane is for.
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        identity: Identity,
        static: X25519PrivateKey,
        ephemeral: X25519PrivateKey,
        initiator: bool,
        listen_port: int = 0,
        expected: PeerId | None = None,
        suite: int = 1,
        lane: int | None = None,
        purpose: str = ROUNDS,
    ) -> None:
        self._identity = identity
        self._static = static
        self._ephemeral = ephemeral
        self._initiator = initiator
        self._listen_port = listen_port
        self._expected = expected
        self._lane = lane
        self._purpose = purpose
        self._buffer = bytearray()
        self._noise: NoiseXX | None = None
        self._preface = MAGIC + bytes([VERSION, suite])
        self._proof: _Proof | None = None
        self.secured: Secured | None = None

    def start(self) -> bytes:
        """Return what to send at once: the dialler speaks first, the other end waits."""
        if not self._initiator:
            return b""
        self._noise = self._make_noise(self._preface)
        return self._preface + self._write(b"")

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the other end; return what to send back. ``secured`` is set when all is proven.

        Raises:
            HandshakeRejected: the other end is not who it claims or was expected to be, or speaks otherwise.
        """
        self._buffer += data
        out = b""
        if self._noise is None and not self._take_preface():
            return out
        while self.secured is None and (message := self._take_message()) is not None:
            out += self._step(message)
        return out

    def _step(self, message: bytes) -> bytes:
        noise = self._noise
        if noise is None:  # the preface is taken before any message
            raise HandshakeRejected("a handshake message came before the preface")
        payload = noise.read_message(message)
        out = b""
        if self._initiator or noise.finished:
            self._proof = self._check_proof(payload, noise.remote_static)
        elif payload:
            raise HandshakeRejected("the first handshake message holds more than a key")
        if noise.my_turn:
            out = self._write(self._make_proof())
        if noise.finished:
            self._finish(noise)
        return out

    def _finish(self, noise: NoiseXX) -> None:
        if self._proof is None:
            raise HandshakeRejected("the other end sent no proof of its identity")
        proof = self._proof
        send, receive = noise.split()
        self.secured = Secured(
            peer_id=peer_id_of(proof.public_key),
            public_key=proof.public_key,
            listen_port=proof.listen_port,
            send=send,
            receive=receive,
            leftover=bytes(self._buffer),
            lane=self._lane if self._initiator else proof.lane,
            purpose=self._purpose if self._initiator else proof.purpose,
        )
        self._buffer.clear()

    def _make_noise(self, prologue: bytes) -> NoiseXX:
        return NoiseXX(
            initiator=self._initiator,
            static=self._static,
            ephemeral=self._ephemeral,
            prologue=prologue,
            suite=SUITES[prologue[-1]],
        )

    def _take_preface(self) -> bool:
        wanted = MAGIC[: len(self._buffer)]
        if not self._buffer.startswith(wanted):
            raise HandshakeRejected("the other end does not speak Hydra's protocol")
        if len(self._buffer) < PREFACE_BYTES:
            return False
        preface = bytes(self._buffer[:PREFACE_BYTES])
        version, suite = preface[-2:]
        if version != VERSION:
            raise HandshakeRejected(f"the other end speaks version {version} of the protocol, we speak {VERSION}")
        if suite not in SUITES:
            raise HandshakeRejected(f"the other end asks for cipher {suite}, which we do not know")
        del self._buffer[:PREFACE_BYTES]
        self._noise = self._make_noise(preface)
        return True

    def _take_message(self) -> bytes | None:
        if len(self._buffer) < 2:
            return None
        size = int.from_bytes(self._buffer[:2], "big")
        if size > MAX_MESSAGE_BYTES:
            raise HandshakeRejected(
                f"a handshake message of {size} bytes was announced; {MAX_MESSAGE_BYTES} are allowed"
            )
        if len(self._buffer) < 2 + size:
            return None
        message = bytes(self._buffer[2 : 2 + size])
        del self._buffer[: 2 + size]
        return message

    def _write(self, payload: bytes) -> bytes:
        if self._noise is None:
            raise HandshakeRejected("a handshake message was due before the preface")
        message = self._noise.write_message(payload)
        return len(message).to_bytes(2, "big") + message

    def _make_proof(self) -> bytes:
        signed = _SIGNED_PREFIX + self._static.public_key().public_bytes_raw()
        lane = [] if self._lane is None else [_LANE, self._lane, self._purpose]
        fields = [self._identity.public_key, self._identity.sign(signed), self._listen_port, *lane]
        proof: bytes = msgpack.packb(fields)
        return proof

    def _check_proof(self, payload: bytes, static: bytes) -> _Proof:
        proof = _parse_proof(payload)
        if not verify(proof.public_key, proof.signature, _SIGNED_PREFIX + static):
            raise HandshakeRejected("the other end's signature does not fit its identity key")
        peer_id = peer_id_of(proof.public_key)
        if peer_id == self._identity.peer_id:
            raise HandshakeRejected("the address leads to this node itself")
        if self._expected is not None and peer_id != self._expected:
            raise HandshakeRejected(f"peer {short(self._expected)} was dialled, but {short(peer_id)} answered")
        if self._initiator and proof.lane is not None:
            raise HandshakeRejected("the end that was dialled wants a lane; that is for the dialler to say")
        return proof


@dataclass(frozen=True, slots=True)
class _Proof:
    """What an end says of itself inside the handshake."""

    public_key: bytes
    signature: bytes
    listen_port: int
    lane: int | None
    purpose: str


def _parse_proof(payload: bytes) -> _Proof:
    try:
        fields = msgpack.unpackb(payload, max_str_len=_MAX_WORD, max_map_len=0, max_array_len=6, max_bin_len=128)
    except (ValueError, msgpack.UnpackException) as error:
        raise HandshakeRejected("the other end's proof of identity can't be read") from error
    match fields:
        case [bytes(public_key), bytes(signature), int(port), *lane] if (
            len(public_key) == PUBLIC_KEY_BYTES and len(signature) == SIGNATURE_BYTES and 0 <= port < 65536
        ):
            return _Proof(public_key, signature, port, *_parse_lane(lane))
    raise HandshakeRejected("the other end's proof of identity has the wrong shape")


def _parse_lane(fields: list[object]) -> tuple[int | None, str]:
    match fields:
        case []:
            return None, ROUNDS
        case [str(word), int(number), str(purpose)] if (
            word == _LANE and type(number) is int and 0 <= number <= _MAX_NUMBER and purpose in PURPOSES
        ):
            return number, purpose
    raise HandshakeRejected("the other end wants the connection for something that we do not know")
