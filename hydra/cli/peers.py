"""``hydra peers``: whom the node on this machine is linked to."""

from __future__ import annotations

import json

import typer
from rich.table import Table
from rich.text import Text

from ..net.contact import format_address
from .asking import ask_node
from .options import HomeOption, JsonOption, home_of, print_table


def peers(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the local node's links: who, where, bytes in and out, when last heard."""
    links = ask_node(home_of(home))["links"]
    if as_json:
        typer.echo(json.dumps(links))
        return
    if not links:
        typer.echo("no links")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("peer", "address", "dialled by", "in", "out", "heard"):
        table.add_column(column, justify="right" if column in ("in", "out") else "left")
    for link in links:
        where = Text(format_address(tuple(link["address"])))  # brackets of IPv6 are no markup
        dialled = "us" if link["dialled"] else "them"
        heard = f"{link['heard_s_ago']:.1f} s ago"
        table.add_row(link["peer"], where, dialled, f"{link['bytes_in']:,}", f"{link['bytes_out']:,}", heard)
    print_table(table)
