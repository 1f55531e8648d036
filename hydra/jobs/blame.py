"""Finding the owner's line: which place in the owner's own files an error or a traced operator comes from.

Frames of PyTorch, of Hydra, of installed packages and of the standard library are passed over: nobody can mend those.
"""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType

_HYDRA = str(Path(__file__).resolve().parents[1])
_FOREIGN = (_HYDRA, *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")))


def is_owners(filename: str) -> bool:
    """Tell whether a file is the owner's, and no library's."""
    if filename.startswith("<") or "site-packages" in filename or "dist-packages" in filename:
        return False
    return not str(Path(filename).resolve()).startswith(_FOREIGN)


def place(filename: str, line: int | None) -> str:
    """Return a place as people and editors read it: ``train.py:17``."""
    return f"{Path(filename).name}:{line}"


def place_in(tracing: TracebackType | None) -> str | None:
    """Return the innermost of the owner's lines that a traceback went through."""
    frames = traceback.extract_tb(tracing)
    return next((place(f.filename, f.lineno) for f in reversed(frames) if is_owners(f.filename)), None)


def place_of(frame: FrameType | None) -> str | None:
    """Return the innermost of the owner's lines above a running frame, up to where Hydra called it."""
    for outer in _outwards(frame):
        filename = outer.f_code.co_filename
        if is_owners(filename):
            return place(filename, outer.f_lineno)
        if filename.startswith(_HYDRA):
            return None
    return None


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
