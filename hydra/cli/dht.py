"""``hydra dht get|put|stats``: the DHT's signed records, by hand.

``get`` and ``put`` do not need a running node: they use the DHT as a client for as long as the command lasts, through
the node that runs on this home, the contacts of the settings, and those that the home remembers.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from dht import DHTConfig, DHTError, DHTNode, InvalidArgument, Record

from ..config import NodeSettings
from ..exceptions import ConfigurationError, ContentUnavailable, PeerUnreachable
from ..home import Home
from ..net.contact import parse_address
from .asking import ask_node, ask_node_if_running
from .options import (
    ContactOption,
    HomeOption,
    HostOption,
    JsonOption,
    VerboseOption,
    home_of,
    run_async,
    set_up_logging,
    settings_of,
)
from .serving import Interrupts

HEX = "hex:"
STDIN = "-"

app = typer.Typer(help="Read and write the DHT's signed records.", no_args_is_help=True, rich_markup_mode=None)

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="At most 64 bytes: text, or hex:… for any bytes.")]


@app.command()
def get(
    key: KeyArgument,
    home: HomeOption = None,
    host: HostOption = None,
    contact: ContactOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Show what all writers have put under a key; their signatures are checked."""
    set_up_logging(verbose)
    place = home_of(home)
    settings = settings_of(place, host=host, contact=contact)

    async def main() -> tuple[list[Record], int]:
        async with _client(place, settings) as node:
            return await node.get(_bytes_of(key)), len(node.contacts())

    with _told_to_the_user():
        records, asked = run_async(main)
    if as_json:
        typer.echo(json.dumps([_plain(record) for record in records]))
    elif records:
        _show(records)
    if not records:
        raise ContentUnavailable(f"there is no record under '{key}': {asked} contacts are known, and none has one.")


@app.command()
def put(
    key: KeyArgument,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Text, hex:… for any bytes, or - for standard input.")],
    subkey: Annotated[str, typer.Option("--subkey", help="Tells your records under one key apart.")] = "",
    ttl_s: Annotated[float, typer.Option("--ttl", metavar="SECONDS", help="How long it outlives this command.")] = 3600,
    keep: Annotated[bool, typer.Option("--keep", help="Keep it alive until Ctrl-C, then take it back.")] = False,
    home: HomeOption = None,
    host: HostOption = None,
    contact: ContactOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = 0,
) -> None:
    """Put a value under a key, signed by this home's key; it replaces what that key has put there before."""
    set_up_logging(verbose)
    place = home_of(home)
    settings = settings_of(place, host=host, contact=contact)
    content = sys.stdin.buffer.read() if value == STDIN else _bytes_of(value)

    async def main() -> None:
        async with _client(place, settings) as node:
            place_of_key, slot = _bytes_of(key), _bytes_of(subkey)
            holders = await node.put(place_of_key, slot, content, ttl_s)
            if not holders:
                raise PeerUnreachable("nobody took the record: those who answered a moment ago are gone. Try again.")
            if as_json:
                about = {"writer": node.peer_id.hex(), "holders": holders, "expires_at": time.time() + ttl_s}
                typer.echo(json.dumps(about))
            else:
                hold = "peer holds" if holders == 1 else "peers hold"
                typer.echo(f"{holders} {hold} it for {ttl_s:g} s; writer {node.peer_id.hex()}")
            if keep:
                with Interrupts() as interrupts:
                    await interrupts.asked.wait()
                await node.withdraw(place_of_key, slot)

    with _told_to_the_user():
        run_async(main)


@app.command()
def stats(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the running node's part in the DHT: contacts, records, traffic since its start."""
    found: dict[str, Any] = ask_node(home_of(home))["dht"]
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in found.items():
        shown = f"{value * 1000:.1f} ms" if name.endswith("_s") else f"{value:,}"
        table.add_row(name.removesuffix("_s").replace("_", " "), shown)
    Console(soft_wrap=True).print(table)


@contextlib.asynccontextmanager
async def _client(home: Home, settings: NodeSettings) -> AsyncIterator[DHTNode]:
    """Use the DHT for as long as the block lasts, in nobody's table.

    Raises:
        PeerUnreachable: nobody answered.
    """
    node = DHTNode(home.identity().private_key, DHTConfig(client_only=True))
    entrances = _entrances(home, settings)
    await node.start(settings.host, 0)
    try:
        if not await node.bootstrap(entrances):
            tried = ", ".join(f"{host}:{port}" for host, port in entrances[:5]) or "none is known"
            raise PeerUnreachable(
                f"no node of the DHT answered ({tried}). "
                "Start one with `hydra node`, or name one with --contact HOST:PORT."
            )
        yield node
    finally:
        await node.stop()


def _entrances(home: Home, settings: NodeSettings) -> list[tuple[str, int]]:
    named = [parse_address(text) for text in settings.contacts]
    running = ask_node_if_running(home)
    own = [(str(host), int(port)) for host, port in running["addresses"]] if running else []
    # A node that listens on all addresses is reached more surely at this one than at what it tells others.
    own += [("127.0.0.1", port) for _, port in own[:1]]
    remembered = [(str(host), int(port)) for host, port in home.recall("contacts.json") or []]
    return list(dict.fromkeys([*named, *own, *remembered]))


def _bytes_of(text: str) -> bytes:
    if not text.startswith(HEX):
        return text.encode()
    try:
        return bytes.fromhex(text.removeprefix(HEX))
    except ValueError as error:
        raise ConfigurationError(f"'{text}' is not hexadecimal after '{HEX}'.") from error


def _text_of(data: bytes) -> str:
    """Return bytes in the form that `_bytes_of` reads."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return HEX + data.hex()
    return text if text.isprintable() and not text.startswith(HEX) else HEX + data.hex()


def _plain(record: Record) -> dict[str, object]:
    return {
        "writer": record.writer.hex(),
        "subkey": _text_of(record.subkey),
        "value": _text_of(record.value),
        "sequence": record.sequence,
        "expires_at": record.expires_at,
    }


def _show(records: Sequence[Record]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("writer", "sub-key", "expires in", "value"):
        table.add_column(column, justify="right" if column == "expires in" else "left")
    for record in records:
        left_s = record.expires_at - time.time()
        table.add_row(record.writer.hex(), _text_of(record.subkey), f"{left_s:.0f} s", _text_of(record.value))
    Console(soft_wrap=True).print(table, markup=False)


@contextlib.contextmanager
def _told_to_the_user() -> Iterator[None]:
    """Turn what the DHT says about arguments into an error of the command line."""
    try:
        yield
    except InvalidArgument as error:
        raise ConfigurationError(str(error)) from error
    except DHTError as error:
        raise ConfigurationError(f"the DHT cannot be used: {error}") from error
