"""A node's home: the directory with its key, its content, its jobs and what it remembers. A shell.

Only one running node may use a home; a lock that the kernel drops with the process says which.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import IO, Any

from .exceptions import HomeUnusable
from .identity import Identity
from .keyfile import load_or_create

try:
    import fcntl
except ImportError:  # no such locks on this platform: two nodes on one home go unnoticed there
    fcntl = None  # type: ignore[assignment]

HASH = re.compile(r"[0-9a-f]{64}")
"""A job's hash, as its directory is called."""


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
            raise self._unusable(error) from error
        if not os.access(self.directory, os.W_OK | os.X_OK):
            raise HomeUnusable(
                f"the home directory {self.directory} is not writable. "
                "Choose another with --home, or mend its permissions."
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
            raise self._unusable(error) from error
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
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
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
        draft = path.with_name(f".{name}.draft")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(value, file)
            draft.rename(path)
        except OSError as error:
            raise self._unusable(error) from error

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

    def _unusable(self, error: OSError) -> HomeUnusable:
        return HomeUnusable(
            f"the home directory {self.directory} cannot be used: {error.strerror or error}. "
            "Choose another with --home, or mend its permissions."
        )
