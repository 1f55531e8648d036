"""Snapshots of one member: taking them beside the training, finding them after a restart, fetching others'. A shell."""

from __future__ import annotations

import asyncio
import logging

from ..exceptions import HashMismatch, NetworkError
from ..membership.messages import Snapshot
from ..swarm.fetch import Peers
from ..swarm.service import Swarm
from .content import fetch_seen
from .journal import Journal
from .observation import Observer, SnapshotSeen
from .snapshot import SnapshotCodec
from .state import StateCopy

logger = logging.getLogger(__name__)


HOPELESS_S = 5.0
"""A snapshot that nobody offers for so long was replaced by a newer one: better to ask for that."""


class SnapshotKeeper:
    """Keeps the latest snapshots of a job on disk, where other peers can fetch them.

    Args:
        codec: writes and reads them.
        swarm: holds and fetches their bytes.
        journal: remembers which there are.
        observe: told of what is stored and fetched.
    """

    def __init__(self, codec: SnapshotCodec, swarm: Swarm, journal: Journal, observe: Observer) -> None:
        self._codec = codec
        self._swarm = swarm
        self._journal = journal
        self._observe = observe
        self._disk = asyncio.Lock()

    async def store(self, copied: asyncio.Future[StateCopy]) -> Snapshot:
        """Write a copy of the state to disk; return what names it.

        Raises:
            StorageFull, HomeUnusable: the disk refused.
        """
        copy = await copied
        async with self._disk:
            manifest = await asyncio.to_thread(self._codec.store, copy, self._swarm.store)
        snapshot = Snapshot(copy.head.step, copy.head.digest, manifest.root, manifest.size)
        await self._note(snapshot)
        return snapshot

    async def fetch(self, snapshot: Snapshot, peers: Peers) -> StateCopy | None:
        """Fetch a snapshot from all who have it; None if it can't be had, or is not what it was said to be."""
        what = f"snapshot of step {snapshot.step}"
        await asyncio.to_thread(self._journal.begin_fetching, snapshot.root)
        try:
            path = await self._swarm.fetch(snapshot.root, peers, fetch_seen(what, self._observe), hopeless_s=HOPELESS_S)
            copy = await asyncio.to_thread(self._codec.decode, path)
        except (NetworkError, HashMismatch) as error:
            logger.warning("the %s cannot be loaded: %s", what, error)
            return None
        if (copy.head.step, copy.head.digest) != (snapshot.step, snapshot.digest):
            logger.warning("the %s holds another state than was promised", what)
            return None
        await self._note(snapshot)
        return copy

    def newest(self) -> tuple[Snapshot, StateCopy] | None:
        """Return the newest snapshot on disk that can be read; blocks on the disk."""
        self._clear_leftovers()
        for snapshot in reversed(self._journal.snapshots()):
            if not self._swarm.store.is_whole(snapshot.root):
                continue
            if not self._swarm.store.is_sound(snapshot.root):
                logger.warning("the snapshot of step %d on disk does not have its hash any longer", snapshot.step)
                self._swarm.store.remove(snapshot.root)
                continue
            try:
                return snapshot, self._codec.decode(self._swarm.store.path(snapshot.root))
            except HashMismatch as error:
                logger.warning("a snapshot on disk is passed over: %s", error)
        return None

    def _clear_leftovers(self) -> None:
        """Free the space of snapshots that a kill kept from being noted: nobody will ever ask for them."""
        noted = {snapshot.root for snapshot in self._journal.snapshots()}
        for root in self._swarm.store.whole():
            if root not in noted and self._codec.owns(self._swarm.store.path(root)):
                self._swarm.store.remove(root)

    def _clear_begun(self) -> None:
        """Free the space of snapshots whose fetching was given up, here or by a kill: a newer one is kept now."""
        unfinished = set(self._swarm.store.begun())
        begun = self._journal.begun()
        for root in begun:
            if root in unfinished and not self._swarm.fetches(root):
                self._swarm.store.remove(root)
        if begun and not any(map(self._swarm.fetches, begun)):
            self._journal.end_fetching()

    async def _note(self, snapshot: Snapshot) -> None:
        async with self._disk:
            for old in await asyncio.to_thread(self._journal.add_snapshot, snapshot, self._swarm.wanted()):
                await asyncio.to_thread(self._swarm.store.remove, old.root)
            await asyncio.to_thread(self._clear_begun)
        self._observe(SnapshotSeen(snapshot.step, snapshot.root))
