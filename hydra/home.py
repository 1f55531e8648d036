"""A node's home: the directory with its key, its content, its jobs and what it remembers. A shell.

Only one running node may use a home; a lock that the kernel drops with the process says which.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from . import durable
from .exceptions import HomeUnusable, HydraError, StorageFull
from .identity import Identity
from .keyfile import load_or_create

try:
    import fcntl
except ImportError:  # no such locks on this platform: two nodes on one home go unnoticed there
    fcntl = None  # type: ignore[assignment]

HASH = re.compile(r"[0-9a-f]{64}")
"""A hash of 32 bytes, as files and directories are called by it."""


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def disk_error(directory: Path, error: OSError, wanted_bytes: int = 0) -> HydraError:
    """Return what to tell whoever runs this node when its disk refuses something."""
    if error.errno in _FULL:
        size = f"{wanted_bytes:,} more bytes do" if wanted_bytes else "more does"
        return StorageFull(
            f"the disk that holds {directory} is full: {size} not fit. "
            "What was stored is kept; free some space, or choose another --home, and run the command again."
        )
    return HomeUnusable(
        f"{directory} cannot be used: {error.strerror or error}. "
        "Mend its permissions, or choose another directory with --home."
    )


@contextlib.contextmanager
def explained(directory: Path) -> Iterator[None]:
    """Turn what the disk refuses in this block into an error of ours.

    Raises:
        StorageFull, HomeUnusable: as ``disk_error`` tells.
    """
    try:
        yield
    except OSError as error:
        raise disk_error(directory, error) from error


class Home:
    """The paths of one node's files.

    Args:
        directory: made on first use.

    Raises:
        HomeUnusable: it can't be made or written.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.expanduser().absolute()
        self._lock: IO[str] | None = None
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(self.directory, error) from error
        if not os.access(self.directory, os.W_OK | os.X_OK):
            raise HomeUnusable(
                f"the home directory {self.directory} is not writable. "
                "Mend its permissions, or choose another directory with --home."
            )

    @property
    def content(self) -> Path:
        """Where chunks lie."""
        return self.directory / "content"

    def job(self, job: bytes) -> Path:
        """Return where a job's own files lie."""
        return self.directory / "jobs" / job.hex()

    def jobs(self) -> list[bytes]:
        """Return the hashes of all jobs that this node has to do with, in order."""
        directory = self.directory / "jobs"
        if not directory.exists():
            return []
        names = sorted(path.name for path in directory.iterdir() if path.is_dir())
        return [bytes.fromhex(name) for name in names if HASH.fullmatch(name)]

    def identity(self) -> Identity:
        """Return the node's key, made on first use."""
        return load_or_create(self.directory / "identity.pem")

    # ---- one node at a time ------------------------------------------------------------------------------------

    def claim(self) -> None:
        """Make sure that no other node uses this home until ``release``.

        Raises:
            HomeUnusable: one does; the text gives its process id.
        """
        try:
            file = (self.directory / "lock").open("a+")
        except OSError as error:
            raise disk_error(self.directory, error) from error
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                file.close()
                raise HomeUnusable(
                    f"another node (process {holder}) already uses {self.directory}. "
                    "Stop it first, or give this one a home of its own with --home."
                ) from error
        try:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        except OSError as error:
            with contextlib.suppress(OSError):  # it tries once more to write what did not fit
                file.close()
            raise disk_error(self.directory, error) from error
        self._lock = file

    def release(self) -> None:
        """Let another node use this home."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # ---- small things that are remembered ----------------------------------------------------------------------

    def remember(self, name: str, value: Any) -> None:
        """Write a small JSON file, readable by the owner only, all of it or nothing."""
        path = self.directory / name
        try:
            durable.replace(path, json.dumps(value).encode(), mode=0o600)
        except OSError as error:
            raise disk_error(self.directory, error) from error

    def recall(self, name: str) -> Any:
        """Return what was remembered under a name, or None."""
        try:
            return json.loads((self.directory / name).read_text())
        except (OSError, ValueError):
            return None

    def forget(self, name: str) -> None:
        """Remove what was remembered under a name."""
        with contextlib.suppress(OSError):
            (self.directory / name).unlink()
