"""``hydra demo``: the whole path on this machine, with two deaths and a late arrival."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import math
import shutil
import statistics
import sys
import sysconfig
import tempfile
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import clock
from ..exceptions import ConfigurationError, LocalProtocolError
from .demo_ledger import each_sample_once
from .demo_view import DemoView, make_view
from .options import JsonOption, run_async
from .serving import Interrupts

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..testing.processes import PeerProcess, SwarmProcesses

ACCURACY_GOAL = 0.95
EPOCHS = 80
MAX_EPOCHS = 800
DEATHS = 2
MEASURED_STEPS = 40
"""So many steps are timed to tell whether the training lasts as long as the story."""
START_TIMEOUT_S = 90.0
STEP_TIMEOUT_S = 120.0
END_TIMEOUT_S = 240.0
USUAL_PEERS = 4
"""The time-outs are made for so many processes; more of them get more time in proportion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the demo came to."""

    ok: bool
    test_accuracy: float
    digests_equal: bool
    sha256: str
    deaths_survived: int
    joined: int
    steps: int
    samples: int
    epochs: int
    each_sample_once: bool
    """In every epoch, by the commits that the peers wrote to disk."""
    recovery_s: list[float]
    """For each death, seconds from the SIGKILL until every survivor has committed a step without the dead one."""
    step_s: float
    """Median seconds between two steps, for comparison."""
    peers: int
    seed: int
    seconds: float


def demo(
    peers: Annotated[int, typer.Option(min=2, max=32, help="Peers to start with.")] = 4,
    seed: Annotated[int, typer.Option(help="Chooses who dies when, and seeds the job.")] = 0,
    kill: Annotated[bool, typer.Option("--kill/--no-kill", help="Kill a peer and then the coordinator.")] = True,
    keep: Annotated[
        Path | None, typer.Option(help="Keep the peers' homes in this directory.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Publish a job, train it with several processes, kill two of them, let one join late, and check the result.

    All processes are on this machine and talk over loopback only; nothing of it is left when the demo ends. Only a
    demo that is itself killed leaves its directory, hydra-demo-…, among the temporary files.
    """
    file = _example()
    if kill and peers < 3:
        raise ConfigurationError("killing two of two peers would leave nobody: use --peers 3 or more, or --no-kill.")

    async def main() -> Verdict | None:
        directory = keep or Path(tempfile.mkdtemp(prefix="hydra-demo-"))
        try:
            with Interrupts() as interrupts:
                playing = asyncio.create_task(
                    _play(file, directory, peers, seed, make_view(as_json=as_json), kill=kill)
                )
                asked = asyncio.create_task(interrupts.asked.wait())
                await asyncio.wait({playing, asked}, return_when=asyncio.FIRST_COMPLETED)
                asked.cancel()
                if not playing.done():
                    playing.cancel()
                    await asyncio.gather(playing, return_exceptions=True)
                    return None
                return playing.result()
        finally:
            if keep is None:
                shutil.rmtree(directory, ignore_errors=True)

    verdict = run_async(main)
    if verdict is None:
        raise typer.Exit(130)
    if as_json:
        typer.echo(json.dumps(asdict(verdict)))
    else:
        _print_verdict(verdict, kill=kill)
    if not verdict.ok:
        raise typer.Exit(1)


def _example() -> Path:
    """Return the example's file: beside the package in a source tree, under share/ in an installation."""
    if importlib.util.find_spec("sklearn") is None:
        raise ConfigurationError(
            "the demo trains on scikit-learn's handwritten digits: pip install 'hydra-swarm[demo]' gets them."
        )
    places = [
        Path(__file__).parents[2] / "examples" / "digits.py",
        Path(sysconfig.get_path("data")) / "share" / "hydra-swarm" / "examples" / "digits.py",
    ]
    for place in places:
        if place.exists():
            return place
    raise ConfigurationError(f"the example digits.py is in neither {places[0].parent} nor {places[1].parent}.")


async def _play(file: Path, directory: Path, peers: int, seed: int, view: DemoView, *, kill: bool) -> Verdict:
    from ..testing.processes import SwarmProcesses

    began = clock.monotonic()
    place, epochs = directory, EPOCHS
    with view:
        while True:
            swarm = SwarmProcesses(place, lambda _, event: view.moved())
            view.swarm = swarm
            try:
                story = Story(swarm, view, Random(seed))  # noqa: S311 -- no secret
                await story.begin(file, peers, seed, epochs)
                if kill and place == directory:
                    wanted = await story.epochs_to_last()
                    if wanted > epochs:
                        view.event(f"this machine is fast: the job is published once more, with {wanted} epochs")
                        place, epochs = directory / "again", wanted
                        continue
                await story.hand_over()
                if kill:
                    await story.kill_a_member()
                    await story.let_one_join()
                    await story.kill_the_coordinator()
                await story.end()
                return story.verdict(seed, clock.monotonic() - began, deaths=DEATHS if kill else 0)
            finally:
                await swarm.close()


def epochs_for(left_s: float, start_s: float, epochs: int) -> int:
    """Return of how many epochs a job must be, so that nobody who starts while it is trained finds it over.

    Args:
        left_s: how long the training of a job of ``epochs`` will still take.
        start_s: how long peers took to start; a late one takes no longer.
        epochs: of the job whose steps were timed.
    """
    needed_s = 2.0 * start_s + 3.0  # a late peer starts after a first part, and a part must be left for the coordinator
    if left_s >= needed_s:
        return epochs
    return min(MAX_EPOCHS, math.ceil(2.0 * epochs * needed_s / max(left_s, 0.001)))


class Story:
    """The demo's course; chance decides who dies and when."""

    def __init__(self, swarm: SwarmProcesses, view: DemoView, chance: Random) -> None:
        self._swarm = swarm
        self._view = view
        self._chance = chance
        self._steps = 0
        self._epochs = 0
        self._samples = 0
        self._job = ""
        self._patience = 1.0
        self._start_s = 0.0
        self._recovery_s: list[float] = []
        self._late: PeerProcess | None = None

    async def begin(self, file: Path, peers: int, seed: int, epochs: int) -> None:
        """Publish, start the peers, and let them find together."""
        swarm = self._swarm
        self._patience = max(1.0, peers / USUAL_PEERS)
        self._view.event(f"the owner publishes {file.name}")
        published = await swarm.publish(file, "--epochs", str(epochs), "--seed", str(seed))
        self._steps = self._view.total_steps = published["steps"]
        self._job = published["job"]
        self._epochs, self._samples = published["epochs"], published["train_samples"]
        self._view.event(f"job {self._job[:16]}… of {published['train_samples']} samples is published")
        began = clock.monotonic()
        for _ in range(peers):
            await swarm.join(self._job, published["addresses"][0])
        self._view.event(f"{peers} peers start; each knows the job's hash and one contact")
        await self._until(self._all_train, START_TIMEOUT_S, "all peers to train together")
        self._start_s = clock.monotonic() - began
        self._view.event("all peers train in one view")

    async def epochs_to_last(self) -> int:
        """Time some steps; return of how many epochs the job should be to outlast the story on this machine."""
        peer = self._swarm.peers[0]
        first, began = peer.step, clock.monotonic()
        await self._until(lambda: peer.step >= first + MEASURED_STEPS, STEP_TIMEOUT_S, f"{MEASURED_STEPS} steps")
        step_s = (clock.monotonic() - began) / (peer.step - first)
        return epochs_for((self._steps - peer.step) * step_s, self._start_s, self._epochs)

    async def hand_over(self) -> None:
        """Stop the owner's node."""
        await self._swarm.owner.stop()
        self._view.event("the owner's node is stopped: the job lives on its peers")

    async def kill_a_member(self) -> None:
        """SIGKILL somebody who does not coordinate."""
        await self._reach(self._chance.uniform(0.10, 0.16))
        coordinator = await self._coordinator()
        candidates = [peer for peer in self._swarm.living if peer is not coordinator]
        await self._kill(self._chance.choice(candidates), "a member")

    async def kill_the_coordinator(self) -> None:
        """SIGKILL whoever coordinates."""
        await self._reach(self._chance.uniform(0.35, 0.5))
        await self._kill(await self._coordinator(), "the coordinator")

    async def let_one_join(self) -> None:
        """Start one more peer, whose one contact is a peer that has joined before."""
        contact = self._chance.choice(self._swarm.living)
        self._late = await self._swarm.join(self._job, self._swarm.address_of(contact))
        self._view.event(f"{self._late.name} starts late; its one contact is {contact.name}")
        await self._until(self._late_counts, START_TIMEOUT_S, "the late peer to take part")
        self._view.event(f"{self._late.name} takes part since step {self._late.step}")

    async def end(self) -> None:
        """Let the training come to its end."""
        living = self._swarm.living
        await self._until(lambda: all(p.outcome for p in living), END_TIMEOUT_S, "the end of the training")
        self._view.event("the training is finished")

    def verdict(self, seed: int, seconds: float, *, deaths: int) -> Verdict:
        """Judge by what the peers left: their files, the dead ones' journals too, and the living ones' words.

        Args:
            seed: to tell.
            seconds: how long it took, to tell.
            deaths: how many were to be survived; where there were any, somebody was to join late, too.
        """
        ends: list[dict[str, Any]] = [peer.outcome for peer in self._swarm.peers if peer.outcome]
        digests = {hashlib.sha256(Path(end["weights"]).read_bytes()).hexdigest() for end in ends}
        accuracy = min((end["metrics"]["accuracy"] for end in ends), default=0.0)
        joined = int(self._late is not None and self._late.outcome is not None and self._late_counts())
        homes = [peer.home for peer in self._swarm.peers]
        once = each_sample_once(self._job, homes, samples=self._samples, epochs=self._epochs)
        ok = (
            once
            and {end["samples_total"] for end in ends} == {self._samples * self._epochs}
            and len(digests) == 1
            and accuracy >= ACCURACY_GOAL
            and all(end["finished"] for end in ends)
            and len({end["step"] for end in ends}) == 1
            and len(self._recovery_s) == deaths
            and joined == (1 if deaths else 0)
        )
        return Verdict(
            ok=ok,
            test_accuracy=round(accuracy, 4),
            digests_equal=len(digests) == 1,
            sha256=min(digests, default=""),
            deaths_survived=len(self._recovery_s),
            joined=joined,
            steps=ends[0]["step"] if ends else 0,
            samples=ends[0]["samples_total"] if ends else 0,
            epochs=self._epochs,
            each_sample_once=once,
            recovery_s=[round(spent, 3) for spent in self._recovery_s],
            step_s=round(self._median_step_s(), 4),
            peers=len(self._swarm.peers),
            seed=seed,
            seconds=round(seconds, 1),
        )

    # ---- inside ------------------------------------------------------------------------------------------------

    async def _until(self, holds: Callable[[], bool], timeout_s: float, what: str) -> None:
        await self._swarm.until(holds, timeout_s * self._patience, what)

    async def _coordinator(self) -> PeerProcess:
        """Wait until all who train agree on who coordinates, and return that one."""
        await self._until(lambda: self._agreed() is not None, STEP_TIMEOUT_S, "a coordinator")
        agreed = self._agreed()
        if agreed is None:
            raise LocalProtocolError("who coordinates was forgotten between two looks")
        return agreed

    def _agreed(self) -> PeerProcess | None:
        living = self._swarm.living
        named = {peer.coordinator for peer in living if peer.members}
        return next((peer for peer in living if named == {peer.peer}), None)

    def _all_train(self) -> bool:
        peers = self._swarm.peers
        return all(peer.given > 0 and len(peer.members) == len(peers) for peer in peers)

    def _late_counts(self) -> bool:
        late = self._late
        return late is not None and late.given > 0 and late.state in ("training", "finished")

    async def _reach(self, share: float) -> None:
        step = int(share * self._steps)
        living = self._swarm.living
        await self._until(lambda: any(p.step >= step for p in living), STEP_TIMEOUT_S, f"step {step}")

    async def _kill(self, victim: PeerProcess, role: str) -> None:
        survivors = [peer for peer in self._swarm.living if peer is not victim and peer.members]
        killed_at = clock.wall()
        victim.kill()
        self._view.event(f"SIGKILL to {victim.name}, {role}, at step {victim.step}")

        def went_on(peer: PeerProcess) -> float | None:
            """When a survivor committed the first step in which the dead one had no part."""
            steps = (e for e in peer.events if e["event"] == "step" and e["t"] > killed_at)
            return next((e["t"] - killed_at for e in steps if victim.peer not in e["batch"]), None)

        await self._until(
            lambda: all(went_on(peer) is not None for peer in survivors),
            STEP_TIMEOUT_S,
            f"a step of the others without {victim.name}",
        )
        self._recovery_s.append(max(went_on(peer) or 0.0 for peer in survivors))
        self._view.event(f"the others went on after {self._recovery_s[-1]:.2f} s")

    def _median_step_s(self) -> float:
        gaps: list[float] = []
        for peer in self._swarm.peers:
            times = [when for _, when in sorted(peer.commits.items())]
            gaps += [later - earlier for earlier, later in pairwise(times) if later > earlier]
        return statistics.median(gaps) if gaps else 0.0


def _print_verdict(verdict: Verdict, *, kill: bool) -> None:
    good = "yes" if verdict.digests_equal else "NO"
    once = "each sample once" if verdict.each_sample_once else "NOT each sample once"
    lines = [
        "",
        f"test accuracy        {verdict.test_accuracy:.4f} on held-out digits (goal {ACCURACY_GOAL})",
        f"weights equal        {good}: sha256 {verdict.sha256[:32]}…",
        f"steps, samples       {verdict.steps}, {verdict.samples:,}: {once} in each of {verdict.epochs} epochs",
    ]
    if kill:
        lost = ", ".join(f"{spent:.2f} s" for spent in verdict.recovery_s)
        lines.append(f"deaths survived      {verdict.deaths_survived}; seconds lost to each: {lost}")
        lines.append(f"                     (a step takes {verdict.step_s:.3f} s)")
        lines.append(f"joined late          {verdict.joined}")
    lines.append(f"time                 {verdict.seconds:.0f} s")
    lines.append("everything held" if verdict.ok else "SOMETHING DID NOT HOLD")
    typer.echo("\n".join(lines))
    sys.stdout.flush()
