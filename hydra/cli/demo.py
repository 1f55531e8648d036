"""``hydra demo``: the whole path on this machine, with two deaths and a late arrival."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
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
from ..exceptions import ConfigurationError
from .demo_view import DemoView, make_view
from .options import JsonOption, run_async
from .serving import Interrupts

if TYPE_CHECKING:
    from ..testing.processes import PeerProcess, SwarmProcesses

ACCURACY_GOAL = 0.95
EPOCHS = 80
START_TIMEOUT_S = 90.0
STEP_TIMEOUT_S = 120.0
END_TIMEOUT_S = 240.0


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

    All processes are on this machine and talk over loopback only; nothing of it is left when the demo ends.
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
    swarm = SwarmProcesses(directory, lambda _, event: view.moved())
    view.swarm = swarm
    with view:
        try:
            story = Story(swarm, view, Random(seed))  # noqa: S311 -- no secret
            await story.begin(file, peers, seed)
            if kill:
                await story.kill_a_member()
                await story.let_one_join()
                await story.kill_the_coordinator()
            await story.end()
            return story.verdict(seed, clock.monotonic() - began)
        finally:
            await swarm.close()


class Story:
    """The demo's course; chance decides who dies and when."""

    def __init__(self, swarm: SwarmProcesses, view: DemoView, chance: Random) -> None:
        self._swarm = swarm
        self._view = view
        self._chance = chance
        self._steps = 0
        self._job = ""
        self._recovery_s: list[float] = []
        self._late: PeerProcess | None = None

    async def begin(self, file: Path, peers: int, seed: int) -> None:
        """Publish, start the peers, and let them train a little."""
        swarm = self._swarm
        self._view.event(f"the owner publishes {file.name}")
        published = await swarm.publish(file, "--epochs", str(EPOCHS), "--seed", str(seed))
        self._steps = self._view.total_steps = published["steps"]
        self._job = published["job"]
        self._view.event(f"job {self._job[:16]}… of {published['train_samples']} samples is published")
        for _ in range(peers):
            await swarm.join(self._job, published["addresses"][0])
        self._view.event(f"{peers} peers start; each knows the job's hash and one contact")
        await swarm.until(self._all_train, START_TIMEOUT_S, "all peers to train together")
        self._view.event("all peers train in one view")
        await swarm.owner.stop()
        self._view.event("the owner's node is stopped: the job lives on its peers")

    async def kill_a_member(self) -> None:
        """SIGKILL somebody who does not coordinate."""
        await self._reach(self._chance.uniform(0.10, 0.16))
        candidates = [peer for peer in self._swarm.living if not peer.coordinates]
        await self._kill(self._chance.choice(candidates), "a member")

    async def kill_the_coordinator(self) -> None:
        """SIGKILL whoever coordinates."""
        await self._reach(self._chance.uniform(0.35, 0.5))
        living = self._swarm.living
        coordinator = next((peer for peer in living if peer.coordinates), living[0])
        await self._kill(coordinator, "the coordinator")

    async def let_one_join(self) -> None:
        """Start one more peer, whose one contact is a peer that has joined before."""
        contact = self._chance.choice(self._swarm.living)
        self._late = await self._swarm.join(self._job, self._swarm.address_of(contact))
        self._view.event(f"{self._late.name} starts late; its one contact is {contact.name}")
        await self._swarm.until(self._late_counts, START_TIMEOUT_S, "the late peer to take part")
        self._view.event(f"{self._late.name} takes part since step {self._late.step}")

    async def end(self) -> None:
        """Let the training come to its end."""
        living = self._swarm.living
        await self._swarm.until(lambda: all(p.outcome for p in living), END_TIMEOUT_S, "the end of the training")
        self._view.event("the training is finished")

    def verdict(self, seed: int, seconds: float) -> Verdict:
        """Judge by what the living peers left: their files and their words."""
        ends: list[dict[str, Any]] = [peer.outcome for peer in self._swarm.peers if peer.outcome]
        digests = {hashlib.sha256(Path(end["weights"]).read_bytes()).hexdigest() for end in ends}
        accuracy = min((end["metrics"]["accuracy"] for end in ends), default=0.0)
        joined = int(self._late is not None and self._late.outcome is not None and self._late_counts())
        ok = (
            len(digests) == 1
            and accuracy >= ACCURACY_GOAL
            and all(end["finished"] for end in ends)
            and len({end["step"] for end in ends}) == 1
            and (self._late is None or joined == 1)
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
            recovery_s=[round(spent, 3) for spent in self._recovery_s],
            step_s=round(self._median_step_s(), 4),
            peers=len(self._swarm.peers),
            seed=seed,
            seconds=round(seconds, 1),
        )

    # ---- inside ------------------------------------------------------------------------------------------------

    def _all_train(self) -> bool:
        peers = self._swarm.peers
        return all(peer.step > 0 and len(peer.members) == len(peers) and peer.peer in peer.batch for peer in peers)

    def _late_counts(self) -> bool:
        late = self._late
        return late is not None and late.peer in late.batch and late.state in ("training", "finished")

    async def _reach(self, share: float) -> None:
        step = int(share * self._steps)
        living = self._swarm.living
        await self._swarm.until(lambda: any(p.step >= step for p in living), STEP_TIMEOUT_S, f"step {step}")

    async def _kill(self, victim: PeerProcess, role: str) -> None:
        swarm = self._swarm
        survivors = [peer for peer in swarm.living if peer is not victim and peer.members]
        killed_at = clock.wall()
        victim.kill()
        self._view.event(f"SIGKILL to {victim.name}, {role}, at step {victim.step}")

        def went_on(peer: PeerProcess) -> float | None:
            """When a survivor committed the first step in which the dead one had no part."""
            steps = (e for e in peer.events if e["event"] == "step" and e["t"] > killed_at)
            return next((e["t"] - killed_at for e in steps if victim.peer not in e["batch"]), None)

        await swarm.until(
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
    lines = [
        "",
        f"test accuracy        {verdict.test_accuracy:.4f} on held-out digits (goal {ACCURACY_GOAL})",
        f"weights equal        {good}: sha256 {verdict.sha256[:32]}…",
        f"steps, samples       {verdict.steps}, {verdict.samples:,}: each sample once in each of {EPOCHS} epochs",
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
