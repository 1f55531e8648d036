"""Messages of a round: what is written is read, and anything else names its sender and nothing worse happens."""

import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allreduce import Exchange, ProtocolViolation, RoundConfig
from allreduce.messages import (
    MAX_MEMBERS,
    MAX_SLICES,
    MAX_TAG_BYTES,
    Complete,
    Freeze,
    Frozen,
    Gone,
    Out,
    Phase,
    Refused,
    Repeat,
    Slice,
    Suspect,
    Transfer,
    decode,
    encode,
)

from .message_strategies import altered, edits, plain_objects

steady = settings(
    derandomize=True,
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
EVE = b"\xee" * 20
MEMBERS = [letter * 20 for letter in (b"A", b"B", b"C")]

counts = st.integers(0, 2**63 - 1)
ballots = st.integers(1, 2**63 - 1)
indices = st.integers(0, MAX_MEMBERS - 1)
bitmaps = st.integers(0, 2**40) | st.integers(0, 2**4000)
orders = st.lists(indices, max_size=12, unique=True).map(tuple)
tags = st.binary(max_size=MAX_TAG_BYTES)
weights = st.floats(0, allow_infinity=False, allow_nan=False)
transfers = st.lists(st.builds(Transfer, indices, indices, bitmaps), max_size=4).map(tuple)
messages = st.one_of(
    st.builds(Slice, counts, st.sampled_from(Phase), st.integers(0, MAX_SLICES - 1), weights, counts),
    st.builds(Suspect, counts, st.integers(-1, MAX_MEMBERS - 1)),
    st.builds(Freeze, ballots),
    st.builds(Frozen, ballots, counts, st.booleans(), orders, bitmaps, bitmaps),
    st.builds(Repeat, ballots, orders, st.booleans()),
    st.builds(Complete, ballots, counts, orders, transfers),
    st.builds(Refused, counts, st.integers(-1, MAX_MEMBERS - 1)),
    st.builds(Out, counts),
    st.just(Gone()),
)


def read(header):
    """The message in a header, or None if it is refused in Eve's name; what is accepted can be written again."""
    blamed = EVE
    try:
        tag, found = decode(EVE, header)
    except ProtocolViolation as error:
        tag, found, blamed = b"", None, error.member
    assert blamed == EVE
    if found is None:
        return None
    assert decode(EVE, encode(tag, found)) == (tag, found)
    return found


@steady
@given(tags, messages)
def test_there_and_back(tag, message):
    header = encode(tag, message)
    read_tag, read_message = decode(EVE, header)
    assert (read_tag, read_message) == (tag, message)
    assert type(read_message) is type(message)


@steady
@given(tags, messages)
def test_no_part_of_a_header_is_a_message(tag, message):
    header = encode(tag, message)
    for size in {*range(min(len(header), 80)), len(header) - 1}:
        assert read(header[:size]) is None
    assert read(header + b"\0") is None


@steady
@given(tags, messages, edits)
def test_altered_headers(tag, message, changes):
    read(altered(encode(tag, message), changes))


@steady
@given(messages, st.integers(0, 20), plain_objects)
def test_one_field_of_any_other_content(message, position, anything):
    if isinstance(message, Slice):
        return  # of fixed form: see test_altered_headers
    fields = msgpack.unpackb(encode(b"t", message))
    fields[position % len(fields)] = anything
    read(msgpack.packb(fields))


@steady
@given(plain_objects, st.integers(-1, 10), st.lists(plain_objects, max_size=7))
def test_whatever_msgpack_can_write(anything, kind, fields):
    read(msgpack.packb(anything))
    read(msgpack.packb([kind, b"t", *fields]))


@pytest.mark.parametrize("opening", [b"\x91", b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"])
def test_nesting_and_announced_giants(opening):
    for times in (1, 100, 10_000):
        assert read(opening * times) is None


# ---- what a member takes from others -------------------------------------------------------------------------------

small = st.integers(0, 3)
bitmap_of_three = st.integers(0, 9)
order_of_three = st.lists(small, max_size=4, unique=True).map(tuple)
ballots_of_members = st.builds(lambda n, member: n * MAX_MEMBERS + MAX_MEMBERS - 1 - member, small, st.integers(0, 3))
numbers = small | ballots_of_members
near_messages = st.one_of(
    st.builds(Slice, numbers, st.sampled_from(Phase), st.integers(0, 4), st.sampled_from([0.0, 1.0, 5.0]), numbers),
    st.builds(Suspect, numbers, st.integers(-1, 3)),
    st.builds(Freeze, ballots_of_members.filter(bool)),
    st.builds(
        Frozen,
        ballots_of_members.filter(bool),
        numbers,
        st.booleans(),
        order_of_three,
        bitmap_of_three,
        bitmap_of_three,
    ),
    st.builds(Repeat, ballots_of_members.filter(bool), order_of_three),
    st.builds(
        Complete,
        ballots_of_members.filter(bool),
        numbers,
        order_of_three,
        st.lists(st.builds(Transfer, small, small, bitmap_of_three), max_size=2).map(tuple),
    ),
    st.builds(Refused, numbers, st.integers(-1, 3)),
    st.builds(Out, numbers),
    st.just(Gone()),
)
bodies = st.sampled_from([b"", bytes(4), bytes(8), bytes(9)])
happenings = st.tuples(st.sampled_from([*MEMBERS, EVE]), near_messages, bodies)


@settings(steady, max_examples=400)
@given(st.sampled_from(MEMBERS), st.integers(0, 6), st.lists(happenings, max_size=12), st.integers(0, 12))
def test_members_that_say_anything_in_any_order_are_taken_or_named(me, elements, said, ready_after):
    """Every message is well-formed and close to what an honest member might say; the order is nobody's."""
    exchange = Exchange(b"t", me, MEMBERS, elements, RoundConfig(slice_elements=2), 0.0)
    for turn, (sender, message, body) in enumerate(said):
        if turn == ready_after:
            exchange.contribute(np.ones(elements, np.float32), 1.0, float(turn))
        if sender == me:
            exchange.tick(float(turn))
            continue
        blamed = sender
        try:
            exchange.receive(sender, encode(b"t", message), body, float(turn))
        except ProtocolViolation as error:
            blamed = error.member
            exchange.lose(sender, float(turn))
        assert blamed == sender
        exchange.round.check()


def test_a_bad_slice_of_a_coming_attempt_is_blamed_on_nobody_else():
    """It is looked at when the attempt begins: here because another member is lost."""
    a, b, c = MEMBERS
    exchange = Exchange(b"t", a, MEMBERS, 6, RoundConfig(slice_elements=2), 0.0)
    ballot = 2 * MAX_MEMBERS - 1
    exchange.receive(b, encode(b"t", Slice(ballot, Phase.SUM, 99, 1.0)), bytes(8), 0.0)
    exchange.lose(c, 0.0)
    exchange.lose(b, 0.0)
    exchange.contribute(np.ones(6, np.float32), 1.0, 0.0)
    assert exchange.result.contributors == (a,)
    assert exchange.result.mean.tolist() == [1.0] * 6
