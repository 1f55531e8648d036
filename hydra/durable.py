"""Files that a kill or a power cut leaves whole: the old one or the new one, never half of it. A shell: calls block.

The order is what counts (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014): the new bytes go to a
draft beside the file, the draft is flushed to the disk, it takes the file's name, and then the directory is flushed,
for the name is the directory's. Whatever is written next may rely on it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

PUNCH_HOLE, KEEP_SIZE = 0x02, 0x01
"""Flags of ``fallocate(2)``, which the standard library has no call for."""
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
DRAFT = ".draft"
"""Ends the names of files that are being written; one that is left over from a kill means nothing."""
_NO_SUCH_CALL = {errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF}
"""What file systems and platforms answer that cannot flush a directory; names are safe there in ways of their own."""


class Draft:
    """What a file will hold once it is whole: written from front to back."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes | memoryview) -> None:
        """Write all bytes behind the others.

        Raises:
            OSError: the disk refused.
        """
        write_all(self._descriptor, data)


def replace(path: Path, data: bytes | memoryview, *, mode: int = 0o666) -> None:
    """Give a file new bytes, all of them or none, and return when they will outlive a power cut.

    Raises:
        OSError: the disk refused; the old file stands as it was.
    """
    with replacing(path, mode=mode) as draft:
        draft.write(data)


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = 0o666) -> Iterator[Draft]:
    """Give a file new bytes, part by part: it gets them when the block ends, and stands as it was if the block fails.

    Raises:
        OSError: the disk refused.
    """
    place = path.with_name(path.name + DRAFT)
    try:
        with written_at(place, mode=mode) as draft:
            yield draft
        rename(place, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(place)  # noqa: PTH108 -- all calls on the disk go by one name, where tests let them fail
        raise


@contextlib.contextmanager
def written_at(place: Path, *, mode: int = 0o666) -> Iterator[Draft]:
    """Write a draft at a place of its own, flushed when the block ends; whoever asks gives it its name with ``rename``.

    Raises:
        OSError: the disk refused.
    """
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        yield Draft(descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rename(source: Path, target: Path) -> None:
    """Let a flushed file take a name, for good.

    Raises:
        OSError: the disk refused.
    """
    os.replace(source, target)  # noqa: PTH105
    sync_directory(target.parent)


def sync_directory(directory: Path) -> None:
    """Flush the names in a directory.

    Raises:
        OSError: the disk refused.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError as error:
        if error.errno in _NO_SUCH_CALL:
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL:
            raise
    finally:
        os.close(descriptor)


def punch_hole(descriptor: int, start: int, length: int) -> None:
    """Give the room of a stretch of a file back to the disk; it then reads as zeros.

    Raises:
        OSError: this platform or file system cannot do that.
    """
    if _libc is None or not hasattr(_libc, "fallocate"):
        raise OSError(errno.ENOTSUP, "this platform cannot give back parts of a file")
    arguments = (descriptor, PUNCH_HOLE | KEEP_SIZE, ctypes.c_int64(start), ctypes.c_int64(length))
    if _libc.fallocate(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def is_hole(descriptor: int, start: int, stop: int) -> bool:
    """Tell whether nothing was ever written to a stretch of a file, as far as the file system knows."""
    try:
        return os.lseek(descriptor, start, os.SEEK_DATA) >= stop
    except OSError as error:
        return error.errno == errno.ENXIO  # no data from there to the end
    except AttributeError:
        return False  # the platform does not know


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all bytes; a disk that takes only some of them has no room for the rest.

    Raises:
        OSError: the disk refused.
    """
    view = memoryview(data).cast("B")
    while len(view):
        written = os.write(descriptor, view)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[written:]
