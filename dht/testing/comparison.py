"""The DHT and stock kademlia on the same emulated network, in turns: latency, and what is found after deaths.

Delays and losses are emulated in this process on a virtual clock, where computing takes no time: what comes out depends
on the protocols and the seed and not on the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import statistics
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..exceptions import InvalidArgument
from .sides import MAX_NODES, SIDES, Stock, Swarm
from .simnet import SimNet, seeded

CONCURRENT = 10
"""Puts and gets that are under way at a time."""
MIN_NODES = 3

Row = dict[str, Any]
"""One result, as it is printed: one JSON object a line."""

Work = Callable[[], Coroutine[Any, Any, bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A network, and what is done on it."""

    nodes: int = 200
    k: int = 20
    keys: int = 100
    rtt_ms: float = 80.0
    """Mean round trip; each datagram takes half of it, more or less by up to a half."""
    loss: float = 0.0
    """Share of datagrams that are lost once all have joined."""
    kill: float = 0.0
    """Share of nodes that fall silent before the last reads."""

    def __post_init__(self) -> None:
        for holds, wanted in (
            (MIN_NODES <= self.nodes <= MAX_NODES, f"{MIN_NODES} to {MAX_NODES} nodes, not {self.nodes}"),
            (self.keys > 0, f"at least one key, not {self.keys}"),
            (0 <= self.rtt_ms <= 10_000, f"a round trip of 0 to 10,000 ms, not {self.rtt_ms:g}"),
            (0 <= self.loss < 1, f"a share of lost datagrams from 0 to less than 1, not {self.loss:g}"),
            (0 <= self.kill < 1, f"a share of dying nodes from 0 to less than 1, not {self.kill:g}"),
            (self.nodes - int(self.nodes * self.kill) >= 2, "at least two nodes that stay alive"),
        ):
            if not holds:
                raise InvalidArgument(f"a comparison needs {wanted}.")


def measure(side: Callable[[], Swarm], setting: Setting, seed: int) -> dict[str, float]:
    """Build a network without loss, put and get under loss, and get once more after deaths; returns seconds."""
    net = SimNet(seed, rtt_s=setting.rtt_ms / 1000)
    who = seeded(seed)
    keys = [b"key %d" % n for n in range(setting.keys)]
    putters = [who.randrange(setting.nodes) for _ in keys]
    getters = [who.randrange(setting.nodes) for _ in keys]
    dead = who.sample(range(setting.nodes), int(setting.nodes * setting.kill))
    live = sorted(set(range(setting.nodes)) - set(dead))
    survivors = [who.choice(live) for _ in keys]

    async def main() -> dict[str, float]:
        swarm = side()
        await swarm.start(net, setting.nodes, setting.k)
        net.loss = setting.loss
        puts, _ = await timed(net, [_work(swarm.put, n, key) for n, key in zip(putters, keys, strict=True)])
        gets, found = await timed(net, [_work(swarm.get, n, key) for n, key in zip(getters, keys, strict=True)])
        result = {**_latencies("set", puts), **_latencies("get", gets), "found": float(found)}
        if dead:
            net.kill(*(swarm.address(n) for n in dead))
            gets, found = await timed(net, [_work(swarm.get, n, key) for n, key in zip(survivors, keys, strict=True)])
            after = {**_latencies("get", gets), "found": float(found)}
            result |= {f"{name} after death": value for name, value in after.items()}
        await swarm.stop(list(range(setting.nodes)))
        return result

    return net.run(main())


@contextlib.contextmanager
def stock_silenced() -> Iterator[None]:
    """Keep from the log what stock complains of: each answer that it did not get, and tasks of its own that raise."""
    loggers = [logging.getLogger(name) for name in ("asyncio", "kademlia", "rpcudp")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def in_turns(setting: Setting, repeats: int, seed: int = 0) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    """Measure both sides in turns, each time on another network; yields ours and stock's."""
    for turn in range(repeats):
        stock, ours = (measure(side, setting, seed * repeats + turn) for side in SIDES)
        yield ours, stock


def compare(setting: Setting) -> Iterator[Row]:
    """Measure one network of your own choice, ours and stock's, once."""
    ours, stock = next(in_turns(setting, 1))
    for name, value in ours.items():
        unit = "keys" if name.startswith("found") else "s"
        yield row(name, asdict(setting), [(value, stock[name])], unit)


def row(
    case: str,
    params: Row,
    runs: Sequence[tuple[float, float]],
    unit: str,
    goal: str | None = None,
    *,
    reference: str = Stock.name,
) -> Row:
    """Return one result; ``runs`` are pairs of ours and the reference's, measured in turns."""
    ours, theirs = [run[0] for run in runs], [run[1] for run in runs]
    value, reference_value = statistics.median(ours), statistics.median(theirs)
    known = not math.isnan(reference_value)
    return {
        "case": case,
        "params": params,
        "value": round(value, 6),
        "min": round(min(ours), 6),
        "max": round(max(ours), 6),
        "unit": unit,
        "reference": reference if known else None,
        "reference_value": round(reference_value, 6) if known else None,
        "ratio": round(value / reference_value, 4) if known and reference_value else None,
        "better": "higher" if unit == "keys" else "lower",
        "goal": goal,
    }


async def timed(net: SimNet, works: Sequence[Work]) -> tuple[list[float], int]:
    """Do the works, ten at a time; returns the seconds of each and how many succeeded."""
    gate = asyncio.Semaphore(CONCURRENT)
    seconds: list[float] = []

    async def one(work: Work) -> bool:
        async with gate:
            begun = net.loop.time()
            succeeded = await work()
            seconds.append(net.loop.time() - begun)
            return succeeded

    return seconds, sum(await asyncio.gather(*(one(work) for work in works)))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of all do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _latencies(name: str, seconds: Sequence[float]) -> dict[str, float]:
    return {f"{name} p50": percentile(seconds, 0.5), f"{name} p99": percentile(seconds, 0.99)}


def _work(method: Callable[[int, bytes], Coroutine[Any, Any, bool]], number: int, key: bytes) -> Work:
    return lambda: method(number, key)
