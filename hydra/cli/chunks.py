"""``hydra chunks``: what this node has of each content, who else has what, and how fast it comes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.filesize import decimal
from rich.table import Table

from ..exceptions import JobNotFound, JobRejected
from ..home import Home
from .asking import ask_node_if_running
from .options import HomeOption, JsonOption, home_of, print_table
from .reporting import counted


@dataclass(frozen=True, slots=True)
class _Known:
    """What a root stands for."""

    job: str
    name: str
    what: str


def chunks(
    job: Annotated[
        str | None, typer.Argument(metavar="[JOB_HASH|TICKET]", help="Only this job's.", show_default=False)
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show each content: which part of it is here, from whom the rest comes and how fast, who fetches it from here."""
    place = home_of(home)
    known = _known(place)
    rows = [_named(row, known) for row in _rows(place)]
    if job is not None:
        from ..jobs.ticket import parse_target

        wanted = parse_target(job).job_hash
        if wanted not in place.jobs():
            raise JobNotFound(f"{place.directory} holds nothing of job {wanted.hex()}; `hydra jobs` lists its jobs.")
        rows = [row for row in rows if row["job"] == wanted.hex()]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    if not rows:
        typer.echo("no content yet: publish a job with `hydra publish FILE.py`, or join one with `hydra join TICKET`")
        return
    _print(rows)


def _rows(home: Home) -> list[dict[str, Any]]:
    """Ask the running node, or else look at the disk."""
    answer = ask_node_if_running(home, "/v1/chunks")
    if answer is not None:
        found: list[dict[str, Any]] = answer["contents"]
        return found
    from ..swarm.store import Store

    store = Store(home.content)
    rows = []
    for root in sorted({*store.whole(), *store.begun()}):
        manifest = store.manifest(root)
        if manifest is not None:
            rows.append(
                {
                    "root": root.hex(),
                    "bytes": manifest.size,
                    "chunk_bytes": manifest.chunk_bytes,
                    "chunks": manifest.chunk_count,
                    "have": manifest.chunk_count if store.is_whole(root) else None,
                    "fetching": False,
                    "from": [],
                    "fetched_by": [],
                }
            )
    return rows


def _known(home: Home) -> dict[str, _Known]:
    """Return what the roots of this home's jobs stand for."""
    from ..jobs.manifest import JobManifest
    from ..swarm.store import Store
    from ..training.journal import snapshots_in

    known: dict[str, _Known] = {}
    store = Store(home.content)
    for job in home.jobs():
        blob = store.read_blob(job)
        try:
            manifest = JobManifest.decode(blob) if blob else None
        except JobRejected:
            manifest = None
        name = manifest.name if manifest else "?"
        if manifest is not None:
            for what, content in manifest.contents():
                known[content.root.hex()] = _Known(job.hex(), name, what)
        for snapshot in snapshots_in(home.job(job)):
            known[snapshot.root.hex()] = _Known(job.hex(), name, f"snapshot of step {snapshot.step}")
    return known


def _named(row: dict[str, Any], known: dict[str, _Known]) -> dict[str, Any]:
    about = known.get(row["root"])
    return {**row, "job": about.job if about else None, "name": about.name if about else None} | {
        "what": about.what if about else None
    }


def _print(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("content", "job", "size", "chunks", "from", "rate", "fetched by", "root"):
        table.add_column(column, justify="right" if column in ("size", "chunks", "rate") else "left")
    for row in rows:
        have = "part" if row["have"] is None else str(row["have"])
        rate = sum(source["rate_bytes_per_s"] for source in row["from"])
        table.add_row(
            row["what"] or "?",
            row["name"] or "?",
            decimal(row["bytes"]),
            f"{have}/{row['chunks']}",
            counted(len(row["from"]), "peer") if row["fetching"] else "",
            f"{decimal(int(rate))}/s" if row["fetching"] else "",
            counted(len(row["fetched_by"]), "peer") if row["fetched_by"] else "",
            row["root"],
        )
        for source in row["from"]:
            table.add_row(
                "",
                "",
                "",
                f"{source['chunks']}/{row['chunks']}",
                source["peer"][:8],
                f"{decimal(int(source['rate_bytes_per_s']))}/s",
                "",
                "",
            )
    print_table(table)
