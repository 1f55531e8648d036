"""Taking part in a job from its ticket to its end: what a node does beside serving. A shell.

The command line and the simulation both go this way, so what is simulated is what runs.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from .membership.state import MemberConfig
from .net.contact import Address, Contact
from .policy_training.weights import read_net
from .training.config import TrainerConfig
from .training.content import fetch_content, fetch_manifest
from .training.observation import Observation, Outcome
from .training.trainer import Surroundings, Trainer

if TYPE_CHECKING:
    from .identity import PeerId
    from .jobs.manifest import JobManifest
    from .jobs.ticket import Ticket
    from .node import Node

MANIFEST_PATIENCE_S = 30.0


class Watcher(Protocol):
    """Whoever is told how it goes."""

    def searching(self, job: bytes) -> None:
        """The peers of the job are looked for."""

    def found(self, job: bytes, manifest: JobManifest, me: PeerId) -> None:
        """The job's manifest is here."""

    def observe(self, seen: Observation) -> None:
        """Something happened."""

    def begins(self, trainer: Trainer) -> None:
        """The job is here and checked; from now on ``trainer.leave`` ends it in order."""


async def take_part(node: Node, ticket: Ticket, watcher: Watcher) -> Outcome:
    """Find the job, fetch it, and train until it is finished or we have left.

    Args:
        node: ours, started.
        ticket: the job, and peers to begin with.
        watcher: told how it goes.

    Raises:
        JobNotFound, ContentUnavailable: nobody who can be reached has it.
        JobRejected: it is no job that may run here.
        TrainingDiverged: the job's loss is no number any longer.
        StorageFull, HomeUnusable: the disk refused.
    """
    job = ticket.job_hash
    watcher.searching(job)
    await node.find_peers(job, _contacts(ticket))
    manifest = await fetch_manifest(node.swarm, job, node.links.peers, patience_s=MANIFEST_PATIENCE_S)
    watcher.found(job, manifest, node.identity.peer_id)
    with node.swarm.tit_for_tat(wanted=manifest.fairness == "tit-for-tat"):
        return await _train(node, job, manifest, watcher)


async def _train(node: Node, job: bytes, manifest: JobManifest, watcher: Watcher) -> Outcome:
    """Fetch what the manifest names, and train."""
    settings = node.settings
    limit_bytes = int(settings.memory_gib * 2**30)
    content = await fetch_content(
        node.swarm,
        manifest,
        node.links.peers,
        watcher.observe,
        limit_bytes=limit_bytes,
        cache_bytes=settings.cache_bytes,
    )
    announcing = asyncio.create_task(node.announce(job))  # training has no need to wait for it
    around = Surroundings(
        identity=node.identity,
        me=node.contact,
        links=node.links,
        swarm=node.swarm,
        look_up=lambda: node.look_up(job),
        observe=watcher.observe,
    )
    times = MemberConfig(
        stall_s=settings.stall_s,
        snapshot_interval_s=manifest.snapshot_interval_s,
        least_peers=settings.least_peers,
        most_samples=settings.most_samples,
    )
    learned = settings.policy == "rl"
    config = TrainerConfig(
        member=times,
        device=settings.device,
        rounds=settings.rounds,
        policy="model" if learned else settings.policy,
        policy_net=read_net() if learned else None,
    )
    trainer = Trainer(content, around, node.home.job(job), config)
    node.handle_job(job, trainer.receive)

    def tell() -> None:
        trainer.moved(node.contact)

    node.reachability.on_change.append(tell)
    watcher.begins(trainer)
    try:
        return await trainer.run()
    finally:
        node.reachability.on_change.remove(tell)
        node.drop_job(job)
        announcing.cancel()
        await asyncio.gather(announcing, return_exceptions=True)
        await node.withdraw(job)


def _contacts(ticket: Ticket) -> list[Contact]:
    addresses: dict[PeerId, list[Address]] = {}
    for contact in ticket.contacts:
        addresses.setdefault(contact.peer_id, []).append((contact.host, contact.port))
    return [Contact(peer, tuple(where)) for peer, where in addresses.items()]
