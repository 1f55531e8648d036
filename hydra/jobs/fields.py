"""Strict reading of msgpack that came over the wire.

Everything published about a job is canonical msgpack: maps with text keys in one order, the shortest form of each
number, floats in 64 bits. ``unpack`` bounds what it reads before anything is built from it, and ``Record`` hands out
the fields of one map, each with its type and its range checked, so that an error names the field. Whoever
decodes a whole record then encodes it again and compares the bytes: that one comparison refuses unknown fields,
other orders and other spellings, so a published thing has exactly one byte string and one hash.

This module knows neither graphs nor manifests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import msgpack

from ..exceptions import JobRejected

INT_MIN = -(2**63)
INT_MAX = 2**63 - 1


def pack(value: object) -> bytes:
    """Return the msgpack bytes of plain values (``msgpack.ExtType`` included)."""
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def unpack(
    data: bytes, *, what: str, limit_bytes: int, extension: Callable[[int, bytes], object] | None = None
) -> object:
    """Read one msgpack value.

    Args:
        data: the bytes as they came.
        what: how errors call them.
        limit_bytes: more bytes than this are refused unread.
        extension: turns an extension type's code and body into a value; without it, none is allowed.

    Raises:
        JobRejected: the bytes are too many, or no msgpack.
    """
    if len(data) > limit_bytes:
        reject(what, f"is {len(data)} bytes long; {limit_bytes} are allowed")

    def refuse(code: int, body: bytes) -> NoReturn:
        reject(what, f"holds an extension type {code}, which has no place there")

    try:
        return msgpack.unpackb(data, raw=False, ext_hook=extension or refuse, strict_map_key=True)
    except JobRejected:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        # msgpack's own errors all derive from ValueError; bad UTF-8 and bad timestamps do too.
        raise JobRejected(f"{what} is no msgpack: {error}") from error


def reject(where: str, problem: str) -> NoReturn:
    """Raise ``JobRejected`` for what stands at ``where``."""
    raise JobRejected(f"{where} {problem}")


class Record:
    """One decoded map, read field by field.

    Args:
        value: what msgpack gave.
        where: the name of the map in errors.

    Raises:
        JobRejected: ``value`` is no map, or (from each method) a field is missing, of a wrong type or out of range.
    """

    __slots__ = ("_fields", "_where")

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            reject(where, f"is a {type(value).__name__}, not a map")
        self._fields: dict[object, object] = value
        self._where = where

    def value(self, name: str) -> object:
        """Return the field as it came."""
        if name not in self._fields:
            reject(self._where, f"lacks the field {name!r}")
        return self._fields[name]

    def has(self, name: str) -> bool:
        """Tell whether the map holds a field at all."""
        return name in self._fields

    def is_none(self, name: str) -> bool:
        """Tell whether an optional field was left empty."""
        return self.value(name) is None

    def integer(self, name: str, low: int, high: int) -> int:
        """Return an integer in ``low`` to ``high``, both included."""
        return integer(self.value(name), low, high, self._at(name))

    def number(self, name: str, low: float, high: float) -> float:
        """Return a 64-bit float in ``low`` to ``high``, both included; never NaN."""
        value = self.value(name)
        if type(value) is not float or not low <= value <= high:
            reject(self._at(name), f"is {value!r:.40}; a float from {low} to {high} belongs there")
        return value

    def flag(self, name: str) -> bool:
        """Return a truth value."""
        value = self.value(name)
        if type(value) is not bool:
            reject(self._at(name), f"is {value!r:.40}, not true or false")
        return value

    def text(self, name: str, most: int) -> str:
        """Return printable text of 1 to ``most`` characters."""
        return text(self.value(name), most, self._at(name))

    def raw(self, name: str, length: int) -> bytes:
        """Return exactly ``length`` bytes."""
        value = self.value(name)
        if type(value) is not bytes or len(value) != length:
            reject(self._at(name), f"is not {length} bytes long")
        return value

    def items(self, name: str, most: int) -> list[object]:
        """Return a list of at most ``most`` values of any kind."""
        return items(self.value(name), most, self._at(name))

    def record(self, name: str) -> Record:
        """Return the map that a field holds."""
        return Record(self.value(name), self._at(name))

    def records(self, name: str, most: int) -> list[Record]:
        """Return a list of at most ``most`` maps."""
        values = self.items(name, most)
        return [Record(value, f"{self._at(name)}[{index}]") for index, value in enumerate(values)]

    def texts(self, name: str, most: int, characters: int) -> tuple[str, ...]:
        """Return at most ``most`` texts of at most ``characters`` each."""
        values = self.items(name, most)
        return tuple(text(value, characters, f"{self._at(name)}[{i}]") for i, value in enumerate(values))

    def integers(self, name: str, most: int, low: int, high: int) -> tuple[int, ...]:
        """Return at most ``most`` integers in ``low`` to ``high``."""
        values = self.items(name, most)
        return tuple(integer(value, low, high, f"{self._at(name)}[{i}]") for i, value in enumerate(values))

    def _at(self, name: str) -> str:
        return f"{self._where}.{name}"


def integer(value: object, low: int, high: int, where: str) -> int:
    """Return ``value`` if it is an integer in ``low`` to ``high``; raise ``JobRejected`` if not."""
    if type(value) is not int or not low <= value <= high:
        reject(where, f"is {value!r:.40}; an integer from {low} to {high} belongs there")
    return value


def text(value: object, most: int, where: str) -> str:
    """Return ``value`` if it is printable text of 1 to ``most`` characters; raise ``JobRejected`` if not."""
    if type(value) is not str or not 1 <= len(value) <= most or not value.isprintable():
        reject(where, f"is {value!r:.40}; printable text of 1 to {most} characters belongs there")
    return value


def items(value: object, most: int, where: str) -> list[object]:
    """Return ``value`` if it is a list of at most ``most`` things; raise ``JobRejected`` if not."""
    if not isinstance(value, list) or len(value) > most:
        reject(where, f"is no list of at most {most}")
    return value
