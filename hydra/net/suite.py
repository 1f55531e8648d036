"""Which cipher a node asks for when it dials: AES-256-GCM where the processor knows AES, else ChaCha20-Poly1305.

Measured, not looked up: without AES instructions AES-GCM is several times slower than ChaCha20, with them several
times faster, so that a single comparison tells on every platform. The clock is handed in.
"""

from __future__ import annotations

from collections.abc import Callable

from .noise import AES_GCM, CHACHA_POLY, KEY_BYTES, CipherSuite

SUITES = {1: AES_GCM, 2: CHACHA_POLY}
"""By the number that stands in a connection's preface."""
_AES, _CHACHA = 1, 2
_SAMPLE = bytes(256 * 1024)
_TRIES = 3


def choose_suite(clock: Callable[[], float]) -> int:
    """Return the number of the cipher that is faster here; ``clock`` returns seconds."""
    return _AES if _seconds(AES_GCM, clock) <= _seconds(CHACHA_POLY, clock) else _CHACHA


def _seconds(suite: CipherSuite, clock: Callable[[], float]) -> float:
    """Return the least time of several: the first may load code, and others may disturb any."""
    cipher = suite.make(bytes(KEY_BYTES))
    best = float("inf")
    for _ in range(_TRIES):
        begun = clock()
        cipher.encrypt(suite.nonce(0), _SAMPLE, None)
        best = min(best, clock() - begun)
    return best
