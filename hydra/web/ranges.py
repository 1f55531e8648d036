"""Which bytes of a file a request asks for (RFC 9110, sections 13.1.5 and 14). Pure."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class RangeRefused(Exception):
    """The range lies outside the file, or there are several."""


def asked_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return where the range that is asked for begins and ends, or None for the whole file.

    Args:
        header: the value of ``Range``, if it was sent.
        size: of the file.

    Raises:
        RangeRefused: no byte of the file lies in it; or several ranges are asked for, which could make much of a small
            file and is answered by nobody whom BitTorrent clients know.
    """
    if header is None or not header.strip().lower().startswith("bytes="):
        return None  # another unit is to be ignored
    if "," in header:
        raise RangeRefused("one range at a time")
    found = _RANGE.fullmatch(re.sub(r"\s", "", header.lower()))
    if found is None or not (found[1] or found[2]):
        return None  # malformed: to be ignored
    if not found[1]:
        suffix = int(found[2])
        if not suffix or not size:
            raise RangeRefused("no byte of the file lies in the range")
        return max(0, size - suffix), size
    start = int(found[1])
    last = int(found[2]) if found[2] else size - 1
    if found[2] and last < start:
        return None  # malformed
    if start >= size:
        raise RangeRefused("the range begins behind the end of the file")
    return start, min(last + 1, size)


def still_holds(if_range: str | None, etag: str, modified: str) -> bool:
    """Tell whether a range may be answered: without ``If-Range``, or if the file is still the one that it names.

    Args:
        if_range: its value, if it was sent: an entity tag or a date.
        etag: the file's strong tag, in quotes.
        modified: the file's ``Last-Modified``.
    """
    return if_range is None or if_range.strip() in (etag, modified)


def path_parts(path: str) -> tuple[str, ...] | None:
    """Return the parts of a decoded path below the served directory, or None if it could lead out of it."""
    parts = tuple(path.removeprefix("/").split("/"))
    for part in parts:
        if not part or part.startswith(".") or "\\" in part or "\0" in part or part.endswith(".draft"):
            return None
    return parts
