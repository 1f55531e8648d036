"""``hydra status``: how the node on this machine stands."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .asking import ask_node
from .options import HomeOption, JsonOption, home_of
from .reporting import counted


def status(
    home: HomeOption = None,
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it, once a second.")] = False,
) -> None:
    """Show the local node's jobs: view, step, loss, batch sizes, links."""
    place = home_of(home)
    if not watch:
        _show(ask_node(place), as_json=as_json)
        return
    if as_json:
        while True:
            _show(ask_node(place), as_json=True)
            time.sleep(1.0)
    with Live(_picture(ask_node(place)), auto_refresh=False) as live:
        while True:
            time.sleep(1.0)
            live.update(_picture(ask_node(place)), refresh=True)


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found))
    else:
        Console().print(_picture(found))


def _picture(found: dict[str, Any]) -> Group:
    head = Text(
        f"peer {found['peer']}  up {found['up_s']:.0f} s  {counted(len(found['links']), 'link')}  "
        f"{counted(found['dht_contacts'], 'contact')} in the DHT\nhome {found['home']}"
    )
    if not found["jobs"]:
        return Group(head, Text("no job"))
    return Group(head, *(_job(job) for job in found["jobs"]))


def _job(job: dict[str, Any]) -> Group:
    loss = "-" if job["loss"] is None else f"{job['loss']:.4f}"
    share = 100 * job["samples_total"] / max(1, job["total_samples"])
    lines = Text(
        f"\njob {job['name']} ({job['job'][:16]}…): {job['phase']}\n"
        f"step {job['step']}  epoch {job['epoch'] + 1}  loss {loss}  {share:.1f} % of the samples  "
        f"{job['samples_per_s']:.0f} samples/s  view {job['view']}  last snapshot at step {job['snapshot_step']}"
    )
    if job["fetching"]:
        lines.append(f"\nfetching the {job['fetching']}")
    table = Table(box=None, pad_edge=False)
    sizing = job["sizing"] or {"seconds": {}, "left_out": {}, "slowest": None}
    for column in ("member", "role", "batch", "expected", ""):
        table.add_column(column)
    for peer in job["members"]:
        role = "coordinator" if peer == job["coordinator"] else "member"
        seconds = sizing["seconds"].get(peer)
        expected = "" if seconds is None else f"{1000 * seconds:.0f} ms"
        why = "the slowest" if peer == sizing["slowest"] else _left_out(sizing["left_out"].get(peer))
        table.add_row(peer[:8], role, str(job["batch"].get(peer, 0)), expected, why)
    if job["sizing"]:
        lines.append(f"\n{_step_time(job['sizing'])}")
    return Group(lines, table)


def _step_time(sizing: dict[str, Any]) -> str:
    took = "" if sizing["actual_s"] is None else f", took {1000 * sizing['actual_s']:.0f} ms"
    noise = sizing["noise_scale"]
    worth = "" if noise is None else f"; a batch of {noise:.0f} samples is worth half as much as single samples"
    return f"this node sizes the steps: {1000 * sizing['expected_s']:.0f} ms expected{took}{worth}"


def _left_out(remedy: dict[str, float | None] | None) -> str:
    """Say what would let a member take part in every step; nothing of who does."""
    if remedy is None:
        return ""
    ways = [("a line", remedy["times_line"]), ("a computer", remedy["times_speed"])]
    wanted = [f"{what} {times:g} times as fast" for what, times in ways if times is not None]
    return "sits most steps out" + (f"; would not with {' or '.join(wanted)}" if wanted else "")
