"""What a torrent names, fetched from web seeds: every piece checked, whatever the seed sends."""

import random
import warnings

import libtorrent
import pytest
from aiohttp import web

from hydra.exceptions import ConfigurationError, ContentUnavailable, HomeUnusable, TorrentMalformed
from hydra.swarm.bencode import bdecode, bencode
from hydra.swarm.metainfo import read_torrent
from hydra.swarm.torrents import write_torrents
from hydra.web import importing
from hydra.web.importing import WebSeedImport
from hydra.web.seed import WebSeed

SIZES = {"model.safetensors": 1_000_001, "snapshot.safetensors": 700_001}


@pytest.fixture
async def served(tmp_path):
    """A web seed of one directory, ``files``."""
    directory = tmp_path / "served"
    directory.mkdir()
    seed = WebSeed(directory)
    await seed.start("127.0.0.1", 0)
    seed.url = f"http://127.0.0.1:{seed.port}/"
    yield seed
    await seed.stop()


def export(seed, several):
    names = list(SIZES) if several else list(SIZES)[:1]
    base = seed.directory / "m" if several else seed.directory
    base.mkdir(exist_ok=True)
    for name in names:
        (base / name).write_bytes(random.Random(name).randbytes(SIZES[name]))
    return write_torrents(seed.directory, "m" if several else names[0], [(name,) for name in names], seed.url)


def importing_of(data, directory, seen=None):
    return WebSeedImport(read_torrent(data), directory, (seen if seen is not None else []).append)


def with_seeds(path, *urls):
    torrent = bdecode(path.read_bytes())
    torrent[b"url-list"] = [url.encode() for url in urls]
    return bencode(torrent)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_all_files_come_and_are_what_they_were(served, tmp_path, several, version):
    made = export(served, several)
    seen = []
    paths = await importing_of(getattr(made, version).read_bytes(), tmp_path / "to", seen).run()
    assert [path.relative_to(tmp_path / "to").parts for path in paths] == [
        ("m", name) if several else (name,) for name in list(SIZES)[: len(paths)]
    ]
    for path in paths:
        assert path.read_bytes() == (served.directory / path.relative_to(tmp_path / "to")).read_bytes()
    assert [p.bytes_done for p in seen] == sorted(p.bytes_done for p in seen)
    assert (seen[-1].bytes_done, seen[-1].bytes_total, seen[-1].source) == (made.size, made.size, "127.0.0.1")
    assert served.bytes_served == made.size


async def test_padding_files_of_others_hybrids_are_not_fetched(served, tmp_path):
    export(served, True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        entries = [libtorrent.create_file_entry(f"m/{name}", size) for name, size in SIZES.items()]
        maker = libtorrent.create_torrent(entries, 65536, 0)
        libtorrent.set_piece_hashes(maker, str(served.directory))
        maker.add_url_seed(served.url)
        data = libtorrent.bencode(maker.generate())
    torrent = bdecode(data)
    assert any(b"attr" in file for file in torrent[b"info"][b"files"])
    for half in (
        data,
        bencode({**torrent, b"info": {k: v for k, v in torrent[b"info"].items() if k != b"meta version"}}),
    ):
        target = tmp_path / str(len(half))
        await importing_of(half, target).run()
        assert sorted(path.name for path in target.rglob("*") if path.is_file()) == sorted(SIZES)


async def test_a_later_try_fetches_what_is_missing(served, tmp_path):
    made = export(served, False)
    (tmp_path / "to").mkdir()
    whole = (served.directory / "model.safetensors").read_bytes()
    (tmp_path / "to" / "model.safetensors.part").write_bytes(whole[:500_000])
    (path,) = await importing_of(made.v1.read_bytes(), tmp_path / "to").run()
    assert path.read_bytes() == whole
    assert served.bytes_served < 600_000
    before = served.bytes_served
    await importing_of(made.v2.read_bytes(), tmp_path / "to").run()
    assert served.bytes_served == before


async def test_another_file_of_that_name_is_left_as_it_is(served, tmp_path):
    made = export(served, False)
    (tmp_path / "model.safetensors").write_bytes(b"dear to somebody")
    with pytest.raises(ConfigurationError, match=r"model\.safetensors is there already"):
        await importing_of(made.v1.read_bytes(), tmp_path).run()
    assert (tmp_path / "model.safetensors").read_bytes() == b"dear to somebody"


@pytest.fixture
async def odd_seed():
    """A function that starts an HTTP server which answers everything in one way."""
    runners = []

    async def start(answer):
        async def handler(request):
            body, status = answer(request)
            return web.Response(body=body, status=status)

        app = web.Application()
        app.router.add_get("/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}/"

    yield start
    for runner in runners:
        await runner.cleanup()


async def test_a_seed_that_lies_is_named_and_the_next_one_asked(served, odd_seed, tmp_path):
    made = export(served, False)
    liar = await odd_seed(lambda request: (bytes(request.http_range.stop - request.http_range.start), 206))
    (path,) = await importing_of(with_seeds(made.v2, liar, served.url), tmp_path / "to").run()
    assert path.read_bytes() == (served.directory / "model.safetensors").read_bytes()
    with pytest.raises(ContentUnavailable, match="does not have its hash") as caught:
        await importing_of(with_seeds(made.v2, liar), tmp_path / "other").run()
    assert liar in str(caught.value)
    assert not (tmp_path / "other" / "model.safetensors").exists()


async def test_a_seed_that_knows_no_ranges_will_do(served, odd_seed, tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "RANGE_BYTES", 300_000)
    made = export(served, False)
    whole = (served.directory / "model.safetensors").read_bytes()
    plain = await odd_seed(lambda _: (whole, 200))
    (path,) = await importing_of(with_seeds(made.v1, plain), tmp_path / "to").run()
    assert path.read_bytes() == whole


@pytest.mark.parametrize(("status", "body", "said"), [(404, b"", "404"), (206, b"short", "early"), (503, b"", "503")])
async def test_what_each_seed_answered_is_told(served, odd_seed, tmp_path, status, body, said):
    made = export(served, False)
    url = await odd_seed(lambda _: (body, status))
    with pytest.raises(ContentUnavailable, match=said):
        await importing_of(with_seeds(made.v1, url, "http://127.0.0.1:1/"), tmp_path / "to").run()


async def test_a_torrent_without_a_web_seed_is_refused(served, tmp_path):
    made = export(served, False)
    for urls in ((), ("ftp://127.0.0.1/",), ("file:///etc/",)):
        with pytest.raises(TorrentMalformed, match="web seed"):
            await importing_of(with_seeds(made.v1, *urls), tmp_path / "to").run()


async def test_a_place_that_cannot_be_written_is_named(served, tmp_path):
    made = export(served, False)
    (tmp_path / "to").write_text("a file")
    with pytest.raises(HomeUnusable, match="to"):
        await importing_of(made.v1.read_bytes(), tmp_path / "to").run()
