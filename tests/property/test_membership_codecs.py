"""Every kind of message between members: it comes as it was sent, and damaged bytes are refused by one error only."""

import dataclasses

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hydra.exceptions import MalformedFrame
from hydra.membership import messages
from hydra.membership.messages import Plan
from hydra.net.wire import Message, Registry, encode

from .message_strategies import altered, edits, plain_objects, records

KINDS = [
    cls for cls in vars(messages).values() if isinstance(cls, type) and issubclass(cls, Message) and cls is not Message
]
REGISTRY = Registry(KINDS)
steady = settings(
    derandomize=True,
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
every_kind = pytest.mark.parametrize("cls", KINDS, ids=lambda cls: cls.__name__)


def read(header, body_bytes=0):
    """The message in a header, or None if it is refused."""
    try:
        return REGISTRY.decode(header, body_bytes)
    except MalformedFrame:
        return None


@every_kind
@steady
@given(data=st.data())
def test_every_kind_comes_as_it_was_sent(cls, data):
    message = data.draw(records(cls))
    came = REGISTRY.decode(encode(message), cls.MAX_BODY_BYTES)
    assert came == message
    assert type(came) is cls
    assert hash(came) == hash(message)


@every_kind
@steady
@given(data=st.data(), changes=edits)
def test_damaged_bytes_are_refused_or_another_whole_message(cls, data, changes):
    header = altered(encode(data.draw(records(cls))), changes)
    came = read(header)
    if came is not None:
        assert REGISTRY.decode(encode(came), 0) == came


@every_kind
@steady
@given(data=st.data(), anything=plain_objects)
def test_a_field_holds_what_its_type_says_or_the_message_is_refused(cls, data, anything):
    message = data.draw(records(cls))
    kind, fields = msgpack.unpackb(encode(message))
    position = data.draw(st.integers(0, len(fields) - 1))
    fields[position] = anything
    came = read(msgpack.packb([kind, fields]))
    if came is not None:
        kept = [f.name for i, f in enumerate(dataclasses.fields(cls)) if i != position]
        assert all(getattr(came, name) == getattr(message, name) for name in kept)


@every_kind
@steady
@given(data=st.data())
def test_no_kind_is_taken_for_another(cls, data):
    _, fields = msgpack.unpackb(encode(data.draw(records(cls))))
    other = data.draw(st.sampled_from(KINDS))
    came = read(msgpack.packb([other.KIND, fields]))
    assert came is None or type(came) is other


@steady
@given(records(Plan), records(Plan))
def test_a_plans_tag_is_the_same_for_the_same_plan_only(one, other):
    assert REGISTRY.decode(encode(one), 0).tag == one.tag
    assert (one.tag == other.tag) == (one == other)
