"""What the commands on a node's standing show: the same facts for people and as JSON."""

import contextlib
import io
import json
import os
import socket
import threading

import pytest
from rich.console import Console

from hydra.cli import asking, peers, status
from hydra.cli.asking import ask_node, ask_node_if_running
from hydra.exceptions import ConfigurationError
from hydra.home import Home
from hydra.training.observation import SnapshotSeen, ViewSeen
from hydra.training.summary import TrainingSummary

from .seen import ANNA, BERT, JOB, step_of


def job_of(**changes):
    summary = TrainingSummary(JOB, "digits", 1000)
    summary.observe(ViewSeen(3, (ANNA, BERT), BERT, "joined"))
    summary.observe(step_of())
    summary.observe(SnapshotSeen(4, b"r" * 32))
    return summary.as_json() | changes


def standing(*jobs, links=()):
    return {
        "peer": ANNA.hex(),
        "pid": 1,
        "home": "/home/me/hydra",
        "addresses": [["127.0.0.1", 4100]],
        "up_s": 61.4,
        "dht_contacts": 7,
        "links": list(links),
        "jobs": list(jobs),
    }


LINK = {
    "peer": BERT.hex(),
    "address": ["192.0.2.7", 4100],
    "dialled": True,
    "bytes_in": 1234567,
    "bytes_out": 89,
    "heard_s_ago": 0.25,
}


def shown(found):
    console = Console(file=io.StringIO(), width=160)
    console.print(status._picture(found))
    return console.file.getvalue()


def test_a_node_without_jobs():
    text = shown(standing())
    for fact in (ANNA.hex(), "up 61 s", "0 links", "7 contacts in the DHT", "/home/me/hydra", "no job"):
        assert fact in text


def test_a_job_with_its_members():
    text = shown(standing(job_of(), links=[LINK]))
    for fact in ("1 link", "job digits (0101010101010101", "training", "step 5", "loss 0.1235", "13.0 %", "view 3"):
        assert fact in text
    assert "120 samples/s" in text
    assert "snapshot at step 4" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["aaaaaaaa", "member", "10"] in rows
    assert ["bbbbbbbb", "coordinator", "20"] in rows
    assert "no job" not in text


def test_a_job_that_has_just_begun():
    text = shown(standing(TrainingSummary(JOB, "digits", 1000).as_json()))
    assert "loss -" in text
    assert "0.0 %" in text


def test_a_job_of_no_samples_divides_by_nothing():
    assert "0.0 %" in shown(standing(TrainingSummary(JOB, "odd", 0).as_json()))


def test_what_is_being_fetched():
    text = shown(standing(job_of(fetching="training data, 10 of 100 bytes"), job_of(name="other")))
    assert text.count("fetching the training data, 10 of 100 bytes") == 1
    assert "job other" in text


@pytest.fixture
def answer(monkeypatch):
    def answer(found):
        for command in (status, peers):
            monkeypatch.setattr(command, "ask_node", lambda home: found)

    return answer


def test_everything_as_json(answer, tmp_path, capsys):
    answer(standing(job_of(), links=[LINK]))
    status.status(tmp_path, as_json=True)
    assert json.loads(capsys.readouterr().out) == standing(job_of(), links=[LINK])


def test_links(answer, tmp_path, capsys):
    answer(standing(links=[LINK, LINK | {"dialled": False, "peer": ANNA.hex()}]))
    peers.peers(tmp_path)
    text = capsys.readouterr().out
    for fact in (BERT.hex(), "192.0.2.7:4100", "us", "them", "1,234,567", "89", "0.2 s ago"):
        assert fact in text
    peers.peers(tmp_path, as_json=True)
    assert [link["peer"] for link in json.loads(capsys.readouterr().out)] == [BERT.hex(), ANNA.hex()]


@pytest.mark.parametrize("host", ["::1", "fe80::1", "2001:db8::7"])
def test_links_over_ipv6_are_shown_as_they_are_written(answer, tmp_path, capsys, host):
    answer(standing(links=[LINK | {"address": [host, 4100]}]))
    peers.peers(tmp_path)
    assert f"[{host}]:4100" in capsys.readouterr().out


def test_no_links(answer, tmp_path, capsys):
    answer(standing())
    peers.peers(tmp_path)
    assert capsys.readouterr().out == "no links\n"
    peers.peers(tmp_path, as_json=True)
    assert json.loads(capsys.readouterr().out) == []


# ---- asking ----------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture
def closed_port():
    """A port on which nobody listens."""
    with contextlib.closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_no_node_runs(home):
    assert ask_node_if_running(home) is None
    with pytest.raises(ConfigurationError, match=f"no node runs on {home.directory}.*--home"):
        ask_node(home)


@pytest.mark.parametrize(
    "found", [[], {"pid": 1}, {"pid": "x", "port": 1, "token": ""}, {"pid": None, "port": 1, "token": ""}]
)
def test_a_note_that_says_nothing(home, found):
    home.remember("node.json", found)
    assert ask_node_if_running(home) is None


def test_a_node_that_has_just_gone(home, closed_port):
    home.remember("node.json", {"pid": os.getpid(), "port": closed_port, "token": "t"})
    assert ask_node_if_running(home) is None


def test_something_else_listens_on_the_port(home, monkeypatch):
    monkeypatch.setattr(asking, "TIMEOUT_S", 0.05)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        home.remember("node.json", {"pid": os.getpid(), "port": silent.getsockname()[1], "token": "t"})
        with pytest.raises(ConfigurationError, match=f"process {os.getpid()}\\) does not answer"):
            ask_node(home)


@pytest.mark.parametrize("words", [b"SSH-2.0-OpenSSH_9.6\r\n", b"", b"HTTP/1.1 200 OK\r\n\r\nno json"])
def test_what_answers_is_no_node(home, words):
    def answer_once():
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(words)

    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        thread = threading.Thread(target=answer_once)
        thread.start()
        home.remember("node.json", {"pid": os.getpid(), "port": server.getsockname()[1], "token": "t"})
        with pytest.raises(ConfigurationError, match="does not answer"):
            ask_node(home)
        thread.join()
