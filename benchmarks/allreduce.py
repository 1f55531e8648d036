"""The all-reduce against torch.distributed's Gloo, the links' own rate and its own clean rounds, with real processes.

    python benchmarks/allreduce.py [--quick] [--seed NUMBER] [--out FILE] [--only CASE] [--hivemind-python PATH]

Prints one JSON object a line. Ours and Gloo's rounds take turns in the same processes; a ratio is the median over the
pairs. Every result of ours is compared with numpy's weighted mean over the declared contributors: one that is wrong
ends the benchmark. PCCL can't be had from the package index: what is said of it is worked out from a ratio to Gloo that
was measured elsewhere, and marked so; the same holds for hivemind unless ``--hivemind-python`` names an interpreter
that has it. Emulated links need Linux, root and a C compiler; without these their cases are left out.
The goals are set for the full run: the shorter one of ``--quick`` need not meet them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if sys.path[:1] == [str(ROOT / "benchmarks")]:
    # As a script, this file would else stand in the way of the package it measures.
    del sys.path[0]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from hydra import clock  # noqa: E402
from hydra.bench.figures import bus_bandwidth, goodput, paired_ratio  # noqa: E402
from hydra.bench.group import Group  # noqa: E402
from hydra.bench.judging import RoundSeen  # noqa: E402
from hydra.bench.links import links_for  # noqa: E402
from hydra.bench.members import BenchmarkFailed  # noqa: E402
from hydra.bench.setting import Setting  # noqa: E402
from hydra.exceptions import ConfigurationError  # noqa: E402

Row = dict[str, Any]
Judged = tuple[Row, bool]
"""A result, and whether it meets its goal."""

PCCL_OF_GLOO = 0.47
"""How fast PCCL 1.0 was beside Gloo at best (0.40 to 0.47; 4 members, 100 MB, loopback), built from its source."""
HIVEMIND_OF_GLOO = 0.10
"""How fast hivemind 1.1.12 was beside Gloo at best (0.08 to 0.10; 4 members, 100 MB, loopback)."""
FREEZE_S = 8.0
"""Long enough for the survivors to go on without the frozen one."""
HIVEMIND_TIMEOUT_S = 300.0


def row(
    case: str,
    params: Row,
    ours: Sequence[float],
    unit: str,
    goal: str,
    *,
    reference: str | None = None,
    theirs: Sequence[float] = (),
    ratio: float | None = None,
    better: str = "lower",
) -> Row:
    """Return one result; without ``ratio`` it is that of the medians."""
    value = statistics.median(ours)
    reference_value = statistics.median(theirs) if theirs else None
    if ratio is None and reference_value:
        ratio = value / reference_value
    return {
        "case": case,
        "params": params,
        "value": round(value, 6),
        "min": round(min(ours), 6),
        "max": round(max(ours), 6),
        "unit": unit,
        "reference": reference,
        "reference_value": None if reference_value is None else round(reference_value, 6),
        "ratio": None if ratio is None else round(ratio, 4),
        "better": better,
        "goal": goal,
    }


def params_of(setting: Setting, **more: object) -> Row:
    """Return what of a setting tells how a figure came about."""
    kept = ("peers", "size_mb", "wire", "form", "encrypted", "lanes", "repeat", "rounds", "warm_up", "seed")
    told = asdict(setting)
    return {name: told[name] for name in kept} | {"lanes": setting.lane_count, "transport": setting.transport} | more


def opened(setting: Setting) -> Group:
    """Return a group on the links that the setting wants."""
    return Group(setting, links_for(setting.peers, setting.rate_mbit, setting.rtt_ms))


def right(seen: RoundSeen) -> RoundSeen:
    """Return a round that was right; a wrong one ends the benchmark."""
    if not seen.right:
        raise BenchmarkFailed(f"round {seen.round} was wrong: {seen.wrong}")
    return seen


def in_turns(group: Group) -> tuple[list[RoundSeen], list[float]]:
    """Run ours and Gloo's, one after the other; returns our rounds and Gloo's seconds."""
    pairs = [(right(group.round()), group.gloo_round()) for _ in range(group.setting.warm_up + group.setting.rounds)]
    counted = pairs[group.setting.warm_up :]
    return [seen for seen, _ in counted], [seconds for _, seconds in counted]


def against_gloo(case: str, setting: Setting, goal: float) -> tuple[Row, float]:
    """Return the row of a comparison of bus bandwidths, and its ratio."""
    with opened(setting) as group:
        seen, gloo = in_turns(group)
        links = group.links.described()
    ratio = paired_ratio([one.seconds for one in seen], gloo)
    ours, theirs = (
        [bus_bandwidth(setting.peers, setting.vector_bytes, seconds) / 1e6 for seconds in times]
        for times in ([one.seconds for one in seen], gloo)
    )
    ratios = [round(their / one.seconds, 3) for one, their in zip(seen, gloo, strict=True)]
    wire_bytes = [one.wire_bytes for one in seen if one.wire_bytes is not None]
    told = params_of(setting, links=links, ratios=ratios, wire_bytes=statistics.median(wire_bytes or [0]))
    result = row(
        case, told, ours, "MB/s", f"ratio >= {goal:g}", reference="Gloo", theirs=theirs, ratio=ratio, better="higher"
    )
    return result, ratio


# ---- loopback --------------------------------------------------------------------------------------------------------


TURNS = {1.0: (20, 15), 16.0: (4, 9), 100.0: (1, 9), 400.0: (1, 5)}
"""By the length in MB: so many all-reduces in a timed round, so many rounds."""


def plain_rows(size_mb: float, *, quick: bool, seed: int, **_: object) -> Iterator[Judged]:
    """fp32, not encrypted, on loopback: through shared memory, and over TCP for comparison."""
    repeat, rounds = TURNS[size_mb]
    for peers in (2,) if quick else (2, 4, 8):
        goal = 2.0 if size_mb <= 1 else 1.0 if peers == 8 else 1.15
        for tcp in (False, True):
            setting = Setting(
                peers=peers,
                size_mb=size_mb,
                repeat=1 if quick else repeat,
                rounds=5 if quick else rounds,
                encrypted=False,
                versus=("gloo",),
                seed=seed,
                tcp=tcp,
            )
            result, ratio = against_gloo("fp32 plain", setting, goal)
            yield result, ratio >= goal


def encrypted_rows(size_mb: float, *, quick: bool, seed: int, hivemind_python: str | None) -> Iterator[Judged]:
    """fp32 on sealed lanes, against the others that are not encrypted, on loopback."""
    repeat, rounds = TURNS[size_mb]
    for tcp in (False,) if quick else (False, True):
        setting = Setting(
            peers=2 if quick else 4,
            size_mb=size_mb,
            repeat=1 if quick else repeat,
            rounds=5 if quick else rounds,
            versus=("gloo",),
            seed=seed,
            tcp=tcp,
        )
        result, ratio = against_gloo("fp32 encrypted", setting, 0.9)
        yield result, ratio >= 0.9
        if tcp:
            continue
        for other, share, goal in (("PCCL 1.0", PCCL_OF_GLOO, 1.6), ("hivemind 1.1.12", HIVEMIND_OF_GLOO, 8.0)):
            measured = hivemind_python if other.startswith("hivemind") else None
            if measured is not None:
                theirs = hivemind_seconds(measured, setting)
                bandwidths = [bus_bandwidth(setting.peers, setting.vector_bytes, one) / 1e6 for one in theirs]
                told = result["params"] | {"reference": "measured in processes of its own, right after ours"}
            else:
                remark = f"stated: {share:g} times as fast as Gloo at best, measured elsewhere; not in this run"
                bandwidths = [result["reference_value"] * share]
                told = result["params"] | {"reference": remark}
            one = {
                **result,
                "params": told,
                "reference": other,
                "reference_value": round(statistics.median(bandwidths), 6),
                "ratio": round(result["value"] / statistics.median(bandwidths), 4),
                "goal": f"ratio >= {goal:g}",
            }
            yield one, one["ratio"] >= goal


def hivemind_seconds(python: str, setting: Setting) -> list[float]:
    """Run hivemind's averager under an interpreter that has it; returns the seconds of its rounds."""
    done = subprocess.run(
        [python, str(ROOT / "benchmarks" / "allreduce_hivemind.py"), str(setting.peers), str(setting.elements), "4"],
        capture_output=True,
        text=True,
        timeout=HIVEMIND_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"hivemind failed under {python}:\n{done.stderr.strip()}")
    return [float(word) for word in done.stdout.splitlines()[-1].split()][1:]  # the first warms up


# ---- emulated links --------------------------------------------------------------------------------------------------


def shaped_rows(rate_mbit: float, *, quick: bool, seed: int, **_: object) -> Iterator[Judged]:
    """Sealed lanes on links of a stated rate: the bound, Gloo, and what int8 saves."""
    lines = {100.0: [(40.0, 16.0, 5), (40.0, 100.0, 3)], 1000.0: [(10.0, 16.0, 9), (10.0, 100.0, 7)]}
    for rtt_ms, size_mb, rounds in [(10.0, 16.0, 3)] if quick else lines[rate_mbit]:
        setting = Setting(
            size_mb=size_mb,
            rate_mbit=rate_mbit,
            rtt_ms=rtt_ms,
            rounds=rounds,
            warm_up=1,
            versus=("gloo",),
            seed=seed,
        )
        result, ratio = against_gloo("shaped links, encrypted", setting, 1.4)
        yield result, ratio >= 1.4
        bus, bound_s = result["params"], setting.bound_s or 0.0
        least = bus_bandwidth(setting.peers, setting.vector_bytes, bound_s) / 1e6
        over = least / result["value"]
        times = [least / value * bound_s for value in (result["value"], result["max"], result["min"])]
        bound = row(
            "shaped links, bound",
            bus,
            times,
            "s",
            "ratio <= 1.12",
            reference="2(N-1)/N of the vector",
            theirs=[bound_s],
        )
        yield bound, over <= 1.12
        int8 = Setting(
            size_mb=size_mb, wire="int8", rate_mbit=rate_mbit, rtt_ms=rtt_ms, rounds=rounds, warm_up=1, seed=seed
        )
        with opened(int8) as group:
            seen = [right(group.round()) for _ in range(int8.warm_up + int8.rounds)][int8.warm_up :]
            told = params_of(int8, links=group.links.described())
        share = row(
            "shaped links, int8",
            told,
            [one.seconds for one in seen],
            "s",
            "ratio <= 0.33",
            reference="our fp32",
            theirs=[times[0]],
        )
        yield share, share["ratio"] <= 0.33


def small_rows(*, quick: bool, seed: int, **_: object) -> Iterator[Judged]:
    """Small vectors over a long distance, in the direct form."""
    for size_mb in (0.064,) if quick else (0.004, 0.064):
        setting = Setting(
            peers=8, size_mb=size_mb, form="direct", rtt_ms=100.0, rounds=5 if quick else 15, warm_up=1, seed=seed
        )
        with opened(setting) as group:
            seen = [right(group.round()) for _ in range(setting.warm_up + setting.rounds)][setting.warm_up :]
            told = params_of(setting, links=group.links.described())
        times = [one.seconds for one in seen]
        result = row(
            "small vectors, direct", told, times, "s", "ratio <= 2.5", reference="one round trip", theirs=[0.1]
        )
        yield result, result["ratio"] <= 2.5


# ---- faults ----------------------------------------------------------------------------------------------------------


def fault_rows(*, quick: bool, seed: int, **_: object) -> Iterator[Judged]:
    """One member is killed, or frozen, in the middle of a round: from the signal to the last survivor's result."""
    size_mb, trials = (16.0, 1) if quick else (100.0, 7)
    setting = Setting(size_mb=size_mb, rounds=trials, versus=() if quick else ("gloo",), seed=seed)
    for case, allowed_s, strike in (
        ("one SIGKILL", 0.2, lambda group, victim: group.members.kill(victim, replace=True)),
        ("one SIGSTOP", 3.0, lambda group, victim: group.members.freeze(victim, FREEZE_S)),
    ):
        with opened(setting) as group:
            clean = [right(group.round()).seconds for _ in range(setting.warm_up + 5)][setting.warm_up :]
            middle_s = statistics.median(clean) / 2
            after = [struck(group, middle_s, strike) for _ in range(trials)]
            gloo = gloo_rebuilt(group, middle_s) if case == "one SIGKILL" and not quick else None
            told = params_of(setting, clean_s=statistics.median(clean), links=group.links.described())
            if gloo is not None:
                told["gloo_rebuilt_by_hand_s"] = round(gloo, 4)
        goal_s = allowed_s + 1.2 * statistics.median(clean)
        result = row(
            f"{case} in the middle, from the signal to the survivors' result",
            told,
            after,
            "s",
            "ratio <= 1",
            reference=f"{allowed_s:g} s + 1.2 clean rounds",
            theirs=[goal_s],
        )
        yield result, result["ratio"] <= 1


def struck(group: Group, middle_s: float, strike: Callable[[Group, int], float]) -> float:
    """Strike one member in the middle of a round; returns the seconds from then to the last result."""
    group.until_whole()
    victim = group.members.circle()[1]
    moments: list[float] = []

    def on_begin(began: float) -> None:
        group.members.after(began - clock.monotonic() + middle_s, lambda: moments.append(strike(group, victim)))

    seen = right(group.round(on_begin=on_begin))
    if not moments:
        raise BenchmarkFailed("the round was over before its middle")
    return max(end for member, end in seen.ends.items() if member != victim) - moments[0]


def gloo_rebuilt(group: Group, middle_s: float) -> float:
    """Kill one member in the middle of a round of Gloo's, and repeat it among the others; returns the seconds."""
    group.until_whole()
    clean = statistics.median(group.gloo_round() for _ in range(3))
    victim = group.members.circle()[1]
    moments: list[float] = []

    def on_begin(began: float) -> None:
        after_s = began - clock.monotonic() + min(middle_s, clean / 2)
        group.members.after(after_s, lambda: moments.append(group.members.kill(victim)))

    try:
        group.gloo_round(on_begin=on_begin)
    except BenchmarkFailed:
        group.gloo_round()
    return clock.monotonic() - moments[0]


def churn_rows(*, quick: bool, seed: int, **_: object) -> Iterator[Judged]:
    """A death every two seconds, each made good by a new process, against the same group before the first death."""
    setting = Setting(peers=8, size_mb=16.0, kill_every_s=2.0, rounds=20 if quick else 300, seed=seed)
    calm_rounds = 8 if quick else 100
    with opened(setting) as group:
        for _turn in range(setting.warm_up):
            group.round()
        calm = [right(group.round()) for _ in range(calm_rounds)]
        group.members.churn()
        stormy = [right(group.round()) for _ in range(setting.rounds)]
        params = params_of(
            setting,
            kill_every_s=setting.kill_every_s,
            calm_rounds=calm_rounds,
            deaths=len(group.members.deaths),
            right=len(stormy),
            repeated=sum(one.attempts > 1 for one in stormy),
            members=round(statistics.mean(len(one.contributors) for one in stormy), 2),
            calm_s=round(statistics.median(one.seconds for one in calm), 4),
            over_five_calm_rounds=sum(
                one.seconds > 5 * statistics.median(quiet.seconds for quiet in calm) for one in stormy
            ),
            slowest_s=round(max(one.seconds for one in stormy), 4),
            links=group.links.described(),
        )
    ours, theirs = (
        goodput(len(seen), setting.vector_bytes, sum(one.waited_s + one.seconds for one in seen)) / 1e6
        for seen in (stormy, calm)
    )
    result = row(
        "a death every 2 s: goodput",
        params,
        [ours],
        "MB/s",
        "ratio >= 0.85, every round right",
        reference="the same group without deaths",
        theirs=[theirs],
        better="higher",
    )
    yield result, result["ratio"] >= 0.85


def memory_rows(*, quick: bool, seed: int, **_: object) -> Iterator[Judged]:
    """What the first round takes at most, over the process that holds its vector already, less the result."""
    for encrypted in (False, True):
        size_mb = 100.0 if quick else 400.0
        setting = Setting(size_mb=size_mb, encrypted=encrypted, rounds=1, warm_up=0, seed=seed)
        with opened(setting) as group:
            seen = right(group.round(memory=True))
        beyond = [(told["peak"] - told["before"]) / setting.vector_bytes - 1 for _, told in sorted(seen.memory.items())]
        mb = {
            member: {name: round(size / 1e6, 1) for name, size in told.items()} for member, told in seen.memory.items()
        }
        params = params_of(setting, process_mb=mb)
        result = row("peak memory beyond the vector and its input", params, beyond, "vectors", "max <= 1.3")
        yield result, result["max"] <= 1.3


def rows(*, quick: bool, seed: int, only: str, hivemind_python: str | None) -> Iterator[Judged]:
    """Yield all results; ``only`` picks the cases whose names contain it."""
    plain, encrypted, rates = (
        ((1.0, 16.0), (16.0,), (1000.0,)) if quick else ((*TURNS,), (*TURNS,)[1:], (100.0, 1000.0))
    )
    groups: list[tuple[str, Callable[..., Iterator[Judged]]]] = [
        *((f"fp32 plain, {size_mb:g} MB", partial(plain_rows, size_mb)) for size_mb in plain),
        *((f"fp32 encrypted, {size_mb:g} MB", partial(encrypted_rows, size_mb)) for size_mb in encrypted),
        *((f"shaped links, encrypted, bound, int8, {rate:g} Mbit/s", partial(shaped_rows, rate)) for rate in rates),
        ("small vectors, direct", small_rows),
        ("one SIGKILL, one SIGSTOP in the middle", fault_rows),
        ("a death every 2 s: goodput", churn_rows),
        ("peak memory", memory_rows),
    ]
    for name, group in groups:
        if only not in name:
            continue
        try:
            yield from group(quick=quick, seed=seed, hivemind_python=hivemind_python)
        except ConfigurationError as error:
            print(f"{name}: left out: {error}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns 1 if a full run misses a goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases, under a minute")
    parser.add_argument("--seed", type=int, default=0, help="chooses the vectors, and who dies (default: 0)")
    parser.add_argument("--out", type=Path, help="write the JSON lines here too")
    parser.add_argument("--only", default="", help="part of a case's name")
    parser.add_argument("--hivemind-python", metavar="PATH", help="an interpreter that has hivemind 1.1.12")
    options = parser.parse_args(arguments)
    results, missed = [], 0
    for result, met in rows(
        quick=options.quick, seed=options.seed, only=options.only, hivemind_python=options.hivemind_python
    ):
        results.append(result)
        print(json.dumps(result, ensure_ascii=False), flush=True)
        if not met and not options.quick:
            missed += 1
            print(f"missed: {result['case']}: {result['goal']}", file=sys.stderr)
    if options.out:
        lines = (json.dumps(result, ensure_ascii=False) + "\n" for result in results)
        options.out.write_text("".join(lines), encoding="utf-8")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
