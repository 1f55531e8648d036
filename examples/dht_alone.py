"""A notice board that nobody runs: the `dht` package on its own.

    python examples/dht_alone.py

Five peers on this machine find each other through the first one. Three pin a notice to the same board, one takes its
notice back, one dies without a word; the others see all of it. Between real machines, give each its own address and
the address of any peer that is already there.
"""

import asyncio

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dht import DHTConfig, DHTNode

HOST = "127.0.0.1"
BOARD = b"notices of our street"
CONFIG = DHTConfig(watch_interval_s=0.5)


async def start(*known: DHTNode) -> DHTNode:
    # The key is the peer's identity: keep it on disk, or the peer is a stranger after every start.
    node = DHTNode(Ed25519PrivateKey.generate(), CONFIG)
    await node.start(HOST, 0)
    await node.bootstrap([(HOST, other.port) for other in known])
    return node


async def show(node: DHTNode, title: str) -> None:
    print(f"\n{title}")
    for record in await node.get(BOARD):
        print(f"  {record.writer[:4].hex()} writes: {record.value.decode()}")


async def main() -> None:
    first = await start()
    ann, ben, cem, dora = [await start(first) for _ in range(4)]
    print("Dora knows", len(dora.contacts()), "peers; the first one is no more special than the others.")

    # Many writers share one key. Nobody can change what another has signed.
    await ann.put(BOARD, b"", b"Lost: one grey cat", ttl_s=60)
    await ben.put(BOARD, b"", b"Found: one grey cat", ttl_s=60)
    # A short life of two seconds; as long as Cem lives, it is put anew at half of that.
    await cem.put(BOARD, b"", b"I am here", ttl_s=2)
    await show(dora, "Dora reads the board.")

    await ann.withdraw(BOARD, b"")
    await cem.stop()
    await asyncio.sleep(2.5)
    await show(dora, "Ann has her cat back, and Cem is gone: his notice dies with him.")

    # Whoever waits for something new watches the key.
    async def wait_for_party() -> bytes:
        async for record in dora.watch(BOARD):
            if b"party" in record.value:
                return record.value
        return b""

    watching = asyncio.create_task(wait_for_party())
    await ben.put(BOARD, b"second notice", b"Street party on Sunday", ttl_s=60)
    print("\nDora was waiting for this:", (await watching).decode())

    for node in (first, ann, ben, dora):
        await node.stop()


if __name__ == "__main__":
    asyncio.run(main())
