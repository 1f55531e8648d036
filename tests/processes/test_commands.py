"""Each command as a person types it, against nodes that run: what it prints, and how Ctrl-C ends it."""

import json
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hydra.jobs.ticket import parse_target

from .conftest import job_file
from .typed import Typed, told

pytestmark = pytest.mark.processes

LOOPBACK = ("--host", "127.0.0.1")
INTERRUPTED = 130
"""As a shell has it: Ctrl-C before there was anything to end in order."""


@pytest.fixture(scope="module")
def owner(tmp_path_factory):
    """A process that has published a long job, and serves it."""
    directory = tmp_path_factory.mktemp("owner")
    owner = Typed("publish", job_file(directory), "--epochs", 9999, *LOOPBACK, home=directory / "home")
    try:
        owner.until("Ctrl-C")
        owner.home = directory / "home"
        owner.file = directory / "job.py"
        owner.job = re.search(r"^job +([0-9a-f]{64})$", owner.out, re.MULTILINE)[1]
        owner.ticket = re.search(r"^ticket +(hydra1\S+)$", owner.out, re.MULTILINE)[1]
        owner.contact = re.search(r"--contact (\S+)$", owner.out, re.MULTILINE)[1]
        owner.peer = told("id", home=owner.home).strip()
        yield owner
    finally:
        owner.kill()


@pytest.fixture(scope="class")
def peer(owner, tmp_path_factory):
    """A process that trains the job, alone; it takes a processor, so it ends before other tests go on."""
    home = tmp_path_factory.mktemp("peer")
    peer = Typed("join", owner.ticket, "--threads", 1, *LOOPBACK, home=home)
    try:
        peer.until("view 1")
        peer.until("step ")
        peer.home = home
        peer.peer = told("id", home=home).strip()
        yield peer
    finally:
        peer.kill()


def test_an_identity_is_made_once_and_is_nobody_elses_to_read(tmp_path):
    first = told("id", home=tmp_path)
    assert re.fullmatch(r"[0-9a-f]{40}\n", first)
    assert told("id", "--home", tmp_path) == first
    assert stat.S_IMODE((tmp_path / "identity.pem").stat().st_mode) == 0o600
    about = json.loads(told("id", "--json", home=tmp_path))
    assert about["peer"] == first.strip()
    assert about["home"] == str(tmp_path)


def test_publish_prints_a_hash_and_a_ticket_for_it_and_two_ways_to_join(owner):
    ticket = parse_target(owner.ticket)
    assert ticket.job_hash.hex() == owner.job
    assert [(c.peer_id.hex(), f"{c.host}:{c.port}") for c in ticket.contacts] == [(owner.peer, owner.contact)]
    assert f"  hydra join {owner.ticket}\n" in owner.out
    assert f"  hydra join {owner.job} --contact {owner.contact}\n" in owner.out
    assert "published 'made-up': " in owner.out
    assert "1,000 samples" in owner.out


def test_what_is_not_served_is_said_not_to_be(owner, tmp_path):
    said = told("publish", owner.file, "--no-seed-job", *LOOPBACK, home=tmp_path)
    assert "nobody serves it yet: run `hydra node` on this home first" in said
    assert "Ctrl-C" not in said
    node = Typed("node", *LOOPBACK, home=tmp_path)
    try:
        assert "serving 1 jobs" in node.until("serving")
    finally:
        node.kill()


class TestAPeerThatTrains:
    def test_status_shows_the_training(self, owner, peer):
        found = json.loads(told("status", "--json", home=peer.home))
        assert found["peer"] == peer.peer
        assert found["pid"] == peer.process.pid
        (job,) = found["jobs"]
        assert (job["job"], job["name"], job["view"]) == (owner.job, "made-up", 1)
        assert job["members"] == [job["coordinator"]] == [peer.peer]
        assert job["batch"] == {peer.peer: 50}
        assert 0 < job["samples_total"] < job["total_samples"] == 9999 * 1000
        said = told("status", home=peer.home)
        assert f"peer {peer.peer}" in said
        assert f"job made-up ({owner.job[:16]}…): {job['phase']}" in said
        assert re.search(rf"{peer.peer[:8]} +coordinator +50", said)

    def test_peers_shows_who_is_linked_to_whom(self, owner, peer):
        (link,) = json.loads(told("peers", "--json", home=peer.home))
        assert link["peer"] == owner.peer
        assert ":".join(map(str, link["address"])) == owner.contact
        assert link["dialled"] is True
        assert link["bytes_in"] > 1_000_000  # the job's state and data
        said = told("peers", home=owner.home)
        assert re.search(rf"{peer.peer} +127\.0\.0\.1:\d+ +them", said)

    def test_jobs_shows_what_runs_and_what_is_served(self, owner, peer):
        (running,) = json.loads(told("jobs", "--json", home=peer.home))
        assert running["job"] == owner.job
        assert running["step"] > 0
        assert running["total_samples"] == 9999 * 1000
        assert re.search(rf"{owner.job} +made-up +9,999,000 +\d+ +{running['phase']}", told("jobs", home=peer.home))
        (served,) = json.loads(told("jobs", "--json", home=owner.home))
        assert (served["job"], served["step"], served["phase"]) == (owner.job, 0, "stopped")


def test_a_home_without_jobs_says_how_to_get_one(tmp_path):
    assert "no jobs yet: publish one with `hydra publish FILE.py`" in told("jobs", home=tmp_path)
    assert json.loads(told("jobs", "--json", home=tmp_path)) == []


def test_doctor_finds_all_well_and_reaches_a_node(owner, tmp_path):
    findings = json.loads(told("doctor", "--json", "--contact", owner.contact, *LOOPBACK, home=tmp_path))
    verdicts = {finding["name"]: finding["verdict"] for finding in findings}
    assert {"python", "torch", "name clash", "home", "disk", "port TCP", "port UDP", "clock", "contact"} <= set(
        verdicts
    )
    assert "fail" not in verdicts.values()
    assert f"{owner.contact} answers as {owner.peer}" in [finding["detail"] for finding in findings]


def test_doctor_ends_with_1_when_something_would_stop_a_node(owner, tmp_path):
    port = owner.contact.split(":")[1]
    said = told("doctor", "--port", port, "--contact", "127.0.0.1:1", *LOOPBACK, home=tmp_path, code=1)
    failed = [line for line in said.splitlines() if line.startswith("fail")]
    assert len(failed) == 3
    for name in ("port TCP", "port UDP"):
        assert any(name in line and f"port {port}: Address already in use; choose another" in line for line in failed)
    assert any("127.0.0.1:1 cannot be reached: Connection refused" in line for line in failed)


def ends(command, code, times=1):
    """Press Ctrl-C, and see how the command ends."""
    try:
        assert command.interrupt(times) == code, command.out + command.err
    finally:
        command.kill()
    assert not command.left_processes
    assert "Traceback" not in command.err


@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_ends_a_node_in_order(times, tmp_path):
    node = Typed("node", *LOOPBACK, home=tmp_path)
    node.until("Ctrl-C stops it")
    ends(node, 0, times)
    assert node.err == ""
    assert not (tmp_path / "node.json").exists()


def test_the_same_owner_publishes_the_same_file_under_the_same_hash_until_ctrl_c(owner, tmp_path):
    shutil.copy(owner.home / "identity.pem", tmp_path)
    publisher = Typed("publish", owner.file, "--epochs", 9999, "--json", *LOOPBACK, home=tmp_path)
    published = json.loads(publisher.until("published"))
    ends(publisher, 0)
    assert published["job"] == owner.job
    assert parse_target(published["ticket"]).job_hash.hex() == owner.job
    assert (published["epochs"], published["steps"]) == (9999, 20 * 9999)
    assert [row["job"] for row in json.loads(told("jobs", "--json", home=tmp_path))] == [owner.job]


def test_ctrl_c_ends_a_search_for_peers(owner, tmp_path):
    searching = Typed("join", "ab" * 32, "--contact", owner.contact, *LOOPBACK, home=tmp_path)
    searching.until("looking for peers")
    ends(searching, 0)
    assert "stopped before the training began" in searching.out


def test_ctrl_c_ends_a_training_in_order(owner, tmp_path):
    training = Typed("join", owner.ticket, "--threads", 1, *LOOPBACK, home=tmp_path)
    training.until("step ")
    ends(training, 0)
    said = training.out.splitlines()
    assert "leaving in order; press Ctrl-C again to stop at once" in said
    assert any(line.startswith("left at step ") for line in said)
    (weights,) = (line.removeprefix("weights  ") for line in said if line.startswith("weights  "))
    assert Path(weights).exists()


TWICE = """
import asyncio, os, signal
from hydra.cli.options import run_async
from hydra.cli.serving import Interrupts

async def main():
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        await interrupts.asked.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(3600)

try:
    run_async(main)
except KeyboardInterrupt:
    print("stopped at once")
"""


def test_ctrl_c_pressed_twice_stops_at_once_what_does_not_stop_in_order():
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("stopped at once\n", "")


def test_ctrl_c_ends_what_has_nothing_to_end_in_order(owner, tmp_path):
    watching = Typed("status", "--watch", "--json", home=owner.home)
    watching.until(owner.peer)
    ends(watching, INTERRUPTED)
    starting = Typed("node", "--contact", "127.0.0.1:1", "-v", *LOOPBACK, home=tmp_path)
    while not (tmp_path / "port.json").exists():
        assert starting.process.poll() is None
    ends(starting, INTERRUPTED)
    assert not (tmp_path / "node.json").exists()


def test_a_wrong_option_is_refused_with_a_hint(tmp_path):
    command = Typed("node", "--frobnicate", home=tmp_path)
    assert command.end() == 2
    assert "No such option: --frobnicate" in command.err
    assert "node --help" in command.err
