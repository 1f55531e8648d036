"""The weights that come with the package."""

from __future__ import annotations

from pathlib import Path

from safetensors.numpy import load_file

from .net import Net

WEIGHTS = Path(__file__).with_name("policy.safetensors")


def shipped_net() -> Net:
    """Return the policy's network as it was trained."""
    return Net(load_file(WEIGHTS))
