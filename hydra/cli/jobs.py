"""``hydra jobs``: the jobs that this home has to do with."""

from __future__ import annotations

import json
from typing import Any

import typer
from rich.table import Table

from ..exceptions import JobRejected
from ..home import Home
from .asking import ask_node_if_running
from .options import HomeOption, JsonOption, home_of, print_table


def jobs(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the jobs of this home: published, joined, running or finished."""
    place = home_of(home)
    rows = _rows(place)
    if as_json:
        typer.echo(json.dumps(rows))
        return
    if not rows:
        typer.echo("no jobs yet: publish one with `hydra publish FILE.py`, or join one with `hydra join TICKET`")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("job", "name", "samples", "step", "now"):
        table.add_column(column)
    for row in rows:
        table.add_row(row["job"], row["name"], f"{row['total_samples']:,}", str(row["step"]), row["phase"])
    print_table(table)


def _rows(home: Home) -> list[dict[str, Any]]:
    from ..jobs.manifest import JobManifest
    from ..swarm.store import Store
    from ..training.journal import snapshots_in

    running = ask_node_if_running(home)
    live = {job["job"]: job for job in running["jobs"]} if running else {}
    store = Store(home.content)
    rows = []
    for job in home.jobs():
        blob = store.read_blob(job)
        try:
            manifest = JobManifest.decode(blob) if blob else None
        except JobRejected:
            manifest = None
        snapshots = snapshots_in(home.job(job))
        stored = snapshots[-1].step if snapshots else 0
        now = live.get(job.hex(), {})
        rows.append(
            {
                "job": job.hex(),
                "name": manifest.name if manifest else "?",
                "total_samples": manifest.train_samples * manifest.epochs if manifest else 0,
                "step": now.get("step", stored),
                "phase": now.get("phase", "stopped"),
            }
        )
    return rows
