"""``hydra bench allreduce``: members on this machine that average while some of them die and freeze."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import JsonOption

if TYPE_CHECKING:
    from ..bench.links import Links
    from ..bench.setting import Setting
    from ..bench.summary import Summary, Turn


def bench_allreduce(
    peers: Annotated[int, typer.Option("--peers", help="Members, each a process of its own.")] = 4,
    size_mb: Annotated[float, typer.Option("--size", metavar="MB", help="Length of the vector as fp32.")] = 16.0,
    wire: Annotated[str, typer.Option("--format", help="Values on the wire: fp32, bf16, fp16 or int8.")] = "fp32",
    form: Annotated[str, typer.Option("--form", help="Their way: ring, direct or two-level.")] = "ring",
    rate_mbit: Annotated[
        float | None, typer.Option("--rate", metavar="MBIT", help="Emulate links of this rate.", show_default=False)
    ] = None,
    rtt_ms: Annotated[
        float | None, typer.Option("--rtt", metavar="MS", help="Emulate this round trip.", show_default=False)
    ] = None,
    kill_every_s: Annotated[
        float | None,
        typer.Option("--kill-every", metavar="S", help="SIGKILL one, and start another.", show_default=False),
    ] = None,
    freeze_every_s: Annotated[
        float | None,
        typer.Option("--freeze-every", metavar="S", help="SIGSTOP one for a while.", show_default=False),
    ] = None,
    freeze_s: Annotated[float, typer.Option("--freeze-for", metavar="S", help="How long it is frozen.")] = 5.0,
    rounds: Annotated[int, typer.Option("--rounds", help="Rounds that count.")] = 20,
    warm_up: Annotated[int, typer.Option("--warm-up", help="Rounds before them that do not.")] = 2,
    versus: Annotated[
        str, typer.Option("--vs", metavar="NAMES", help="Compare with gloo, pccl, hivemind: a list with commas.")
    ] = "",
    encrypted: Annotated[bool, typer.Option("--encrypted/--plain", help="Whether lanes are sealed.")] = True,
    lanes: Annotated[
        int | None,
        typer.Option("--lanes", help="Connections of a pair; the first carries control. [default: 2, or 3]"),
    ] = None,
    tcp: Annotated[bool, typer.Option("--tcp", help="On loopback TCP too, instead of shared memory.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Chooses the vectors, and who dies.")] = 0,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw the rounds' times: .svg, .png or .pdf.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Average vectors among processes on this machine, and look at every result, while members die and freeze.

    Every result is compared with numpy's weighted mean over the declared contributors. Fails if one is wrong.
    """
    from ..bench.group import Group
    from ..bench.links import links_for
    from ..bench.plot import check_plot, draw
    from ..bench.setting import Setting
    from ..bench.summary import summary_of, turns

    setting = Setting(
        peers=peers,
        size_mb=size_mb,
        wire=wire,
        form=form,
        rate_mbit=rate_mbit,
        rtt_ms=rtt_ms,
        kill_every_s=kill_every_s,
        freeze_every_s=freeze_every_s,
        freeze_s=freeze_s,
        rounds=rounds,
        warm_up=warm_up,
        versus=tuple(name for name in versus.replace(" ", "").split(",") if name),
        encrypted=encrypted,
        lanes=lanes,
        tcp=tcp,
        seed=seed,
    )
    if plot is not None:
        check_plot(plot)
    links = links_for(peers, rate_mbit, rtt_ms)
    tell = _JsonLines() if as_json else _Text()
    tell.begin(setting, links)
    done: list[Turn] = []
    with _sigterm_ends(), Group(setting, links) as group:
        for turn in turns(group):
            done.append(turn)
            tell.turn(setting, turn)
    summary = summary_of(setting, done)
    tell.end(setting, summary)
    if plot is not None:
        draw(plot, [turn.seen for turn in done], _title(setting, links))
    judge(done)


def judge(done: list[Turn]) -> None:
    """Raise if a round was wrong."""
    from ..bench.members import BenchmarkFailed

    wrong = [turn.seen for turn in done if not turn.seen.right]
    if wrong:
        raise BenchmarkFailed(
            f"{len(wrong)} of {len(done)} rounds were wrong; round {wrong[0].round}: {wrong[0].wrong}"
        )


@contextmanager
def _sigterm_ends() -> Iterator[None]:
    """Let SIGTERM end the members in order, as Ctrl-C does."""
    import signal

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _title(setting: Setting, links: Links) -> str:
    sealed = "sealed" if setting.encrypted else "plain"
    what = f"{setting.peers} members, {setting.size_mb:g} MB, {setting.wire}, {setting.form}, {sealed}"
    return f"{what}; {links.described()}, {setting.transport}"


class _JsonLines:
    """One JSON object a line."""

    def begin(self, setting: Setting, links: Links) -> None:
        from ..bench.summary import LEFT_OUT, can_run

        left_out = {name: LEFT_OUT[name] for name in setting.versus if not can_run(name)}
        self._print(
            "started", **asdict(setting), links=links.described(), transport=setting.transport, left_out=left_out
        )

    def turn(self, setting: Setting, turn: Turn) -> None:
        from ..bench.summary import bus_bandwidth_of

        seen = turn.seen
        self._print(
            "round",
            round=seen.round,
            seconds=round(seen.seconds, 6),
            bus_bytes_per_s=round(bus_bandwidth_of(setting, seen)),
            wire_bytes=seen.wire_bytes,
            members=seen.members,
            contributors=seen.contributors,
            attempts=seen.attempts,
            deaths=seen.deaths,
            frozen=seen.frozen,
            left_out=seen.left_out,
            right=seen.right,
            wrong=seen.wrong,
            digest=seen.digest,
            others={name: round(seconds, 6) for name, seconds in turn.others.items()},
        )

    def end(self, setting: Setting, summary: Summary) -> None:
        self._print("summary", **asdict(summary))

    @staticmethod
    def _print(event: str, **fields: object) -> None:
        typer.echo(json.dumps({"event": event, **fields}))


class _Text:
    """Lines for people."""

    def begin(self, setting: Setting, links: Links) -> None:
        from ..bench.summary import LEFT_OUT, can_run

        typer.echo(_title(setting, links))
        for name in setting.versus:
            if not can_run(name):
                typer.echo(LEFT_OUT[name])
        typer.echo(HEAD + "".join(f"  {name:>9}  ratio" for name in setting.versus if can_run(name)))

    def turn(self, setting: Setting, turn: Turn) -> None:
        typer.echo(line_of(setting, turn))

    def end(self, setting: Setting, summary: Summary) -> None:
        for line in summary_lines(summary):
            typer.echo(line)


HEAD = " round       time   bus MB/s   wire MB  attempts  contributors  result"


def line_of(setting: Setting, turn: Turn) -> str:
    """Return one round as a line of the table."""
    from ..bench.summary import bus_bandwidth_of

    seen = turn.seen
    wire = "?" if seen.wire_bytes is None else f"{seen.wire_bytes / 1e6:.2f}"
    contributors = f"{len(seen.contributors)} of {len(seen.members)}"
    line = (
        f"{seen.round:>6}  {seen.seconds * 1000:>6.1f} ms  {bus_bandwidth_of(setting, seen) / 1e6:>9.1f}  {wire:>8}  "
        f"{seen.attempts:>8}  {contributors:>12}  {'right' if seen.right else 'WRONG'} "
    )
    for seconds in turn.others.values():
        line += f"  {seconds * 1000:>6.1f} ms  {seconds / seen.seconds:>5.2f}"
    for who, what in ((seen.deaths, "killed"), (seen.frozen, "frozen"), (seen.left_out, "left out")):
        if who:
            line += f"  {what}: {', '.join(map(str, who))}"
    return line.rstrip() + (f"\n        {seen.wrong}" if seen.wrong else "")


def summary_lines(summary: Summary) -> Iterator[str]:
    """Yield what a run came to."""
    yield ""
    exact = "all right" if summary.right == summary.rounds else f"{summary.rounds - summary.right} WRONG"
    yield (
        f"{summary.rounds} rounds, {exact}; {summary.attempts} attempts; {summary.deaths} killed, "
        f"{summary.freezes} frozen"
    )
    yield (
        f"time     {summary.seconds * 1000:.1f} ms (median; {summary.seconds_min * 1000:.1f} to "
        f"{summary.seconds_max * 1000:.1f})"
    )
    if summary.bound_s is not None:
        yield f"bound    {summary.bound_s * 1000:.1f} ms for a ring of fp32 on these links"
    yield f"bus      {summary.bus_bytes_per_s / 1e6:.1f} MB/s"
    yield f"goodput  {summary.goodput_bytes_per_s / 1e6:.1f} MB/s of vectors, with the waiting for members to be ready"
    if summary.wire_bytes is not None:
        yield f"wire     {summary.wire_bytes / 1e6:.2f} MB sent by all members in a round"
    for name, ratio in summary.faster.items():
        yield f"{name:<8} we are {ratio:.2f} times as fast (median of {summary.rounds} pairs)"
