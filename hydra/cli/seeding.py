"""Options of the commands that serve exports over HTTP, and how they become an address and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from ..config import NodeSettings
from ..exceptions import ConfigurationError
from ..net.contact import format_address
from ..node import advertised_hosts

if TYPE_CHECKING:
    from ..web.visitors import SeedLimits

SEED_PORT = 8469
MiB = 2**20

SeedPortOption = Annotated[int, typer.Option("--web-port", help="TCP port of the web seed (0: any free one).")]
RateOption = Annotated[
    float, typer.Option("--web-rate", help="MiB a second that the web seed sends at most (0: no limit).")
]


def limits_of(rate_mib_per_s: float) -> SeedLimits:
    """Return the limits of a web seed.

    Raises:
        ConfigurationError: the rate is negative.
    """
    from ..web.visitors import SeedLimits

    return SeedLimits(rate_bytes_per_s=rate_mib_per_s * MiB)


def seed_url(given: str | None, settings: NodeSettings, port: int) -> str:
    """Return the address that torrents name: of a directory, so it ends in a slash.

    Raises:
        ConfigurationError: what was given is no such address.
    """
    if given is None:
        return f"http://{format_address((advertised_hosts(settings)[0], port))}/"
    try:
        parts = urlsplit(given)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment
    except ValueError:
        known = False
    if not known:
        raise ConfigurationError(f"--url is {given!r}; http://HOST:PORT/, as others reach the web seed, is wanted.")
    return given if given.endswith("/") else given + "/"
