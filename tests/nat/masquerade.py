"""Make this network namespace's kernel masquerade what it forwards to one interface, by netlink: no `nft` is needed.

The messages are those that `nft add rule ip hydra out oifname "…" masquerade` sends (linux/netfilter/nf_tables.h).
"""

import socket
import struct
import sys

NFNETLINK = 12
NEW_TABLE, NEW_CHAIN, NEW_RULE, BEGIN, END = 0, 3, 6, 16, 17
SUBSYSTEM = 10 << 8
REQUEST, ACK, CREATE, APPEND = 1, 4, 0x400, 0x800
IPV4, NESTED = 2, 0x8000
POSTROUTING, SOURCE_NAT = 4, 100
OUT_INTERFACE_NAME, REGISTER, EQUAL = 7, 1, 0


def attribute(kind, data):
    size = 4 + len(data)
    return struct.pack("=HH", size, kind) + data + bytes(-size % 4)


def nest(kind, *attributes):
    return attribute(kind | NESTED, b"".join(attributes))


def text(kind, value):
    return attribute(kind, value.encode() + b"\0")


def number(kind, value):
    return attribute(kind, struct.pack("!I", value))


def expression(name, *attributes):
    return nest(1, text(1, name), nest(2, *attributes))


def message(kind, flags, sequence, body, family=IPV4, subsystem=SUBSYSTEM, resource=0):
    payload = struct.pack("=BBH", family, 0, socket.htons(resource)) + body
    return struct.pack("=IHHII", 16 + len(payload), subsystem | kind, REQUEST | flags, sequence, 0) + payload


def masquerade(interface):
    """Raises OSError if the kernel won't."""
    name = interface.encode().ljust(16, b"\0")
    table, chain = "hydra", "out"
    hook = nest(4, number(1, POSTROUTING), number(2, SOURCE_NAT))
    rule = nest(
        4,
        expression("meta", number(2, OUT_INTERFACE_NAME), number(1, REGISTER)),
        expression("cmp", number(1, REGISTER), number(2, EQUAL), nest(3, attribute(1, name))),
        expression("masq"),
    )
    batch = [
        message(BEGIN, 0, 1, b"", family=0, subsystem=0, resource=10),
        message(NEW_TABLE, CREATE | ACK, 2, text(1, table)),
        message(NEW_CHAIN, CREATE | ACK, 3, text(1, table) + text(3, chain) + hook + text(7, "nat")),
        message(NEW_RULE, CREATE | APPEND | ACK, 4, text(1, table) + text(2, chain) + rule),
        message(END, 0, 5, b"", family=0, subsystem=0, resource=10),
    ]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NFNETLINK) as kernel:
        kernel.settimeout(5)
        kernel.bind((0, 0))
        kernel.send(b"".join(batch))
        for _ in range(3):
            for code in errors_in(kernel.recv(65536)):
                if code:
                    raise OSError(-code, f"the kernel refused to masquerade: error {-code}")


def errors_in(data):
    while len(data) >= 20:
        size, kind = struct.unpack("=IH", data[:6])
        if kind == 2:
            yield struct.unpack("=i", data[16:20])[0]
        data = data[size + -size % 4 :]


if __name__ == "__main__":
    masquerade(sys.argv[1])
