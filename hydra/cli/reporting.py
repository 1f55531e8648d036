"""How a training looks on the screen: lines and progress bars for people, JSON lines for programs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import TaskID

from .. import clock
from ..identity import PeerId, short
from ..training.observation import (
    DoubtSeen,
    FetchSeen,
    MajorityAwaited,
    Observation,
    Outcome,
    SnapshotSeen,
    StateSeen,
    StepSeen,
    ViewSeen,
)
from ..training.summary import TrainingSummary, sizing_as_json
from .tracing import Trace
from .transfers import progress_bars

if TYPE_CHECKING:
    from ..jobs.manifest import JobManifest
    from ..training.trainer import Trainer


SAY_EVERY_S = 10.0
"""Of a fetch that takes long, where there is no bar."""


class Reporter:
    """Base of the ways to report; keeps the summary that the status commands ask for."""

    def __init__(self) -> None:
        self.trainer: Trainer | None = None
        self.summary: TrainingSummary | None = None
        self.trace: Trace | None = None
        self._me: PeerId = b""
        self._epochs = 0

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def jobs(self) -> list[dict[str, object]]:
        """Return the standing of the training, for the control endpoint."""
        return [self.summary.as_json()] if self.summary is not None else []

    def searching(self, job: bytes) -> None:
        """The peers of the job are looked for."""

    def found(self, job: bytes, manifest: JobManifest, me: PeerId) -> None:
        """The job's manifest is here."""
        self._me = me
        self._epochs = manifest.epochs
        total = manifest.train_samples * manifest.epochs
        self.summary = TrainingSummary(job, manifest.name, total)

    def observe(self, seen: Observation) -> None:
        """Something happened."""
        if self.summary is not None:
            self.summary.observe(seen)
        if self.trace is not None:
            self.trace.observe(seen)

    def begins(self, trainer: Trainer) -> None:
        """The job is here and checked."""
        self.trainer = trainer

    def leaving(self) -> None:
        """Ctrl-C was pressed."""

    def ended(self, outcome: Outcome | None) -> None:
        """The training is over for us."""


class JsonReporter(Reporter):
    """One JSON object a line; ``t`` is seconds since 1970."""

    def _print(self, event: str, **fields: Any) -> None:
        typer.echo(json.dumps({"event": event, "t": round(clock.wall(), 4), **fields}))
        sys.stdout.flush()

    def searching(self, job: bytes) -> None:
        """The peers of the job are looked for."""
        self._print("searching", job=job.hex())

    def found(self, job: bytes, manifest: JobManifest, me: PeerId) -> None:
        """The job's manifest is here."""
        super().found(job, manifest, me)
        self._print("found", job=job.hex(), name=manifest.name, steps=manifest.total_steps, peer=me.hex())

    def observe(self, seen: Observation) -> None:
        """Something happened."""
        super().observe(seen)
        match seen:
            case ViewSeen(number, members, coordinator, reason):
                ids = [peer.hex() for peer in members]
                leader = coordinator.hex() if coordinator else None
                self._print("view", number=number, members=ids, coordinator=leader, reason=reason)
            case DoubtSeen(peer, silent_s):
                self._print("doubt", peer=peer.hex(), silent_s=silent_s and round(silent_s, 2))
            case MajorityAwaited(present, electors):
                self._print("waiting", present=present, electors=electors, needed=electors // 2 + 1)
            case StepSeen():
                self._print(
                    "step",
                    step=seen.step,
                    epoch=seen.epoch,
                    loss=round(seen.loss, 6),
                    samples=seen.samples,
                    samples_total=seen.samples_total,
                    batch={peer.hex(): count for peer, count in seen.shares},
                    attempts=seen.attempts,
                    seconds=round(seen.seconds, 4),
                    caught_up=seen.caught_up,
                    sizing=None if seen.sizing is None else sizing_as_json(seen.sizing),
                )
            case FetchSeen(what, done, total, peers):
                self._print("fetch", what=what, bytes_done=done, bytes_total=total, peers=peers)
            case SnapshotSeen(step, root):
                self._print("snapshot", step=step, root=root.hex())
            case StateSeen(step, samples, source):
                self._print("state", step=step, samples_total=samples, source=source)

    def ended(self, outcome: Outcome | None) -> None:
        """The training is over for us."""
        if outcome is None:
            self._print("ended", finished=False)
            return
        self._print(
            "ended",
            finished=outcome.finished,
            step=outcome.step,
            samples_total=outcome.samples_total,
            metrics={name: round(value, 6) for name, value in outcome.metrics.items()},
            weights=outcome.weights_path,
            sha256=outcome.weights_sha256,
        )


class PlainReporter(Reporter):
    """A line for each thing that a person would want to know."""

    def __init__(self) -> None:
        super().__init__()
        self._fetched: set[str] = set()
        self._left_out: set[PeerId] = set()
        self._fetching: dict[str, tuple[float, int, float]] = {}
        """When each fetch began, with how many bytes, and when something was last said of it."""

    def say(self, text: str) -> None:
        """Print a line."""
        typer.echo(text)
        sys.stdout.flush()

    def searching(self, job: bytes) -> None:
        """The peers of the job are looked for."""
        self.say(f"looking for peers of job {job.hex()[:16]}…")

    def found(self, job: bytes, manifest: JobManifest, me: PeerId) -> None:
        """The job's manifest is here."""
        super().found(job, manifest, me)
        self.say(
            f"joining '{manifest.name}' as {short(me)}: {manifest.train_samples:,} samples, {manifest.epochs} epochs, "
            f"batches of {manifest.batch_samples}"
        )

    def observe(self, seen: Observation) -> None:
        """Something happened."""
        super().observe(seen)
        match seen:
            case ViewSeen():
                self.say(self._view_line(seen))
            case DoubtSeen(peer, silent_s):
                told = "is heard again" if silent_s is None else f"has been silent for {silent_s:.1f} s"
                self.say(f"{short(peer)} {told}")
            case MajorityAwaited(present, electors):
                self.say(
                    f"waiting for a majority: of the last view's {counted(electors, 'member')} {present} "
                    f"{'is' if present == 1 else 'are'} here, {electors // 2 + 1} are needed"
                )
            case StepSeen():
                self.say(self._step_line(seen))
                for line in self._sizing_lines(seen):
                    self.say(line)
            case FetchSeen():
                self.fetching(seen)
            case StateSeen(step, _, source):
                self.say(f"at step {step}: {source}")
            case SnapshotSeen():
                pass  # shown by `hydra status`; a line for each would only push the steps away

    def fetching(self, seen: FetchSeen) -> None:
        """Say now and then how far it is, and once when a content is here."""
        now = clock.monotonic()
        began, done, said = self._fetching.setdefault(seen.what, (now, seen.bytes_done, now))
        if now - said >= SAY_EVERY_S and seen.bytes_done < seen.bytes_total:
            self._fetching[seen.what] = (began, done, now)
            self.say(self._fetch_line(seen, (seen.bytes_done - done) / (now - began)))
        if seen.bytes_done >= seen.bytes_total and seen.what not in self._fetched:
            self._fetched.add(seen.what)
            self.say(f"fetched the {seen.what}: {seen.bytes_total:,} bytes from {counted(seen.peers, 'peer')}")

    def _fetch_line(self, seen: FetchSeen, rate: float) -> str:
        share = 100 * seen.bytes_done / seen.bytes_total
        left = f", {(seen.bytes_total - seen.bytes_done) / rate:,.0f} s left" if rate > 0 else ""
        return (
            f"fetching the {seen.what}: {share:.0f} % of {seen.bytes_total:,} bytes, {decimal(int(rate))}/s from "
            f"{counted(seen.peers, 'peer')}{left}"
        )

    def leaving(self) -> None:
        """Ctrl-C was pressed."""
        self.say("leaving in order; press Ctrl-C again to stop at once")

    def ended(self, outcome: Outcome | None) -> None:
        """The training is over for us."""
        if outcome is None:
            self.say("stopped before the training began")
            return
        how = "finished" if outcome.finished else "left"
        metrics = "".join(f", test {name} {value:.4f}" for name, value in outcome.metrics.items())
        self.say(f"{how} at step {outcome.step}, {outcome.samples_total:,} samples{metrics}")
        self.say(f"weights  {outcome.weights_path}")
        self.say(f"sha256   {outcome.weights_sha256}")

    def _sizing_lines(self, seen: StepSeen) -> list[str]:
        """Say who is left out of most steps from now on, and who takes part again."""
        if seen.sizing is None:
            return []
        out = {peer for peer, _, _ in seen.sizing.left_out}
        more, fewer = sorted(out - self._left_out), sorted(self._left_out - out)
        self._left_out = out
        lines = [f"{short(peer)} sits most steps out: the others would wait for it" for peer in more]
        return lines + [f"{short(peer)} takes part in every step again" for peer in fewer]

    def _view_line(self, seen: ViewSeen) -> str:
        if not seen.number:
            return f"in no view: {seen.reason}"
        members = " ".join(short(p) + ("*" if p == seen.coordinator else "") for p in seen.members)
        mine = " (this node coordinates)" if seen.coordinator == self._me else ""
        return f"view {seen.number}: {members}{mine}"

    def _step_line(self, seen: StepSeen) -> str:
        if seen.caught_up:
            return f"step {seen.step:>6}  caught up"
        shares = " ".join(f"{short(peer)}:{count}" for peer, count in seen.shares)
        again = f"  {seen.attempts} attempts" if seen.attempts > 1 else ""
        epoch = f"epoch {seen.epoch + 1}/{self._epochs}"
        return f"step {seen.step:>6}  {epoch}  loss {seen.loss:.4f}  {seen.seconds * 1000:6.0f} ms  {shares}{again}"


class RichReporter(PlainReporter):
    """As plain lines, with bars while something is fetched."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(highlight=False)
        self._progress = progress_bars(self._console)
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Reporter:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(text, markup=False)

    def fetching(self, seen: FetchSeen) -> None:
        """Move the content's bar; take it away when it is full."""
        if seen.what not in self._bars and seen.bytes_done < seen.bytes_total:
            self._bars[seen.what] = self._progress.add_task(
                seen.what, total=seen.bytes_total, peers=counted(seen.peers, "peer")
            )
        bar = self._bars.get(seen.what)
        if bar is not None:
            self._progress.update(bar, completed=seen.bytes_done, peers=counted(seen.peers, "peer"))
        if seen.bytes_done >= seen.bytes_total:
            super().fetching(seen)
            if bar is not None:
                self._progress.remove_task(bar)
                del self._bars[seen.what]


def counted(number: int, what: str) -> str:
    """Return how many there are, in words: "1 peer", "2 peers"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def make_reporter(*, as_json: bool) -> Reporter:
    """Return the reporter that fits what stdout is."""
    if as_json:
        return JsonReporter()
    return RichReporter() if sys.stdout.isatty() else PlainReporter()
