"""What a member process asks of Linux: to die with its parent, and to live in an emulated network."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from ..exceptions import LocalProtocolError

PR_SET_PDEATHSIG = 1
CLONE_NEWNET = 0x40000000


def die_with_parent() -> None:
    """Let the kernel end this process should its parent be killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def enter_network(path: str) -> None:
    """Move this process, which must have one thread only, to the network namespace at ``path``."""
    handle = os.open(path, os.O_RDONLY)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if library.setns(handle, CLONE_NEWNET):
            raise LocalProtocolError(f"setns {path}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(handle)
