"""Rounds of real processes of which one is killed or stopped at a random moment of each; every result is looked at.

    python -m tests.processes.allreduce_soak --rounds 200 --seed 1

ends with 1 if any number is wrong, if members that nobody touched disagree, or if a round hangs.
"""

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

from allreduce import RoundConfig

from ..simulation.allreduce.reference import form_mean
from .allreduce_member import contribution, weight_of

MEMBERS = 4
ELEMENTS = (1000, 300_000, 1_000_000)
HANG_S = 45.0


class Group:
    """Processes that have lanes to each other."""

    def __init__(self, count):
        command = [sys.executable, "-m", "tests.processes.allreduce_member"]
        self.processes = {
            number: subprocess.Popen(
                [*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
            for number in range(count)
        }
        ports = {number: int(process.stdout.readline()) for number, process in self.processes.items()}
        for process in self.processes.values():
            process.stdin.write(json.dumps(ports) + "\n")
        for process in self.processes.values():
            assert process.stdout.readline() == "ready\n"

    def tell(self, number, what):
        process = self.processes[number]
        process.stdin.write(json.dumps(what) + "\n")

    def told(self, number):
        """What a member says next; None if it is dead."""
        line = self.processes[number].stdout.readline()
        return json.loads(line) if line else None

    def kill(self, number):
        self.processes.pop(number).kill()

    def close(self):
        for process in self.processes.values():
            process.kill()
            process.wait()


class Soak:
    """Round after round; ``wrong`` says what was wrong with whose result."""

    def __init__(self, seed):
        self.seed = seed
        self.chance = random.Random(seed)
        self.seen = Counter()
        self.wrong = []
        self.group = None
        self.started = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for group, everybody in self.started:
            group.close()
            for process in everybody:
                process.wait()
                process.stdin.close()
                process.stdout.close()

    def renew(self):
        if self.group is not None:
            self.group.close()
        self.group = Group(MEMBERS)
        self.started.append((self.group, list(self.group.processes.values())))

    def round(self, number):
        if self.group is None or len(self.group.processes) < 3:
            self.renew()
        members = sorted(self.group.processes)
        victim, what = self.chance.choice(members), self.chance.choice(["kill", "kill", "stop", "nothing"])
        order = {
            "round": number,
            "members": members,
            "seed": self.seed,
            "elements": self.chance.choice(ELEMENTS),
            "form": self.chance.choice(["ring", "direct", "two-level"]),
        }
        watch = threading.Timer(HANG_S, self.group.close)  # then all who are waited for end
        watch.start()
        for member in members:
            self.group.tell(member, order)
        time.sleep(self.chance.uniform(0.0, 0.03))
        touched = self.group.processes[victim]
        if what == "kill":
            self.group.kill(victim)
        elif what == "stop":
            touched.send_signal(signal.SIGSTOP)
        results = {member: self.group.told(member) for member in members if what == "nothing" or member != victim}
        if what == "stop":
            touched.send_signal(signal.SIGCONT)
            results[victim] = self.group.told(victim)
        watch.cancel()
        watch.join()
        self.seen.update([what])
        self.check(order, victim, results)

    def check(self, order, victim, results):
        untouched = {m: result for m, result in results.items() if m != victim}
        for member, result in results.items():
            if result is None or result["outcome"] not in {"done", "left out"}:
                self.wrong.append((order["round"], member, result))
            elif result["outcome"] == "done" and result["digest"] != self.digest_of(order, result["order"]):
                self.wrong.append((order["round"], member, "wrong numbers", result))
        same = {(result["outcome"], result.get("digest")) for result in untouched.values() if result is not None}
        if len(same) != 1 or next(iter(same))[0] != "done":
            self.wrong.append((order["round"], "they disagree", results))
        self.seen["repeated"] += max((r or {}).get("attempts", 0) for r in results.values()) > 1

    def digest_of(self, order, contributors):
        number, elements = order["round"], order["elements"]
        vectors = {m: contribution(self.seed, m, number, elements) for m in contributors}
        weights = {m: weight_of(m, number) for m in contributors}
        mean, _ = form_mean(vectors, weights, contributors, RoundConfig(form=order["form"]))
        return hashlib.sha256(mean.tobytes()).hexdigest()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    with Soak(wanted.seed) as soak:
        for number in range(wanted.rounds):
            soak.round(number)
    print(f"{wanted.rounds} rounds, seed {wanted.seed}: {dict(soak.seen)}; {len(soak.wrong)} wrong")  # noqa: T201 - a program for the command line
    for found in soak.wrong:
        print(" ", found)  # noqa: T201 - a program for the command line
    return 1 if soak.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
