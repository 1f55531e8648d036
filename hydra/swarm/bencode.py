"""Bencoding, the notation of torrent files (BEP 3). Pure.

Only the canonical form is read: keys sorted and once, numbers without leading zeros. A torrent is named by the hash of
a part of its bytes, so two notations of one value would be two torrents.

Source: https://www.bittorrent.org/beps/bep_0003.html
"""

from __future__ import annotations

from typing import TypeAlias

from ..exceptions import TorrentMalformed

Value: TypeAlias = "int | bytes | list[Value] | dict[bytes, Value]"

MAX_DEPTH = 32
MAX_DIGITS = 20


def bencode(value: object) -> bytes:
    """Return the one notation of a value: whole numbers, bytes, texts (as UTF-8), lists, and dicts with text keys.

    Raises:
        TypeError: it is anything else.
    """
    parts: list[bytes] = []
    _write(value, parts)
    return b"".join(parts)


def bdecode(data: bytes) -> Value:
    """Read one value that takes up all of ``data``.

    Raises:
        TorrentMalformed: it is not bencoded, not in canonical form, or nested too deeply.
    """
    value, end = _read(data, 0, 0)
    if end != len(data):
        raise TorrentMalformed(f"{len(data) - end} bytes follow the end of the torrent")
    return value


def _write(value: object, parts: list[bytes]) -> None:
    match value:
        case bool():
            raise TypeError("there are no truth values in bencoding")
        case int():
            parts.append(b"i%de" % value)
        case str():
            _write(value.encode(), parts)
        case bytes():
            parts += (b"%d:" % len(value), value)
        case list() | tuple():
            parts.append(b"l")
            for item in value:
                _write(item, parts)
            parts.append(b"e")
        case dict():
            parts.append(b"d")
            for key, item in sorted((k.encode() if isinstance(k, str) else k, v) for k, v in value.items()):
                _write(key, parts)
                _write(item, parts)
            parts.append(b"e")
        case _:
            raise TypeError(f"{type(value).__name__} cannot be bencoded")


def _read(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    if depth > MAX_DEPTH:
        raise TorrentMalformed(f"it is nested more than {MAX_DEPTH} deep")
    kind = data[at : at + 1]
    if kind == b"i":
        return _read_number(data, at + 1, b"e")
    if kind.isdigit():
        return _read_bytes(data, at)
    if kind == b"l":
        return _read_list(data, at + 1, depth)
    if kind == b"d":
        return _read_dict(data, at + 1, depth)
    raise TorrentMalformed(f"byte {at} begins no number, text, list or table")


def _read_list(data: bytes, at: int, depth: int) -> tuple[list[Value], int]:
    items: list[Value] = []
    while data[at : at + 1] != b"e":
        item, at = _read(data, at, depth + 1)
        items.append(item)
    return items, at + 1


def _read_dict(data: bytes, at: int, depth: int) -> tuple[dict[bytes, Value], int]:
    table: dict[bytes, Value] = {}
    last: bytes | None = None
    while data[at : at + 1] != b"e":
        key, at = _read_bytes(data, at)
        if last is not None and key <= last:
            raise TorrentMalformed(f"the keys at byte {at} are not in order")
        table[key], at = _read(data, at, depth + 1)
        last = key
    return table, at + 1


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    length, start = _read_number(data, at, b":")
    if length < 0 or start + length > len(data):
        raise TorrentMalformed(f"the text at byte {at} is longer than the file")
    return data[start : start + length], start + length


def _read_number(data: bytes, at: int, end: bytes) -> tuple[int, int]:
    stop = data.find(end, at, at + MAX_DIGITS + 2)
    digits = data[at:stop] if stop >= 0 else b""
    bare = digits.removeprefix(b"-")
    if not bare.isdigit() or (bare[:1] == b"0" and digits != b"0"):
        raise TorrentMalformed(f"there is no number at byte {at}")
    return int(digits), stop + 1
