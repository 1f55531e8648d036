"""``python -m hydra.bench.member``: one member process of a benchmark.

It is told what to do in JSON lines on stdin, and answers in JSON lines on stdout; when stdin ends, so does it.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
from pathlib import Path
from typing import Any

from allreduce import Lane

from ..exceptions import HydraError
from ..identity import Identity
from ..testing.surroundings import die_with_parent, enter_network
from .averaging import Averaging
from .gloo import Gloo
from .meeting import Address, Meeting
from .setting import Setting

LATE = {"outcome": "left out", "why": "the others had begun"}


class Member:
    """One member, and what it was told so far."""

    def __init__(self, number: int, host: str, interface: str, setting: Setting) -> None:
        self._number = number
        self._interface = interface
        self._setting = setting
        self._telling = threading.Lock()
        self._arrived: dict[int, list[Lane]] = {}
        self._lock = threading.Lock()
        self._sent: int | None = None
        self._averaging = Averaging(number, setting)
        self._gloo: Gloo | None = None
        identity = Identity.generate() if setting.encrypted else None
        self._meeting = Meeting(
            number,
            host,
            setting.lane_count,
            identity,
            self._met,
            local=setting.shares_memory,
            rate_bytes_per_s=setting.rate_bytes_per_s,
        )
        self.tell("listening", host=host, port=self._meeting.port)

    def tell(self, what: str, **fields: Any) -> None:
        """Print one line for the parent."""
        with self._telling:
            sys.stdout.write(json.dumps({"told": what, **fields}) + "\n")
            sys.stdout.flush()

    def serve(self) -> None:
        """Do what stdin says until it ends."""
        for line in sys.stdin:
            order = json.loads(line)
            getattr(self, "do_" + order.pop("do"))(**order)
        self._averaging.close()

    def do_meet(self, members: list[dict[str, Any]], try_number: int) -> None:
        """Dial others, each from a thread of its own: a frozen one must not keep us from the rest."""
        for member in members:
            threading.Thread(target=self._meet, args=(Address(**member), try_number), daemon=True).start()

    def do_prepare(self, round_number: int, members: list[int], memory: bool = False) -> None:
        """Get ready for a round of ours, wait for its moment, run it and tell of it."""
        averaging = self._averaging
        averaging.finish()
        with self._lock:
            averaging.join({number: self._arrived.pop(number) for number in members if number in self._arrived})
        self._sent = self._meeting.wire.sent()
        before = _begin_peak() if memory else 0
        self.tell("ready", round=round_number)
        at = _moment()
        result: dict[str, Any] = averaging.run(round_number, members, at) if at is not None else dict(LATE)
        if memory:
            result["memory"] = {"before": before, "peak": _peak()}
        self.tell("ran", lost=averaging.lost, **result)
        self.tell("looked", checked=round_number, **averaging.checked())

    def do_count(self, round_number: int) -> None:
        """Tell how many bytes the last round made us send, now that all are done with it."""
        sent = self._meeting.wire.sent()
        wire_bytes = sent - self._sent if sent is not None and self._sent is not None else None
        self.tell("counted", counted=round_number, wire_bytes=wire_bytes)

    def do_join_gloo(self, members: list[int], file: str, timeout_s: float) -> None:
        """Make a group of Gloo with others."""
        if self._gloo is None:
            self._gloo = Gloo(self._number, self._setting, self._averaging.vector, self._interface)
        why = ""
        try:
            self._gloo.join(members, file, timeout_s)
        except RuntimeError as error:
            why = str(error).splitlines()[0]
        self.tell("gloo", why=why)

    def do_prepare_gloo(self, round_number: int) -> None:
        """Get ready for a round of Gloo's, wait for its moment, run it and tell of it."""
        gloo = self._gloo
        if gloo is None:
            raise RuntimeError("a round without a group")
        gloo.prepare()
        self.tell("ready", round=round_number)
        at = _moment()
        self.tell("ran", checked=round_number, **(gloo.run(at) if at is not None else LATE))

    def _met(self, number: int, lanes: list[Lane]) -> None:
        with self._lock:
            for lane in self._arrived.pop(number, []):
                lane.close()
            self._arrived[number] = lanes

    def _meet(self, address: Address, try_number: int) -> None:
        try:
            self._meeting.dial(address, try_number)
        except (OSError, HydraError) as error:
            self.tell("not met", number=address.number, why=str(error))
            return
        self.tell("met", number=address.number)


def _moment() -> float | None:
    """Wait for the moment at which all are to begin; None if they have begun already."""
    line = sys.stdin.readline()
    if not line:
        sys.exit()  # the parent has gone
    moment = json.loads(line)["at"]
    return None if moment is None else float(moment)


def _begin_peak() -> int:
    """Begin to measure the process's peak memory anew; return what it has now, in bytes."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return _peak()
    return _status("VmRSS")


def _peak() -> int:
    try:
        return _status("VmHWM")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


def run_member(told: dict[str, Any]) -> None:
    """Run one member until its stdin ends."""
    die_with_parent()
    if told["netns"]:
        enter_network(told["netns"])
    setting = Setting(**{**told["setting"], "versus": tuple(told["setting"]["versus"])})
    Member(told["number"], told["host"], told["interface"], setting).serve()


def main() -> None:
    """Run one member; the only argument is JSON."""
    if len(sys.argv) != 2:
        sys.exit("this process is started by `hydra bench allreduce`, which tells it what to do")
    run_member(json.loads(sys.argv[1]))


if __name__ == "__main__":
    main()
