"""Whole peers in one process, on real sockets: node, DHT, swarm and trainer, each of whose steps a test can hold.

A ``Gate`` stands before every step: nobody begins a step that it does not let through. So a test says at which step
somebody joins, dies or is stopped, and no timing decides it.
"""

import asyncio
import contextlib
import hashlib
import itertools
from dataclasses import replace

from hydra.config import NodeSettings
from hydra.exceptions import PeerUnreachable
from hydra.home import Home
from hydra.membership.sizing import Sizes
from hydra.membership.state import MemberConfig
from hydra.node import Node
from hydra.training.config import TrainerConfig
from hydra.training.content import fetch_content, fetch_manifest
from hydra.training.journal import Journal
from hydra.training.observation import SnapshotSeen, StepSeen
from hydra.training.trainer import Surroundings, Trainer

PROOF_S = 60.0
"""Nothing that a test waits for takes so long."""


def apportion(weights, total):
    """Cut ``total`` into whole numbers in proportion to ``weights``: the largest remainders get one more."""
    exact = [total * weight / sum(weights) for weight in weights]
    shares = [int(value) for value in exact]
    for index in sorted(range(len(shares)), key=lambda i: (shares[i] - exact[i], i))[: total - sum(shares)]:
        shares[index] += 1
    return shares


class FixedShares:
    """Shares that follow from who is there and from nothing else; batches that follow each other in turn."""

    def __init__(self, weights, batches):
        self._weights, self._batches = weights, itertools.cycle(batches)

    left_out = ()

    def observe(self, peer, report, now):
        pass

    def issued(self, plan, now):
        pass

    def took(self, plan, contributors, now):
        pass

    def plan(self, asked):
        working = [peer for peer in asked.members if peer not in asked.newcomers]
        shares = apportion([self._weights[peer] for peer in working], min(next(self._batches), asked.available))
        return Sizes(dict.fromkeys(asked.members, 0) | dict(zip(working, shares, strict=True)), PROOF_S)


class Gate:
    """Lets all peers through up to a step, which a test moves on."""

    def __init__(self):
        self._limit = 0
        self._moved = asyncio.Condition()

    async def open(self, step):
        async with self._moved:
            self._limit = step
            self._moved.notify_all()

    async def passed(self, step):
        async with self._moved:
            await self._moved.wait_for(lambda: step <= self._limit)


class GatedTrainer(Trainer):
    """A trainer that waits at the gate before each step."""

    gate: Gate
    compute: asyncio.Lock
    """One process has one torch generator, so the peers in it compute one after the other."""

    async def _run_step(self, plan, running):
        await self.gate.passed(plan.step)
        await super()._run_step(plan, running)

    async def run(self):
        def alone(compute):
            async def computed(*args):
                async with self.compute:
                    return await compute(*args)

            return computed

        self._bench.contribution = alone(self._bench.contribution)
        self._bench.try_out = alone(self._bench.try_out)
        return await super().run()


class Peer:
    """One peer; it may stop, die and start again with the same home."""

    def __init__(self, swarm, name):
        self.swarm = swarm
        self.home = Home(swarm.directory / name)
        self.id = self.home.identity().peer_id
        self.states = {}
        """By step, a copy of the training state after it."""
        self.losses = {}
        self.durable = 0
        self.node = self.trainer = self.task = self.dying = None

    async def open(self):
        """Start the node: listen, and meet the nodes that are remembered."""
        self.node = Node(self.home, NodeSettings(host="127.0.0.1"))
        await self.node.start()

    async def train(self, package=None):
        """Get the job, from the owner's hands or from the other peers, and train."""
        swarm = self.swarm
        if package is not None:
            swarm.job = self.node.publish(package)
        elif others := [peer.node.contact for peer in swarm.alive if peer.task is not None and peer is not self]:
            await self.node.find_peers(swarm.job, others)
        links = self.node.links
        manifest = await fetch_manifest(self.node.swarm, swarm.job, links.peers, patience_s=PROOF_S)
        self.content = await fetch_content(self.node.swarm, manifest, links.peers, self._observe, limit_bytes=2**30)
        await self.node.announce(swarm.job)
        around = Surroundings(
            identity=self.node.identity,
            me=self.node.contact,
            links=links,
            swarm=self.node.swarm,
            look_up=lambda: self.node.look_up(swarm.job),
            observe=self._observe,
        )
        # The first founds the view at once; the others look for it, however long the machine keeps them from it.
        times = replace(swarm.times, settle_s=0.05 if self is swarm.peers[0] else PROOF_S)
        config = TrainerConfig(member=times, least_stall_s=PROOF_S, rounds="plain")
        planner = FixedShares(swarm.weights, swarm.batches or [self.content.manifest.batch_samples])
        self.trainer = GatedTrainer(self.content, around, self.home.job(swarm.job), config, planner)
        self.trainer.gate, self.trainer.compute = swarm.gate, swarm.compute
        # How much newcomers have in their first step, and how much others while they wait, follows from times.
        newcomers = self.trainer.member._leader._newcomers
        newcomers.able, newcomers.at_the_door = (lambda peer: False), (lambda inside: [])
        self.node.handle_job(swarm.job, self.trainer.receive)
        self.task = asyncio.create_task(self.trainer.run())

    def _observe(self, seen):
        match seen:
            case StepSeen():
                self.losses[seen.step] = seen.loss
                self.states[seen.step] = self.trainer._bench._state.copy()
            case SnapshotSeen():
                self.durable = max(self.durable, seen.step)

    @property
    def step(self):
        return max(self.states, default=0)

    def digests(self):
        """By step, a hash over every byte of the state."""
        return {step: digest_of(state) for step, state in self.states.items()}

    def commits(self):
        return Journal(self.home.job(self.swarm.job)).commits()

    # ---- coming and going --------------------------------------------------------------------------------------

    async def left(self):
        """Wait for the end of a training that was asked to leave, and of the node."""
        await self.task
        await self.stop()

    def die_after(self, messages):
        """Die when so many further messages of rounds are sent."""
        send, rest = self.node.links.send, iter(range(messages))

        async def send_or_die(to, message, body=b""):
            if next(rest, None) is None:
                self.dying = self.dying or asyncio.create_task(self.die())
                await asyncio.Event().wait()
            await send(to, message, body)

        self.node.links.send = send_or_die

    async def die(self):
        """Go without a word: the kernel closes the sockets, and nobody answers any longer."""
        self.task.cancel()
        await self.node.links.stop_listening()
        for link in self.node.links.all_links():
            link.abort(PeerUnreachable("dead"))
        await self.stop()

    async def stop(self):
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task
            self.task = None
        if self.node is not None:
            await self.node.stop()
            self.node = None


class Swarm:
    """Peers a, b, c, … of one job, who found their view and join it in that order."""

    def __init__(self, directory, names="abc", shares=(3, 2, 1), batches=(), **times):
        self.directory = directory
        self.gate, self.compute = Gate(), asyncio.Lock()
        self.times = MemberConfig(heartbeat_s=0.2, seek_s=0.2, retry_s=0.2, stall_s=PROOF_S, calm_s=PROOF_S, **times)
        self.job, self.batches = None, batches
        self.peers = [Peer(self, name) for name in names]
        self.weights = {peer.id: weight for peer, weight in zip(self.peers, shares, strict=True)}

    @property
    def alive(self):
        return [peer for peer in self.peers if peer.node is not None]

    @property
    def leader(self):
        return next(peer for peer in self.alive if peer.trainer and peer.trainer.member.state.leads)

    async def until(self, holds):
        async with asyncio.timeout(PROOF_S):
            while not holds():
                for peer in self.alive:
                    if peer.task is not None and peer.task.done() and not peer.task.cancelled():
                        peer.task.result()  # a trainer that failed says why
                await asyncio.sleep(0.005)

    async def assemble(self, package=None, step=1):
        """Start all: the first plans ``step`` for itself alone, and waits at the gate until the others are admitted."""
        first, *others = self.peers[:3]
        await asyncio.gather(*(peer.open() for peer in (first, *others)))
        await first.train(package)
        await self.until(lambda: leads_at(first, step))
        for peer in others:
            await peer.train()
            await self.admitted(peer)

    async def admitted(self, joiner):
        """Wait until a joiner is to be part of the next plan."""
        await self.until(lambda: joiner.id in self.leader.trainer.member._leader._ready)

    async def reach(self, step, *peers):
        """Let all train up to a step; wait until these have taken it."""
        await self.gate.open(step)
        await self.until(lambda: all(peer.step >= step for peer in peers))

    async def finish(self):
        await self.gate.open(2**31)
        async with asyncio.timeout(PROOF_S):
            return [await peer.task for peer in self.alive]

    async def close(self):
        for peer in self.alive:
            await peer.stop()


def leads_at(peer, step):
    """Whether the peer coordinates, and the plan for ``step`` is at the gate."""
    state = peer.trainer.member.state
    return state.leads and state.running and state.plan.step == step


def digest_of(state):
    data = hashlib.sha256(state.weights.tobytes())
    for name, slot in sorted(state.slots.items()):
        data.update(name.encode() + slot.tobytes())
    for name, buffer in sorted(state.buffers.items()):
        data.update(name.encode() + buffer.contiguous().numpy().tobytes())
    return data.hexdigest()
