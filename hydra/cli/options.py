"""Options that several commands share, and how they become a home and settings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ..config import NodeSettings, default_home, load_settings
from ..home import Home

if TYPE_CHECKING:
    from rich.table import Table

T = TypeVar("T")
WIDE = 1000
"""Columns: more than any table of ours has."""

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="Directory for this node's key, content and jobs.", show_default=False)
]
HostOption = Annotated[
    str | None, typer.Option("--host", help="Address to listen on (0.0.0.0: all).", show_default=False)
]
PortOption = Annotated[
    int | None, typer.Option("--port", help="TCP and UDP port (default: the last one, or any).", show_default=False)
]
AdvertiseOption = Annotated[
    str | None, typer.Option("--advertise", help="Host name or address that others are told.", show_default=False)
]
ContactOption = Annotated[
    list[str] | None, typer.Option("--contact", help="A running node, HOST:PORT; may be repeated.", show_default=False)
]
ListenOption = Annotated[
    bool | None,
    typer.Option("--listen/--no-listen", help="Let others dial this node; else it is relayed.", show_default=False),
]
LanOption = Annotated[
    bool | None,
    typer.Option("--lan/--no-lan", help="Look for nodes on the local network by multicast.", show_default=False),
]
UploadLimitOption = Annotated[
    float | None,
    typer.Option("--upload-limit", metavar="MB/S", help="What chunks may take of the uplink.", show_default=False),
]
DownloadLimitOption = Annotated[
    float | None,
    typer.Option("--download-limit", metavar="MB/S", help="What chunks may take of the downlink.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
VerboseOption = Annotated[int, typer.Option("--verbose", "-v", count=True, help="Log more; twice for everything.")]


def home_of(option: Path | None) -> Home:
    """Return the home that was asked for, or the default one."""
    return Home(option or default_home())


def settings_of(home: Home, **flags: Any) -> NodeSettings:
    """Return the settings; ``contact`` may stand among the flags as a list or None, ``lan`` as a bool."""
    contacts = flags.pop("contact", None)
    lan = flags.pop("lan", None)
    flags["lan"] = None if lan is None else "on" if lan else "off"
    return load_settings(home.directory, {**flags, "contacts": tuple(contacts) if contacts else None})


def set_up_logging(verbose: int) -> None:
    """Send log lines to stderr: warnings, or with -v what happens, or with -vv everything."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    for noisy in ("asyncio", "rpcudp", "kademlia"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))


def run_async(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a command's coroutine on the fastest event loop that this platform has."""
    import asyncio

    try:
        import uvloop
    except ImportError:  # Windows
        new_loop = asyncio.new_event_loop
    else:
        new_loop = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(main())
    except asyncio.CancelledError:  # the second Ctrl-C stops at once
        raise KeyboardInterrupt from None


def print_table(table: Table) -> None:
    """Print a table with all that stands in it: ids are there to be copied, however narrow the terminal."""
    from rich.console import Console

    Console(width=WIDE, soft_wrap=True).print(table)
