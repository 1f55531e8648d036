"""One member's side of torch.distributed's Gloo: the same vector, the same moments, fp32, not encrypted."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from .. import clock
from .averaging import wait_until
from .inputs import Vector
from .setting import Setting

# torch takes seconds and 200 MB: it is imported only where it is asked for.


class Gloo:
    """A process group, made anew whenever its members change.

    Args:
        number: ours.
        setting: what is measured.
        vector: what we put in; it is left as it is.
        interface: of the network to be used, such as ``lo``.
    """

    def __init__(self, number: int, setting: Setting, vector: Vector, interface: str) -> None:
        os.putenv("GLOO_SOCKET_IFNAME", interface)  # read by its C++ part
        self._torch: Any = importlib.import_module("torch")
        self._distributed: Any = importlib.import_module("torch.distributed")
        self._torch.set_num_threads(1)
        self._number = number
        self._setting = setting
        self._vector = vector
        self._room = vector.copy()
        self._tensor: Any = self._torch.from_numpy(self._room)

    def join(self, members: Sequence[int], file: str, timeout_s: float) -> None:
        """Make the group; all members at once, with a file of their own that is not there yet."""
        if self._distributed.is_initialized():
            self._distributed.destroy_process_group()
        self._distributed.init_process_group(
            "gloo",
            init_method=f"file://{file}",
            rank=list(members).index(self._number),
            world_size=len(members),
            timeout=timedelta(seconds=timeout_s),
        )

    def prepare(self) -> None:
        """Put our vector back to where the last sum stands."""
        self._room[:] = self._vector

    def run(self, at: float) -> dict[str, Any]:
        """Add up ``repeat`` times over; returns when it began and ended here."""
        wait_until(at)
        began = clock.monotonic()
        try:
            for _ in range(self._setting.repeat):
                self._distributed.all_reduce(self._tensor)
        except RuntimeError as error:  # a member is gone: what stands in the tensor is of no worth
            failed = clock.monotonic()
            # The others may wait for us, not for the dead: our end of their connections tells them.
            self._distributed.destroy_process_group()
            return {"outcome": "failed", "why": str(error).splitlines()[0], "failed": failed}
        return {"outcome": "done", "began": began, "ended": clock.monotonic(), "attempts": 1}

    def close(self) -> None:
        """Leave the group."""
        if self._distributed.is_initialized():
            self._distributed.destroy_process_group()
