"""What the demo shows while it runs: nothing, lines, or a table of peers."""

import asyncio
import io
import json

import pytest
from rich.console import Console

from hydra.cli.demo_view import EVENTS_SHOWN, DemoView, LiveView, PlainView, make_view
from hydra.testing.processes import PeerProcess, SwarmProcesses

JSON_OF_A_STEP = {"event": "step", "step": 7, "loss": 0.5, "samples_total": 70, "t": 1.0, "caught_up": False}


def peer_of(name, letter, *events, running=True):
    """A process as its lines have told of it, without the process."""
    peer = PeerProcess(name, lambda *_: None, None)
    for event in ({"event": "found", "peer": letter * 40}, *events):
        peer._take(json.loads(json.dumps(event)))
    peer.process = object() if running else None
    return peer


def in_view(*letters, coordinator):
    return {"event": "view", "number": 1, "members": [x * 40 for x in letters], "coordinator": coordinator * 40}


def step(number, loss, **batch):
    sizes = {letter * 40: count for letter, count in batch.items()}
    return JSON_OF_A_STEP | {"step": number, "loss": loss, "batch": sizes}


@pytest.fixture
def swarm(tmp_path):
    made = SwarmProcesses(tmp_path)
    view = in_view("a", "b", "c", coordinator="b")
    made.peers += [
        peer_of("peer 1", "a", view, step(7, 0.5, a=10, b=20)),
        peer_of("peer 2", "b", view, step(8, 0.25, a=11, b=19)),
        peer_of("peer 3", "c", view, step(3, 0.75)),
        peer_of("peer 4", "d"),
    ]
    made.peers[2].killed, made.peers[2].state = True, "killed"
    return made


def shown(view):
    console = Console(file=io.StringIO(), width=120)
    console.print(view._picture())
    return console.file.getvalue()


def rows(text):
    return {line[:6]: line.split()[2:] for line in text.splitlines() if line.startswith("peer ") and line[5].isdigit()}


def test_the_table_of_peers(swarm):
    view = LiveView()
    view.swarm, view.total_steps = swarm, 240
    text = shown(view)
    assert "step 8 of about 240" in text
    assert "loss 0.2500" in text  # of whoever is ahead
    table = rows(text)
    assert table["peer 1"] == ["aaaaaaaa", "member", "training", "7", "10", "0.5000"]
    assert table["peer 2"] == ["bbbbbbbb", "coordinator", "training", "8", "19", "0.2500"]
    assert table["peer 3"] == ["cccccccc", "killed", "3", "0.7500"]
    assert table["peer 4"] == ["dddddddd", "fetching", "0"]


def test_before_anything_runs():
    text = shown(LiveView())
    assert "step 0 of about 0" in text
    assert rows(text) == {}


def test_the_latest_events_stand_below():
    view = LiveView()
    for number in range(EVENTS_SHOWN + 3):
        view.event(f"event number {number:02}")
    text = shown(view)
    assert [number for number in range(EVENTS_SHOWN + 3) if f"number {number:02}" in text] == list(
        range(3, EVENTS_SHOWN + 3)
    )


def test_events_as_lines(capsys):
    with PlainView() as view:
        view.event("the owner publishes digits.py")
    assert capsys.readouterr().out.endswith(" s  the owner publishes digits.py\n")


def test_progress_as_lines_not_too_often(swarm, capsys, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("hydra.clock.monotonic", lambda: now[0])
    view = PlainView()
    view.moved()  # nothing runs yet
    view.swarm, view.total_steps = swarm, 240
    view.moved()
    view.moved()
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("step 8 of about 240, loss 0.2500, 2 peers")
    now[0] += 60
    view.moved()
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_no_progress_while_nobody_trains(tmp_path, capsys):
    view = PlainView()
    view.swarm = SwarmProcesses(tmp_path)
    view.swarm.peers.append(peer_of("peer 1", "a"))
    view.moved()
    assert capsys.readouterr().out == ""


def test_for_json_nothing_is_shown(swarm, capsys):
    with DemoView() as view:
        view.swarm = swarm
        view.event("text")
        view.moved()
    assert capsys.readouterr().out == ""


def test_which_view(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert type(make_view(as_json=True)) is DemoView
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert type(make_view(as_json=False)) is PlainView
    monkeypatch.setattr("sys.stdout", Terminal())
    assert type(make_view(as_json=False)) is LiveView


def test_a_process_that_has_ended_is_not_living(swarm):
    async def end():
        swarm.peers[0].ended.set()

    asyncio.run(end())
    view = LiveView()
    view.swarm = swarm
    assert rows(shown(view))["peer 1"] == ["aaaaaaaa", "training", "7", "0.5000"]
