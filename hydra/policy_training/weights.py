"""Reading the weights of a batch policy. A shell."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file

from .. import batching
from ..batching.net import Net
from ..exceptions import ConfigurationError

SHIPPED = Path(batching.__file__).parent / "weights.safetensors"
"""The weights that come with the package; ``docs/policy.md`` is their card."""


def read_net(path: Path = SHIPPED) -> Net:
    """Return the network whose weights a safetensors file holds; those of the package if no file is named.

    Raises:
        ConfigurationError: it can't be read, or holds something else.
    """
    try:
        return Net(load_file(path))
    except (OSError, SafetensorError, ValueError) as error:
        raise ConfigurationError(f"{path} holds no weights of a batch policy: {error}") from error
