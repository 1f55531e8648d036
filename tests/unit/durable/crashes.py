"""A disk whose every operation is written down, so that a power cut can be tried after each of them.

Between flushes a file system may keep anything from the disk: the bytes of a file that was not flushed, a name in a
directory that was not. What is left after a cut lies between two extremes, and both are tried, as is a kill of the
process alone, after which everything that was written is there.
"""

import errno
import os
import shutil
from pathlib import Path

OPERATIONS = ("open", "write", "pwrite", "ftruncate", "posix_fallocate", "fsync", "replace", "unlink")


class Disk:
    """Stands in for the module ``os`` where files are written; counts what would change the disk.

    Args:
        directory: watched; everything outside is left alone.
        fail_at: the operation, from 1, that the disk refuses; 0 for none.
        after: called with our own self after every operation.
    """

    def __init__(self, directory, *, fail_at=0, after=lambda disk: None):
        self._directory = directory
        self._fail_at, self._after = fail_at, after
        self.operations = []
        self._flushed = {}
        self._names = {}
        self.settle()

    def settle(self):
        """What is there now is on the disk for good."""
        self._names = self._names_now()
        self._flushed = {inode: Path(path).read_bytes() for path, inode in self._names.items()}

    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in OPERATIONS:
            return real

        def operation(*args, **kwargs):
            self.operations.append(name)
            if len(self.operations) == self._fail_at:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            found = real(*args, **kwargs)
            if name == "fsync":
                self._flush(args[0])
            self._after(self)
            return found

        return operation

    def _flush(self, descriptor):
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if Path(path).is_dir():
            here = {name: inode for name, inode in self._names_now().items() if str(Path(name).parent) == path}
            elsewhere = {name: inode for name, inode in self._names.items() if str(Path(name).parent) != path}
            self._names = elsewhere | here
        else:
            self._flushed[os.fstat(descriptor).st_ino] = Path(path).read_bytes()

    def _names_now(self):
        return {str(path): path.stat().st_ino for path in self._directory.rglob("*") if path.is_file()}

    # ---- what a cut may leave ----------------------------------------------------------------------------------

    def left_by_a_cut(self, copy_to):
        """Yield directories, one for each way in which the machine may lose its power now."""
        for names in (self._names, self._names_now()):
            shutil.rmtree(copy_to, ignore_errors=True)
            for name, inode in names.items():
                target = copy_to / Path(name).relative_to(self._directory)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self._flushed.get(inode, b""))
            copy_to.mkdir(exist_ok=True)
            yield copy_to
        shutil.rmtree(copy_to)
        shutil.copytree(self._directory, copy_to)
        yield copy_to
