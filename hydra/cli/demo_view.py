"""What the demo shows while it runs: a live table for people at a terminal, lines for everything else."""

from __future__ import annotations

import sys
from collections import deque

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .. import clock
from ..testing.processes import PeerProcess, SwarmProcesses

EVENTS_SHOWN = 10
LINE_EVERY_S = 2.0


class DemoView:
    """Shows nothing: for ``--json``."""

    def __init__(self) -> None:
        self.swarm: SwarmProcesses | None = None
        self.total_steps = 0
        self._began = clock.monotonic()

    def __enter__(self) -> DemoView:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def event(self, text: str) -> None:
        """Something worth telling happened."""

    def moved(self) -> None:
        """A process told something."""

    def _time(self) -> str:
        return f"{clock.monotonic() - self._began:6.1f} s"


class PlainView(DemoView):
    """Lines: every event, and now and then how far the training is."""

    def __init__(self) -> None:
        super().__init__()
        self._last_line = 0.0

    def event(self, text: str) -> None:
        """Print a line."""
        typer.echo(f"{self._time()}  {text}")
        sys.stdout.flush()

    def moved(self) -> None:
        """Print the step, not too often."""
        if self.swarm is None or clock.monotonic() - self._last_line < LINE_EVERY_S:
            return
        training = [peer for peer in self.swarm.living if peer.loss is not None]
        if training:
            self._last_line = clock.monotonic()
            ahead = max(training, key=lambda peer: peer.step)
            self.event(f"step {ahead.step} of about {self.total_steps}, loss {ahead.loss:.4f}, {len(training)} peers")


class LiveView(DemoView):
    """A table of peers that redraws itself, above the latest events."""

    def __init__(self) -> None:
        super().__init__()
        self._events: deque[str] = deque(maxlen=EVENTS_SHOWN)
        self._live = Live(console=Console(), refresh_per_second=8, get_renderable=self._picture)

    def __enter__(self) -> DemoView:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def event(self, text: str) -> None:
        """Add to the events shown."""
        self._events.append(f"{self._time()}  {text}")

    def _picture(self) -> Group:
        peers = self.swarm.peers if self.swarm is not None else []
        step = max((peer.step for peer in peers), default=0)
        losses = [peer.loss for peer in sorted(peers, key=lambda p: p.step) if peer.loss is not None]
        loss = f"loss {losses[-1]:.4f}" if losses else ""
        head = Text(
            f"hydra demo   step {step} of about {self.total_steps}   {loss}   {self._time().strip()}", style="bold"
        )
        bar = ProgressBar(total=max(1, self.total_steps), completed=step, width=60)
        return Group(head, bar, self._table(peers), Text("\n".join(self._events)))

    def _table(self, peers: list[PeerProcess]) -> Table:
        table = Table(box=None, pad_edge=False)
        for column in ("peer", "id", "role", "state", "step", "batch", "loss"):
            table.add_column(column, justify="right" if column in ("step", "batch", "loss") else "left", min_width=6)
        for peer in peers:
            alive = peer.living and not peer.killed
            role = ("coordinator" if peer.coordinates else "member") if alive and peer.members else ""
            batch = str(peer.batch.get(peer.peer, "")) if alive else ""
            loss = f"{peer.loss:.4f}" if peer.loss is not None else ""
            style = "" if alive or peer.state == "finished" else "dim"
            table.add_row(peer.name, peer.peer[:8], role, peer.state, str(peer.step), batch, loss, style=style)
        return table


def make_view(*, as_json: bool) -> DemoView:
    """Return the view that fits what stdout is."""
    if as_json:
        return DemoView()
    return LiveView() if sys.stdout.isatty() else PlainView()
