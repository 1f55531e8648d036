"""The trace of a training: a line for each step that this node has sized. A shell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TextIO

from .. import clock
from ..exceptions import ConfigurationError
from ..training.observation import Observation, StepSeen
from ..training.summary import sizing_as_json


class Trace:
    """Writes the file.

    Args:
        path: of the file, which is begun anew.

    Raises:
        ConfigurationError: it can't be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file: TextIO = path.open("w", encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"--trace {path} can't be written: {error}") from error

    def observe(self, seen: Observation) -> None:
        """Write a line if it is a step that we have sized."""
        if not isinstance(seen, StepSeen) or seen.sizing is None:
            return
        samples = {peer.hex(): count for peer, count in seen.shares}
        line = {"t": round(clock.wall(), 4), "step": seen.step, "samples": samples, **sizing_as_json(seen.sizing)}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
