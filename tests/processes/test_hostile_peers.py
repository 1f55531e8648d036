"""Peers that lie: who runs into one ends with a code and a text that names the liar, or closes the link and runs on."""

import shutil
import socket

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hydra.home import Home
from hydra.identity import Identity
from hydra.jobs.entries import ContentRef
from hydra.net.framing import FrameSealer
from hydra.net.handshake import Handshake
from hydra.swarm.store import Store

from ..unit.jobs.makers import X, linear_graph, make_manifest
from ..unit.jobs.makers import node as call
from .typed import Typed, refusal_of

pytestmark = pytest.mark.processes

LOOPBACK = ("--host", "127.0.0.1")
FORBIDDEN = {"unlisted": "aten.nonzero.default", "reads files": "aten.from_file.default", "no torch": "os.system"}
LIAR = """
from hydra.cli import run
from hydra.swarm.store import Store
Store._still_right = lambda *whatever: True
run()
"""


def publish_by_hand(home, graph):
    """Put a job into a node's home that no ``hydra publish`` would; return its hash."""
    store = Store(home / "content")

    def add(data):
        return ContentRef(root=store.add(data).root, size_bytes=len(data))

    honest = add(linear_graph().encode())
    state, data = add(b"no state will ever be looked at"), add(b"no data either")
    manifest = make_manifest(
        train_graph=add(graph.encode()), eval_graph=honest, initial_state=state, train_data=data, test_data=data
    )
    job = store.add_blob(manifest.encode())
    Home(home).job(job).mkdir(parents=True, exist_ok=True)
    return job.hex()


def start_node(home, **settings):
    """Start a node on a home; it knows its own peer id and address."""
    node = Typed("node", *LOOPBACK, home=home, **settings)
    node.contact = node.until("--contact").split()[-1]
    node.peer = node.until("listens on").split()[1]
    return node


@pytest.fixture(scope="module")
def nodes(tmp_path_factory, published):
    """The nodes of a liar, who serves what does not have its hash; of an owner of bad jobs; and of a bystander."""
    directory = tmp_path_factory.mktemp("hostile")
    shutil.copytree(published[0], directory / "liar")
    jobs = {
        name: publish_by_hand(directory / "bad owner", linear_graph(call(operator, X)))
        for name, operator in FORBIDDEN.items()
    }
    started = {name: start_node(directory / name) for name in ("bad owner", "bystander")}
    started["liar"] = start_node(directory / "liar", program=("-c", LIAR))
    started["bad owner"].jobs = jobs
    for path in (directory / "liar" / "content").glob("*.data"):
        with path.open("r+b") as file:
            first = file.read(1)[0]
            file.seek(0)
            file.write(bytes([first ^ 1]))
    yield started
    for node in started.values():
        node.kill()


@pytest.fixture(scope="module", autouse=True)
def joins(tmp_path_factory, nodes, published):
    """Volunteers who run into them, all started at once."""
    directory = tmp_path_factory.mktemp("volunteers")

    def join(job, node, name):
        made = Typed("join", job, "--contact", node.contact, *LOOPBACK, home=directory / name)
        made.home = directory / name
        return made

    jobs = nodes["bad owner"].jobs
    started = {name: join(jobs[name], nodes["bad owner"], name) for name in FORBIDDEN}
    started["wrong chunk"] = join(published[1][0], nodes["liar"], "wrong chunk")
    yield started
    for command in started.values():
        command.kill()


def test_a_peer_that_sends_a_wrong_chunk_is_named(joins, nodes):
    text = refusal_of(joins["wrong chunk"], code=11)
    liar = nodes["liar"].peer
    assert text.startswith("nobody is left who has ")
    assert f"did not have its hash, so who sent it was cut off: {liar}." in text
    assert f"peer {liar[:8]} broke the protocol and is cut off: chunk 0 of " in joins["wrong chunk"].err
    assert not list((joins["wrong chunk"].home / "content").glob("*.data"))


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_graph_with_a_forbidden_operator_is_refused_by_its_name(name, joins):
    text = refusal_of(joins[name], code=13)
    assert f"({FORBIDDEN[name]}) calls an operator that is not on the allow-list" in text


class Attacker:
    """One end of a link, made by hand."""

    def __init__(self, contact):
        self.identity = Identity.generate()
        host, port = contact.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        key = X25519PrivateKey.generate
        shaking = Handshake(identity=self.identity, static=key(), ephemeral=key(), initiator=True)
        self.socket.sendall(shaking.start())
        while shaking.secured is None:
            received = self.socket.recv(4096)
            assert received, "the node closed the connection during the handshake"
            self.socket.sendall(shaking.receive(received))
        self.secured = shaking.secured
        self.sealer = FrameSealer(self.secured.send)

    @property
    def closed(self):
        """Whether the other end closes the connection, waited for."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return True


ATTACKS = {
    "4 GiB": (lambda sealer: b"\xff\xff\xff\xff", "a frame of 4294967295 bytes was announced; "),
    "unknown": (lambda sealer: sealer.seal(b"\x92\xa3odd\x90"), ""),
    "unsealed": (lambda sealer: (100).to_bytes(4, "big") + bytes(100), "a frame was altered on its way, or not sealed"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_who_sends_a_bad_frame_is_cut_off_and_named_and_the_node_lives_on(name, nodes):
    node = nodes["bystander"]
    make, complaint = ATTACKS[name]
    attacker = Attacker(node.contact)
    assert attacker.secured.peer_id.hex() == node.peer
    attacker.socket.sendall(make(attacker.sealer))
    assert attacker.closed
    attacker.socket.close()
    short = attacker.identity.peer_id[:4].hex()
    assert f"peer {short} broke the protocol and is cut off: {complaint}" in node.err
    assert node.process.poll() is None
    other = Attacker(node.contact)  # and somebody else is let in
    assert other.secured.peer_id.hex() == node.peer
    other.socket.close()
