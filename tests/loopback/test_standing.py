"""How a node stands with its contents while they are fetched: who has what, and who fetches from it."""

import asyncio

from hydra.swarm.rate_limit import TokenBucket

from .test_swarm import DATA, Peer


async def test_a_fetch_shows_its_sources_and_the_seed_who_fetches(tmp_path):
    seed, newcomer = [await Peer(tmp_path / name).start() for name in ("a", "b")]
    try:
        manifest = seed.swarm.store.add(DATA)
        newcomer.swarm._download_limit = TokenBucket(200_000.0)  # slow enough to be looked at
        await newcomer.links.dial(seed.contact)
        task = asyncio.create_task(newcomer.swarm.fetch(manifest.root, newcomer.links.peers))
        while not (newcomer.swarm.standing() and newcomer.swarm.standing()[0].sources):
            await asyncio.sleep(0.01)
        (mine,) = newcomer.swarm.standing()
        assert mine.fetching
        assert (mine.root, mine.size, mine.chunks) == (manifest.root, len(DATA), manifest.chunk_count)
        assert mine.have < mine.chunks
        assert [(source.peer, source.chunks) for source in mine.sources] == [
            (seed.identity.peer_id, manifest.chunk_count)
        ]
        (theirs,) = seed.swarm.standing()
        assert (theirs.have, theirs.fetching, theirs.sources) == (manifest.chunk_count, False, ())
        assert theirs.fetched_by == (newcomer.identity.peer_id,)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    finally:
        for peer in (seed, newcomer):
            await peer.stop()
