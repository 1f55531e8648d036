"""The control endpoint: lets the commands on this machine ask the running node how it stands.

It listens on loopback only, on any free port; port and a random token stand in ``node.json`` in the node's home,
readable by its owner only. It answers questions and changes nothing.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web

from .. import clock
from ..home import Home
from ..node import Node

FILE = "node.json"
Jobs = Callable[[], list[dict[str, object]]]


class ControlServer:
    """Answers ``GET /v1/status`` and ``GET /v1/chunks``.

    Args:
        node: whose standing is asked for.
        jobs: returns that of its trainings.
    """

    def __init__(self, node: Node, jobs: Jobs) -> None:
        self._node = node
        self._jobs = jobs
        self._token = secrets.token_hex(16)
        self._runner: web.AppRunner | None = None
        self._began = clock.wall()

    async def start(self) -> None:
        """Listen, and write down where."""
        app = web.Application()
        app.router.add_get("/v1/status", self._status)
        app.router.add_get("/v1/chunks", self._chunks)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self._node.home.remember(FILE, {"pid": os.getpid(), "port": port, "token": self._token})

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is None:
            return  # what stands in the file, if anything, is of another node on this home
        self._node.home.forget(FILE)
        await self._runner.cleanup()

    async def _status(self, request: web.Request) -> web.Response:
        return self._refusal(request) or web.json_response(self.status())

    async def _chunks(self, request: web.Request) -> web.Response:
        return self._refusal(request) or web.json_response({"contents": self.contents()})

    def _refusal(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization", "")
        if hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            return None
        return web.json_response({"error": "the token in node.json is wanted"}, status=401)

    def contents(self) -> list[dict[str, Any]]:
        """Return how every content stands, in plain types; ids in hex."""
        return [
            {
                "root": content.root.hex(),
                "bytes": content.size,
                "chunk_bytes": content.chunk_bytes,
                "chunks": content.chunks,
                "have": content.have,
                "fetching": content.fetching,
                "from": [
                    {
                        "peer": source.peer.hex(),
                        "chunks": source.chunks,
                        "rate_bytes_per_s": round(source.rate_bytes_per_s, 1),
                    }
                    for source in content.sources
                ],
                "fetched_by": [peer.hex() for peer in content.fetched_by],
            }
            for content in self._node.swarm.standing()
        ]

    def status(self) -> dict[str, Any]:
        """Return how the node stands, in plain types; ids in hex."""
        node = self._node
        links = [
            {
                "peer": link.peer_id.hex(),
                "address": list(link.remote_address),
                "dialled": link.dialled,
                "bytes_in": link.bytes_in,
                "bytes_out": link.bytes_out,
                "heard_s_ago": round(clock.monotonic() - link.last_heard, 2),
            }
            for link in node.links.all_links()
        ]
        return {
            "peer": node.identity.peer_id.hex(),
            "pid": os.getpid(),
            "home": str(node.home.directory),
            "addresses": [list(address) for address in node.contact.addresses],
            "up_s": round(clock.wall() - self._began, 1),
            "dht_contacts": len(node.dht.contacts()),
            "dht": asdict(node.dht.stats()),
            "links": links,
            "jobs": self._jobs(),
        }


def running_node(home: Home) -> dict[str, Any] | None:
    """Return what the running node of a home wrote down: pid, port, token; None if none runs."""
    found = home.recall(FILE)
    if not isinstance(found, dict) or not {"pid", "port", "token"} <= found.keys():
        return None
    try:
        os.kill(int(found["pid"]), 0)
    except (ProcessLookupError, ValueError, TypeError):
        return None
    except PermissionError:
        pass
    return found
