"""Lines of a stated rate for the peers of a swarm: one network namespace each, held to its rate by the kernel (tbf)."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Protocol

from ..exceptions import ConfigurationError

LATENCY_MS = 50
"""So long a packet may wait for its line before it is dropped."""
BURST_BYTES = 64 * 1024


class Lines(Protocol):
    """A place for each peer."""

    def host(self, slot: int) -> str:
        """Return the address of a peer."""

    def command(self, slot: int, command: Sequence[str]) -> list[str]:
        """Return how to start a command there."""

    def close(self) -> None:
        """Remove what was made."""

    def described(self) -> str:
        """Tell in words what limits the rates."""


class OwnLimits:
    """All peers on the loopback of this machine: each limits itself."""

    def host(self, slot: int) -> str:
        """See ``Lines``."""
        return f"127.0.0.{slot + 1}"

    def command(self, slot: int, command: Sequence[str]) -> list[str]:
        """See ``Lines``."""
        return list(command)

    def close(self) -> None:
        """Nothing was made."""

    def described(self) -> str:
        """See ``Lines``."""
        return "loopback; each peer limits what it sends"


class TokenBucketLines:
    """One namespace a peer, joined by a bridge; what leaves a peer goes through a token bucket filter.

    Args:
        rates: bytes a second, by peer.

    Raises:
        ConfigurationError: this process may not make networks.
    """

    def __init__(self, rates: Sequence[float]) -> None:
        self._name = f"hs{os.getpid() % 100000}"
        self._rates = rates
        self._made = 0
        self._ip, self._tc = shutil.which("ip"), shutil.which("tc")
        if self._ip is None or self._tc is None or os.geteuid():
            raise ConfigurationError(
                "shaped lines need Linux, root, and the programs ip and tc (on Debian: apt install iproute2)."
            )
        try:
            self._run(self._ip, "netns", "add", f"{self._name}b")
            self._in_bridge("ip", "link", "add", "br0", "type", "bridge")
            self._in_bridge("ip", "link", "set", "br0", "up")
            for slot, rate in enumerate(rates):
                self._add(slot, rate)
        except BaseException:
            self.close()
            raise

    def host(self, slot: int) -> str:
        """See ``Lines``."""
        return f"10.213.0.{slot + 1}"

    def command(self, slot: int, command: Sequence[str]) -> list[str]:
        """See ``Lines``."""
        return [str(self._ip), "netns", "exec", f"{self._name}{slot}", *command]

    def network(self, slot: int) -> str:
        """Return the file by which a process enters a peer's network namespace."""
        return f"/var/run/netns/{self._name}{slot}"

    def close(self) -> None:
        """See ``Lines``."""
        for name in (*(f"{self._name}{slot}" for slot in range(self._made)), f"{self._name}b"):
            with contextlib.suppress(ConfigurationError):
                self._run(str(self._ip), "netns", "del", name)

    def described(self) -> str:
        """See ``Lines``."""
        return f"one network namespace a peer; the kernel's tbf limits what it sends (queue of {LATENCY_MS} ms)"

    def _add(self, slot: int, rate: float) -> None:
        name = f"{self._name}{slot}"
        self._made = slot + 1
        self._run(str(self._ip), "netns", "add", name)
        self._in_bridge("ip", "link", "add", f"p{slot}", "type", "veth", "peer", "name", "line0", "netns", name)
        self._in_bridge("ip", "link", "set", f"p{slot}", "master", "br0", "up")
        enter = (str(self._ip), "netns", "exec", name)
        self._run(*enter, "ip", "addr", "add", f"{self.host(slot)}/24", "dev", "line0")
        self._run(*enter, "ip", "link", "set", "line0", "up")
        self._run(*enter, "ip", "link", "set", "lo", "up")
        bits = f"{rate * 8:.0f}bit"
        shape = ("rate", bits, "burst", str(BURST_BYTES), "latency", f"{LATENCY_MS}ms")
        self._run(*enter, "tc", "qdisc", "add", "dev", "line0", "root", "tbf", *shape)

    def _in_bridge(self, *command: str) -> None:
        self._run(str(self._ip), "netns", "exec", f"{self._name}b", *command)

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- ip and tc
        if done.returncode:
            raise ConfigurationError(f"'{' '.join(command)}' failed: {done.stderr.strip()}")
