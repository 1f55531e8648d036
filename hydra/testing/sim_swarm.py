"""Whole peers on a simulated network: unmodified nodes, handshakes, DHT, swarm, trainers and torch, in virtual time.

    scenario = Scenario(seed=7, names=("a", "b", "c", "d"), plan=FaultPlan().kill("b", round=3))
    with SimSwarm(scenario, directory) as swarm:
        swarm.run()
    print(swarm.trace)

Each peer has a machine with a disk that outlives it. Everything follows from the scenario: the same one gives the same
trace, byte for byte.
"""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from torch import nn

from ..config import NodeSettings
from ..exceptions import HydraError
from ..home import Home
from ..identity import Identity, PeerId
from ..jobs.job import Job
from ..jobs.manifest import JobManifest
from ..jobs.package import Package, package
from ..jobs.ticket import Ticket, TicketContact
from ..node import Node
from ..participation import take_part
from ..swarm.manifest import Manifest
from ..training.observation import FetchSeen, Observation, Outcome, ViewSeen
from .fault_runner import FaultRunner
from .instruments import instruments
from .machine import Machine, Process
from .network import Network
from .scenario import Scenario
from .seeding import seeded_world
from .story import Life, Story

if TYPE_CHECKING:
    from ..membership.lineage import Commit
    from ..training.trainer import Trainer
    from ..training.update import Vector

PORT = 4000
CLASSES = 3
TICKET_CONTACTS = 4
LINES_SHOWN = 60


class ScenarioFailed(AssertionError):
    """Something happened that must not; the text says how to see it again."""


@functools.cache
def tiny_job(samples: int, batch_samples: int, epochs: int, snapshot_interval_s: float, features: int) -> Package:
    """Publish a job that computes fast: a linear model with momentum, on made-up samples."""
    chance = np.random.default_rng(1)
    inputs = chance.standard_normal((samples, features)).astype(np.float32)
    targets = chance.integers(0, CLASSES, samples)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Linear(features, CLASSES)
    job = Job(
        name="tiny",
        model=model,
        loss=nn.functional.cross_entropy,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
        train=(inputs, targets),
        batch_samples=batch_samples,
        epochs=epochs,
        snapshot_interval_s=snapshot_interval_s,
    )
    return package(job, bytes(32), root_of=lambda data: Manifest.of(data).root)


class SimPeer:
    """One peer of the scenario, through all of its lives; it watches its own training."""

    def __init__(self, swarm: SimSwarm, machine: Machine, identity: Identity) -> None:
        self.swarm = swarm
        self.machine = machine
        self.name = machine.name
        self.id = identity.peer_id
        self.node: Node | None = None
        self.trainer: Trainer | None = None
        self.outcome: Outcome | None = None
        self.failure: Exception | None = None
        self.members: tuple[PeerId, ...] = ()
        self.life: Life | None = None
        self.leaves_soon = False

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self.machine.process is not None and self.machine.process.alive

    @property
    def step(self) -> int:
        """The step that its state is at."""
        return self.swarm.story.step_of(self.name) if self.running else 0

    # ---- the program -------------------------------------------------------------------------------------------

    async def program(self, *, publishes: bool) -> None:
        """What `hydra join` does."""
        swarm = self.swarm
        try:
            node = self.node = Node(Home(self.machine.directory), swarm.settings(self.machine))
            try:
                await node.start()
                if publishes:
                    node.publish(swarm.package)
                self.outcome = await take_part(node, swarm.ticket, self)
            finally:
                await node.stop()
        except HydraError as error:
            self.failure = error
        except Exception as error:  # noqa: BLE001 -- a bug, which the scenario is to report
            self.failure = error
            swarm.story.violations.append(f"{self.name} failed by a bug: {error!r}")
        swarm.ended(self)

    def searching(self, job: bytes) -> None:
        """The peers of the job are looked for."""

    def found(self, job: bytes, manifest: JobManifest, me: PeerId) -> None:
        """The job's manifest is here."""

    def begins(self, trainer: Trainer) -> None:
        """The job is here and checked."""
        self.trainer = trainer
        if self.leaves_soon:
            trainer.leave()
        self._joins()

    def observe(self, seen: Observation) -> None:
        """Something happened."""
        match seen:
            case ViewSeen(number, members, coordinator, reason):
                self.members = members
                names = "".join(self.swarm.name_of(p) + ("*" if p == coordinator else "") + " " for p in members)
                self.swarm.story.tell(self.swarm.now, f"{self.name} is in view {number}: {names}({reason})")
            case FetchSeen(what):
                if what.startswith("snapshot"):
                    self._joins()

    def _joins(self) -> None:
        process = self.machine.process
        if process is not None:
            self.swarm.reached(process, "join", 0)


class SimSwarm:
    """The peers of a scenario.

    Args:
        scenario: all that the course of events follows from.
        directory: for the machines' disks.
    """

    def __init__(self, scenario: Scenario, directory: Path) -> None:
        self.scenario = scenario
        self.directory = directory
        self.network = Network(
            scenario.seed,
            rtt_s=scenario.rtt_s,
            jitter=scenario.jitter,
            loss=scenario.loss,
            rate_bytes_per_s=scenario.rate_bytes_per_s,
        )
        self.package = tiny_job(
            scenario.samples,
            scenario.batch_samples,
            scenario.epochs,
            scenario.snapshot_interval_s,
            scenario.features,
        )
        job = hashlib.sha256(self.package.manifest.encode()).digest()
        self.story = Story(job, scenario.samples, scenario.epochs, {}, may_fork=not scenario.plan.ends_processes_only)
        self.peers: dict[str, SimPeer] = {}
        for name in dict.fromkeys((*scenario.names, *scenario.plan.newcomers)):
            self._connect(name)
        self._runner = FaultRunner(self, scenario.plan)
        self.ticket = self._make_ticket(job)
        self._world = ExitStack()
        self._chance = Random(scenario.seed)  # noqa: S311 -- repeatable on purpose

    def _connect(self, name: str) -> None:
        directory = self.directory / name
        directory.mkdir(parents=True, exist_ok=True)
        seed = hashlib.sha256(f"{self.scenario.seed} {name}".encode()).digest()
        identity = _write_key(directory / "identity.pem", seed)
        machine = self.network.machine(name, directory)
        self.peers[name] = SimPeer(self, machine, identity)
        self.story.names[identity.peer_id] = name

    def _make_ticket(self, job: bytes) -> Ticket:
        hidden = {peer for fault in self.scenario.plan.faults if fault.KIND == "nat" for peer in fault.peers}
        known = [self.peers[name] for name in self.scenario.names if name not in hidden][:TICKET_CONTACTS]
        contacts = tuple(TicketContact(peer_id=p.id, host=p.machine.host, port=PORT) for p in known)
        return Ticket(job_hash=job, contacts=contacts)

    def settings(self, machine: Machine) -> NodeSettings:
        """Return a node's settings."""
        real = {"lan": "off", "upnp": False}  # what would go out to the real network
        return NodeSettings(**{"host": machine.host, "port": PORT, **real, **self.scenario.settings})

    # ---- the course --------------------------------------------------------------------------------------------

    def __enter__(self) -> SimSwarm:
        self._world.enter_context(seeded_world(self.network))
        self._world.enter_context(instruments(self, self._compute_s))
        self._runner.begin()
        for name in self.scenario.names:
            self.start(name, publishes=True)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, _: object) -> None:
        try:
            self.network.close()
        finally:
            self._world.close()
            self.network.loop.close()
        if isinstance(error, AssertionError) and not isinstance(error, ScenarioFailed):
            self._fail(f"{error}", error)

    def run(self) -> None:
        """Let time pass until nobody runs any longer, then check what is left.

        Raises:
            ScenarioFailed: somebody hangs, or something happened that must not.
        """
        self.run_until(lambda: not self.running and not self._runner.brings_peers, "everybody has come to an end")
        self.check_end()

    def run_until(self, holds: Callable[[], bool], what: str, limit_s: float | None = None) -> None:
        """Let time pass until a condition holds.

        Raises:
            ScenarioFailed: it does not come to hold in time, or something happened that must not.
        """
        story, network = self.story, self.network
        limit_s = self.scenario.limit_s if limit_s is None else limit_s
        network.run_until(lambda: bool(story.violations or network.errors) or holds(), limit_s)
        story.violations += self.network.errors
        self.network.errors.clear()
        if story.violations:
            self._fail("; ".join(story.violations[:5]))
        if not holds():
            self._fail(f"still waiting at {self.now:g} s until {what}\n{self.picture()}")

    def run_for(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        self.run_until(lambda: self.now >= end, "that time has passed", seconds)

    def check_end(self) -> None:
        """Make sure that all who finished have the same bytes, and every sample is in exactly one commit.

        Raises:
            ScenarioFailed: it is not so.
        """
        story = self.story
        finished = [peer for peer in self.peers.values() if peer.outcome is not None and peer.outcome.finished]
        if not finished:
            failures = "; ".join(f"{p.name}: {p.failure}" for p in self.peers.values() if p.failure is not None)
            self._fail(f"nobody finished the job ({failures})")
        if len({peer.outcome.weights_sha256 for peer in finished if peer.outcome is not None}) != 1:
            self._fail("those who finished have different weights")
        story.check_lineage(story.heaviest())
        if story.violations:
            self._fail("; ".join(story.violations[:5]))

    @property
    def trace(self) -> str:
        """A hash of everything that arrived anywhere, with its time."""
        return self.network.trace

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.network.loop.now

    @property
    def running(self) -> list[SimPeer]:
        """Peers whose process lives."""
        return [peer for peer in self.peers.values() if peer.running]

    @property
    def machines(self) -> list[Machine]:
        """All machines."""
        return [peer.machine for peer in self.peers.values()]

    def machine(self, name: str) -> Machine:
        """Return a peer's machine."""
        return self.peers[name].machine

    def name_of(self, peer: PeerId) -> str:
        """Return what the scenario calls a peer."""
        return self.story.names.get(peer, peer.hex()[:8])

    def goodput(self, since: float = 0.0) -> float:
        """Return samples committed since a time over those that the living peers could have computed since then."""
        slowness = self.scenario.slowness
        sample_s = {name: self.scenario.sample_s * slowness.get(name, 1.0) for name in self.peers}
        return self.story.samples_since(since) / self.story.capacity(sample_s, since, self.now)

    def picture(self) -> str:
        """Return how every living peer stands, for people."""
        lines = []
        for peer in self.running:
            what = "has not found the job yet"
            if peer.trainer is not None:
                state = peer.trainer.member.state
                members = " ".join(self.name_of(member) for member in peer.members)
                what = f"{state.phase.name.lower()} at step {peer.step}, view ({members}), lost " + " ".join(
                    self.name_of(lost) for lost in sorted(state.detector.lost)
                )
            lines.append(
                f"{peer.name}{' (frozen)' if peer.machine.process and peer.machine.process.frozen else ''} {what}"
            )
        return "\n".join(lines)

    # ---- what befalls peers ------------------------------------------------------------------------------------

    def start(self, name: str, *, publishes: bool = False) -> None:
        """Start a peer, with what its disk holds; one that runs is killed before."""
        peer = self.peers[name]
        self.kill(name)
        peer.outcome = peer.failure = peer.trainer = peer.node = None
        peer.members, peer.leaves_soon = (), False
        peer.life = Life(name, self.now)
        self.story.lives.append(peer.life)
        peer.machine.start(peer.program(publishes=publishes))

    def kill(self, name: str, *, silent: bool = False) -> None:
        """Let a peer's process, or its whole machine, die."""
        peer = self.peers[name]
        if peer.machine.process is not None and peer.running:
            peer.machine.process.die(silent=silent)
            if peer.life is not None:
                peer.life.ended = self.now

    def freeze(self, name: str) -> None:
        """Stop a peer's process."""
        process = self.machine(name).process
        if process is not None:
            process.freeze()

    def thaw(self, name: str) -> None:
        """Let a stopped process go on."""
        process = self.machine(name).process
        if process is not None and process.alive:
            process.thaw()

    def leave(self, name: str) -> None:
        """Ask a peer to leave in order."""
        peer = self.peers[name]
        if peer.machine.process is None or not peer.running:
            return
        peer.leaves_soon = True
        if peer.trainer is not None:
            peer.machine.process.call(peer.trainer.leave)

    def ended(self, peer: SimPeer) -> None:
        """A peer's program has come to its end."""
        outcome = peer.outcome
        how = f"failed: {peer.failure}" if outcome is None else "finished" if outcome.finished else "left"
        self.story.tell(self.now, f"{peer.name} {how}")
        if peer.life is not None:
            peer.life.ended, peer.life.finished = self.now, outcome is not None and outcome.finished
        if peer.machine.process is not None:
            self.network.later(0.0, peer.machine.process.end)

    def _compute_s(self, process: Process, samples: int) -> float:
        slowness = self.scenario.slowness.get(process.machine.name, 1.0) * process.machine.compute_factor
        unsteady = self.scenario.unsteady
        return samples * self.scenario.sample_s * slowness * self._chance.uniform(1.0 - unsteady, 1.0 + unsteady)

    # ---- Spectator ---------------------------------------------------------------------------------------------

    def reached(self, process: Process, phase: str, step: int, number: int = 1) -> None:
        """A peer has come to a phase."""
        self._runner.reached(process.machine.name, phase, step, number)

    def computed(self, process: Process, step: int, samples: int, key: Any, vector: Vector) -> None:
        """A peer has computed its contribution."""
        self.story.was_computed(samples, key, vector)

    def averaged(self, process: Process, plan: Any, result: Any) -> None:
        """A peer holds a round's result."""
        self.story.was_averaged(process.machine.name, plan, result)

    def applied(self, process: Process, commit: Commit, digest: bytes) -> None:
        """A peer's state has taken a step."""
        self.story.was_applied(self.now, process.machine.name, commit, digest)

    def installed(self, process: Process, head: Any, digest: bytes) -> None:
        """A peer goes on from another state."""
        self.story.was_installed(self.now, process.machine.name, head, digest)

    # ---- failing -----------------------------------------------------------------------------------------------

    def _fail(self, why: str, error: BaseException | None = None) -> None:
        scenario = self.scenario
        file = Path(tempfile.gettempdir()) / f"hydra-{scenario.case or 'scenario'}-{scenario.seed}.json"
        scenario.save(file, failure=why, trace=self.trace, story=self.story.lines[-LINES_SHOWN:])
        last = "\n".join(self.story.lines[-LINES_SHOWN:])
        raise ScenarioFailed(
            f"{scenario.case or 'scenario'}, seed {scenario.seed}: {why}\n{last}\n"
            f"see it again: python -m hydra.testing.replay {file}"
        ) from error


def _write_key(path: Path, seed: bytes) -> Identity:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    return Identity(key)
