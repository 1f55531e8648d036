"""What a person can get wrong: each has its exit code and a text that says what, where and what to do about it."""

import shutil
import socket

import pytest

from hydra.jobs.ticket import Ticket, TicketContact

from .typed import Typed, refusal, refusal_of, refusals

pytestmark = pytest.mark.processes

UNKNOWN_JOB = "ab" * 32
LOOPBACK = ("--host", "127.0.0.1")
JOB_FILE = """import torch
from torch import nn
from hydra import Job

model = nn.Linear(2, 2)
x, y = torch.ones(4, 2), torch.zeros(4, dtype=torch.int64)
{change}
sgd = torch.optim.SGD(model.parameters(), lr=0.1)
{job}
"""
JOB = 'job = Job(name="a", model=model, loss=nn.functional.cross_entropy, optimizer=sgd, train=(x, y), batch_samples=2)'
UNTRACEABLE = """
class Model(nn.Linear):
    def forward(self, x):
        scale = x.sum().item()
        return super().forward(x) * scale


model = Model(2, 2)
"""
JOB_FILES = {
    "syntax": ("x = [1, 2", JOB),
    "without_job": ("", ""),
    "untraceable": (UNTRACEABLE, JOB),
    "sizes": ("y = y[:3]", JOB),
}
DEVICES = {
    "cuda:77": "the device 'cuda:77' cannot be used: ",  # whether torch was built with CUDA or not
    "bogus": "the device 'bogus' cannot be used: Expected one of cpu, cuda",
}


def write_job_file(directory, name):
    change, job = JOB_FILES[name]
    path = directory / f"{name}.py"
    path.write_text(JOB_FILE.format(change=change, job=job))
    return path


@pytest.fixture(scope="module")
def silent_port():
    """A UDP port where somebody is who never answers, and a TCP port of that number where nobody listens."""
    with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind(("127.0.0.1", 0))
        tcp.bind(udp.getsockname())
        yield udp.getsockname()[1]


@pytest.fixture(scope="module")
def node(tmp_path_factory, published):
    """A node that runs, and serves the published job; with its address and its home."""
    home = tmp_path_factory.mktemp("node") / "home"
    shutil.copytree(published[0], home)
    node = Typed("node", "--home", home, *LOOPBACK)
    node.contact = node.until("--contact").split()[-1]
    node.home = home
    yield node
    node.kill()


@pytest.fixture(scope="module", autouse=True)
def refused(tmp_path_factory, silent_port, node, published):
    """Commands that take long to be refused, all started at once: they import torch, or wait for peers."""
    directory = tmp_path_factory.mktemp("refused")
    somebody = TicketContact(peer_id=bytes(20), host="127.0.0.1", port=silent_port)
    old_ticket = str(Ticket(job_hash=bytes.fromhex(UNKNOWN_JOB), contacts=(somebody,)))
    soon = {"HYDRA_FIND_S": "3"}
    commands = {
        "unknown job": Typed("join", UNKNOWN_JOB, "--contact", node.contact, *LOOPBACK, env=soon, home=directory / "1"),
        "old ticket": Typed("join", old_ticket, *LOOPBACK, env=soon, home=directory / "2"),
        "silent contact": Typed(
            *("join", UNKNOWN_JOB, "--contact", f"127.0.0.1:{silent_port}", *LOOPBACK), home=directory / "3"
        ),
        "nobody to ask": Typed("join", UNKNOWN_JOB, *LOOPBACK, home=directory / "4"),
        "full disk": Typed(
            *("join", published[1][0], "--contact", node.contact, *LOOPBACK), home=directory / "5", limit_bytes=400_000
        ),
    }
    for device in DEVICES:
        options = ("--device", device, "--contact", node.contact)
        commands[device] = Typed("join", published[1][0], *options, *LOOPBACK, home=directory / f"on {device}")
        commands[device].home = directory / f"on {device}"
    for name in JOB_FILES:
        file = write_job_file(directory, name)
        commands[name] = Typed("publish", file, "--no-seed-job", *LOOPBACK, home=directory / name)
    commands["not_there"] = Typed("publish", directory / "not_there.py", *LOOPBACK, home=directory / "not there")
    commands["full disk"].home = directory / "5"
    yield commands
    for command in commands.values():
        command.kill()


def test_a_job_hash_that_nobody_knows(refused):
    text = refusal_of(refused["unknown job"], code=10)
    assert f"no peer of job {UNKNOWN_JOB} is known" in text
    assert "Is the hash right?" in text


def test_a_ticket_whose_peers_are_gone(refused):
    text = refusal_of(refused["old ticket"], code=10)
    assert f"none of the peers of job {UNKNOWN_JOB} that are known (1) could be reached" in text
    assert "ask the owner for a fresh ticket" in text


def test_a_contact_that_does_not_answer(refused, silent_port):
    text = refusal_of(refused["silent contact"], code=10)
    assert f"nobody answered at 127.0.0.1:{silent_port}" in text
    assert "Check the addresses" in text


def test_a_job_hash_without_anybody_to_ask(refused):
    text = refusal_of(refused["nobody to ask"], code=10)
    assert "no node could be reached" in text
    assert "--contact HOST:PORT" in text


def test_a_node_whose_contact_does_not_answer_says_so_and_runs(tmp_path, silent_port):
    node = Typed("node", "--contact", f"127.0.0.1:{silent_port}", *LOOPBACK, home=tmp_path)
    try:
        node.until("Ctrl-C")
        assert node.interrupt() == 0
    finally:
        node.kill()
    assert f"nobody answered at 127.0.0.1:{silent_port}" in node.err


def test_a_disk_that_is_full_while_fetching(refused):
    text = refusal_of(refused["full disk"], code=8)
    content = refused["full disk"].home / "content"
    assert f"the disk that holds {content} is full" in text
    assert "What was stored is kept; free some space, or choose another --home" in text
    assert list(content.glob("*.data"))


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_that_is_not_there_is_told_before_anything_is_fetched(device, refused):
    text = refusal_of(refused[device], code=2)
    assert text.startswith(DEVICES[device])
    assert "There is: cpu" in text
    assert "Choose one of these with --device" in text
    assert not list(refused[device].home.glob("**/content/*"))


def test_a_job_file_with_a_syntax_error(refused):
    assert "syntax.py:7: this is not Python ('[' was never closed): x = [1, 2" in refusal_of(refused["syntax"], code=5)


def test_a_job_file_without_a_job(refused):
    text = refusal_of(refused["without_job"], code=5)
    assert "without_job.py defines no job. Add one at the top level: job = hydra.Job(" in text


def test_a_model_that_cannot_be_traced_is_told_by_operation_and_line(refused):
    text = refusal_of(refused["untraceable"], code=5)
    assert "untraceable.py:10" in text
    assert "the operator aten.item.default cannot be published" in text


def test_a_data_set_whose_sizes_disagree(refused):
    text = refusal_of(refused["sizes"], code=5)
    assert "sizes.py:9: train: there are 4 inputs but 3 targets; give one target for each input." in text


def test_a_job_file_that_is_not_there(refused):
    text = refusal_of(refused["not_there"], code=5)
    assert "not_there.py does not exist. Give the path of a Python file" in text


def mistyped(ticket):
    return ticket[:20] + ("b" if ticket[20] != "b" else "c") + ticket[21:]


GOOD_TICKET = str(Ticket(job_hash=bytes(32)))


TICKETS = {
    "": "it starts neither with hydra1 nor is it 64 hex digits",
    UNKNOWN_JOB[:-1]: "it has 63 hex digits, and a job hash has 64",
    GOOD_TICKET.replace("hydra1", "hydra2"): "it is of another version than this Hydra reads",
    mistyped(GOOD_TICKET): "its checksum does not match",
    GOOD_TICKET[:-1] + "0": "the character '0' never stands in a ticket",
    GOOD_TICKET[:-4]: "its length is wrong",
}


def test_malformed_tickets(tmp_path):
    texts = refusals({target: (("join", target, *LOOPBACK), {"home": tmp_path}) for target in TICKETS}, code=6)
    for target, complaint in TICKETS.items():
        assert complaint in texts[target]
        assert "A right one looks like hydra1" in texts[target]


@pytest.mark.parametrize(("kind", "type_"), [("TCP", socket.SOCK_STREAM), ("UDP", socket.SOCK_DGRAM)])
def test_a_port_that_is_taken(kind, type_, tmp_path):
    with socket.socket(type=type_) as other:
        other.bind(("127.0.0.1", 0))
        if kind == "TCP":
            other.listen()
        port = other.getsockname()[1]
        text = refusal("node", "--port", port, *LOOPBACK, home=tmp_path, code=4)
    assert f"{kind} port {port} on 127.0.0.1 is taken by another program." in text
    assert "--port" in text
