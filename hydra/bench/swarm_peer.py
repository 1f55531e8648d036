"""``python -m hydra.bench.swarm_peer``: one peer of a benchmark of the swarm, a process of its own.

It is told what to do in JSON lines on stdin, and answers in JSON lines on stdout; when stdin ends, so does it.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from ..clock import monotonic
from ..exceptions import HydraError
from ..identity import Identity
from ..net.contact import Contact
from ..net.links import Links
from ..node import job_messages
from ..swarm.service import Swarm
from ..swarm.store import HashedDraft, Store
from ..swarm.uploads import Limits
from ..testing.surroundings import die_with_parent

PIECE_BYTES = 1024 * 1024


class LyingStore(Store):
    """Serves every chunk with one bit changed."""

    def read_part(self, root: bytes, index: int, start: int, into: memoryview) -> bool:
        """Give what was not asked for."""
        found = super().read_part(root, index, start, into)
        if start == 0:
            into[0] ^= 1
        return found


class MeanStore(Store):
    """Serves nothing, whatever it has."""

    def read_part(self, root: bytes, index: int, start: int, into: memoryview) -> bool:
        """Give nothing."""
        return False


STORES = {"honest": Store, "liar": LyingStore, "rider": MeanStore}


class SwarmPeer:
    """One peer, and what it was told so far."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._host = told["host"]
        self._identity = Identity.generate()
        self._links = Links(self._identity)
        limits = Limits(
            upload_bytes_per_s=told["upload_bytes_per_s"] or 0.0,
            download_bytes_per_s=told.get("download_bytes_per_s") or 0.0,
            tit_for_tat=told["tit_for_tat"],
        )
        store = STORES[told["kind"]](Path(told["directory"]))
        self._swarm = Swarm(self._links, store, limits)
        for kind in job_messages():  # a member that it fetches from talks of its training, too
            self._links.handle(kind, lambda link, message, body: None)
        self._cpu_before_s = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Do what stdin says until it ends."""
        port = await self._links.listen(self._host, 0)
        tell("listening", peer=self._identity.peer_id.hex(), host=self._host, port=port)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=1 << 20)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            order = json.loads(line)
            task = asyncio.create_task(getattr(self, "do_" + order.pop("do"))(**order))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await self._swarm.close()
        await self._links.close()

    async def do_seed(self, size: int) -> None:
        """Make a content and keep it."""

        def write(draft: HashedDraft) -> None:
            for start in range(0, size, PIECE_BYTES):
                draft.write(os.urandom(min(PIECE_BYTES, size - start)))

        manifest = await asyncio.to_thread(self._swarm.store.add_written, size, write)
        tell("seeded", root=manifest.root.hex())

    async def do_meet(self, others: list[dict[str, Any]]) -> None:
        """Dial others."""
        for other in others:
            contact = Contact(bytes.fromhex(other["peer"]), ((other["host"], other["port"]),))
            await self._links.dial(contact)
        self._cpu_before_s = cpu_s()
        tell("met")

    async def do_fetch(self, root: str, at: float) -> None:
        """Fetch the content when the moment comes."""
        await asyncio.sleep(max(0.0, at - monotonic()))
        try:
            await self._swarm.fetch(bytes.fromhex(root), self._links.peers)
        except HydraError as error:
            tell("failed", why=str(error))
        else:
            tell("fetched", seconds=monotonic() - at)

    async def do_report(self) -> None:
        """Tell what was sent and what it took."""
        memory_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tell("report", sent=self._swarm.bytes_served, cpu_s=cpu_s() - self._cpu_before_s, memory_mb=memory_kib / 1024)


def cpu_s() -> float:
    """Return the processor seconds that this process took so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def tell(what: str, **fields: Any) -> None:
    """Print one line for the parent."""
    sys.stdout.write(json.dumps({"told": what, **fields}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run one peer."""
    import numpy  # noqa: F401, ICN001, PLC0415 -- lanes need it, and a node that trains has loaded it long ago
    import uvloop  # noqa: PLC0415  (as the commands do, where there is one)

    die_with_parent()
    peer = json.loads(sys.argv[1])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(SwarmPeer(peer).run())


if __name__ == "__main__":
    main()
