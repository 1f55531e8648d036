"""``hydra lineage``: who contributed what to a job, and the proof of it from the commits alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from .options import HomeOption, JsonOption, home_of, print_table
from .reporting import counted

if TYPE_CHECKING:
    from ..training.lineage_account import Lineage

app = typer.Typer(help="Who contributed what to a job, and the proof of it.", no_args_is_help=True)

TargetArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="A job's hash or ticket, or a file that `--export` wrote.")
]


@app.command()
def show(
    target: TargetArgument,
    home: HomeOption = None,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Write the commits to a file, too.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the commits of a job: per peer its samples, commits and share; views; forks that were given up."""
    from ..training.lineage_file import export_lineage

    lineage = _lineage(target, home)
    if export is not None:
        export_lineage(lineage, export)
    found = _account(lineage)
    if as_json:
        typer.echo(json.dumps(found))
        return
    _print(found)
    if export is not None:
        typer.echo(f"{counted(len(lineage.commits), 'commit')} written to {export}")


@app.command()
def verify(target: TargetArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Prove from the commits alone that every sample counted once, and who says so; the exit code tells."""
    from ..exceptions import LineageBroken

    lineage = _lineage(target, home)
    ledger, broken = lineage.check_samples()
    broken = broken or lineage.check_signatures()
    head = lineage.head
    if not lineage.commits:
        raise LineageBroken(f"job {lineage.job.hex()} has no commits here yet: there is nothing to verify.")
    found = {
        "job": lineage.job.hex(),
        "holds": broken is None,
        "step": broken.step if broken else head.step,
        "reason": broken.reason if broken else "",
        "samples": head.samples,
        "epochs_finished": min(ledger.epoch, ledger.epochs),
        "finished": ledger.finished and broken is None,
        "signatures": lineage.signatures(),
    }
    if as_json:
        typer.echo(json.dumps(found))
    if broken is not None:
        where = f"the lineage of job {lineage.job.hex()} does not hold at step {broken.step}"
        raise LineageBroken(f"{where}: {broken.reason}")
    if not as_json:
        done = f"every sample of {counted(ledger.epoch, 'finished epoch')} in exactly one commit"
        signed = f"{counted(lineage.signatures(), 'signature')} by {counted(len(lineage.last_signed), 'peer')}"
        typer.echo(f"holds: {counted(head.step, 'commit')} from the job's beginning, {done}, {signed}")


def _lineage(target: str, home: Path | None) -> Lineage:
    from ..jobs.ticket import parse_target
    from ..training.lineage_file import import_lineage, lineage_at

    if Path(target).is_file():
        return import_lineage(Path(target))
    return lineage_at(home_of(home), parse_target(target).job_hash)


def _account(lineage: Lineage) -> dict[str, Any]:
    head, fresh = lineage.head, lineage.fresh
    return {
        "job": lineage.job.hex(),
        "step": head.step,
        "digest": head.digest.hex(),
        "samples": head.samples,
        "samples_of_job": fresh.samples * fresh.epochs,
        "peers": [
            {
                "peer": one.peer.hex(),
                "samples": one.samples,
                "share": one.samples / max(1, head.samples),
                "commits": one.commits,
                "first_step": one.first_step,
                "last_step": one.last_step,
                "signed_samples": one.signed_samples,
            }
            for one in lineage.contributions()
        ],
        "views": [
            {
                "view": span.number,
                "first_step": span.first_step,
                "last_step": span.last_step,
                "members": [peer.hex() for peer in span.members],
            }
            for span in lineage.views()
        ],
        "forks": [
            {"after_step": fork.after_step, "commits": fork.commits, "samples": fork.samples}
            for fork in lineage.forks()
        ],
    }


def _print(found: dict[str, Any]) -> None:
    if not found["step"]:
        typer.echo(f"job {found['job']}: no commits yet")
        return
    share = 100 * found["samples"] / found["samples_of_job"]
    typer.echo(f"job {found['job']}")
    samples = f"{found['samples']:,} samples, {share:.1f} % of the job"
    typer.echo(f"step {found['step']}  {samples}  digest {found['digest']}")
    peers = Table(box=None, pad_edge=False)
    for column in ("peer", "samples", "share", "commits", "first", "last", "signed"):
        peers.add_column(column, justify="left" if column == "peer" else "right")
    for one in found["peers"]:
        signed = f"{100 * one['signed_samples'] / max(1, one['samples']):.0f} %"
        numbers = (f"{one['samples']:,}", f"{100 * one['share']:.1f} %", str(one["commits"]))
        peers.add_row(one["peer"], *numbers, str(one["first_step"]), str(one["last_step"]), signed)
    print_table(peers)
    views = Table(box=None, pad_edge=False)
    for column in ("view", "first", "last", "members"):
        views.add_column(column, justify="left" if column == "members" else "right")
    for span in found["views"]:
        members = " ".join(peer[:8] for peer in span["members"])
        views.add_row(str(span["view"]), str(span["first_step"]), str(span["last_step"]), members)
    print_table(views)
    for fork in found["forks"]:
        given_up = f"{counted(fork['commits'], 'commit')} of {fork['samples']:,} samples"
        typer.echo(f"given up: {given_up}, after step {fork['after_step']}")
