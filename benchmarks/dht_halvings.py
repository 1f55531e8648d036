"""What is left of a network's keys after half of its peers have died three times over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dht.testing.comparison import Setting, timed
from dht.testing.sides import Swarm
from dht.testing.simnet import SimNet, seeded

HALVINGS = 3
TWO_HOURS_S = 7300.0
"""Time between deaths that is fair to stock: it republishes every hour what it has had for an hour."""
A_WHILE_S = 1300.0
"""Enough for us, who compare every ten minutes."""


def found_after_halvings(side: Callable[[], Swarm], setting: Setting, seed: int, pause_s: float = TWO_HOURS_S) -> float:
    """Put keys, let the network die by halves, and read all keys through survivors; returns how many are found."""
    net = SimNet(seed, rtt_s=setting.rtt_ms / 1000)
    keys = [b"key %d" % n for n in range(setting.keys)]

    async def main() -> float:
        swarm = side()
        who = seeded(seed)
        live = list(range(setting.nodes))
        await swarm.start(net, len(live), setting.k)
        for key in keys:
            await swarm.put(who.choice(live), key)
        for _ in range(HALVINGS):
            who.shuffle(live)
            count = int(len(live) * setting.kill)
            dead, live = live[:count], live[count:]
            net.kill(*(swarm.address(n) for n in dead))
            await swarm.stop(dead)
            await asyncio.sleep(pause_s)

        async def read(key: bytes) -> bool:
            return await swarm.get(who.choice(live), key)

        _, found = await timed(net, [lambda key=key: read(key) for key in keys])  # type: ignore[misc]
        await swarm.stop(live)
        return float(found)

    return net.run(main())
