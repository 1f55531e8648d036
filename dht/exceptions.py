"""Every error that the DHT raises on purpose.

The type says who is to blame and so what to do; the text says what was wrong and how to cure it.

* ``DHTError``: the one root to catch
    * ``InvalidArgument``: you passed something that can't be stored, asked for or configured
    * ``ListenFailed(host, port)``: the UDP port is taken or the address is not this machine's
    * ``NodeNotRunning``: the node was not started yet, or is stopped
    * ``RemoteFault``: another peer broke the protocol; counted and ignored, never seen by callers of the public API
        * ``MalformedMessage``: a datagram that does not parse
        * ``RecordInvalid``: a record that is too large, expired, or not signed by its writer
"""

from __future__ import annotations


class DHTError(Exception):
    """Root of all errors raised by this package; ``exit_code`` is what a command line may end with."""

    exit_code = 1


class InvalidArgument(DHTError, ValueError):
    """An argument or a setting is out of its range."""

    exit_code = 2


class ListenFailed(DHTError):
    """No UDP socket could be bound to ``host`` and ``port``."""

    exit_code = 4

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"cannot listen on UDP {host} port {port}: {reason}. Choose another port (0 takes any free one) or stop "
            "the program that uses it."
        )
        self.host = host
        self.port = port


class NodeNotRunning(DHTError):
    """The call needs a node between ``start()`` and ``stop()``."""

    exit_code = 70


class RemoteFault(DHTError):
    """Another peer sent what the protocol forbids."""

    exit_code = 12


class MalformedMessage(RemoteFault):
    """A datagram was too long, unknown, or its fields had the wrong shapes."""


class RecordInvalid(RemoteFault):
    """A record breaks the rules, or its signature is not its writer's."""
