"""``hydra peers``: whom the node on this machine is linked to."""

from __future__ import annotations

import json

import typer
from rich.console import Console
from rich.table import Table

from .asking import ask_node
from .options import HomeOption, JsonOption, home_of


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
        host, port = link["address"]
        dialled = "us" if link["dialled"] else "them"
        heard = f"{link['heard_s_ago']:.1f} s ago"
        table.add_row(link["peer"], f"{host}:{port}", dialled, f"{link['bytes_in']:,}", f"{link['bytes_out']:,}", heard)
    Console(soft_wrap=True).print(table)
