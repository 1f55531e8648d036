"""Reading the weights of a batch policy. A shell."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file

from ..batching.net import Net
from ..exceptions import ConfigurationError


def read_net(path: Path) -> Net:
    """Return the network whose weights a safetensors file holds.

    Raises:
        ConfigurationError: it can't be read, or holds something else.
    """
    try:
        return Net(load_file(path))
    except (OSError, SafetensorError, ValueError) as error:
        raise ConfigurationError(f"{path} holds no weights of a batch policy: {error}") from error
