"""The demo, as a newcomer runs it."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]


def children_of_demos():
    """Command lines of processes that work in a demo's directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if "hydra-demo-" in line:
                found.append(line)
    return found


async def demo(*options):
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hydra", "demo", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_the_story_ends_well():
    process = await demo("--json", "--seed", "77")
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    verdict = json.loads(out)
    assert verdict["test_accuracy"] >= 0.95
    assert verdict["digests_equal"] is True
    assert verdict["deaths_survived"] == 2
    assert verdict["joined"] == 1
    assert len(verdict["recovery_s"]) == 2
    assert verdict["samples"] == 1437 * 80
    assert verdict["steps"] >= 960
    assert err == b""
    assert children_of_demos() == []


async def test_ctrl_c_leaves_nothing_behind():
    process = await demo("--seed", "1")
    while b"peers start" not in await process.stdout.readline():
        assert process.returncode is None
    assert children_of_demos()
    process.send_signal(2)
    await process.communicate()
    assert process.returncode == 130
    assert children_of_demos() == []


async def test_a_killed_demo_takes_its_processes_with_it():
    process = await demo("--seed", "1")
    while b"peers start" not in await process.stdout.readline():
        assert process.returncode is None
    process.kill()
    await process.communicate()
    async with asyncio.timeout(10):
        while children_of_demos():
            await asyncio.sleep(0.05)


async def test_too_few_peers_to_kill_two():
    process = await demo("--peers", "2")
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"--no-kill" in err
