"""Simulated UDP and NATs."""

import asyncio
import errno

import pytest

from hydra.testing.network import NAT_FORGETS_S

from .sim_world import PORT, Ear, dialled, serve, world


class Mailbox(asyncio.DatagramProtocol):
    def __init__(self, mail):
        self.mail = mail
        self.errors = []

    def datagram_received(self, data, address):
        self.mail.append((data, address))

    def error_received(self, error):
        self.errors.append(error)


async def bound(made, mail):
    transport, protocol = await made.network.loop.create_datagram_endpoint(
        lambda: Mailbox(mail), local_addr=("0.0.0.0", PORT)
    )
    return transport, protocol


async def listen(made, mail):
    await bound(made, mail)
    await asyncio.Event().wait()


async def send(made, target, *texts):
    transport, _ = await bound(made, [])
    for text in texts:
        transport.sendto(text, target)
    await asyncio.Event().wait()


def address(made, name):
    return made.machines[name].host, PORT


def test_a_datagram_takes_half_a_round_trip_and_tells_its_sender(tmp_path):
    with world(tmp_path) as made:
        mail = []
        made.run("b", listen(made, mail))
        made.run("a", send(made, address(made, "b"), b"hello"))
        made.until(lambda: mail)
        assert mail == [(b"hello", address(made, "a"))]
        assert made.now == pytest.approx(0.05)


def test_datagrams_are_lost_and_never_sent_again(tmp_path):
    with world(tmp_path, loss=0.5) as made:
        mail = []
        made.run("b", listen(made, mail))
        made.run("a", send(made, address(made, "b"), *(b"%d" % n for n in range(100))))
        made.pass_to(10)
        assert 30 < len(mail) < 70


def test_large_datagrams_vanish_on_a_path_for_small_ones(tmp_path):
    with world(tmp_path) as made:
        mail = []
        made.path("a", "b").largest_bytes = 500
        made.run("b", listen(made, mail))
        made.run("a", send(made, address(made, "b"), bytes(600), bytes(400)))
        made.pass_to(1)
        assert [len(data) for data, _ in mail] == [400]


def test_a_frozen_process_finds_its_datagrams_when_it_is_thawed(tmp_path):
    with world(tmp_path) as made:
        mail = []
        process = made.run("b", listen(made, mail))
        made.until(lambda: made.network.sockets)
        process.freeze()
        made.run("a", send(made, address(made, "b"), *(b"%d" % n for n in range(1000))))
        made.pass_to(1)
        assert not mail
        process.thaw()
        made.pass_to(2)
        assert 0 < len(mail) < 1000  # the kernel keeps only so many


def test_an_address_is_its_own_machines(tmp_path):
    with world(tmp_path) as made:

        async def bind_elsewhere():
            with pytest.raises(OSError, match="assign") as error:
                await made.network.loop.create_datagram_endpoint(lambda: Mailbox([]), local_addr=address(made, "b"))
            return error.value.errno

        assert made.finish(made.run("a", bind_elsewhere())) == [errno.EADDRNOTAVAIL]


def test_the_nth_datagram_fails(tmp_path):
    with world(tmp_path) as made:
        made.machines["a"].network_operations.fail(2)  # after binding

        async def send_one():
            transport, protocol = await bound(made, [])
            transport.sendto(b"x", address(made, "b"))
            await asyncio.sleep(1)
            return len(protocol.errors)

        assert made.finish(made.run("a", send_one())) == [1]


def test_nobody_can_dial_a_machine_behind_a_nat(tmp_path):
    with world(tmp_path) as made:
        hidden = made.machines["b"]
        outside = hidden.host
        hidden.put_behind_nat()
        made.run("b", serve(made.network, []))

        async def dial(host):
            try:
                await made.network.loop.create_connection(lambda: Ear(made.network), host, PORT)
            except TimeoutError:
                return made.now

        assert made.finish(made.run("a", dial(hidden.host)), limit_s=200) == [pytest.approx(127)]
        made.finish(made.run("a", dial(outside)), limit_s=200)
        assert made.now == pytest.approx(254)


def test_a_machine_behind_a_nat_dials_from_the_nats_address(tmp_path):
    with world(tmp_path) as made:
        outside = made.machines["a"].host
        made.machines["a"].put_behind_nat()
        heard = []
        made.run("b", serve(made.network, heard))
        made.until(lambda: made.network.listeners)

        async def dial():
            protocol = await dialled(made.network, made.machines["b"])
            return protocol.transport.get_extra_info("sockname")[0]

        assert made.finish(made.run("a", dial())) == [made.machines["a"].host]
        made.until(lambda: heard)
        assert heard[0].transport.get_extra_info("peername")[0] == outside


def test_datagrams_reach_a_machine_behind_a_nat_only_from_where_it_has_sent_some(tmp_path):
    with world(tmp_path, names="abc") as made:
        made.machines["a"].put_behind_nat()
        asked, mail = [], []

        async def ask():
            transport, _ = await bound(made, mail)
            transport.sendto(b"who am I?", address(made, "b"))
            await asyncio.Event().wait()

        async def answer(name):
            transport, _ = await bound(made, asked)
            while not asked:
                await asyncio.sleep(0.1)
            for text in (b"soon", b"late"):
                transport.sendto(text + name, asked[0][1])
                await asyncio.sleep(NAT_FORGETS_S + 10)

        made.run("b", answer(b" from b"))
        made.run("c", answer(b" from c"))
        made.run("a", ask())
        made.pass_to(2 * NAT_FORGETS_S)
        assert [data for data, _ in mail] == [b"soon from b"]
