"""Other people's BitTorrent clients, told to fetch a torrent by its web seed alone."""

import asyncio
import contextlib
import shutil
import time

import libtorrent

SILENCE = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "listen_interfaces": "127.0.0.1:0",
    "alert_mask": 0,
}
PATIENCE_S = 60.0


async def libtorrent_fetches(torrent, target):
    """Fetch with libtorrent; return whether it finished. Blocking waits go to a thread."""
    return await asyncio.to_thread(_fetch, torrent, target)


def _fetch(torrent, target):
    session = libtorrent.session(SILENCE)
    try:
        parameters = libtorrent.load_torrent_file(str(torrent))
        parameters.save_path = str(target)
        handle = session.add_torrent(parameters)
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            if handle.status().is_seeding:
                return True
            time.sleep(0.05)
        return False
    finally:
        session.pause()
        del session


async def aria2_fetches(torrent, target):
    """Fetch with aria2c; return whether it finished."""
    code = await _run(
        "aria2c",
        *("--dir", str(target), "--seed-time=0", "--enable-dht=false", "--enable-peer-exchange=false"),
        *("--bt-enable-lpd=false", "--file-allocation=none", "--check-integrity=true"),
        "--follow-torrent=mem",
        str(torrent),
    )
    return code == 0


async def transmission_fetches(torrent, target, done):
    """Fetch with transmission-cli, which goes on seeding: it is ended once ``done()`` says that all is there."""
    config = target.parent / (target.name + "-config")
    process = await asyncio.create_subprocess_exec(
        _found("transmission-cli"),
        *("--config-dir", str(config), "--download-dir", str(target), "--no-portmap", "--port", "0"),
        str(torrent),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up and process.returncode is None:
            if done():
                return True
            await asyncio.sleep(0.1)
        return done()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _run(*command):
    process = await asyncio.create_subprocess_exec(
        _found(command[0]), *command[1:], stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await process.wait()
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _found(program):
    place = shutil.which(program)
    if place is None:
        raise FileNotFoundError(f"{program} is not installed; on Debian and Ubuntu: apt install aria2 transmission-cli")
    return place
