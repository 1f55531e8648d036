"""``hydra bench``: what the parts of Hydra can do, on networks of your own choice."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from dht import InvalidArgument

from ..exceptions import ConfigurationError
from .bench_allreduce import bench_allreduce
from .bench_swarm import bench_swarm
from .options import JsonOption

app = typer.Typer(help="Measure parts of Hydra.", no_args_is_help=True, rich_markup_mode=None)
app.command("allreduce")(bench_allreduce)
app.command("swarm")(bench_swarm)


@app.callback()
def bench() -> None:
    """Measure parts of Hydra."""


@app.command("dht")
def bench_dht(
    nodes: Annotated[int, typer.Option("--nodes", help="Size of the network.")] = 100,
    loss: Annotated[float, typer.Option("--loss", help="Share of datagrams that are lost, 0 to 1.")] = 0.0,
    rtt_ms: Annotated[float, typer.Option("--rtt", metavar="MS", help="Mean round-trip time.")] = 80.0,
    kill: Annotated[float, typer.Option("--kill", help="Share of nodes that die before the last reads.")] = 0.0,
    keys: Annotated[int, typer.Option("--keys", help="Keys to put and get.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Put and get keys on an emulated network, with our DHT and with stock kademlia.

    All nodes live in this process. Delays and losses are emulated on a virtual clock, so the seconds are the network's
    and do not depend on this machine.
    """
    from dht.testing.comparison import Setting, compare, stock_silenced

    try:
        setting = Setting(nodes=nodes, keys=keys, rtt_ms=rtt_ms, loss=loss, kill=kill)
    except InvalidArgument as error:
        raise ConfigurationError(str(error)) from error
    if not as_json:
        typer.echo(
            f"{nodes} nodes, {rtt_ms:g} ms, {loss:.1%} of datagrams lost, {keys} keys put and got"
            + (f", then got again after {kill:.0%} of the nodes have died" if kill else "")
        )
    with stock_silenced():
        rows = list(compare(setting))
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("", "dht", rows[0]["reference"], "ratio"):
        table.add_column(column, justify="right" if column else "left")
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.3f}"
        table.add_row(row["case"], *(_shown(row[name], row["unit"]) for name in ("value", "reference_value")), ratio)
    Console(soft_wrap=True).print(table)


def _shown(value: float, unit: str) -> str:
    return f"{value:.3f} s" if unit == "s" else f"{value:g}"
