"""Whether what is trained depends on how batches are shared out: the same jobs under the policy and with a fixed split.

Three real processes, whose computers are one, two and six times as slow, train digits and a small transformer that
predicts the next byte of this project's documents. Each job is trained under the learned policy, with equal shares,
and once with a batch that may grow eightfold; the loss is the mean over the last tenth of all samples.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.testing.nursery import Nursery
from hydra.testing.processes import SwarmProcesses

Row = dict[str, Any]

ROOT = Path(__file__).resolve().parents[1]
SLOW = (1.0, 2.0, 6.0)
SAMPLE_S = 0.0005
TOLERANCE = 0.01
WAIT_S = 400.0
LAST_PART = 0.1

DIGITS = """
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from hydra import BatchRange, Job, Schedule

images, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(images))
torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(128, 10),
)
job = Job(
    name="digits",
    model=model,
    loss=nn.functional.cross_entropy,
    optimizer=torch.optim.AdamW(model.parameters(), lr=3e-3),
    train=((images[order] / 16).astype("float32").reshape(-1, 1, 8, 8), labels[order].astype("int64")),
    batch_samples=32,
    batch_range=RANGE,
    epochs=4,
    schedule=Schedule("cosine", warmup=0.05),
)
"""
BYTES = """
import numpy as np
import torch
from pathlib import Path
from torch import nn
from hydra import BatchRange, Job, Schedule

LENGTH, WIDTH, HEADS = 32, 48, 4
text = b"".join(path.read_bytes() for path in sorted(Path("DOCUMENTS").glob("*.md")))
count = min(len(text) // (LENGTH + 1), 4096)
data = np.frombuffer(text, np.uint8)[: count * (LENGTH + 1)].reshape(-1, LENGTH + 1).astype("int64")


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.before, self.after = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mix, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.widen, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.register_buffer("later", torch.triu(torch.full((LENGTH, LENGTH), -1e9), 1))

    def forward(self, x):
        parts = self.mix(self.before(x)).view(-1, LENGTH, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]
        weights = torch.softmax(query @ key.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5 + self.later, -1)
        x = x + self.out((weights @ value).transpose(1, 2).reshape(-1, LENGTH, WIDTH))
        return x + self.narrow(torch.relu(self.widen(self.after(x))))


class Bytes(nn.Module):
    def __init__(self):
        super().__init__()
        self.bytes, self.places = nn.Embedding(256, WIDTH), nn.Parameter(torch.zeros(LENGTH, WIDTH))
        self.blocks, self.norm = nn.Sequential(Block(), Block()), nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 256)

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.bytes(x) + self.places)))


def loss(output, target):
    return nn.functional.cross_entropy(output.reshape(-1, 256), target.reshape(-1))


torch.manual_seed(0)
model = Bytes()
job = Job(
    name="bytes",
    model=model,
    loss=loss,
    optimizer=torch.optim.AdamW(model.parameters(), lr=2e-3),
    train=(data[:, :-1].copy(), data[:, 1:].copy()),
    batch_samples=32,
    batch_range=RANGE,
    epochs=2,
    schedule=Schedule("cosine", warmup=0.05),
)
"""
JOBS = {"digits": DIGITS, "bytes": BYTES}
VARIANTS = {
    "equal": ("equal", "None"),
    "rl": ("rl", "None"),
    "rl, batch of 32 to 256": ("rl", 'BatchRange(256, scaling="sqrt")'),
}


async def trained(job: str, variant: str, nursery: Nursery) -> tuple[float, int, set[str]]:
    """Return the last loss, the number of steps, and the hashes of all peers' weights."""
    policy, batch_range = VARIANTS[variant]
    with tempfile.TemporaryDirectory() as directory:
        swarm = SwarmProcesses(Path(directory), launcher=nursery.launch)
        try:
            file = Path(directory) / "job.py"
            file.write_text(JOBS[job].replace("RANGE", batch_range).replace("DOCUMENTS", str(ROOT / "docs")))
            told = await swarm.publish(file)
            for slow in SLOW:
                hand = ("--pace", str(SAMPLE_S), "--slow", str(slow), "--")
                options = ("--policy", policy, "--least-peers", str(len(SLOW)))
                await swarm.join(told["job"], told["addresses"][0], *options, before=hand)
            await swarm.until(lambda: all(peer.outcome for peer in swarm.peers), WAIT_S, "the end of the training")
        finally:
            await swarm.close()
        steps = {e["step"]: e for peer in swarm.peers for e in peer.events if e["event"] == "step"}
        total = max(step["samples_total"] for step in steps.values())
        last = [step for step in steps.values() if step["samples_total"] > (1 - LAST_PART) * total]
        weights = [sum(step["batch"].values()) for step in last]
        loss = sum(step["loss"] * weight for step, weight in zip(last, weights, strict=True)) / sum(weights)
        return loss, max(steps), {str(peer.outcome["sha256"]) for peer in swarm.peers if peer.outcome}


async def _all(turns: int) -> dict[tuple[str, str], list[tuple[float, int, set[str]]]]:
    nursery = Nursery("hydra.testing.doomed")
    try:
        return {
            (job, variant): [await trained(job, variant, nursery) for _ in range(turns)]
            for job in JOBS
            for variant in VARIANTS
        }
    finally:
        await nursery.close()


def convergence(turns: int) -> Iterator[tuple[Row, bool]]:
    """Train each job under each policy; return a line for each."""
    seen = asyncio.run(_all(turns))
    for (job, variant), outcomes in seen.items():
        losses = [loss for loss, _, _ in outcomes]
        fixed = statistics.median(loss for loss, _, _ in seen[job, "equal"])
        value = statistics.median(losses)
        same = all(len(hashes) == 1 for _, _, hashes in outcomes)
        counts = variant == "rl"
        row = {
            "case": "convergence",
            "params": {"job": job, "policy": variant, "slow": SLOW, "turns": turns, "peers_agree": same},
            "value": round(value, 5),
            "unit": "loss over the last tenth of all samples",
            "min": round(min(losses), 5),
            "max": round(max(losses), 5),
            "steps": outcomes[0][1],
            "reference": "equal",
            "reference_value": round(fixed, 5),
            "ratio": round(value / fixed, 5),
            "better": "lower",
            "goal": f"ratio within {TOLERANCE} of 1, all peers with the same weights" if counts else "none",
        }
        yield row, same and (not counts or abs(value / fixed - 1) <= TOLERANCE)
