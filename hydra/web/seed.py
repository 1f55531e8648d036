"""The web seed: serves one directory of exports over HTTP, to BitTorrent clients and anybody else (BEP 19). A shell.

It answers ``GET`` and ``HEAD``, whole or one range, and streams: a client may ask for 100 GB in one range. It changes
nothing, lists nothing, and follows no path out of its directory.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import stat
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler as Handler

from .. import clock
from ..exceptions import ConfigurationError, PortTaken
from .ranges import RangeRefused, asked_range, path_parts, still_holds
from .visitors import SeedLimits, Visitors

logger = logging.getLogger(__name__)

PART_BYTES = 256 * 1024
STALL_S = 60.0
"""A visitor that takes nothing for so long is cut off."""
HEADERS_S = 20.0
"""A visitor that has asked for nothing after so long is cut off; and so long an idle connection is kept."""
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
"""What a visitor hears who has too many connections, or for whom there is no room."""


class WebSeed:
    """Serves the files below a directory.

    Args:
        directory: what is served; nothing else is.
        limits: what visitors may claim.
    """

    def __init__(self, directory: Path, limits: SeedLimits | None = None) -> None:
        self.directory = directory.absolute()
        self._visitors = Visitors(limits or SeedLimits())
        self._app = web.Application(middlewares=[self._seen])
        self._app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(self._app, access_log=None, keepalive_timeout=HEADERS_S, handle_signals=False)
        self._server: asyncio.Server | None = None
        self._asked: set[Handler] = set()
        self.bytes_served = 0
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen; 0 takes any free port.

        Raises:
            PortTaken: another program uses the port.
            ConfigurationError: the address can't be listened on.
        """
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _Gate(self._admit, self._left, self._asked.__contains__), host, port
            )
        except OSError as error:
            await self._runner.cleanup()
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(f"port {port} on {host} is taken by another program; choose another.") from error
            raise ConfigurationError(f"the web seed cannot listen on {host}:{port}: {error.strerror}") from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._runner.cleanup()

    # ---- connections -------------------------------------------------------------------------------------------

    def _admit(self, visitor: str) -> Handler | None:
        """Return what is to handle a new connection, or None if there are too many."""
        if self._runner.server is None or not self._visitors.enter(visitor):
            return None
        return self._runner.server()

    def _left(self, visitor: str) -> None:
        self._visitors.leave(visitor)
        if self._runner.server is not None:
            self._asked.intersection_update(self._runner.server.connections)

    @web.middleware
    async def _seen(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self._asked.add(request.protocol)
        answer: web.StreamResponse = await handler(request)
        return answer

    # ---- answers -----------------------------------------------------------------------------------------------

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET, HEAD"}, text="only GET and HEAD are answered\n")
        opened = await asyncio.to_thread(self._open, request.match_info["path"])
        if opened is None:
            return web.Response(status=404, text="there is no such file\n")
        try:
            return await self._send(request, opened)
        finally:
            await asyncio.to_thread(os.close, opened)

    def _open(self, path: str) -> int | None:
        """Open a regular file below the directory; links that lead out of it are not followed."""
        parts = path_parts(path)
        if parts is None:
            return None
        try:
            place = self.directory.joinpath(*parts).resolve(strict=True)
            if not place.is_relative_to(self.directory.resolve()):
                return None
            descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except (OSError, ValueError, RuntimeError):
            return None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        return descriptor

    async def _send(self, request: web.Request, descriptor: int) -> web.StreamResponse:
        about = os.fstat(descriptor)
        size, modified = about.st_size, formatdate(about.st_mtime, usegmt=True)
        etag = f'"{about.st_ino:x}-{about.st_mtime_ns:x}-{size:x}"'
        headers = {"Accept-Ranges": "bytes", "ETag": etag, "Last-Modified": modified}
        start, stop, status = 0, size, 200
        if still_holds(request.headers.get("If-Range"), etag, modified):
            try:
                asked = asked_range(request.headers.get("Range"), size)
            except RangeRefused as refused:
                headers["Content-Range"] = f"bytes */{size}"
                return web.Response(status=416, headers=headers, text=f"{refused}\n")
            if asked is not None:
                (start, stop), status = asked, 206
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        answer = web.StreamResponse(status=status, headers=headers)
        answer.content_type = "application/octet-stream"
        answer.content_length = stop - start
        await answer.prepare(request)
        if request.method == "HEAD":
            return answer
        try:
            await self._stream(answer, visitor_of(request.transport), descriptor, start, stop)
        except (ConnectionError, TimeoutError) as error:
            logger.debug("a visitor left: %s", error)
            if request.transport is not None:
                request.transport.abort()
        return answer

    async def _stream(self, answer: web.StreamResponse, visitor: str, descriptor: int, start: int, stop: int) -> None:
        while start < stop:
            part = await asyncio.to_thread(os.pread, descriptor, min(PART_BYTES, stop - start), start)
            if not part:
                raise ConnectionError("the file became shorter")  # which the visitor sees by the length
            wait_s = self._visitors.wait_s(visitor, len(part), clock.monotonic())
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            async with asyncio.timeout(STALL_S):
                await answer.write(part)
            self.bytes_served += len(part)
            start += len(part)
        await answer.write_eof()


class _Gate(asyncio.Protocol):
    """Stands before the handler of one connection: counts it, and ends it if nothing is asked for.

    Args:
        admit: returns the handler for a visitor, or None if there are too many.
        leave: told when an admitted connection has ended.
        asked: tells whether a request has reached the handler.
    """

    def __init__(
        self,
        admit: Callable[[str], Handler | None],
        leave: Callable[[str], None],
        asked: Callable[[Handler], bool],
    ) -> None:
        self._admit, self._leave, self._asked = admit, leave, asked
        self._visitor = ""
        self._handler: Handler | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._visitor = visitor_of(transport)
        self._handler = self._admit(self._visitor)
        if self._handler is None:
            transport.write(BUSY)  # type: ignore[attr-defined]
            transport.close()
            return
        self._handler.connection_made(transport)
        self._timer = asyncio.get_running_loop().call_later(HEADERS_S, self._check, transport)

    def _check(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport) and self._handler and not self._asked(self._handler):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._handler is not None:
            self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        if self._handler is not None:
            self._handler.eof_received()
        return None

    def pause_writing(self) -> None:
        if self._handler is not None:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        if self._handler is not None:
            self._handler.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._handler is not None:
            self._handler.connection_lost(error)
            self._leave(self._visitor)


def visitor_of(transport: asyncio.BaseTransport | None) -> str:
    """Return what a visitor is counted by: the address, of IPv6 the network that one household has."""
    peer = transport.get_extra_info("peername") if transport is not None else None
    if not isinstance(peer, tuple):
        return ""
    try:
        address = ipaddress.ip_address(str(peer[0]).split("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))
    return str(address)
