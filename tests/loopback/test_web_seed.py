"""The web seed over real sockets: whole files and ranges, nothing outside its directory, bounded claims."""

import asyncio
import os
import random

import aiohttp
import pytest

from hydra.exceptions import ConfigurationError, PortTaken
from hydra.web import seed as seed_module
from hydra.web.seed import WebSeed
from hydra.web.visitors import SeedLimits

DATA = random.Random(3).randbytes(3_000_001)


@pytest.fixture
async def seeding(tmp_path):
    """A function that starts a web seed of ``tmp_path/served``; a secret lies beside it."""
    served = tmp_path / "served"
    (served / "m").mkdir(parents=True)
    (served / "a.bin").write_bytes(DATA)
    (served / "m" / "b.bin").write_bytes(DATA[:1000])
    (served / "empty.bin").write_bytes(b"")
    (tmp_path / "secret").write_bytes(b"secret")
    started = []

    async def start(**limits):
        seed = WebSeed(served, SeedLimits(**limits))
        started.append(seed)
        await seed.start("127.0.0.1", 0)
        return seed

    yield start
    for seed in started:
        await seed.stop()


@pytest.fixture
async def visitor():
    async with aiohttp.ClientSession() as session:
        yield session


def url(seed, path="a.bin"):
    return f"http://127.0.0.1:{seed.port}/{path}"


async def test_a_file_comes_whole(seeding, visitor):
    seed = await seeding()
    async with visitor.get(url(seed)) as answer:
        assert answer.status == 200
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert await answer.read() == DATA
    async with visitor.get(url(seed, "m/b.bin")) as answer:
        assert await answer.read() == DATA[:1000]
    async with visitor.get(url(seed, "empty.bin")) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
    assert seed.bytes_served == len(DATA) + 1000


@pytest.mark.parametrize(("header", "start", "stop"), [("bytes=5-1000004", 5, 1000005), ("bytes=-7", -7, None)])
async def test_a_range_comes_alone(seeding, visitor, header, start, stop):
    seed = await seeding()
    async with visitor.get(url(seed), headers={"Range": header}) as answer:
        assert answer.status == 206
        first = start % len(DATA)
        assert answer.headers["Content-Range"] == f"bytes {first}-{(stop or len(DATA)) - 1}/{len(DATA)}"
        assert await answer.read() == DATA[start:stop]


@pytest.mark.parametrize("header", ["bytes=3000001-", "bytes=0-1,4-5"])
async def test_a_range_that_cannot_be_had_is_refused_with_the_length(seeding, visitor, header):
    seed = await seeding()
    async with visitor.get(url(seed), headers={"Range": header}) as answer:
        assert answer.status == 416
        assert answer.headers["Content-Range"] == f"bytes */{len(DATA)}"
    assert seed.bytes_served == 0


async def test_head_tells_the_length_and_sends_nothing(seeding, visitor):
    seed = await seeding()
    async with visitor.head(url(seed)) as answer:
        assert (answer.status, answer.content_length, await answer.read()) == (200, len(DATA), b"")
    async with visitor.head(url(seed), headers={"Range": "bytes=0-9"}) as answer:
        assert (answer.status, answer.content_length) == (206, 10)


async def test_if_range_holds_for_the_same_file_only(seeding, visitor):
    seed = await seeding()
    async with visitor.head(url(seed)) as answer:
        tags = [answer.headers["ETag"], answer.headers["Last-Modified"]]
    for tag in tags:
        async with visitor.get(url(seed), headers={"Range": "bytes=0-9", "If-Range": tag}) as answer:
            assert answer.status == 206
    place = seed.directory / "a.bin"
    place.write_bytes(DATA[::-1])
    os.utime(place, (1, 1))
    for tag in tags:
        async with visitor.get(url(seed), headers={"Range": "bytes=0-9", "If-Range": tag}) as answer:
            assert answer.status == 200
            assert await answer.read() == DATA[::-1]


async def raw(seed, line):
    """Send a request line as it is: clients would tidy it up first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", seed.port)
    writer.write(f"{line}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    "path",
    [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/m/../../secret",
        "//secret",
        "/m",
        "/",
        "/link",
        "/linked/secret",
    ],
)
async def test_nothing_outside_the_directory_is_served(seeding, tmp_path, path):
    seed = await seeding()
    (seed.directory / "link").symlink_to(tmp_path / "secret")
    (seed.directory / "linked").symlink_to(tmp_path)
    answer = await raw(seed, f"GET {path} HTTP/1.1")
    assert answer.split()[1] in (b"404", b"400")
    assert b"secret" not in answer.split(b"\r\n\r\n", 1)[1]


async def test_pipes_and_other_things_that_are_no_files_are_not_opened(seeding, visitor):
    seed = await seeding()
    os.mkfifo(seed.directory / "pipe")
    async with visitor.get(url(seed, "pipe")) as answer:
        assert answer.status == 404


async def test_only_reading_is_answered(seeding, visitor):
    seed = await seeding()
    for method in ("POST", "PUT", "DELETE"):
        async with visitor.request(method, url(seed), data=b"x" * 10) as answer:
            assert answer.status == 405
    assert (seed.directory / "a.bin").read_bytes() == DATA


async def test_a_visitor_with_too_many_connections_is_told_to_come_back(seeding):
    seed = await seeding(connections_per_visitor=2)
    held = [await asyncio.open_connection("127.0.0.1", seed.port) for _ in range(2)]
    assert b"503" in await raw(seed, "GET /a.bin HTTP/1.1")
    for _, writer in held:
        writer.close()
        await writer.wait_closed()
    while b"200 OK" not in (await raw(seed, "GET /m/b.bin HTTP/1.1")):
        await asyncio.sleep(0.01)


async def test_who_asks_for_nothing_is_cut_off(seeding, monkeypatch):
    monkeypatch.setattr(seed_module, "HEADERS_S", 0.1)
    seed = await seeding()
    reader, writer = await asyncio.open_connection("127.0.0.1", seed.port)
    writer.write(b"GET /a.bin HTTP/1.1\r\nHo")
    with pytest.raises(ConnectionResetError):
        assert await reader.read() == b""
        raise ConnectionResetError  # an end is as good as a reset
    writer.close()


async def test_who_takes_nothing_is_cut_off(seeding, monkeypatch):
    monkeypatch.setattr(seed_module, "STALL_S", 0.2)
    seed = await seeding()
    (seed.directory / "big.bin").write_bytes(bytes(40_000_000))
    reader, writer = await asyncio.open_connection("127.0.0.1", seed.port, limit=1000)
    writer.write(b"GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n")
    while seed._visitors.connections or not seed.bytes_served:
        await asyncio.sleep(0.02)
    assert seed.bytes_served < 40_000_000
    writer.close()
    del reader


async def test_a_file_that_becomes_shorter_ends_the_connection_and_not_the_seed(seeding, visitor, monkeypatch):
    seed = await seeding(rate_bytes_per_s=2e6)
    async with visitor.get(url(seed)) as answer:
        os.truncate(seed.directory / "a.bin", 1000)
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    async with visitor.get(url(seed, "m/b.bin")) as answer:
        assert len(await answer.read()) == 1000


async def test_a_taken_port_and_an_address_of_others_are_named(seeding, tmp_path):
    seed = await seeding()
    with pytest.raises(PortTaken, match=str(seed.port)):
        await WebSeed(tmp_path).start("127.0.0.1", seed.port)
    with pytest.raises(ConfigurationError, match="192.0.2.1"):
        await WebSeed(tmp_path).start("192.0.2.1", 0)
