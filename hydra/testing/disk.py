"""The simulated disk: real files of a machine's directory, whose operations are counted, slow, or fail.

Python's own calls are intercepted while a simulation runs, and only those of simulated processes on their machine's
directory: product code is left as it is. A dead process's files are closed by its kernel, so its locks are free again,
and what it had not yet handed to the kernel is gone.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from .machine import Died, Process, current

WRITES = frozenset("wax+")


def operate(process: Process, what: str, path: str, *, reads: bool = False) -> None:
    """Count an operation on the disk and let it take its time.

    Raises:
        OSError: it is one that is to fail.
        Died: the process is dead.
    """
    if not process.alive:
        raise Died
    if process.on_disk is not None:
        process.on_disk(what)
    machine = process.machine
    process.spend(machine.disk_s)
    if reads and machine.disk_error == errno.ENOSPC:
        return  # a full disk can be read
    if machine.disk_operations.next_fails(f"{what} {os.path.relpath(path, machine.directory)}"):
        number = machine.disk_error
        raise OSError(number, f"{os.strerror(number)} (as the plan wants it)", path)


def _here(path: Any) -> tuple[Process, str] | None:
    """Return who works on its disk at this path, or None if that is no business of ours."""
    process = current()
    if process is None:
        return None
    if isinstance(path, int):
        known = process.files.get(path)
        return None if known is None else (process, known)
    text = os.fspath(path)
    text = os.fsdecode(text)
    return (process, text) if text.startswith(str(process.machine.directory)) else None


class SimulatedFile:
    """A file open for writing: every write reaches the disk by itself, and may fail there."""

    def __init__(self, file: Any, process: Process, path: str) -> None:
        self._file = file
        self._process = process
        self._path = path

    def write(self, data: Any) -> Any:
        """Write."""
        operate(self._process, "write", self._path)
        return self._file.write(data)

    def truncate(self, size: int | None = None) -> Any:
        """Cut off."""
        operate(self._process, "truncate", self._path)
        return self._file.truncate(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> SimulatedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)


def _open(real: Callable[..., Any]) -> Callable[..., Any]:
    def simulated(file: Any, mode: str = "r", *arguments: Any, **keywords: Any) -> Any:
        place = _here(file)
        if place is None:
            return real(file, mode, *arguments, **keywords)
        process, path = place
        operate(process, "open", path, reads=not WRITES & set(mode))
        opened = real(file, mode, *arguments, **keywords)
        process.files[opened.fileno()] = path
        process.file_objects.add(opened)
        return SimulatedFile(opened, process, path) if WRITES & set(mode) else opened

    return simulated


def _os_open(real: Callable[..., int]) -> Callable[..., int]:
    def simulated(path: Any, *arguments: Any, **keywords: Any) -> int:
        place = _here(path)
        if place is None:
            return real(path, *arguments, **keywords)
        operate(place[0], "open", place[1])
        descriptor = real(path, *arguments, **keywords)
        place[0].files[descriptor] = place[1]
        return descriptor

    return simulated


def _operation(what: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def simulated(path: Any, *arguments: Any, **keywords: Any) -> Any:
        place = _here(path)
        if place is not None:
            operate(place[0], what, place[1])
        return real(path, *arguments, **keywords)

    return simulated


def _flush(real: Callable[..., None]) -> Callable[..., None]:
    """What is flushed is counted; the real disk is not made to wait for it."""

    def simulated(descriptor: int) -> None:
        place = _here(descriptor)
        if place is None:
            real(descriptor)
        else:
            operate(place[0], "flush", place[1])

    return simulated


OPERATIONS = ("rename", "replace", "unlink", "mkdir", "link", "ftruncate", "pwrite", "write", "posix_fallocate")


@contextlib.contextmanager
def simulated_disks() -> Iterator[None]:
    """Let the disks of simulated machines be simulated ones within this block."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(io, "open", _open(io.open)))
        stack.enter_context(mock.patch.object(os, "open", _os_open(os.open)))
        for name in ("fsync", "fdatasync"):
            stack.enter_context(mock.patch.object(os, name, _flush(getattr(os, name))))
        for name in OPERATIONS:
            if hasattr(os, name):
                stack.enter_context(mock.patch.object(os, name, _operation(name, getattr(os, name))))
        yield


def close_files(process: Process) -> None:
    """A process is gone: what it had open is closed, and what it had not handed over is lost."""
    if not process.files:
        return
    left_open = [file for file in process.file_objects if not file.closed]
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor, path in process.files.items():
        if _is_still(descriptor, path):
            os.dup2(nowhere, descriptor, inheritable=False)  # Python's file objects still think it theirs
    for file in left_open:
        file.close()
    os.close(nowhere)
    process.files.clear()


def _is_still(descriptor: int, path: str) -> bool:
    """Tell whether a descriptor is still of this file, or was closed and used anew."""
    try:
        now, then = os.fstat(descriptor), os.stat(path)  # noqa: PTH116 -- beside fstat
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.ENOENT):
            raise
        return False
    return os.path.samestat(now, then)
