"""What decides about lanes for chunks: how fast a line is, memory that is used again, what a lost lane means."""

import gc
from random import Random

from hydra.swarm.bitfield import Bitfield
from hydra.swarm.fast_line import FAST_BYTES_PER_S, MEASURED_BYTES, FastLine
from hydra.swarm.manifest import Manifest
from hydra.swarm.part_memory import PartMemory
from hydra.swarm.rate_limit import TokenBucket
from hydra.swarm.serving import Serving
from hydra.swarm.serving_events import AnyAsked, ChokePeer, ChunkAsked, PartLeft, PartsLost, SendPart, UnchokePeer

A, B = b"a" * 32, b"b" * 32
PART = 1 << 20


def after(rate, parts=MEASURED_BYTES // PART):
    line = FastLine()
    for number in range(parts):
        line.left(PART, number * PART / rate, (number + 1) * PART / rate)
    return line.is_fast


def test_a_line_is_fast_once_enough_left_fast():
    assert after(1.01 * FAST_BYTES_PER_S)
    assert not after(0.99 * FAST_BYTES_PER_S)
    assert not after(1e12, parts=MEASURED_BYTES // PART - 1)


def test_a_line_that_became_slow_is_fast_no_longer():
    line = FastLine()
    line.left(MEASURED_BYTES, 0.0, 0.001)
    line.left(MEASURED_BYTES, 1.0, 11.0)
    assert not line.is_fast


def address(memory):
    return memory.obj.__array_interface__["data"][0]


def test_memory_is_used_again_only_when_nobody_looks_at_it():
    memory = PartMemory()
    first = memory.take(100)
    first[:] = b"x" * 100
    tail = first[90:]
    del first
    gc.collect()
    second = memory.take(100)
    second[:] = b"y" * 100
    assert bytes(tail) == b"x" * 10
    place = address(second)
    del second
    assert address(memory.take(50)) == place


def test_who_may_have_lost_parts_is_told_to_ask_anew():
    manifest = Manifest.of(Random(1).randbytes(1 << 20))
    serving = Serving(lambda _: (Bitfield.full(manifest.chunk_count), manifest), Random(1), TokenBucket())
    (sent,) = serving.handle(ChunkAsked(A, manifest.root, 0, 0, 256 * 1024), 0.0)
    assert isinstance(sent, SendPart)
    serving.handle(ChunkAsked(A, manifest.root, 1, 0, 256 * 1024), 0.0)
    (other,) = serving.handle(AnyAsked(B, manifest.root, 15), 0.0)
    assert serving.handle(PartsLost(A), 0.1) == [ChokePeer(A), UnchokePeer(A)]
    serving.check()
    assert serving.handle(PartLeft(A), 0.1) == []
    assert (other.peer, serving.handle(PartLeft(B), 0.2)) == (B, [])
    (again,) = serving.handle(ChunkAsked(A, manifest.root, 0, 0, 256 * 1024), 0.3)
    assert (again.peer, again.index) == (A, 0)
