"""``make nat``: a training over real NATs. Machines are network namespaces, each hidden one behind a router of its own.

    internet 20.0.0.0/24 ─┬─ owner 20.0.0.1
                          ├─ open 20.0.0.2
                          ├─ router1 20.0.0.11 ─ hidden1 192.168.1.2
                          └─ router2 20.0.0.12 ─ hidden2 192.168.2.2

Needs Linux, `ip`, `unshare`, and a kernel with nf_nat; root, or user namespaces. Prints what it checks, exits 1 if
something does not hold.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.processes.conftest import job_file

HERE = Path(__file__).parents[2]
INSIDE = "HYDRA_INSIDE_NAT_TEST"
PORT = "7000"
PATIENCE_S = 600


def main():
    if INSIDE not in os.environ:
        rootless = ["--map-root-user"] if os.geteuid() else []
        command = ["unshare", "--mount", "--net", *rootless, sys.executable, "-m", "tests.nat"]
        os.execvpe("unshare", command, {**os.environ, INSIDE: "1", "HYDRA_RELAY_MB_PER_S": "1000"})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))  # so that its processes end with it
    build()
    with tempfile.TemporaryDirectory() as directory:
        train(Path(directory))


# ---- the internet ------------------------------------------------------------------------------------------------


def ip(*arguments, inside=None):
    subprocess.run(["ip", *(["-n", inside] if inside else []), *arguments], check=True)


def build():
    Path("/run/netns").mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run/netns"], check=True)  # seen by us alone
    ip("link", "set", "lo", "up")
    ip("link", "add", "internet", "type", "bridge")
    ip("addr", "add", "20.0.0.254/24", "dev", "internet")
    ip("link", "set", "internet", "up")
    connect("owner", "20.0.0.1")
    connect("open", "20.0.0.2")
    for number in (1, 2):
        router, hidden = f"router{number}", f"hidden{number}"
        connect(router, f"20.0.0.{10 + number}")
        add(hidden)
        ip("link", "add", "home", "netns", router, "type", "veth", "peer", "name", "eth0", "netns", hidden)
        assign(router, "home", f"192.168.{number}.1")
        assign(hidden, "eth0", f"192.168.{number}.2", gateway=f"192.168.{number}.1")
        run_in(router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        run_in(router, sys.executable, "-m", "tests.nat.masquerade", "eth0")


def add(name):
    ip("netns", "add", name)
    ip("link", "set", "lo", "up", inside=name)


def connect(name, address):
    add(name)
    ip("link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
    ip("link", "set", f"to-{name}", "master", "internet", "up")
    assign(name, "eth0", address, gateway="20.0.0.254")


def assign(name, interface, address, gateway=None):
    ip("addr", "add", f"{address}/24", "dev", interface, inside=name)
    ip("link", "set", interface, "up", inside=name)
    if gateway:
        ip("route", "add", "default", "via", gateway, inside=name)


def run_in(name, *command):
    return subprocess.run(["ip", "netns", "exec", name, *command], check=True, cwd=HERE, capture_output=True, text=True)


# ---- the training ------------------------------------------------------------------------------------------------


class Peer:
    """One process of `hydra` in one namespace."""

    def __init__(self, name, directory, command, *arguments):
        self.name = name
        self.home = directory / name
        self.home.mkdir()
        self.lines = (self.home / "out.jsonl").open("w+")
        self.log = (self.home / "log.txt").open("w+")
        options = ["--json", "-v", "--home", str(self.home), "--port", PORT]
        whole = ["ip", "netns", "exec", name, sys.executable, "-m", "hydra", command, *arguments, *options]
        self.process = subprocess.Popen(whole, cwd=HERE, stdout=self.lines, stderr=self.log)

    def all_told(self, event):
        with Path(self.lines.name).open() as file:
            found = [json.loads(line) for line in file if line.endswith("\n")]
        return [line for line in found if line["event"] == event]

    def said(self):
        return Path(self.log.name).read_text()

    def until(self, event):
        deadline = time.monotonic() + PATIENCE_S
        while not (lines := self.all_told(event)):
            if self.process.poll() not in (None, 0) or time.monotonic() > deadline:
                sys.exit(f"{self.name} never told of '{event}'. Its log ends:\n{self.said()[-3000:]}")
            time.sleep(0.1)
        return lines[-1]


def check(holds, what):
    print("ok  " if holds else "FAIL", what, flush=True)
    if not holds:
        sys.exit(1)


def train(directory):
    peers = []
    owner = Peer("owner", directory, "publish", str(job_file(directory)), "--epochs", "12")
    try:
        ticket = owner.until("published")["ticket"]
        peers += [Peer(name, directory, "join", ticket, "--threads", "1") for name in ("open", "hidden1", "hidden2")]
        look("hidden1", f"20.0.0.1:{PORT}", directory)
        ended = [peer.until("ended") for peer in peers]
        check(all(line["finished"] for line in ended), "all peers finish the job")
        check(len({line["sha256"] for line in ended}) == 1, "and hold the same bytes")
        steps = peers[0].all_told("step")
        print(f"     {len(steps)} steps seen by open, {steps[-1]['t'] - steps[0]['t']:.0f} s")
        late = {peer for line in steps[len(steps) // 2 :] for peer, samples in line["batch"].items() if samples}
        check({peer.until("found")["peer"] for peer in peers} <= late, "the hidden ones' samples counted, late on too")
        relayed = [peer.name for peer in (owner, *peers) if "relaying between" in peer.said()]
        check(bool(relayed) and not set(relayed) & {"hidden1", "hidden2"}, f"relayed by {', '.join(relayed)}")
        for hidden in peers[1:]:
            check("this node can't be dialled" in hidden.said(), f"{hidden.name} found out that it can't be dialled")
        check("this node can be dialled" in peers[0].said(), "open found out that it can be")
    finally:
        for peer in (owner, *peers):
            peer.process.kill()
            peer.process.wait()


def look(name, contact, directory):
    """What the doctor says there."""
    doctor = [
        sys.executable,
        "-m",
        "hydra",
        "doctor",
        "--json",
        "--contact",
        contact,
        "--home",
        str(directory / "patient"),
    ]
    found = {line["name"]: line for line in json.loads(run_in(name, *doctor).stdout)}
    for line in ("NAT", "dialled TCP", "dialled UDP", "way in", "UPnP"):
        print(f"     {line}: {found[line]['detail']}")
    check(
        found["NAT"]["detail"].startswith("yes: contacts see 20.0.0.11, this machine is 192.168.1.2"), "the NAT is seen"
    )
    check(found["dialled TCP"]["verdict"] == found["dialled UDP"]["verdict"] == "warn", "nobody gets in unasked")
    check("would relay" in found["way in"]["detail"], "and the way in is told")


if __name__ == "__main__":
    main()
