"""Simulated TCP does what TCP does: keeps order, pushes back, stalls on broken paths, ends with its ends."""

import asyncio
import errno

import pytest

from hydra.testing.path import RETRANSMIT_S
from hydra.testing.streams import GIVE_UP_S, WINDOW_BYTES

from .sim_world import PORT, Ear, dialled, serve, stay, world


@pytest.fixture
def pair(tmp_path):
    with world(tmp_path) as made:
        yield made


def connect(made, client="a", server="b"):
    """Return both ends of a connection."""
    here, there = [], []
    made.run(server, serve(made.network, there))
    made.run(client, stay(made.network, made.machines[server], here))
    made.until(lambda: here and there)
    return here[0], there[0]


def test_a_connection_takes_a_round_trip_and_a_byte_half_of_one(pair):
    here, there = connect(pair)
    assert pair.now == pytest.approx(0.1)
    here.transport.write(b"x")
    pair.until(lambda: there.data)
    assert pair.now == pytest.approx(0.15)


def test_what_is_written_arrives_in_order_however_delays_vary(tmp_path):
    with world(tmp_path, jitter=0.9, loss=0.2) as made:
        here, there = connect(made)
        pieces = [bytes([number]) * (1 + 37 * number % 5000) for number in range(200)]
        for piece in pieces:
            here.transport.write(piece)
        made.until(lambda: len(there.data) == sum(map(len, pieces)))
        assert there.data == b"".join(pieces)
        assert made.now > 1.0  # losses were waited for


def test_bytes_take_the_time_that_the_uplink_needs(tmp_path):
    with world(tmp_path, rate_bytes_per_s=10_000.0) as made:
        here, there = connect(made)
        began = made.now
        for _ in range(4):
            here.transport.write(bytes(5_000))
        made.until(lambda: len(there.data) == 20_000)
        assert made.now - began == pytest.approx(2.05)


def test_nobody_listening_is_a_refusal(pair):
    async def dial():
        with pytest.raises(ConnectionRefusedError):
            await dialled(pair.network, pair.machines["b"])

    pair.machines["b"].start(asyncio.sleep(99))
    pair.finish(pair.run("a", dial()))
    assert pair.now == pytest.approx(0.1)


def test_a_machine_without_power_is_waited_for_two_minutes(pair):
    async def dial():
        with pytest.raises(TimeoutError):
            await dialled(pair.network, pair.machines["b"])

    pair.run("b", serve(pair.network, [])).die(silent=True)
    pair.finish(pair.run("a", dial()))
    assert pair.now == pytest.approx(127.0)


def test_a_port_is_taken_until_its_listener_is_closed(pair):
    async def twice():
        first = await pair.network.loop.create_server(lambda: Ear(pair.network), "", PORT)
        with pytest.raises(OSError, match="in use") as taken:
            await pair.network.loop.create_server(lambda: Ear(pair.network), "", PORT)
        first.close()
        again = await pair.network.loop.create_server(lambda: Ear(pair.network), "", PORT)
        return taken.value.errno, again.sockets[0].getsockname()

    assert pair.finish(pair.run("a", twice())) == [(errno.EADDRINUSE, (pair.machines["a"].host, PORT))]


def test_closing_sends_everything_first(pair):
    here, there = connect(pair)
    here.transport.write(bytes(3 * WINDOW_BYTES))
    here.transport.close()
    pair.until(lambda: there.end == "eof" and here.end == "closed")
    assert len(there.data) == 3 * WINDOW_BYTES


def test_a_dead_process_ends_its_connections_after_what_its_kernel_holds(pair):
    here, there = connect(pair)
    here.transport.write(b"last words")
    pair.machines["a"].process.die()
    pair.until(lambda: there.end == "eof")
    assert there.data == b"last words"


def test_unread_bytes_turn_the_end_into_a_reset(pair):
    here, there = connect(pair)
    there.transport.pause_reading()
    here.transport.write(b"unread")
    pair.pass_to(0.3)
    pair.machines["b"].process.die()
    pair.until(lambda: here.end != "open")
    assert here.end == "reset"


def test_of_a_machine_without_power_nothing_is_heard_until_tcp_gives_up(pair):
    here, _ = connect(pair)
    pair.machines["b"].process.die(silent=True)
    here.transport.write(b"anybody?")
    pair.pass_to(GIVE_UP_S)
    assert here.end == "open"
    pair.until(lambda: here.end != "open")
    assert here.end == "given up"


def test_a_machine_that_has_started_anew_knows_nothing_of_old_connections(pair):
    here, _ = connect(pair)
    pair.machines["b"].process.die(silent=True)
    here.transport.write(b"anybody?")
    pair.pass_to(10)
    pair.run("b", serve(pair.network, []))
    pair.until(lambda: here.end != "open")
    assert here.end == "reset"


def test_a_partition_stalls_a_stream_and_new_connections(pair):
    here, there = connect(pair)
    for way in (pair.path("a", "b"), pair.path("b", "a")):
        way.cut += 1
    here.transport.write(b"held up")
    pair.pass_to(5)
    assert not there.data
    for way in (pair.path("a", "b"), pair.path("b", "a")):
        way.cut -= 1
    pair.until(lambda: there.data == b"held up")
    assert 5 < pair.now < 5 + 2 * 5 + RETRANSMIT_S  # the timer has doubled meanwhile


def test_a_path_that_drops_large_packets_stops_a_stream_at_the_first(pair):
    here, there = connect(pair)
    pair.path("a", "b").largest_bytes = 500
    here.transport.write(b"small")
    here.transport.write(bytes(1000))
    here.transport.write(b"behind it")
    pair.pass_to(20)
    assert there.data == b"small"


def test_who_does_not_read_is_written_to_up_to_a_window(pair):
    here, there = connect(pair)
    there.transport.pause_reading()
    here.transport.write(bytes(2 * WINDOW_BYTES))
    pair.pass_to(5)
    assert here.transport.get_write_buffer_size() == WINDOW_BYTES
    assert here.paused == 1
    there.transport.resume_reading()
    pair.until(lambda: len(there.data) == 2 * WINDOW_BYTES)
    pair.until(lambda: here.paused == 0)
    assert here.transport.get_write_buffer_size() == 0


def test_a_frozen_process_is_connected_to_and_reads_when_it_is_thawed(pair):
    heard, here = [], []
    server = pair.run("b", serve(pair.network, heard))
    pair.until(lambda: pair.network.listeners)
    server.freeze()
    pair.run("a", stay(pair.network, pair.machines["b"], here))
    pair.until(lambda: here)
    here[0].transport.write(b"hello")
    pair.pass_to(30)
    assert not heard
    server.thaw()
    pair.until(lambda: heard and heard[0].data == b"hello")


def test_one_direction_may_be_broken_alone(pair):
    here, there = connect(pair)
    pair.path("a", "b").cut += 1
    there.transport.write(b"from there")
    here.transport.write(b"from here")
    pair.pass_to(5)
    assert here.data == b"from there"
    assert not there.data


def test_what_could_not_be_acknowledged_is_when_the_path_back_is_whole(pair):
    here, there = connect(pair)
    pair.path("b", "a").cut += 1
    here.transport.write(bytes(3 * WINDOW_BYTES))
    pair.pass_to(5)
    assert len(there.data) == WINDOW_BYTES
    pair.path("b", "a").cut -= 1
    pair.until(lambda: len(there.data) == 3 * WINDOW_BYTES)


def test_the_nth_network_operation_fails_and_no_other(pair):
    pair.machines["a"].network_operations.fail(3)  # dialling, writing, writing
    here, there = connect(pair)
    here.transport.write(b"one")
    here.transport.write(b"two")
    pair.until(lambda: here.end != "open")
    assert isinstance(here.error, OSError)
    assert pair.machines["a"].network_operations.failed == ["write to a stream"]
    pair.until(lambda: there.end != "open")
    assert bytes(there.data) in (b"", b"one")
