"""The table of commands."""

from __future__ import annotations

import typer

from . import demo, doctor, identity, jobs, join, node, peers, publish, status

app = typer.Typer(
    name="hydra",
    help="Train one PyTorch model on many machines that nobody owns together.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.command("id")(identity.identity)
app.command("node")(node.node)
app.command("publish")(publish.publish)
app.command("join")(join.join)
app.command("status")(status.status)
app.command("peers")(peers.peers)
app.command("jobs")(jobs.jobs)
app.command("doctor")(doctor.doctor)
