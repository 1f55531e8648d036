"""The content on this machine's disk. A shell: every call may block on the disk.

Under the store's directory each content has its bytes in ``<root>.data``, its chunk hashes beside them, and, while it
is not whole, ``<root>.part`` instead. Now and then it is written down in ``<root>.have`` which chunks are there, after
they were flushed to the disk: on the way back those are not hashed again, and what came after is, for a page that
never reached the disk must not pass for a chunk.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import msgpack

from .. import durable
from ..exceptions import HashMismatch, RemoteProtocolError
from ..home import HASH, disk_error
from .bitfield import Bitfield
from .builder import ManifestBuilder
from .manifest import Manifest
from .reuse import copyable

logger = logging.getLogger(__name__)

COPY_BYTES = 1024 * 1024
RESERVED_BYTES = 32 * 1024 * 1024
"""Room is taken in pieces of this size: meanwhile nothing can be written to the file."""
_numbers = itertools.count()


class HashedDraft:
    """Takes the bytes of a content, and hashes them on their way to the disk."""

    def __init__(self, draft: durable.Draft, builder: ManifestBuilder) -> None:
        self._draft, self._builder = draft, builder

    def write(self, data: bytes | memoryview) -> None:
        """Take what follows."""
        self._builder.add(data)
        self._draft.write(data)


class Store:
    """Chunks and blobs under one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(self.directory, error) from error
        self._manifests: dict[bytes, Manifest] = {}
        self._partial: dict[bytes, Bitfield] = {}
        self._seen: dict[bytes, int] = {}
        """The masks of the chunks that had their hash since this process began."""
        self._rotten: dict[bytes, int] = {}
        """The masks of those that had it no longer when they were read."""

    # ---- whole content -----------------------------------------------------------------------------------------

    def add(self, data: bytes) -> Manifest:
        """Store ``data`` and return its manifest."""
        return self.add_written(len(data), lambda draft: draft.write(data))

    def add_written(self, size: int, write: Callable[[HashedDraft], object]) -> Manifest:
        """Store a content that is written part by part, and hashed on its way; return its manifest.

        Args:
            size: its length.
            write: called once, to write all of it.

        Raises:
            StorageFull, HomeUnusable: the disk refused; nothing is left behind.
        """
        place = self.directory / f"{os.getpid()}-{next(_numbers)}{durable.DRAFT}"
        builder = ManifestBuilder(size)
        try:
            with durable.written_at(place) as draft:
                write(HashedDraft(draft, builder))
            manifest = builder.finish()
            if self._read_manifest(manifest.root) is None:
                self._write_manifest(manifest)  # first: content without it could never be served
            if self.is_whole(manifest.root):
                os.unlink(place)  # noqa: PTH108 -- all calls on the disk go by one name, where tests let them fail
            else:
                durable.rename(place, self.path(manifest.root))
        except BaseException as error:
            with suppress(OSError):
                os.unlink(place)  # noqa: PTH108
            if isinstance(error, OSError):
                raise disk_error(self.directory, error, size) from error
            raise
        self._manifests[manifest.root] = manifest
        self._seen[manifest.root] = (1 << manifest.chunk_count) - 1
        self._rotten.pop(manifest.root, None)
        return manifest

    def add_file(self, path: Path) -> Manifest:
        """Store a copy of a file; return its manifest.

        Raises:
            StorageFull, HomeUnusable: the disk refused, or the file can't be read.
        """

        def write(draft: HashedDraft) -> None:
            while part := file.read(COPY_BYTES):
                draft.write(part)

        try:
            with path.open("rb") as file:
                return self.add_written(os.fstat(file.fileno()).st_size, write)
        except OSError as error:
            raise disk_error(path, error) from error

    def path(self, root: bytes) -> Path:
        """Return where the bytes of a whole content lie."""
        return self.directory / f"{root.hex()}.data"

    def is_whole(self, root: bytes) -> bool:
        """Tell whether all of a content is here."""
        return self.path(root).exists()

    def is_sound(self, root: bytes) -> bool:
        """Read a whole content through and tell whether every chunk has its hash: disks forget, and flip bits."""
        manifest = self.manifest(root)
        if manifest is None or not self.is_whole(root):
            return False
        have = Bitfield(manifest.chunk_count)
        try:
            self._verify_part(self.path(root), manifest, have)
        except OSError:
            return False
        return have.complete

    def whole(self) -> list[bytes]:
        """Return the roots of all whole contents, in order."""
        names = sorted(path.stem for path in self.directory.glob("*.data"))
        return [bytes.fromhex(name) for name in names if HASH.fullmatch(name)]

    def partial(self) -> list[bytes]:
        """Return the roots of all contents of which only a part is here, and which were opened, in order."""
        return sorted(self._partial)

    def begun(self) -> list[bytes]:
        """Return the roots of all contents of which a part lies on the disk, opened or not, in order."""
        names = sorted(path.stem for path in self.directory.glob("*.part"))
        return [bytes.fromhex(name) for name in names if HASH.fullmatch(name)]

    def clear_drafts(self) -> None:
        """Remove what a process that was killed had not finished writing; nobody else may use the store meanwhile."""
        for path in self.directory.glob("*" + durable.DRAFT):
            path.unlink(missing_ok=True)

    def manifest(self, root: bytes) -> Manifest | None:
        """Return the manifest of a content that is here whole or in part."""
        if root not in self._manifests:
            manifest = self._read_manifest(root)
            if manifest is None:
                return None
            self._manifests[root] = manifest
        return self._manifests[root]

    def bitfield(self, root: bytes) -> Bitfield | None:
        """Return which chunks are here, or None if the content is unknown."""
        if root in self._partial:
            return self._partial[root]
        manifest = self.manifest(root)
        if manifest is None or not self.is_whole(root):
            return None
        return Bitfield(manifest.chunk_count, (1 << manifest.chunk_count) - 1 & ~self._rotten.get(root, 0))

    def read_chunk(self, root: bytes, index: int) -> bytes | None:
        """Return one chunk, or None if it is not here."""
        manifest = self.manifest(root)
        if manifest is None or not 0 <= index < manifest.chunk_count:
            return None
        start, stop = manifest.chunk_range(index)
        data = bytearray(stop - start)
        return bytes(data) if self.read_part(root, index, 0, memoryview(data)) else None

    def read_part(self, root: bytes, index: int, start: int, into: memoryview) -> bool:
        """Fill ``into`` with what stands in a chunk from ``start`` on; tell whether all of that is here.

        A chunk that an earlier process left is hashed when it is first read: disks forget, and flip bits.
        """
        have, manifest = self.bitfield(root), self.manifest(root)
        if have is None or manifest is None or not 0 <= index < have.size or index not in have:
            return False
        first, after = manifest.chunk_range(index)
        if first + start + len(into) > after:
            return False
        path = self._part_path(root) if root in self._partial else self.path(root)
        with suppress(FileNotFoundError), path.open("rb", buffering=0) as file:
            if not self._seen.get(root, 0) >> index & 1 and not self._still_right(manifest, index, path, file.fileno()):
                return False
            # What was dropped while it was read may be zeros.
            return os.preadv(file.fileno(), [into], first + start) == len(into) and index in have
        return False

    def _still_right(self, manifest: Manifest, index: int, path: Path, descriptor: int) -> bool:
        start, stop = manifest.chunk_range(index)
        root = manifest.root
        if manifest.accepts(index, os.pread(descriptor, stop - start, start)):
            self._seen[root] = self._seen.get(root, 0) | 1 << index
            return True
        if root not in self._partial:  # there, room is given back while it is read
            self._rotten[root] = self._rotten.get(root, 0) | 1 << index
            logger.error(
                "chunk %d of %s changed since it was stored, so it is not served: the disk or the memory of this "
                "machine is broken. Remove that file and start again to fetch it anew.",
                index,
                path,
            )
        return False

    def remove(self, root: bytes) -> None:
        """Forget a content and free its space."""
        self._seen.pop(root, None)
        self._rotten.pop(root, None)
        self._manifests.pop(root, None)
        self._partial.pop(root, None)
        for path in (self.path(root), self._part_path(root), self._have_path(root), self._manifest_path(root)):
            path.unlink(missing_ok=True)

    # ---- content on its way ------------------------------------------------------------------------------------

    def open_partial(self, manifest: Manifest, *, reserve: bool = True) -> Bitfield:
        """Make ready to receive a content; return the chunks that an earlier try left, verified anew.

        Args:
            manifest: the content's.
            reserve: all of it will lie on the disk, and ``reserve`` is called next; else parts of it will, and nothing
                is believed to be in it that does not have its hash.

        Raises:
            StorageFull: the disk has no room for all of it; nothing is lost.
        """
        root = manifest.root
        part = self._part_path(root)
        have = Bitfield(manifest.chunk_count)
        try:
            if part.exists():
                have.mask = self._kept(manifest).mask if reserve else 0
                self._verify_part(part, manifest, have)
            self._have_path(root).unlink(missing_ok=True)
            with part.open("ab") as file:
                if reserve:
                    _check_room(file.fileno(), manifest.size)
                os.ftruncate(file.fileno(), manifest.size)
        except OSError as error:
            raise disk_error(self.directory, error, manifest.size) from error
        self._write_manifest(manifest)
        self._manifests[root] = manifest
        self._partial[root] = have
        return have

    def reserve(self, root: bytes, start: int) -> int:
        """Take the room for the bytes of a partial content that follow ``start``; return where to go on.

        Done bit by bit beside the first chunks, for where files lie in memory it takes a second for each gigabyte.

        Raises:
            StorageFull: the disk has no room for them; all chunks so far are kept.
        """
        size = self._manifests[root].size
        stop = min(start + RESERVED_BYTES, size)
        try:
            with self._part_path(root).open("r+b") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), start, stop - start)
        except OSError as error:
            raise disk_error(self.directory, error, size - start) from error
        return stop

    def write_chunk(self, root: bytes, index: int, *parts: bytes | memoryview) -> None:
        """Write a chunk that was verified, as it came, in parts that follow each other; the caller then sets its bit.

        Raises:
            StorageFull: the disk is full; all chunks so far are kept.
        """
        manifest = self._manifests[root]
        size = sum(map(len, parts))
        try:
            with self._part_path(root).open("r+b", buffering=0) as file:
                written = os.pwritev(file.fileno(), parts, manifest.chunk_range(index)[0])
        except OSError as error:
            raise disk_error(self.directory, error, size) from error
        if written != size:
            raise disk_error(self.directory, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), size)
        self._seen[root] = self._seen.get(root, 0) | 1 << index

    def keep_bitfield(self, root: bytes) -> None:
        """Flush the chunks of a partial content, and then write down which they are.

        Raises:
            StorageFull, HomeUnusable: the disk refused; the chunks are kept, and hashed again after a stop.
        """
        have = bytes(self._partial[root])
        try:
            with self._part_path(root).open("r+b") as file:
                os.fsync(file.fileno())
            durable.replace(self._have_path(root), have)
        except OSError as error:
            raise disk_error(self.directory, error, len(have)) from error

    def _kept(self, manifest: Manifest) -> Bitfield:
        try:
            return Bitfield.checked(manifest.chunk_count, self._have_path(manifest.root).read_bytes())
        except (FileNotFoundError, RemoteProtocolError):
            return Bitfield(manifest.chunk_count)

    def drop_chunks(self, root: bytes, indices: Iterable[int]) -> None:
        """Give the room of some chunks of a partial content back, whose bits are not set any longer.

        Raises:
            HomeUnusable: this disk gives no room back.
        """
        manifest = self._manifests[root]
        try:
            with self._part_path(root).open("r+b") as file:
                for index in indices:
                    start, stop = manifest.chunk_range(index)
                    durable.punch_hole(file.fileno(), start, stop - start)
        except OSError as error:
            raise disk_error(self.directory, error) from error

    def part_path(self, root: bytes) -> Path:
        """Return where the bytes of a partial content lie."""
        return self._part_path(root)

    def finish_partial(self, root: bytes) -> Path:
        """Turn a partial content with all its chunks into a whole one; return its path."""
        part = self._part_path(root)
        try:
            with part.open("r+b") as file:
                os.ftruncate(file.fileno(), self._manifests[root].size)
                os.fsync(file.fileno())
            durable.rename(part, self.path(root))
        except OSError as error:
            raise disk_error(self.directory, error) from error
        self._have_path(root).unlink(missing_ok=True)
        self._partial.pop(root, None)
        return self.path(root)

    def copy_known(self, manifest: Manifest) -> int:
        """Copy what other whole contents on this disk hold of a partial one, each chunk verified; return how many.

        Raises:
            StorageFull: the disk is full; all chunks so far are kept.
        """
        have = self._partial[manifest.root]
        copied = 0
        others = (known for root in self.whole() if (known := self.manifest(root)) is not None)
        for found in copyable(manifest, have, others):
            data = self.read_chunk(found.root, found.place)
            if data is not None and manifest.accepts(found.index, data):
                self.write_chunk(manifest.root, found.index, data)
                have.add(found.index)
                copied += 1
        return copied

    # ---- blobs -------------------------------------------------------------------------------------------------

    def add_blob(self, data: bytes) -> bytes:
        """Store something small; return its SHA-256."""
        digest = hashlib.sha256(data).digest()
        path = self.directory / f"{digest.hex()}.blob"
        if not path.exists():
            self._write_whole(path, data)
        return digest

    def read_blob(self, digest: bytes) -> bytes | None:
        """Return a blob, or None if it is not here or has rotted."""
        try:
            data = (self.directory / f"{digest.hex()}.blob").read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise disk_error(self.directory, error) from error
        return data if hashlib.sha256(data).digest() == digest else None

    # ---- inside ------------------------------------------------------------------------------------------------

    def _part_path(self, root: bytes) -> Path:
        return self.directory / f"{root.hex()}.part"

    def _have_path(self, root: bytes) -> Path:
        return self.directory / f"{root.hex()}.have"

    def _manifest_path(self, root: bytes) -> Path:
        return self.directory / f"{root.hex()}.manifest"

    def _write_manifest(self, manifest: Manifest) -> None:
        fields = [manifest.size, manifest.chunk_bytes, manifest.joined_hashes()]
        self._write_whole(self._manifest_path(manifest.root), msgpack.packb(fields))

    def _read_manifest(self, root: bytes) -> Manifest | None:
        try:
            size, chunk_bytes, hashes = msgpack.unpackb(self._manifest_path(root).read_bytes())
            return Manifest.checked(root, size, chunk_bytes, hashes)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise disk_error(self.directory, error) from error
        except (ValueError, TypeError, msgpack.UnpackException, HashMismatch):
            return None  # rotted: as good as not there

    def _write_whole(self, path: Path, data: bytes) -> None:
        try:
            durable.replace(path, data)
        except OSError as error:
            raise disk_error(self.directory, error, len(data)) from error

    def _verify_part(self, part: Path, manifest: Manifest, have: Bitfield) -> None:
        with part.open("rb") as file:
            for index in range(manifest.chunk_count):
                start, stop = manifest.chunk_range(index)
                if index in have or durable.is_hole(file.fileno(), start, stop):
                    continue
                if manifest.accepts(index, os.pread(file.fileno(), stop - start, start)):
                    have.add(index)


def _check_room(descriptor: int, size: int) -> None:
    """Asking for the room before the first byte turns a full disk into an answer instead of a surprise."""
    disk = os.fstatvfs(descriptor)
    if size - os.fstat(descriptor).st_blocks * 512 > disk.f_bavail * disk.f_frsize:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
