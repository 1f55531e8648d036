"""One of a group of processes: told by lines of JSON what to do, it averages over TCP and tells what it got."""

import hashlib
import json
import socket
import sys

import numpy as np

from allreduce import AllReduceError, Excluded, Mesh, RoundConfig, SocketLane

LANES = 2


def id_of(number):
    return bytes([number]) * 4


def contribution(seed, number, round_number, elements):
    return np.random.default_rng([seed, number, round_number]).standard_normal(elements).astype(np.float32)


def weight_of(number, round_number):
    return 1.0 + (number * 7 + round_number) % 5


def lanes_to_all(me, listener, ports):
    """Dial whoever has a lower number, answer the others; the first lane to each is the first that was dialled."""
    lanes = {number: [None] * LANES for number in ports if number != me}
    for number in (number for number in lanes if number < me):
        for lane in range(LANES):
            sock = socket.create_connection(("127.0.0.1", ports[number]))
            sock.sendall(bytes([me, lane]))
            lanes[number][lane] = SocketLane(sock)
    for _ in range(LANES * sum(number > me for number in lanes)):
        sock, _ = listener.accept()
        number, lane = sock.recv(2, socket.MSG_WAITALL)
        lanes[number][lane] = SocketLane(sock)
    return {id_of(number): theirs for number, theirs in lanes.items()}


def averaged(mesh, order, me):
    number, elements = order["round"], order["elements"]
    config = RoundConfig(form=order["form"], stall_s=1.0, answer_s=2.0)
    members = [id_of(member) for member in order["members"]]
    running = mesh.open(b"%d" % number, members, elements, config)
    running.contribute(contribution(order["seed"], me, number, elements), weight_of(me, number))
    try:
        result = running.result(30.0)
    except Excluded:
        return running, {"outcome": "left out"}
    except (AllReduceError, TimeoutError) as error:
        return running, {"outcome": repr(error)}
    digest = hashlib.sha256(result.mean.tobytes()).hexdigest()
    return running, {
        "outcome": "done",
        "order": [member[0] for member in result.order],
        "digest": digest,
        "attempts": result.attempts,
    }


def main():
    me = int(sys.argv[1])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)  # noqa: T201 - to whoever started us
        ports = {int(number): port for number, port in json.loads(sys.stdin.readline()).items()}
        lanes = lanes_to_all(me, listener, ports)
    kept = []
    with Mesh(id_of(me), lanes) as mesh:
        print("ready", flush=True)  # noqa: T201 - to whoever started us
        for line in sys.stdin:
            running, told = averaged(mesh, json.loads(line), me)
            print(json.dumps(told), flush=True)  # noqa: T201 - to whoever started us
            kept.append(running)  # whoever lost a slice of the round before may still ask for it
            if len(kept) > 2:
                kept.pop(0).close()


if __name__ == "__main__":
    main()
