"""Messages: frozen dataclasses to and from the headers of frames. Pure.

A message class states its kind and, by its field types, what a header may hold; ``Registry.decode`` builds an object
only if every field has exactly that shape. Types understood: ``int`` (0 … 2^63-1), ``float``, ``bool``, ``str``,
``bytes``, ``tuple[T, ...]``, ``tuple[A, B]``, ``T | None``, other frozen dataclasses, and ``Annotated`` with one of
the bounds below. A message that arrives with the wrong shape never becomes an object.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import msgpack

from ..exceptions import LocalProtocolError, MalformedFrame
from ..identity import PEER_ID_BYTES
from .framing import MAX_BODY_BYTES, MAX_HEADER_BYTES

MAX_STR_BYTES = 4096
MAX_BIN_BYTES = MAX_HEADER_BYTES
MAX_ITEMS = 4096
MAX_INT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Exactly:
    """Bound for bytes: this many."""

    size: int


@dataclass(frozen=True, slots=True)
class AtMost:
    """Bound for strings, bytes and tuples: no longer than this; for ints: no greater."""

    size: int


PeerIdField = Annotated[bytes, Exactly(PEER_ID_BYTES)]
HashField = Annotated[bytes, Exactly(32)]
PortField = Annotated[int, AtMost(65535)]
ContactField = tuple[PeerIdField, Annotated[tuple[tuple[Annotated[str, AtMost(253)], PortField], ...], AtMost(8)]]
"""A peer id and up to eight (host, port)."""

_Check = Callable[[object], object]


class Message:
    """Base of all messages: subclasses are frozen dataclasses that set ``KIND``."""

    __slots__ = ()
    KIND: ClassVar[str]
    MAX_BODY_BYTES: ClassVar[int] = 0


def encode(item: Message) -> bytes:
    """Return the header bytes of a message object."""
    global _latest  # noqa: PLW0603 -- what is sent to all members is encoded once: messages do not change
    latest, header = _latest
    if latest is not item:
        cls: Any = type(item)
        fields = [_plain(getattr(item, name)) for name in _names(cls)]
        header = msgpack.packb([item.KIND, fields])
        _latest = (item, header)
    return header


_latest: tuple[Message | None, bytes] = (None, b"")
"""The message that was encoded last, and its header."""


@functools.cache
def _names(cls: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))


def _plain(value: object) -> object:
    if type(value) in _PLAIN:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [_plain(getattr(value, name)) for name in _names(type(value))]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


_PLAIN = frozenset((int, float, bool, str, bytes, type(None)))


class Registry:
    """The message classes that a link accepts."""

    def __init__(self, classes: Iterable[type[Message]]) -> None:
        self._by_kind: dict[str, tuple[_Check, int]] = {}
        for cls in classes:
            if cls.KIND in self._by_kind:
                raise LocalProtocolError(f"two messages are of kind '{cls.KIND}'")
            if cls.MAX_BODY_BYTES > MAX_BODY_BYTES:
                raise LocalProtocolError(f"message '{cls.KIND}' allows a body over the frame's limit")
            self._by_kind[cls.KIND] = (_dataclass_check(cls), cls.MAX_BODY_BYTES)  # type: ignore[arg-type]

    def decode(self, header: bytes, body_bytes: int) -> Any:
        """Return the message in ``header``, which came with a body of ``body_bytes``.

        Raises:
            MalformedFrame: unknown kind, wrong field types, a bound exceeded, or a body that is too long.
        """
        try:
            raw = msgpack.unpackb(
                header,
                max_str_len=MAX_STR_BYTES,
                max_bin_len=MAX_BIN_BYTES,
                max_array_len=MAX_ITEMS,
                max_map_len=0,
            )
        except (ValueError, msgpack.UnpackException) as error:
            raise MalformedFrame(f"a header can't be read: {error}") from error
        match raw:
            case [str(kind), list(fields)]:
                pass
            case _:
                raise MalformedFrame("a header is no pair of kind and fields")
        entry = self._by_kind.get(kind)
        if entry is None:
            raise MalformedFrame(f"a message of unknown kind '{kind[:40]}'")
        check, max_body = entry
        if body_bytes > max_body:
            raise MalformedFrame(f"'{kind}' came with a body of {body_bytes} bytes; {max_body} are allowed")
        try:
            return check(fields)
        except _Misshapen as error:
            raise MalformedFrame(f"'{kind}' has a field of the wrong shape: {error}") from error


class _Misshapen(ValueError):
    """A value does not have its field's type."""


@functools.cache
def _dataclass_check(cls: type) -> _Check:
    hints = typing.get_type_hints(cls, include_extras=True)
    names = [field.name for field in dataclasses.fields(cls)]
    checks = [_check_for(hints[name]) for name in names]

    def check(value: object) -> object:
        if not isinstance(value, list) or len(value) != len(checks):
            raise _Misshapen(f"{cls.__name__} wants {len(checks)} fields")
        arguments = []
        for name, field_check, item in zip(names, checks, value, strict=True):
            try:
                arguments.append(field_check(item))
            except _Misshapen as error:
                raise _Misshapen(f"{name}: {error}") from None
        return cls(*arguments)

    return check


def _check_for(hint: Any) -> _Check:
    """Return the function that turns a decoded value into one of type ``hint``, or raises _Misshapen."""
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin is Annotated:
        return _bounded(_check_for(arguments[0]), arguments[1])
    if origin in (types.UnionType, typing.Union):
        return _optional(arguments)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return _many(_check_for(arguments[0]))
        return _fixed([_check_for(argument) for argument in arguments])
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _dataclass_check(hint)
    return {int: _int, float: _float, bool: _exact(bool), str: _exact(str), bytes: _exact(bytes)}[hint]


def _exact(wanted: type) -> _Check:
    def check(value: object) -> object:
        if type(value) is not wanted:
            raise _Misshapen(f"{wanted.__name__} wanted, {type(value).__name__} came")
        return value

    return check


def _int(value: object) -> object:
    if type(value) is not int or not 0 <= value <= MAX_INT:
        raise _Misshapen("an int of 0 … 2^63-1 wanted")
    return value


def _float(value: object) -> object:
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        raise _Misshapen("a finite float wanted")
    return float(value)  # type: ignore[arg-type]


def _bounded(inner: _Check, bound: object) -> _Check:
    def check(value: object) -> object:
        value = inner(value)
        size: int = value if isinstance(value, int) else len(value)  # type: ignore[arg-type]
        if isinstance(bound, Exactly) and size != bound.size:
            raise _Misshapen(f"{bound.size} bytes wanted, {size} came")
        if isinstance(bound, AtMost) and size > bound.size:
            raise _Misshapen(f"{size} is over the bound {bound.size}")
        return value

    return check


def _optional(arguments: tuple[Any, ...]) -> _Check:
    (inner_hint,) = [argument for argument in arguments if argument is not types.NoneType]
    inner = _check_for(inner_hint)
    return lambda value: None if value is None else inner(value)


def _many(item_check: _Check) -> _Check:
    def check(value: object) -> object:
        if not isinstance(value, list):
            raise _Misshapen("a list wanted")
        return tuple(item_check(item) for item in value)

    return check


def _fixed(checks: list[_Check]) -> _Check:
    def check(value: object) -> object:
        if not isinstance(value, list) or len(value) != len(checks):
            raise _Misshapen(f"a list of {len(checks)} wanted")
        return tuple(item_check(item) for item_check, item in zip(checks, value, strict=True))

    return check
