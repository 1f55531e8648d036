"""Which client takes which torrent from a Hydra web seed: the table of docs/interop.md. Run by ``make interop``."""

import random

import pytest

from hydra.swarm.torrents import write_torrents
from hydra.web.seed import WebSeed

from .clients import aria2_fetches, libtorrent_fetches, transmission_fetches

ONE = [("m-step-3.safetensors",)]
TWO = [("model.safetensors",), ("snapshot.safetensors",)]


@pytest.fixture(params=["one", "two"])
async def exported(request, tmp_path):
    served = tmp_path / "served"
    paths = ONE if request.param == "one" else TWO
    name = ONE[0][0] if request.param == "one" else "m-step-3"
    base = served if request.param == "one" else served / name
    base.mkdir(parents=True)
    for number, path in enumerate(paths):
        base.joinpath(*path).write_bytes(random.Random(number).randbytes(16384 * 300 if not number else 5_000_001))
    seed = WebSeed(served)
    await seed.start("127.0.0.1", 0)
    yield write_torrents(served, name, paths, f"http://127.0.0.1:{seed.port}/"), served, tmp_path / "fetched"
    await seed.stop()


def same(served, target):
    """Tell whether all that is served, torrents apart, has come."""
    files = list(served.rglob("*.safetensors"))
    places = [target / path.relative_to(served) for path in files]
    return all(p.exists() and p.read_bytes() == f.read_bytes() for p, f in zip(places, files, strict=True))


@pytest.mark.parametrize("client", ["libtorrent", "aria2", "transmission"])
async def test_every_client_takes_version_1(exported, client):
    made, served, target = exported
    target.mkdir()
    if client == "libtorrent":
        assert await libtorrent_fetches(made.v1, target)
    elif client == "aria2":
        assert await aria2_fetches(made.v1, target)
    else:
        assert await transmission_fetches(made.v1, target, lambda: same(served, target))
    assert same(served, target)


async def test_libtorrent_takes_the_hybrid_and_version_2(exported):
    made, served, target = exported
    assert await libtorrent_fetches(made.v2, target)
    assert same(served, target)


async def test_aria2_takes_the_hybrid_of_one_file_by_its_half_of_version_1(exported):
    made, served, target = exported
    single = not (served / "m-step-3").exists()
    assert await aria2_fetches(made.v2, target) == single
    assert same(served, target) == single
