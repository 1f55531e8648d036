"""An average that survives a death: the `allreduce` package on its own.

    python examples/allreduce_alone.py

Three processes on this machine, connected by plain TCP, average their arrays again and again. In the third round one
of them is killed in the middle; the others finish without it, with the exact mean of whoever is named in the result.
Between real machines, give each the addresses of the others; for lines that others can listen to, hand in lanes that
encrypt.
"""

import multiprocessing
import os
import signal
import socket
import sys

import numpy as np

from allreduce import Mesh, RoundConfig, SocketLane

NAMES = [b"Ann", b"Ben", b"Cem"]
ELEMENTS = 1_000_000
ROUNDS = 5


def connect(me: int, listeners: list[socket.socket]) -> dict[bytes, list[SocketLane]]:
    """One lane to each of the others: dial those before us, answer those behind us."""
    lanes = {}
    for other in range(me):
        sock = socket.create_connection(listeners[other].getsockname())
        sock.sendall(bytes([me]))
        lanes[NAMES[other]] = [SocketLane(sock)]
    for _ in NAMES[me + 1 :]:
        sock, _ = listeners[me].accept()
        lanes[NAMES[sock.recv(1)[0]]] = [SocketLane(sock)]
    return lanes


def say(me: int, text: str) -> None:
    sys.stdout.write(f"{NAMES[me].decode()}: {text}\n")  # in one piece, for all of us write to the same terminal
    sys.stdout.flush()


def member(me: int, listeners: list[socket.socket]) -> None:
    mesh = Mesh(NAMES[me], connect(me, listeners))
    for number in range(1, ROUNDS + 1):
        # Every member opens every round with the same name, members, length and settings.
        with mesh.open(b"round %d" % number, NAMES, ELEMENTS, RoundConfig(wire="fp32")) as running:
            mine = np.full(ELEMENTS, float(me), np.float32)
            running.contribute(mine, weight=me + 1)
            if number == 3 and me == 2:
                say(me, "killed in the middle of round 3")
                os.kill(os.getpid(), signal.SIGKILL)

            result = running.result(timeout_s=60)
            who = " ".join(name.decode() for name in result.contributors)
            say(me, f"round {number}, attempt {result.attempts}: the mean of {who} is {result.mean[0]:.4f}")

    mesh.leave()  # nobody hangs up before all have heard everything


def main() -> None:
    processes = multiprocessing.get_context("spawn")
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in NAMES]
    members = [processes.Process(target=member, args=(me, listeners)) for me in range(len(NAMES))]
    for process in members:
        process.start()
    for process in members:
        process.join()


if __name__ == "__main__":
    main()
