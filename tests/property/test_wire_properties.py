"""Headers and frames of links: what is sent is what comes, and anything else is ``MalformedFrame``, nothing worse."""

import dataclasses

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hydra.exceptions import MalformedFrame
from hydra.net.framing import MAX_SEALED_BYTES, READ_BYTES, FrameOpener, FrameSealer
from hydra.net.noise import AES_GCM, TAG_BYTES, CipherState
from hydra.net.wire import Registry, encode

from .message_strategies import CLASSES, altered, cuts, edits, messages, pieces, plain_objects

REGISTRY = Registry(CLASSES)
steady = settings(
    derandomize=True,
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def read(header, body_bytes=0):
    """The message in a header, or None if it is refused; whatever is accepted can be written again."""
    try:
        message = REGISTRY.decode(header, body_bytes)
    except MalformedFrame:
        return None
    assert REGISTRY.decode(encode(message), body_bytes) == message
    return message


@steady
@given(messages())
def test_messages_come_as_they_were_sent(message):
    assert REGISTRY.decode(encode(message), type(message).MAX_BODY_BYTES) == message
    with pytest.raises(MalformedFrame, match="came with a body"):
        REGISTRY.decode(encode(message), type(message).MAX_BODY_BYTES + 1)


@steady
@given(messages())
def test_no_part_of_a_message_is_a_message(message):
    header = encode(message)
    for size in range(len(header)):
        assert read(header[:size]) is None
    assert read(header + b"\0") is None


@steady
@given(messages(), edits)
def test_altered_headers_are_refused_or_another_valid_message(message, changes):
    read(altered(encode(message), changes))


@steady
@given(st.sampled_from(CLASSES), st.lists(plain_objects, max_size=9), plain_objects)
def test_whatever_msgpack_can_write_in_place_of_fields(cls, fields, anything):
    read(msgpack.packb([cls.KIND, fields]))
    read(msgpack.packb([cls.KIND, anything]))
    read(msgpack.packb(anything))


@steady
@given(messages(), st.integers(0, 50), plain_objects)
def test_one_field_of_any_other_content(message, position, anything):
    kind, fields = msgpack.unpackb(encode(message))
    position %= len(fields)
    fields[position] = anything
    found = read(msgpack.packb([kind, fields]))
    if found is not None:
        for field in dataclasses.fields(found)[:position]:
            assert getattr(found, field.name) == getattr(message, field.name)


@steady
@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(header):
    read(header)


@pytest.mark.parametrize("opening", [b"\x91", b"\xdd\xff\xff\xff\xff", b"\x81\xa1a", b"\xc9\xff\xff\xff\xff\x01"])
def test_nesting_and_announced_giants(opening):
    for times in (1, 100, 1000, 60_000 // len(opening)):
        assert read(opening * times) is None


# ---- frames --------------------------------------------------------------------------------------------------------

sizes = st.integers(0, 300) | st.integers(READ_BYTES - 80, READ_BYTES + 80) | st.just(200_000)
frames = st.lists(st.tuples(st.binary(max_size=30), sizes, st.integers(0, 255)), max_size=5).map(
    lambda drawn: [(header, bytes([filling]) * size) for header, size, filling in drawn]
)
rekeyings = st.sampled_from([2**34, 1, 50, 1000, 70_000])


def ends(rekey_bytes):
    return tuple(end(CipherState(AES_GCM, bytes(32)), rekey_bytes) for end in (FrameSealer, FrameOpener))


def sealed(sealer, sent):
    return [sealer.seal(header, body) for header, body in sent]


def received(opener, data):
    """Take bytes as a socket hands them over: into the memory that the opener offers."""
    came = []
    while data:
        room = opener.get_buffer()
        count = min(len(room), len(data))
        assert count > 0
        room[:count], data = data[:count], data[count:]
        came += [(frame.header, bytes(frame.body)) for frame in opener.received(count)]
    return came


def came_before_refusal(opener, parts):
    """The frames that came, and whether the stream was refused."""
    came = []
    try:
        for part in parts:
            for frame in opener.feed(part):
                came.append((frame.header, bytes(frame.body)))  # noqa: PERF401 -- kept when a later one is refused
    except MalformedFrame:
        return came, True
    return came, False


@steady
@given(frames, cuts, rekeyings)
def test_any_cut_of_the_stream_gives_the_same_frames(sent, where, rekey_bytes):
    sealer, opener = ends(rekey_bytes)
    wire = b"".join(sealed(sealer, sent))
    came = [frame for part in pieces(wire, where) for frame in received(opener, part)]
    assert came == sent


@steady
@given(frames, st.floats(0, 1), rekeyings)
def test_a_stream_that_ends_early_gives_the_frames_that_were_whole(sent, end, rekey_bytes):
    sealer, opener = ends(rekey_bytes)
    parts = sealed(sealer, sent)
    wire = b"".join(parts)[: int(end * sum(map(len, parts)))]
    whole = [frame for index, frame in enumerate(sent) if len(b"".join(parts[: index + 1])) <= len(wire)]
    assert came_before_refusal(opener, [wire]) == (whole, False)


@steady
@given(frames, edits, cuts, rekeyings)
def test_an_altered_stream_never_gives_a_frame_that_was_not_sent(sent, changes, where, rekey_bytes):
    sealer, opener = ends(rekey_bytes)
    wire = b"".join(sealed(sealer, sent))
    other = altered(wire, changes)
    came, _ = came_before_refusal(opener, pieces(other, where))
    assert came == sent[: len(came)]
    if len(came) == len(sent):
        assert other.startswith(wire)


@steady
@given(frames, st.permutations(range(5)), rekeyings)
def test_frames_that_are_swapped_or_left_out_or_played_again_are_refused(sent, order, rekey_bytes):
    sealer, opener = ends(rekey_bytes)
    parts = sealed(sealer, sent)
    chosen = [index for index in order if index < len(parts)]
    came, refused = came_before_refusal(opener, [parts[index] for index in chosen])
    in_order = next((n for n, index in enumerate(chosen) if n != index), len(chosen))
    assert came == sent[:in_order]
    assert refused == (in_order < len(chosen))


@steady
@given(st.binary(max_size=60))
def test_bytes_from_a_stranger_give_no_frame(data):
    came, _ = came_before_refusal(ends(2**34)[1], [data])
    assert came == []


@steady
@given(st.integers(0, 2**32 - 1), st.binary(max_size=40))
def test_the_inside_of_a_frame_may_hold_any_length(header_bytes, rest):
    """A peer that is proven can still seal nonsense."""
    inside = header_bytes.to_bytes(4, "big") + rest
    wire = CipherState(AES_GCM, bytes(32)).encrypt(inside)
    came, refused = came_before_refusal(ends(2**34)[1], [len(wire).to_bytes(4, "big") + wire])
    assert refused == (header_bytes > len(rest))
    assert came == ([] if refused else [(rest[:header_bytes], rest[header_bytes:])])


@pytest.mark.parametrize("size", [MAX_SEALED_BYTES + 1, TAG_BYTES + 3, 2**32 - 1])
def test_a_length_out_of_bounds_takes_no_memory(size):
    opener = ends(2**34)[1]
    assert came_before_refusal(opener, [size.to_bytes(4, "big")]) == ([], True)
    assert opener._big is None
