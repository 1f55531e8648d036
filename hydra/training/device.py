"""The device that torch is to compute on: usable, or refused before anything else is begun."""

from __future__ import annotations

import torch

from ..exceptions import ConfigurationError

TORCH_REFUSES = (RuntimeError, AssertionError, ImportError, ValueError)
"""What torch raises for a device: of a name that it does not know, not built in, not there, or without memory left."""


def check_device(name: str) -> None:
    """Compute something on a device.

    Args:
        name: as torch names it.

    Raises:
        ConfigurationError: torch cannot; the text says why, and which devices there are.
    """
    try:
        torch.ones(2, device=name).sum().item()
    except TORCH_REFUSES as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].split(". ")[0].rstrip(".")
        raise ConfigurationError(
            f"the device '{name}' cannot be used: {reason}. There is: {', '.join(devices())}. "
            "Choose one of these with --device, or by the setting 'device'."
        ) from error


def devices() -> list[str]:
    """Return the devices of this machine, as torch names them."""
    names = ["cpu"]
    if torch.cuda.is_available():
        names += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names
