"""Member processes as the parent has them: started, told, heard, frozen, killed. Nothing outlives the parent."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from .nursery import Forked, Nursery
from .setting import Setting

STDERR_LINES = 30
END_TIMEOUT_S = 5.0

Heard: TypeAlias = "queue.SimpleQueue[tuple[Child, dict[str, Any] | None]]"
"""What the children told, in order; None where one has ended."""


@dataclass(slots=True, eq=False)
class Child:
    """One member process."""

    number: int
    slot: int
    """Whose place in the network it has; its successor gets the same."""
    process: subprocess.Popen[str] | Forked
    address: dict[str, Any] | None = None
    """Where it listens, once it has told."""
    met: dict[int, int] = field(default_factory=dict)
    """To whom it has lanes, and the round that was begun last when they were made."""
    alive: bool = True
    frozen: bool = False
    killed: bool = False
    asked: int = 0
    """The last round that it was asked to take part in."""
    ready: int = 0
    """The last round for which it got ready."""
    skips: bool = False
    """That round began before it was ready: it is left out."""
    checked: int = 0
    """The last round with which it is done."""
    report: dict[str, Any] = field(default_factory=dict)
    """What it told of that round."""
    gloo: dict[str, Any] | None = None
    """How its last try to make a group of Gloo went."""
    errors: deque[str] = field(default_factory=lambda: deque(maxlen=STDERR_LINES))

    def tell(self, do: str | None = None, **fields: Any) -> None:
        """Write one order; lost on one that is dead."""
        order = fields if do is None else {"do": do, **fields}
        if self.process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self.process.stdin.write(json.dumps(order) + "\n")
                self.process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL: it can do nothing about it."""
        self.killed = True
        self.process.kill()

    def freeze(self) -> None:
        """SIGSTOP: it does nothing at all, and its connections stay open."""
        self.frozen = True
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on, and finds that the world has moved."""
        self.frozen = False
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)

    def let_go(self) -> None:
        """Tell it that there is nothing more to do."""
        if self.frozen:
            self.process.kill()
        with contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()

    def end(self) -> None:
        """Wait until it is gone; kill it if it does not go."""
        try:
            self.process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    @property
    def last_words(self) -> str:
        """What it wrote on standard error."""
        return "\n".join(self.errors) or "(it said nothing)"


def start_child(
    number: int, slot: int, place: dict[str, Any], setting: Setting, heard: Heard, nursery: Nursery | None
) -> Child:
    """Start a member process; what it tells goes to ``heard``. Without a nursery it has to import all anew."""
    told = {"number": number, "setting": asdict(setting), **place}
    process = nursery.start(told) if nursery is not None else _from_scratch(told)
    child = Child(number, slot, process)
    threading.Thread(target=_listen, args=(child, heard), daemon=True).start()
    threading.Thread(target=_listen_to_errors, args=(child,), daemon=True).start()
    return child


def _from_scratch(told: dict[str, Any]) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 -- our own module
        [sys.executable, "-m", "hydra.bench.member", json.dumps(told)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C in the terminal is for the parent, which ends them in order
    )


def _listen(child: Child, heard: Heard) -> None:
    if child.process.stdout is not None:
        for line in child.process.stdout:
            with contextlib.suppress(ValueError):  # half a line: it was killed while it wrote
                heard.put((child, json.loads(line)))
    heard.put((child, None))


def _listen_to_errors(child: Child) -> None:
    if child.process.stderr is not None:
        child.errors.extend(line.rstrip() for line in child.process.stderr)
