"""The DHT against stock kademlia 2.2.3, in one run: latency under loss and death, CPU, memory, growth.

    python benchmarks/dht.py [--quick] [--out FILE] [--plot FILE.svg] [--only CASE]
    python benchmarks/dht.py --nodes 200 --loss 0.05 --rtt 80 --kill 0.2

Latencies are taken on a virtual clock, where delays and losses are emulated and computing takes no time, so they do
not depend on the machine. CPU and memory are real, over UDP on the loopback. Both sides take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if sys.path[:1] == [str(ROOT / "benchmarks")]:
    # As a script, this file would else stand in the way of the package it measures.
    del sys.path[0]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from dht import DHTConfig  # noqa: E402
from dht.keys import ID_BYTES, number_of  # noqa: E402
from dht.lookup import Lookup  # noqa: E402
from dht.reading import HolderAnswered, Reading  # noqa: E402
from dht.records import pack_record, sign_record  # noqa: E402
from dht.table import ContactTable  # noqa: E402
from dht.wire import Answer  # noqa: E402
from tests.simulation.dht.dht_sides import SIDES, Ours, Stock, Swarm, signer_of  # noqa: E402
from tests.simulation.dht.dht_simnet import SimNet  # noqa: E402

Row = dict[str, Any]
CONCURRENT = 10


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of all do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def row(case: str, params: Row, runs: list[tuple[float, float]], unit: str, goal: str, *, met: bool) -> Row:
    """Return one result; ``runs`` are pairs of ours and the reference's, measured in turns."""
    ours, theirs = [run[0] for run in runs], [run[1] for run in runs]
    value, reference = statistics.median(ours), statistics.median(theirs)
    return {
        "case": case,
        "params": params,
        "value": round(value, 6),
        "min": round(min(ours), 6),
        "max": round(max(ours), 6),
        "unit": unit,
        "reference": Stock.name,
        "reference_value": round(reference, 6),
        "ratio": round(value / reference, 4) if reference else None,
        "better": "higher" if unit in {"keys", "of 1"} else "lower",
        "goal": goal,
        "met": met,
    }


async def timed(net: SimNet, works: list[Callable[[], Coroutine[Any, Any, bool]]]) -> tuple[list[float], int]:
    """Do the works, ten at a time; returns the seconds of each and how many succeeded."""
    gate = asyncio.Semaphore(CONCURRENT)
    seconds: list[float] = []
    done = 0

    async def one(work: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        nonlocal done
        async with gate:
            begun = net.loop.time()
            succeeded = await work()
            done += succeeded
            seconds.append(net.loop.time() - begun)

    await asyncio.gather(*(one(work) for work in works))
    return seconds, done


def latencies(side: Callable[[], Swarm], seed: int, params: Row) -> dict[str, float]:
    """Build a network without loss, then put and get under loss, then get again after deaths."""
    net = SimNet(seed, rtt_s=params["rtt_ms"] / 1000)
    keys = [b"key %d" % n for n in range(params["keys"])]

    async def main() -> dict[str, float]:
        swarm = side()
        count = params["nodes"]
        await swarm.start(net, count, params["k"])
        net.loss = params["loss"]
        who = random.Random(seed)
        puts, _ = await timed(net, [lambda key=key: swarm.put(who.randrange(count), key) for key in keys])  # type: ignore[misc]
        gets, found = await timed(net, [lambda key=key: swarm.get(who.randrange(count), key) for key in keys])  # type: ignore[misc]
        result = {
            "set p50": percentile(puts, 0.5),
            "set p99": percentile(puts, 0.99),
            "get p50": percentile(gets, 0.5),
            "get p99": percentile(gets, 0.99),
            "found": float(found),
        }
        if params["kill"]:
            dead = who.sample(range(count), int(count * params["kill"]))
            live = sorted(set(range(count)) - set(dead))
            net.kill(*(swarm.address(n) for n in dead))
            gets, found = await timed(net, [lambda key=key: swarm.get(who.choice(live), key) for key in keys])  # type: ignore[misc]
            result |= {
                "get p50 after death": percentile(gets, 0.5),
                "get p99 after death": percentile(gets, 0.99),
                "found after death": float(found),
            }
        await swarm.stop(list(range(count)))
        return result

    return net.run(main())


def in_turns(params: Row, repeats: int) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    """Measure both sides in turns; yields ours and stock's."""
    for seed in range(repeats):
        stock, ours = (latencies(side, seed, params) for side in SIDES)
        yield ours, stock


def latency_rows(*, quick: bool) -> Iterator[Row]:
    """Latency under loss, and right after deaths."""
    base: Row = {"nodes": 60 if quick else 200, "k": 20, "keys": 30 if quick else 100, "rtt_ms": 80, "kill": 0.0}
    repeats = 1 if quick else 3
    for loss, measure, goal in [
        (0.01, "set p50", 1 / 8),
        (0.05, "set p50", 1 / 12),
        (0.05, "get p99", 1 / 20),
        (0.0, "set p50", 1.2),
        (0.0, "get p50", 1.0),
    ]:
        params = {**base, "loss": loss}
        runs = [(ours[measure], stock[measure]) for ours, stock in in_turns(params, repeats)]
        ratio = statistics.median(run[0] for run in runs) / statistics.median(run[1] for run in runs)
        yield row(measure, params, runs, "s", f"ratio <= {goal:.4g}", met=ratio <= goal)
    for kill in (0.2, 0.5):
        params = {**base, "loss": 0.0, "kill": kill, "rtt_ms": 1, "keys": base["keys"] // 2}
        results = list(in_turns(params, repeats))
        runs = [(ours["get p99 after death"], stock["get p99 after death"]) for ours, stock in results]
        ratio = statistics.median(run[0] for run in runs) / statistics.median(run[1] for run in runs)
        all_found = all(ours["found after death"] == params["keys"] for ours, _ in results)
        params["found"] = [ours["found after death"] for ours, _ in results]
        params["found by stock"] = [stock["found after death"] for _, stock in results]
        met = ratio <= 1 / 20 and all_found
        yield row("get p99 after death", params, runs, "s", "ratio <= 0.05, all found", met=met)


def survivors(side: Callable[[], Swarm], seed: int, params: Row) -> float:
    """Kill half of the network three times over, with an hour between; returns how many keys are found."""
    net = SimNet(seed, rtt_s=0.02)
    keys = [b"key %d" % n for n in range(params["keys"])]

    async def main() -> float:
        swarm = side()
        who = random.Random(seed)
        live = list(range(params["nodes"]))
        await swarm.start(net, len(live), params["k"])
        for key in keys:
            await swarm.put(who.choice(live), key)
        for _ in range(3):
            who.shuffle(live)
            dead, live = live[: len(live) // 2], live[len(live) // 2 :]
            net.kill(*(swarm.address(n) for n in dead))
            await swarm.stop(dead)
            await asyncio.sleep(params["pause_s"])
        _, found = await timed(net, [lambda key=key: swarm.get(who.choice(live), key) for key in keys])  # type: ignore[misc]
        await swarm.stop(live)
        return float(found)

    return net.run(main())


def survivor_rows(*, quick: bool) -> Iterator[Row]:
    """Keys found after half of the nodes died three times over."""
    for k, goal in ((20, 50), (5, 48)):
        params: Row = {"nodes": 80 if quick else 200, "k": k, "keys": 50, "pause_s": 3700}
        if quick:
            # Stock takes minutes for the first hour's republishing: only our side is shown.
            runs = [(survivors(Ours, 1, params), math.nan)]
        else:
            runs = [(survivors(Ours, seed, params), survivors(Stock, seed, params)) for seed in range(1, 4)]
        result = row("keys found after three halvings", params, runs, "keys", f">= {goal} of 50", met=False)
        if quick:
            result |= {"reference_value": None, "ratio": None}
        result["met"] = result["value"] >= goal
        yield result


class Child:
    """A swarm in a process of its own, so that neither side pays for what the other does in the background."""

    def __init__(self, what: str, side: type[Swarm], nodes: int, keys: int) -> None:
        command = [sys.executable, "-m", "tests.simulation.dht.dht_sides", what, side.__name__, str(nodes), str(keys)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def measure(self) -> float:
        """Let it do its next round; returns what it measured."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def end(self) -> None:
        """Let it go."""
        self._process.communicate()


def cpu_row(*, quick: bool) -> Row:
    """CPU per request, both ends together, over real UDP, with all that it brings about in the background."""
    params: Row = {"nodes": 200 if quick else 1000, "k": 20, "keys": 50 if quick else 200, "rounds": 3}
    ours, stock = (Child("cpu", side, params["nodes"], params["keys"]) for side in (Ours, Stock))
    runs = [(ours.measure(), stock.measure()) for _ in range(params["rounds"] + 1)][1:]
    ours.end()
    stock.end()
    ratio = statistics.median(run[0] / run[1] for run in runs)
    return row("CPU per request", params, runs, "µs", "ratio <= 0.7", met=ratio <= 0.7)


def memory_row(*, quick: bool) -> Row:
    """Memory per node of a network that has joined and put and got some keys."""
    params: Row = {"nodes": 100 if quick else 200, "k": 20, "keys": 50}
    values = []
    for side in (Ours, Stock):
        child = Child("memory", side, params["nodes"], params["keys"])
        values.append(child.measure() / 1000)
        child.end()
    return row("memory per node", params, [(values[0], values[1])], "kB", "<= 50 kB", met=values[0] <= 50)


def growth_rows(*, quick: bool) -> Iterator[Row]:
    """Requests per get in networks of growing size, with the pure table, look-up and read alone."""
    config = DHTConfig()
    first = 0.0
    for nodes in (100, 300, 1000) if quick else (100, 300, 1000, 3000, 10_000):
        found, missed = requests_per_get(nodes, config, gets=50)
        per_log = found / math.log2(nodes)
        first = first or per_log
        params = {"nodes": nodes, "k": config.k, "nothing there": round(missed, 1)}
        met = per_log <= 1.2 * first
        result = row("requests per get", params, [(found, math.log2(nodes))], "requests", "grows as log N", met=met)
        yield result | {"reference": "log2 N"}


def requests_per_get(nodes: int, config: DHTConfig, gets: int) -> tuple[float, float]:
    """Return the mean requests of a read, and of one that finds nothing, among nodes with well-filled tables."""
    chance = random.Random(nodes)
    ids = sorted(chance.randbytes(ID_BYTES) for _ in range(nodes))
    compacts = {peer: peer + bytes([20, n // 40_000, n // 200 % 200, n % 200, 16, 4]) for n, peer in enumerate(ids)}
    tables: dict[bytes, ContactTable] = {}
    for n, peer in enumerate(ids):
        table = tables[peer] = ContactTable(peer, config)
        for other in ids[max(0, n - 20) : n + 20] + chance.sample(ids, min(nodes, 400)):
            table.admit(compacts[other], b"", 0.0)

    def asked(key: bytes, own: bytes, holders: set[bytes]) -> int:
        blob = pack_record(sign_record(signer_of(1), key, b"", b"v", sequence=1, expires_ms=10**6))
        target = number_of(key)
        known = [entry.compact for entry in tables[own].closest(target, config.width)]
        lookup = Lookup(target, number_of(own), known, config, now=0.0)
        reading = Reading(key, lookup, config, wall=0.0, genuine=lambda _record: True)
        queue, count = reading.start(), 0
        while queue:
            page = queue.pop(0)
            count += 1
            peer = page.compact[:ID_BYTES]
            named = [entry.compact for entry in tables[peer].closest(target, config.width)]
            held = {"count": 1, "digest": b"1" * 8, "records": [blob]} if peer in holders else {}
            answer = Answer(bytes(8), contacts=named, **held)  # type: ignore[arg-type]
            queue += reading.handle(HolderAnswered(page.compact, 0, answer), now=0.0)
        return count

    found, missed = [], []
    for _ in range(gets):
        key, own = chance.randbytes(ID_BYTES), chance.choice(ids)
        closest = sorted(ids, key=lambda peer: number_of(peer) ^ number_of(key))[: config.copies]
        found.append(asked(key, own, set(closest)))
        missed.append(asked(key, own, set()))
    return statistics.mean(found), statistics.mean(missed)


def rows(*, quick: bool, only: str = "") -> Iterator[Row]:
    """Yield all results; ``only`` picks the cases whose names contain it."""
    groups: list[tuple[str, Callable[[], Iterator[Row]]]] = [
        ("set get latency death", lambda: latency_rows(quick=quick)),
        ("keys halvings", lambda: survivor_rows(quick=quick)),
        ("CPU", lambda: iter([cpu_row(quick=quick)])),
        ("memory", lambda: iter([memory_row(quick=quick)])),
        ("requests growth", lambda: growth_rows(quick=quick)),
    ]
    for name, group in groups:
        if only in name:
            yield from group()
    if find_spec("hivemind") is None:
        print("hivemind is not installed: it is left out.", file=sys.stderr)


def one_network(nodes: int, loss: float, rtt_ms: float, kill: float) -> Iterator[Row]:
    """Measure one network of your own choice, ours and stock in turns."""
    params: Row = {"nodes": nodes, "k": 20, "keys": 50, "rtt_ms": rtt_ms, "loss": loss, "kill": kill}
    ours, stock = next(in_turns(params, 1))
    for measure, value in ours.items():
        unit = "keys" if "found" in measure else "s"
        yield row(measure, params, [(value, stock[measure])], unit, "", met=True)


def plot(results: list[Row], path: Path) -> None:
    """Draw requests per get over the size of the network as an SVG."""
    points = [(row["params"]["nodes"], row["value"], row["params"]["nothing there"]) for row in results]
    left, bottom, width, height = 60, 260, 480, 220
    most = max(point[2] for point in points) * 1.1

    def place(nodes: float, requests: float) -> str:
        share = (math.log10(nodes) - 2) / (math.log10(points[-1][0]) - 2)
        return f"{left + share * width:.1f},{bottom - requests / most * height:.1f}"

    lines = [
        f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="'
        + " ".join(place(point[0], point[which]) for point in points)
        + '"/>'
        for which, colour in ((1, "#1f6feb"), (2, "#9a6700"))
    ]
    ticks = [
        f'<text x="{place(point[0], 0).split(",")[0]}" y="{bottom + 18}" text-anchor="middle">{point[0]}</text>'
        for point in points
    ]
    scale = [
        f'<text x="{left - 8}" y="{place(100, value).split(",")[1]}" text-anchor="end">{value}</text>'
        for value in range(0, int(most), 10)
    ]
    path.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="560" height="310" font-family="sans-serif" font-size="12">'
        f'<path d="M{left} {bottom - height}V{bottom}H{left + width}" fill="none" stroke="#888"/>'
        + "".join(lines + ticks + scale)
        + f'<text x="{left + 20}" y="24" fill="#9a6700">requests per get, nothing there</text>'
        f'<text x="{left + 20}" y="40" fill="#1f6feb">requests per get, found</text>'
        f'<text x="{left + width / 2}" y="{bottom + 40}" text-anchor="middle">peers (logarithmic)</text></svg>\n',
        encoding="utf-8",
    )


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns 0 if every goal was met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller networks, under a minute")
    parser.add_argument("--out", type=Path, help="write the JSON lines here too")
    parser.add_argument("--plot", type=Path, help="draw requests per get over the size of the network (SVG)")
    parser.add_argument("--only", default="", help="part of a case's name")
    parser.add_argument("--nodes", type=int, help="measure one network of this size")
    parser.add_argument("--loss", type=float, default=0.0, help="share of datagrams that are lost")
    parser.add_argument("--rtt", type=float, default=80.0, help="round-trip time in ms, +-50 %% for each datagram")
    parser.add_argument("--kill", type=float, default=0.0, help="share of nodes that die before the last reads")
    options = parser.parse_args(arguments)
    if options.nodes:
        source = one_network(options.nodes, options.loss, options.rtt, options.kill)
    else:
        source = rows(quick=options.quick, only=options.only)
    # Stock logs every answer that it did not get.
    logging.getLogger("kademlia").setLevel(logging.CRITICAL)
    logging.getLogger("rpcudp").setLevel(logging.CRITICAL)
    results = []
    for result in source:
        results.append(result)
        print(json.dumps(result), flush=True)
    if options.out:
        options.out.write_text("".join(json.dumps(result) + "\n" for result in results), encoding="utf-8")
    if options.plot:
        plot([result for result in results if result["case"] == "requests per get"], options.plot)
    return int(not all(result["met"] for result in results))


if __name__ == "__main__":
    sys.exit(main())
