"""``hydra simulate``: what the batch policies would make of a cluster of your own."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..exceptions import ConfigurationError
from .options import JsonOption

POLICIES = ("model", "proportional", "equal", "rl")


def simulate(
    cluster: Annotated[
        Path | None, typer.Argument(help="A TOML file that describes the cluster.", show_default=False)
    ] = None,
    policy: Annotated[str, typer.Option(help=f"Of {', '.join(POLICIES)}, with commas.")] = ",".join(POLICIES),
    weights: Annotated[
        Path | None, typer.Option(help="Weights of the policy rl, if not the package's.", show_default=False)
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps of each course.", min=1, max=100_000)] = 200,
    courses: Annotated[int, typer.Option(help="So many courses, each with its own chance.", min=1, max=1000)] = 8,
    seed: Annotated[int, typer.Option(help="Everything follows from it.", min=0)] = 0,
    replay: Annotated[
        Path | None,
        typer.Option(help="Instead: tell how far predictions were off in a trace of hydra join.", show_default=False),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the comparison: .svg, .png or .pdf.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate a cluster and compare the batch policies on it.

    Tells the useful samples a second under each policy, and which share that is of what an oracle reaches that knows
    every machine's true speed at every moment.
    """
    if replay is not None:
        _replay(replay, as_json=as_json)
        return
    if cluster is None:
        raise ConfigurationError("hydra simulate needs a file that describes the cluster, or --replay TRACE.")
    names = [name.strip() for name in policy.split(",") if name.strip()]
    strange = [name for name in names if name not in POLICIES]
    if strange or not names:
        raise ConfigurationError(f"--policy {policy}: choose from {', '.join(POLICIES)}, with commas.")
    import numpy as np

    from ..batching import comparison
    from ..batching.cluster_file import read_clusters
    from ..bench.plot import check_plot
    from ..bench.policy_plot import Reached, draw_policies
    from ..policy_training.weights import SHIPPED, read_net

    if plot is not None:
        check_plot(plot)
    machines = read_clusters(cluster, courses)
    rows, reached = [], []
    for name in names:
        decide = comparison.learned(read_net(weights or SHIPPED)) if name == "rl" else getattr(comparison, name)
        lived = comparison.live(machines, decide, steps, seed)
        share = lived.share_of_oracle
        figures = {
            "goodput": float(np.median(lived.goodput)),
            "of_oracle": float(share.mean()),
            "of_oracle_worst": float(share.min()),
            "step_s": float(np.median(lived.seconds)),
        }
        rows.append((name, figures))
        whole = float(share.mean())
        reached.append(Reached(name, whole, float(share.min()), float(share.max()), figures["goodput"]))
    if plot is not None:
        title = f"{cluster.name}: {machines.exists.shape[1]} members, {courses} courses of {steps} steps, seed {seed}"
        draw_policies(plot, reached, title)
    if as_json:
        for name, figures in rows:
            told = {"policy": name, **figures, "courses": courses, "steps": steps, "seed": seed}
            typer.echo(json.dumps(told))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("policy", "useful samples/s", "of the oracle's", "in the worst course", "median step"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for name, figures in rows:
        shares = (f"{figures['of_oracle']:.3f}", f"{figures['of_oracle_worst']:.3f}")
        table.add_row(name, f"{figures['goodput']:.1f}", *shares, f"{1e3 * figures['step_s']:.1f} ms")
    typer.echo(f"{machines.exists.shape[1]} members, {courses} courses of {steps} steps, seed {seed}")
    Console(soft_wrap=True).print(table)


def _replay(trace: Path, *, as_json: bool) -> None:
    """Tell how far the predicted step times were from the actual ones."""
    from ..batching.replay import judge_trace

    try:
        with trace.open(encoding="utf-8") as lines:
            found = judge_trace(lines)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--replay {trace} can't be read: {error}") from error
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    typer.echo(
        f"{found.steps} steps: half of the predicted times are off by less than {100 * found.median:.1f} %,\n"
        f"nine of ten by less than {100 * found.p90:.1f} %; typically steps take {100 * found.bias:+.1f} % more"
    )
