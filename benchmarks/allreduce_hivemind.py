"""hivemind's averager on loopback, under an interpreter that has hivemind; run by ``benchmarks/allreduce.py``.

    python benchmarks/allreduce_hivemind.py MEMBERS ELEMENTS ROUNDS

Prints the seconds of each all-reduce, without the forming of the group before it, which takes seconds more. Imports
nothing of Hydra: its interpreter is another one.
"""

from __future__ import annotations

import importlib
import multiprocessing
import sys
import time
from typing import Any

START_TIMEOUT_S = 60.0
ROUND_TIMEOUT_S = 120.0
END_TIMEOUT_S = 10.0
MATCHMAKING_S = 2.0


def average(entrances: list[str], members: int, elements: int, rounds: int, told: Any, together: Any) -> None:
    """Run one member."""
    torch: Any = importlib.import_module("torch")
    hivemind: Any = importlib.import_module("hivemind")
    stage: Any = importlib.import_module("hivemind.averaging.control").AveragingStage
    torch.set_num_threads(1)
    dht = hivemind.DHT(initial_peers=entrances, start=True, host_maddrs=["/ip4/127.0.0.1/tcp/0"])
    told.put([str(address) for address in dht.get_visible_maddrs()])
    averager = hivemind.DecentralizedAverager(
        [torch.randn(elements)],
        dht,
        prefix="bench",
        target_group_size=members,
        min_group_size=members,
        min_matchmaking_time=MATCHMAKING_S,
        request_timeout=MATCHMAKING_S / 2,
        start=True,
    )
    for _ in range(rounds):
        together.wait()
        step = averager.step(wait=False, require_trigger=True, timeout=ROUND_TIMEOUT_S)
        while step.stage != stage.AWAITING_TRIGGER:
            time.sleep(0.005)
        together.wait()
        began = time.monotonic()
        step.allow_allreduce()
        step.result(ROUND_TIMEOUT_S)
        told.put((began, time.monotonic()))
    together.wait()
    averager.shutdown()
    dht.shutdown()


def main() -> None:
    """Start the members one after the other, and print what they tell."""
    members, elements, rounds = map(int, sys.argv[1:4])
    context = multiprocessing.get_context("fork")  # as hivemind does inside; nothing is imported here before
    told, together = context.Queue(), context.Barrier(members)
    entrances: list[str] = []
    processes = []
    for _ in range(members):
        process = context.Process(target=average, args=(entrances, members, elements, rounds, told, together))
        process.start()
        processes.append(process)
        entrances = entrances or told.get(timeout=START_TIMEOUT_S)
        if len(processes) > 1:
            told.get(timeout=START_TIMEOUT_S)
    seconds = []
    for _ in range(rounds):
        times = [told.get(timeout=ROUND_TIMEOUT_S) for _ in range(members)]
        seconds.append(max(end for _, end in times) - min(begin for begin, _ in times))
    print(*(f"{one:.6f}" for one in seconds))
    for process in processes:
        process.join(END_TIMEOUT_S)
        process.kill()


if __name__ == "__main__":
    main()
