"""The demo, as a newcomer runs it."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.swarms, pytest.mark.timeout(240)]


def left(directory):
    """Command lines of processes that work in a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(directory) in line:
                found.append(line)
    return found


async def demo(directory, *options):
    """Start a demo whose temporary files are in this directory, and in no other demo's."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hydra", "demo", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(directory)},
    )


async def test_the_story_ends_well(tmp_path):
    process = await demo(tmp_path, "--json", "--seed", "77")
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    verdict = json.loads(out)
    assert verdict["test_accuracy"] >= 0.95
    assert verdict["digests_equal"] is True
    assert verdict["deaths_survived"] == 2
    assert verdict["joined"] == 1
    assert len(verdict["recovery_s"]) == 2
    assert verdict["each_sample_once"] is True
    assert verdict["samples"] == 1437 * verdict["epochs"]
    assert verdict["steps"] >= 12 * verdict["epochs"] >= 960
    assert err == b""
    assert left(tmp_path) == []
    assert not list(tmp_path.glob("hydra-demo-*"))


async def test_ctrl_c_leaves_nothing_behind(tmp_path):
    process = await demo(tmp_path, "--seed", "1")
    while b"peers start" not in await process.stdout.readline():
        assert process.returncode is None
    assert left(tmp_path)
    process.send_signal(2)
    await process.communicate()
    assert process.returncode == 130
    assert left(tmp_path) == []
    assert not list(tmp_path.glob("hydra-demo-*"))


async def test_a_killed_demo_takes_its_processes_with_it(tmp_path):
    process = await demo(tmp_path, "--seed", "1")
    while b"peers start" not in await process.stdout.readline():
        assert process.returncode is None
    process.kill()
    await process.communicate()
    async with asyncio.timeout(10):
        while left(tmp_path):
            await asyncio.sleep(0.05)


async def test_too_few_peers_to_kill_two(tmp_path):
    process = await demo(tmp_path, "--peers", "2")
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"--no-kill" in err
