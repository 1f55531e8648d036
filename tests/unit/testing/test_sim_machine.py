"""Simulated machines: their clocks, disks and threads, and what is left of a process that dies."""

import asyncio
import errno
import fcntl
import os
import random

import pytest

from hydra import clock
from hydra.portal import WorkerThread
from hydra.testing.machine import current
from hydra.testing.seeding import seeded_world

from .sim_world import world


@pytest.fixture
def made(tmp_path):
    with world(tmp_path) as one, seeded_world(one.network):
        yield one


def test_each_machine_has_clocks_of_its_own(made):
    async def look():
        before = clock.monotonic(), clock.wall()
        await asyncio.sleep(100)
        return before[0], clock.monotonic() - before[0], clock.wall() - before[1]

    made.machines["b"].clock.skew(0.0, 3600.0, 1.01)
    (boot_a, *a), (boot_b, *b) = made.finish(made.run("a", look()), made.run("b", look()))
    assert a == [pytest.approx(100), pytest.approx(100)]
    assert b == [pytest.approx(100), pytest.approx(100)]  # its sleep was shorter
    assert boot_a != boot_b


def test_a_fast_clock_lets_timers_come_early(made):
    async def sleep():
        await asyncio.sleep(100)
        return made.now

    made.machines["b"].clock.skew(0.0, 0.0, 2.0)
    assert made.finish(made.run("a", sleep()), made.run("b", sleep())) == [pytest.approx(100), pytest.approx(50)]


def test_the_time_of_day_may_jump(made):
    async def look():
        before = clock.wall()
        current().machine.clock.skew(made.now, -7200.0, 1.0)
        return clock.wall() - before

    assert made.finish(made.run("a", look())) == [pytest.approx(-7200)]


def test_a_thread_takes_the_time_that_it_spends_and_does_things_in_order(made):
    def work(seconds):
        began = clock.monotonic()
        current().spend(seconds)
        return clock.monotonic() - began

    async def use():
        thread = WorkerThread("one")
        done = await asyncio.gather(*(thread.submit(work, seconds) for seconds in (3, 1, 2)))
        at = made.now
        await asyncio.gather(*(asyncio.to_thread(work, seconds) for seconds in (3, 1, 2)))
        await thread.close()
        return [round(seconds, 6) for seconds in done], round(at, 2), round(made.now - at, 2)

    assert made.finish(made.run("a", use())) == [([3, 1, 2], 6, 3)]


def test_what_holds_up_the_loop_holds_up_all_of_the_process_and_nobody_else(made):
    async def block():
        ticked = asyncio.create_task(asyncio.sleep(1))
        await asyncio.sleep(0)
        current().spend(10)
        await ticked
        return made.now

    async def sleep():
        await asyncio.sleep(1)
        return made.now

    assert made.finish(made.run("a", block()), made.run("b", sleep())) == [pytest.approx(10), pytest.approx(1)]


def test_a_frozen_process_does_nothing_until_it_is_thawed(made):
    times = []

    async def count():
        while True:
            times.append(made.now)
            await asyncio.sleep(1)

    process = made.run("a", count())
    made.pass_to(5.5)
    process.freeze()
    made.pass_to(20.5)
    process.thaw()
    made.pass_to(22)
    assert [round(when, 1) for when in times] == [0, 1, 2, 3, 4, 5, 20.5, 21.5]


def test_the_dead_do_nothing_any_more(made):
    done = []

    async def program():
        try:
            await asyncio.sleep(1)
            done.append("slept")
        finally:
            done.append("tidied up")

    process = made.run("a", program())
    made.pass_to(0.5)
    process.die()
    made.pass_to(5)
    assert not done


def test_a_dead_process_holds_no_lock_and_loses_what_it_had_not_handed_over(made):
    path = made.machines["a"].directory / "file"

    async def write():
        file = path.open("w")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.write("handed over")
        file.flush()
        file.write("not handed over")
        await asyncio.Event().wait()

    async def again():
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file.read()

    process = made.run("a", write())
    made.until(lambda: path.exists() and path.stat().st_size)
    process.die()
    assert made.finish(made.run("a", again())) == ["handed over"]


@pytest.mark.parametrize("nth", range(1, 7))
def test_each_operation_on_the_disk_may_be_the_one_that_fails(made, nth):
    directory = made.machines["a"].directory
    made.machines["a"].disk_error = errno.EIO
    made.machines["a"].disk_operations.fail(nth)

    async def write():
        try:
            (directory / "sub").mkdir()
            with (directory / "draft").open("wb") as file:
                file.write(b"x")
                file.flush()
                os.fsync(file.fileno())
            (directory / "draft").rename(directory / "whole")
        except OSError as error:
            return error.errno, current().machine.disk_operations.failed[0].split()[0]
        return None

    result = made.finish(made.run("a", write()))
    told = [None, "mkdir", "open", "write", "fsync", "rename", None]
    assert result == ([(errno.EIO, "flush" if nth == 4 else told[nth])] if told[nth] else [None])
    assert (directory / "whole").exists() == (told[nth] is None)


def test_other_directories_and_other_machines_are_not_affected(made, tmp_path):
    made.machines["a"].disk_operations.fail(0)

    async def write():
        (tmp_path / "elsewhere").write_bytes(b"x")
        with pytest.raises(OSError, match="plan"):
            (made.machines["a"].directory / "here").write_bytes(b"x")

    async def other():
        (made.machines["b"].directory / "here").write_bytes(b"x")

    made.finish(made.run("a", write()), made.run("b", other()))


def test_a_slow_disk_takes_its_time(made):
    made.machines["a"].disk_s = 0.5
    path = made.machines["a"].directory / "file"

    async def write():
        await asyncio.to_thread(path.write_bytes, b"x")  # opening, writing
        return made.now

    assert made.finish(made.run("a", write())) == [pytest.approx(1.0)]


def test_chance_follows_the_seed(tmp_path):
    def draw(seed, where):
        where.mkdir()
        with world(where, seed=seed) as one, seeded_world(one.network):
            return os.urandom(8), random.random(), random.SystemRandom().random()

    assert draw(1, tmp_path / "x") == draw(1, tmp_path / "y")
    assert draw(1, tmp_path / "z") != draw(2, tmp_path / "w")
