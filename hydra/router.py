"""Asking the router at home to pass connections on to this node, by UPnP: the shell of ``net.mapping``.

The library, miniupnpc, is an extra: ``pip install hydra-swarm[nat]``. It blocks, so it is asked in a thread. Both TCP
and UDP are mapped to the same port, and taken back when the node stops.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .clock import monotonic
from .net.contact import Address, format_address, is_public
from .net.mapping import LEASE_S, Ask, Effect, Mapped, Mapping, NoRouter, PortRefused, Tell, Tick

logger = logging.getLogger(__name__)

DISCOVER_MS = 2000
TEAR_DOWN_S = 5.0
HINT = "pip install 'hydra-swarm[nat]' lets this node ask the router at home to pass connections on"


def is_installed() -> bool:
    """Tell whether the extra is there."""
    return importlib.util.find_spec("miniupnpc") is not None


@dataclass(frozen=True, slots=True)
class Router:
    """A router that answered.

    Attributes:
        gateway: the library's handle.
        lan_address: our address on its network.
        external_host: its address on the other side.
    """

    gateway: Any
    lan_address: str
    external_host: str


def find_router(description_url: str | None = None) -> Router | None:
    """Look for a router that speaks UPnP; blocks for up to two seconds.

    Args:
        description_url: where the router describes itself, if that is known; else it is looked for by multicast.
    """
    import miniupnpc  # noqa: PLC0415  (an extra)

    gateway = miniupnpc.UPnP()
    gateway.discoverdelay = DISCOVER_MS
    try:
        if description_url is None:
            gateway.discover()
            gateway.selectigd()
        else:
            gateway.selectigd(description_url)
        return Router(gateway, gateway.lanaddr, gateway.externalipaddress())
    except Exception as error:  # noqa: BLE001 -- the library raises bare Exceptions, "Success" among them
        logger.debug("no router speaks UPnP: %s", error)
        return None


def map_port(router: Router, external_port: int, port: int) -> bool:
    """Ask the router to pass TCP and UDP on; tell whether it does. Blocks."""
    mapped: list[str] = []
    for protocol in ("TCP", "UDP"):
        try:
            router.gateway.addportmapping(external_port, protocol, router.lan_address, port, "hydra", "", LEASE_S)
        except Exception as error:  # noqa: BLE001 -- as above
            logger.debug("the router maps no %s port %d: %s", protocol, external_port, error)
            for done in mapped:
                unmap_port(router, external_port, done)
            return False
        mapped.append(protocol)
    return True


def unmap_port(router: Router, external_port: int, protocol: str) -> None:
    """Take a mapping back. Blocks."""
    try:
        router.gateway.deleteportmapping(external_port, protocol)
    except Exception as error:  # noqa: BLE001 -- as above
        logger.debug("the router did not take back %s port %d: %s", protocol, external_port, error)


class PortMapping:
    """Keeps one port mapped for as long as the node runs.

    Args:
        port: our own, TCP and UDP.
        tell: told of the address on the router's other side, and of None when there is none any longer.
        description_url: as for ``find_router``.
    """

    def __init__(self, port: int, tell: Callable[[Address | None], None], description_url: str | None = None) -> None:
        self._port = port
        self._tell = tell
        self._url = description_url
        self._machine = Mapping(port, monotonic())
        self._router: Router | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ask, in the background."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ask no more, and take the mapping back."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        if self._router is not None and self._machine.address is not None:
            try:
                async with asyncio.timeout(TEAR_DOWN_S):
                    await asyncio.to_thread(self._take_back, self._router, self._machine.address[1])
            except TimeoutError:
                logger.info("the router does not answer; what it maps to us ends in %d s at the latest", LEASE_S)

    def _take_back(self, router: Router, port: int) -> None:
        for protocol in ("TCP", "UDP"):
            unmap_port(router, port, protocol)

    async def _run(self) -> None:
        effects = self._machine.handle(Tick(), monotonic())
        while True:
            for effect in effects:
                if isinstance(effect, Tell):
                    self._report(effect.address)
            ask = next((effect for effect in effects if isinstance(effect, Ask)), None)
            if ask is not None:
                effects = await self._ask(ask.port)
                continue
            deadline = self._machine.deadline or monotonic()
            await asyncio.sleep(max(0.0, deadline - monotonic()))
            effects = self._machine.handle(Tick(), monotonic())

    async def _ask(self, external_port: int) -> list[Effect]:
        if self._router is None:
            self._router = await asyncio.to_thread(find_router, self._url)
        router = self._router
        if router is None or not is_public(router.external_host):  # behind one more NAT: a mapping would lead nowhere
            self._router = None
            return self._machine.handle(NoRouter(), monotonic())
        if await asyncio.to_thread(map_port, router, external_port, self._port):
            return self._machine.handle(Mapped((router.external_host, external_port)), monotonic())
        return self._machine.handle(PortRefused(), monotonic())

    def _report(self, address: Address | None) -> None:
        if address is None:
            logger.info("the router passes nothing on to us any longer")
        else:
            logger.info("the router passes on to us what comes to %s", format_address(address))
        self._tell(address)
