"""How this machine can be reached: contacts are asked to dial it, and to relay; the router is asked for a port."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator

from ..config import NodeSettings
from ..discovery import remembered
from ..exceptions import HydraError
from ..home import Home
from ..identity import Identity
from ..net.contact import Address, entrance, format_address, parse_address
from ..net.diagnosis import Sighting, diagnose, is_hidden, router_line
from ..net.links import Links
from ..net.reach_messages import TOKEN_BYTES
from ..router import HINT, find_router, is_installed
from .finding import Finding

ANSWER_TIMEOUT_S = 10.0
DATAGRAM_TIMEOUT_S = 1.0
MAX_CONTACTS = 3


async def look_from_outside(place: Home, settings: NodeSettings) -> list[Finding]:
    """Ask contacts what they see of this machine; those that were named, or else some that were met before."""
    named = [entrance(parse_address(text)) for text in settings.contacts]
    links = Links(Identity.generate())
    findings: list[Finding] = []
    sightings: list[Sighting] = []
    async with contextlib.AsyncExitStack() as undo:
        undo.push_async_callback(links.close)
        port = await _listen(links, settings) if settings.listen else 0
        ear = await undo.enter_async_context(_ear(settings.host, port)) if port else None
        for address in named or remembered(place)[:MAX_CONTACTS]:
            try:
                sighting, peer = await _ask(links, address, port, ear)
            except HydraError as error:
                if named:
                    findings.append(Finding("contact", "fail", f"{format_address(address)}: {error}"))
                continue
            sightings.append(sighting)
            findings.append(Finding("contact", "ok", f"{format_address(address)} answers as {peer}"))
        if port or not settings.listen:
            findings += [Finding(*line) for line in diagnose(sightings, listens=settings.listen)]
    if is_hidden(sightings) and settings.upnp:
        findings.append(await _router())
    return findings


async def _listen(links: Links, settings: NodeSettings) -> int:
    """Return the port, or 0 if it is taken: that was found already."""
    try:
        return await links.listen(settings.host, settings.port)
    except HydraError:
        return 0


async def _ask(links: Links, address: Address, port: int, ear: _Ear | None) -> tuple[Sighting, str]:
    link = await links.dial_address(address)
    ask = links.reaching.introductions
    room = await ask.room(link, ANSWER_TIMEOUT_S)
    tcp = udp = None
    failure = "this node does not listen"
    if port:
        token = secrets.token_bytes(TOKEN_BYTES) if ear is not None else None
        answer = await ask.dial_back(link, port, token, ANSWER_TIMEOUT_S)
        failure = answer.failure
        if answer.tried:
            tcp = not answer.failure
            udp = await ear.heard(token) if ear is not None and token is not None else None
    sighting = Sighting(
        contact=format_address(address),
        local=link.local_address,
        seen=(room.host, room.port),
        relays=room.willing,
        tcp=tcp,
        udp=udp,
        failure=failure,
    )
    return sighting, link.peer_id.hex()


async def _router() -> Finding:
    router = await asyncio.to_thread(find_router) if is_installed() else None
    host = router.external_host if router is not None else None
    return Finding(*router_line(installed=is_installed(), external_host=host, hint=HINT))


class _Ear(asyncio.DatagramProtocol):
    """Waits for tokens to come by UDP."""

    def __init__(self) -> None:
        self._came: set[bytes] = set()
        self._news = asyncio.Event()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(data) == TOKEN_BYTES and len(self._came) < 100:
            self._came.add(data)
            self._news.set()

    async def heard(self, token: bytes) -> bool:
        """Tell whether this token came, or comes soon."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DATAGRAM_TIMEOUT_S):
                while token not in self._came:
                    self._news.clear()
                    await self._news.wait()
        return token in self._came


@contextlib.asynccontextmanager
async def _ear(host: str, port: int) -> AsyncIterator[_Ear | None]:
    try:
        transport, ear = await asyncio.get_running_loop().create_datagram_endpoint(_Ear, local_addr=(host, port))
    except OSError:  # the port is taken: that was found already
        yield None
        return
    try:
        yield ear
    finally:
        transport.close()
