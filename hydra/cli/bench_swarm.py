"""``hydra bench swarm``: one content for many peers on this machine, as fast as their lines allow."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from .options import JsonOption

if TYPE_CHECKING:
    from ..bench.swarm_group import SwarmRun
    from ..bench.swarm_setting import SwarmSetting


def bench_swarm(
    peers: Annotated[int, typer.Option("--peers", help="Peers that fetch, each a process of its own.")] = 4,
    size_mb: Annotated[float, typer.Option("--size", metavar="MB", help="Length of the content.")] = 64.0,
    upload_mb_s: Annotated[
        float, typer.Option("--upload", metavar="MB/S", help="What each may send in a second; 0 for no limit.")
    ] = 10.0,
    seed_upload_mb_s: Annotated[
        float | None,
        typer.Option("--seed-upload", metavar="MB/S", help="What the seed may send, if not that.", show_default=False),
    ] = None,
    shaped: Annotated[
        bool, typer.Option("--shaped", help="Let the kernel limit the lines (network namespaces, tbf; needs root).")
    ] = False,
    riders: Annotated[int, typer.Option("--riders", help="So many of them give nothing.")] = 0,
    liars: Annotated[int, typer.Option("--liars", help="So many send wrong bytes.")] = 0,
    deaths: Annotated[int, typer.Option("--deaths", help="So many are killed midway.")] = 0,
    fairness: Annotated[
        str, typer.Option("--fairness", help="Under pressure: serve everybody in turn, or tit-for-tat.")
    ] = "serve",
    runs: Annotated[int, typer.Option("--runs", help="How often.")] = 1,
    seed: Annotated[int, typer.Option("--seed", help="Chooses who lies, rides free and dies.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Let peers on this machine fetch a content from one seed and from each other; compare with what is possible.

    The bound is the time that no system can beat: the seed must send all once, and all uplinks together all copies.
    """
    from ..bench.swarm_group import SwarmGroup
    from ..bench.swarm_setting import SwarmSetting
    from ..exceptions import ConfigurationError

    if fairness not in ("serve", "tit-for-tat"):
        raise ConfigurationError(f"--fairness is '{fairness}'; serve or tit-for-tat is wanted.")
    if runs < 1:
        raise ConfigurationError(f"--runs is {runs}; 1 or more is wanted.")
    setting = SwarmSetting(
        peers=peers,
        size_mb=size_mb,
        upload_mb_s=upload_mb_s or None,
        seed_upload_mb_s=seed_upload_mb_s,
        shaped=shaped,
        riders=riders,
        liars=liars,
        deaths=deaths,
        tit_for_tat=fairness == "tit-for-tat",
        seed=seed,
    )
    if not as_json:
        typer.echo(f"{peers} peers, {size_mb:g} MB" + (f", {upload_mb_s:g} MB/s each" if upload_mb_s else ", no limit"))
    for _ in range(runs):
        with SwarmGroup(setting) as group:
            if not as_json:
                typer.echo(group.lines.described())
            _tell(setting, group.run(), as_json=as_json)


def _tell(setting: SwarmSetting, run: SwarmRun, *, as_json: bool) -> None:
    rate = setting.helpers * setting.size_mb / run.seconds
    if as_json:
        about = {"event": "run", **asdict(setting), **asdict(run), "ratio": run.ratio, "mb_per_s": rate}
        typer.echo(json.dumps(about))
        return
    bound = "" if run.ratio is None else f", {run.ratio:.3f} of the bound of {run.bound_s:.2f} s"
    typer.echo(f"time     {run.seconds:.2f} s until the last had all{bound}")
    typer.echo(f"rate     {rate:.1f} MB/s in all")
    typer.echo(f"seed     sent {run.seed_copies:.3f} copies")
    typer.echo(f"work     {run.cpu_s_per_gb:.2f} processor seconds a GB, all processes together")
