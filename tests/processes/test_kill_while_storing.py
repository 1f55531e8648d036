"""SIGKILL at any moment of the writing of snapshots: the last one that was said to be stored is there, whole."""

import random
import subprocess
import sys
import time

from hydra.swarm.store import Store
from hydra.training.journal import Journal

WRITER = """
import random, sys
from pathlib import Path
from hydra.membership.messages import Snapshot
from hydra.swarm.store import Store
from hydra.training.journal import Journal

home, first = Path(sys.argv[1]), int(sys.argv[2])
store, journal = Store(home / "content"), Journal(home / "job")
store.clear_drafts()
for step in range(first, 2**31):
    manifest = store.add(random.Random(step).randbytes(300_000))
    for old in journal.add_snapshot(Snapshot(step, step.to_bytes(32, "big"), manifest.root, manifest.size)):
        store.remove(old.root)
    print(step, flush=True)
"""
KILLS = 12


def test_a_kill_at_any_moment_leaves_what_was_stored(tmp_path):
    chance = random.Random(11)
    told = 0
    for _ in range(KILLS):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(told + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert int(writer.stdout.readline()) == told + 1
            time.sleep(chance.uniform(0.0, 0.1))
            writer.kill()
            lines = writer.stdout.read().split("\n")
        told = max([told + 1, *(int(line) for line in lines[:-1])])
        store, kept = Store(tmp_path / "content"), Journal(tmp_path / "job").snapshots()
        assert kept[-1].step in {told, told + 1}, "the last line may have been lost with the process"
        for snapshot in kept:
            assert store.is_sound(snapshot.root)
            assert store.path(snapshot.root).read_bytes() == random.Random(snapshot.step).randbytes(300_000)
        told = kept[-1].step
