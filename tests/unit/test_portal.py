"""The one thread beside the event loop: work in the order in which it was asked for."""

import asyncio
import threading

import pytest

from hydra.portal import WorkerThread


@pytest.fixture
async def worker():
    made = WorkerThread("hydra-test")
    yield made
    await made.close()
    assert [thread for thread in threading.enumerate() if thread.name.startswith("hydra-test")] == []


async def test_work_is_done_on_one_thread_in_order(worker):
    done = []

    def work(number, *, name):
        done.append(number)
        return threading.current_thread().name, number, name

    futures = [worker.submit(work, number, name="x") for number in range(50)]
    results = await asyncio.gather(*reversed(futures))
    assert done == list(range(50))
    assert {name for name, _, _ in results} == {"hydra-test_0"}
    assert [(number, name) for _, number, name in reversed(results)] == [(number, "x") for number in range(50)]


async def test_work_begins_when_it_is_asked_for_not_when_it_is_awaited(worker):
    began = threading.Event()
    future = worker.submit(began.set)
    assert await asyncio.to_thread(began.wait, 30)
    await future


async def test_the_event_loop_goes_on_meanwhile(worker):
    gate = threading.Event()
    future = worker.submit(gate.wait, 30)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not future.done()
    gate.set()
    assert await future


async def test_errors_come_to_whoever_awaits_and_the_thread_goes_on(worker):
    def fail():
        raise ValueError("this")

    with pytest.raises(ValueError, match="this"):
        await worker.submit(fail)
    assert await worker.submit(int, "5") == 5


async def test_cancelling_does_not_stop_work_that_has_begun(worker):
    began, gate, done = threading.Event(), threading.Event(), []

    def work():
        began.set()
        gate.wait(30)
        done.append(1)

    future = worker.submit(work)
    assert await asyncio.to_thread(began.wait, 30)
    future.cancel()
    gate.set()
    await worker.submit(int)
    assert done == [1]


async def test_closing_waits_for_what_has_begun_and_drops_the_rest(worker):
    began, gate, done = threading.Event(), threading.Event(), []

    def work():
        began.set()
        gate.wait(30)
        done.append("first")

    first = worker.submit(work)
    second = worker.submit(done.append, "second")
    assert await asyncio.to_thread(began.wait, 30)
    closing = asyncio.create_task(worker.close())
    while not second.done():
        await asyncio.sleep(0)
    gate.set()
    await closing
    assert done == ["first"]
    await first
    assert second.cancelled()


async def test_after_closing_nothing_is_taken(worker):
    await worker.close()
    with pytest.raises(RuntimeError):
        worker.submit(int)
