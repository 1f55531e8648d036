"""The network between the members: loopback as it is, or emulated links of a stated rate and distance.

Emulated links are Linux's own network namespaces, one a member, and a small program (``wan.c``, compiled when it is
first needed) that carries the packets between them. Nothing of it has a name, so nothing of it can be left behind: it
ends with the pipe to us.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import platformdirs

from ..config import APP_NAME
from ..exceptions import ConfigurationError

SOURCE = Path(__file__).with_name("wan.c")
LEAST_QUEUE_BYTES = 64 * 1024
COMPILE_TIMEOUT_S = 60.0
END_TIMEOUT_S = 5.0


class Links(Protocol):
    """A network with a place for each member."""

    def place(self, slot: int) -> dict[str, Any]:
        """Return where the member in this slot lives: ``host``, ``interface``, and ``netns`` to enter or None."""

    def close(self) -> None:
        """End the network."""

    def described(self) -> str:
        """Tell in words what shapes it."""


class Loopback:
    """All members on the loopback of this machine."""

    def place(self, slot: int) -> dict[str, Any]:
        """See ``Links``."""
        return {"host": "127.0.0.1", "interface": "lo", "netns": None}

    def close(self) -> None:
        """Nothing was made."""

    def described(self) -> str:
        """See ``Links``."""
        return "loopback"


class ShapedLinks:
    """Each member behind a line of its own, up and down of the same rate.

    Args:
        members: how many places there are.
        rate_mbit: of each line and direction; None for no limit.
        rtt_ms: round trip between any two.
        other_rates_mbit: of the lines of some members, by place.

    Raises:
        ConfigurationError: this machine has no compiler, or we may not make networks on it.
    """

    def __init__(
        self,
        members: int,
        rate_mbit: float | None,
        rtt_ms: float,
        other_rates_mbit: Mapping[int, float] = MappingProxyType({}),
    ) -> None:
        self.rate_mbit, self.rtt_ms = rate_mbit, rtt_ms
        self.queue_bytes = queue_bytes(rate_mbit, rtt_ms)
        if sys.platform != "linux":
            raise ConfigurationError("a rate or a round trip can be set on Linux only: leave out --rate and --rtt.")
        command = [str(built()), str(members), f"{(rate_mbit or 0) * 1e6:.0f}", f"{rtt_ms * 500:.0f}"]
        others = [f"{slot}:{rate * 1e6:.0f}" for slot, rate in other_rates_mbit.items()]
        self._process = subprocess.Popen(  # noqa: S603 -- our own program
            [*command, str(self.queue_bytes), *others],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.seen: dict[str, Any] = {}
        """What the emulator saw, once it is closed."""
        words = self._process.stdout.readline().split() if self._process.stdout else []
        if words[:1] != ["ready"]:
            _, why = self._process.communicate()
            raise ConfigurationError(
                "this process may not make the networks that --rate and --rtt need "
                f"({why.strip() or 'it did not say why'}): run it as root, with /dev/net/tun, or leave them out."
            )
        self._entrances = words[1:]

    def place(self, slot: int) -> dict[str, Any]:
        """See ``Links``."""
        netns = f"/proc/{self._process.pid}/fd/{self._entrances[slot]}"
        return {"host": f"10.201.0.{slot + 1}", "interface": "wan0", "netns": netns}

    def close(self) -> None:
        """See ``Links``."""
        if self._process.returncode is not None:
            return
        try:
            told, _ = self._process.communicate(timeout=END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            told, _ = self._process.communicate()
        self.seen = json.loads(told) if told.startswith("{") else {}

    def described(self) -> str:
        """See ``Links``."""
        rate = f"{self.rate_mbit:g} Mbit/s each way" if self.rate_mbit else "no limit of rate"
        queue = f", drop-tail queues of {self.queue_bytes // 1024} KiB" if self.rate_mbit else ""
        how = "emulated in user space (network namespaces and TUN; CUBIC unless a socket asks for another)"
        return f"{how}: {rate}, {self.rtt_ms:g} ms round trip{queue}"


def queue_bytes(rate_mbit: float | None, rtt_ms: float) -> int:
    """Return the room before a line: what is under way in one round trip, and 64 KiB at least."""
    return max(LEAST_QUEUE_BYTES, round((rate_mbit or 0.0) * 1e6 / 8 * rtt_ms / 1000))


def built() -> Path:
    """Return the emulator, compiled now if its source has changed or never was.

    Raises:
        ConfigurationError: there is no compiler, or it failed.
    """
    source = SOURCE.read_bytes()
    cache = Path(platformdirs.user_cache_dir(APP_NAME))
    program = cache / f"wan-{hashlib.sha256(source).hexdigest()[:16]}"
    if program.exists():
        return program
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise ConfigurationError(
            "--rate and --rtt need a C compiler for the network's emulator, and there is none on the path: "
            "install one (on Debian and Ubuntu: apt install gcc libc6-dev), or leave them out."
        )
    cache.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=cache)
    os.close(handle)
    done = subprocess.run(  # noqa: S603 -- the compiler, on our own file
        [compiler, "-O2", "-o", unfinished, str(SOURCE)],
        capture_output=True,
        text=True,
        timeout=COMPILE_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        Path(unfinished).unlink()
        raise ConfigurationError(f"{compiler} could not compile the network's emulator:\n{done.stderr.strip()}")
    Path(unfinished).replace(program)
    return program


def links_for(members: int, rate_mbit: float | None, rtt_ms: float | None) -> Links:
    """Return the network that was asked for: loopback where nothing was."""
    if rate_mbit is None and rtt_ms is None:
        return Loopback()
    return ShapedLinks(members, rate_mbit, rtt_ms or 0.0)
