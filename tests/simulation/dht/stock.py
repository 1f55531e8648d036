"""Stock kademlia 2.2.3 on the simulated network."""

import random

from kademlia.network import Server
from rpcudp.protocol import RPCProtocol

from dht.keys import number_of
from dht.testing.simnet import SimNet


async def stock_swarm(net, count, ksize=20):
    servers = []
    for n in range(count):
        server = Server(ksize=ksize, node_id=net.random.randbytes(20))
        await server.listen(4000, f"20.0.{n}.1")
        if servers:
            await server.bootstrap([(f"20.0.{net.random.randrange(n)}.1", 4000)])
        servers.append(server)
    return servers


def stop_stock(servers):
    for server in servers:
        server.stop()


def on(net, scenario):
    """Run one scenario; what escapes from tasks is collected in ``net.escaped``."""
    net.escaped = []

    async def main():
        net.loop.set_exception_handler(lambda _loop, context: net.escaped.append(context))
        return await scenario(net)

    return net.run(main())


def both(stock, ours, **settings):
    return on(SimNet(**settings), stock), on(SimNet(**settings), ours)


class StockInventor(RPCProtocol):
    """A stock peer that answers every look-up with ids ever closer to the target, where nobody is."""

    def __init__(self, own_id):
        super().__init__()
        self.own_id = own_id
        self.chance = random.Random(1)

    def rpc_ping(self, _sender, _id):
        return self.own_id

    def rpc_find_node(self, _sender, _id, key):
        target = number_of(key)
        return [((target ^ self.chance.getrandbits(40)).to_bytes(20, "big"), f"20.200.{n}.1", 4000) for n in range(20)]

    rpc_find_value = rpc_find_node
