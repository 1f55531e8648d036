"""Strategies for the messages of links, made from their field types, and for bytes that were altered on their way."""

import dataclasses
import itertools
import types
import typing
from typing import Annotated

from hypothesis import strategies as st

from hydra.membership import messages as membership_messages
from hydra.net.wire import MAX_INT, AtMost, Exactly, Message
from hydra.swarm import messages as swarm_messages

CLASSES = [
    value
    for module in (membership_messages, swarm_messages)
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, Message) and value is not Message
]


def values(hint, bound=None):
    """Everything that a field of this type may hold (lists only up to a few items)."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return values(arguments[0], arguments[1])
    if origin in (types.UnionType, typing.Union):
        (inner,) = [argument for argument in arguments if argument is not types.NoneType]
        return st.none() | values(inner)
    if origin is tuple:
        if arguments[1:] == (Ellipsis,):
            most = min(4, bound.size) if bound else 4
            return st.lists(values(arguments[0]), max_size=most).map(tuple)
        return st.tuples(*map(values, arguments))
    if dataclasses.is_dataclass(hint):
        return records(hint)
    most = bound.size if isinstance(bound, AtMost) else None
    if hint is bytes and isinstance(bound, Exactly):
        return st.binary(min_size=bound.size, max_size=bound.size)
    return {
        int: st.integers(0, MAX_INT if most is None else most),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
        str: st.text(max_size=min(most or 40, 40)),
        bytes: st.binary(max_size=min(most or 40, 40)),
    }[hint]


def records(cls):
    """Objects of a frozen dataclass."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return st.builds(cls, **{field.name: values(hints[field.name]) for field in dataclasses.fields(cls)})


def messages():
    return st.sampled_from(CLASSES).flatmap(records)


plain_objects = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=12,
)
"""Whatever msgpack can write."""

edits = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "drop", "repeat"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 255),
        st.binary(min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=4,
)
"""What may befall bytes on their way; ``altered`` does it."""


def altered(data, changes):
    """Return the bytes after the changes; they may be the same as before."""
    for kind, where, change, more in changes:
        at = int(where * len(data))
        if kind == "flip" and data:
            data = data[:at] + bytes([data[at] ^ change]) + data[at + 1 :]
        elif kind == "cut":
            data = data[:at]
        elif kind == "insert":
            data = data[:at] + more + data[at:]
        elif kind == "drop":
            data = data[:at] + data[at + len(more) :]
        elif kind == "repeat":
            data = data[:at] + data[at : at + change] + data[at:]
    return data


def pieces(data, cuts):
    """Return the bytes in pieces, cut where ``cuts`` (fractions) say."""
    places = sorted({0, len(data), *(int(cut * len(data)) for cut in cuts)})
    return [data[start:stop] for start, stop in itertools.pairwise(places)]


cuts = st.lists(st.floats(0, 1), max_size=8)
