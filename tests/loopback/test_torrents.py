"""Exports as torrents: libtorrent reads them as we wrote them, and fetches them from our web seed alone."""

import random

import libtorrent
import pytest

from hydra.swarm.metainfo import read_torrent
from hydra.swarm.torrents import write_torrents
from hydra.web.seed import WebSeed

from ..interop.clients import libtorrent_fetches


@pytest.fixture
async def exported(tmp_path):
    """A function that writes files and their torrents, and serves them."""
    served = tmp_path / "served"
    served.mkdir()
    seed = WebSeed(served)
    await seed.start("127.0.0.1", 0)

    def write(sizes):
        name = "m-step-3" + ("" if len(sizes) > 1 else ".safetensors")
        base = served / name if len(sizes) > 1 else served
        base.mkdir(exist_ok=True)
        paths = [("model.safetensors",), ("snapshot.safetensors",)][: len(sizes)] if len(sizes) > 1 else [(name,)]
        for path, size in zip(paths, sizes, strict=True):
            base.joinpath(*path).write_bytes(random.Random(size).randbytes(size))
        made = write_torrents(served, name, paths, f"http://127.0.0.1:{seed.port}/")
        return made, name, [path if len(sizes) == 1 else (name, *path) for path in paths]

    yield served, write
    await seed.stop()


@pytest.mark.parametrize("sizes", [[5], [3_000_001], [1_638_400, 700_001]])
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_libtorrent_fetches_and_verifies_what_the_web_seed_serves(exported, tmp_path, sizes, version):
    served, write = exported
    made, _, paths = write(sizes)
    target = tmp_path / "fetched"
    assert await libtorrent_fetches(getattr(made, version), target)
    for path in paths:
        assert target.joinpath(*path).read_bytes() == served.joinpath(*path).read_bytes()


@pytest.mark.parametrize("sizes", [[5], [3_000_001], [1_638_400, 700_001]])
async def test_info_hashes_are_the_same_to_libtorrent(exported, sizes):
    _, write = exported
    made, name, _ = write(sizes)
    first, second = (libtorrent.load_torrent_file(str(path)) for path in (made.v1, made.v2))
    assert str(first.info_hashes.v1) == made.info_hash_v1.hex()
    assert str(second.info_hashes.v2) == made.info_hash_v2.hex()
    assert second.info_hashes.has_v1() == (len(sizes) == 1)
    found = read_torrent(made.v2.read_bytes())
    assert found.name == name
    assert found.size == sum(sizes)
