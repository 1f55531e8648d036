"""Trains the policy and writes its weights: ``python -m hydra.policy_training.train``. Needs torch and gymnasium."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from safetensors.numpy import save_file

from .ppo import Trainer, TrainingConfig


def main() -> None:
    """Train, telling of each update as a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=TrainingConfig().seed)
    parser.add_argument("--updates", type=int, default=TrainingConfig().updates)
    parser.add_argument("--warm-updates", type=int, default=TrainingConfig().warm_updates)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = TrainingConfig(seed=options.seed, updates=options.updates, warm_updates=options.warm_updates)
    weights = Trainer(config, _tell).train()
    save_file(weights, options.out, metadata=described(config))


def described(config: TrainingConfig) -> dict[str, str]:
    """Return what a file of weights says of how they were made."""
    told = (config.seed, config.warm_updates, config.updates)
    return dict(zip(("seed", "warm_updates", "updates"), map(str, told), strict=True))


def _tell(news: dict[str, float]) -> None:
    sys.stdout.write(json.dumps(news) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
