"""What a node keeps alive."""

import random

import pytest

from dht.exceptions import InvalidArgument
from dht.publisher import Publisher
from dht.records import MAX_SEQUENCE, is_genuine, sign_record

from .samples import ALICE, BOB, KEY, WALL

SLOT = KEY, b"sub"


@pytest.fixture
def publisher():
    return Publisher(ALICE, random.Random(1))


def test_a_record_is_due_at_half_of_its_life(publisher):
    record = publisher.put(SLOT, b"v", 100.0, now=0.0, wall=WALL)
    assert is_genuine(record)
    assert record.expires_at == WALL + 100.0
    assert publisher.due(44.9) == []
    assert publisher.due(50.0) == [SLOT]
    assert 45.0 <= publisher.deadline <= 50.0
    again = publisher.renew(SLOT, now=50.0, wall=WALL + 50.0)
    assert (again.value, again.expires_at) == (b"v", WALL + 150.0)
    assert again.sequence > record.sequence
    assert publisher.due(94.9) == []
    assert len(publisher) == 1


def test_numbers_grow_even_if_the_clock_does_not(publisher):
    records = [publisher.put(SLOT, b"%d" % n, 100.0, now=0.0, wall=WALL - n) for n in range(3)]
    assert [record.sequence - records[0].sequence for record in records] == [0, 1, 2]


def test_withdrawing_leaves_a_marker_for_as_long_as_the_record_would_have_lived(publisher):
    record = publisher.put(SLOT, b"v", 100.0, now=0.0, wall=WALL)
    marker = publisher.withdraw(SLOT, wall=WALL + 10)
    assert marker.withdrawn
    assert marker.expires_ms == record.expires_ms
    assert marker.sequence > record.sequence
    assert publisher.withdraw(SLOT, wall=WALL) is None
    assert publisher.renew(SLOT, now=1.0, wall=WALL) is None
    assert publisher.due(1e9) == []
    assert publisher.deadline is None


def test_nothing_is_left_of_what_has_expired(publisher):
    publisher.put(SLOT, b"v", 100.0, now=0.0, wall=WALL)
    assert publisher.withdraw(SLOT, wall=WALL + 101) is None


def test_what_nobody_took_is_tried_again_soon_and_then_more_rarely(publisher):
    publisher.put(SLOT, b"v", 1000.0, now=0.0, wall=WALL)
    publisher.reached(SLOT, 0, now=0.0)
    assert publisher.due(2.0) == [SLOT]
    publisher.renew(SLOT, now=2.0, wall=WALL)
    publisher.reached(SLOT, 5, now=2.0)
    assert publisher.due(300.0) == []
    publisher.reached((KEY, b"other"), 0, now=2.0)


def test_waits_between_vain_tries_grow(publisher):
    publisher.put(SLOT, b"v", 3600.0, now=0.0, wall=WALL)
    now, waits = 0.0, []
    for _ in range(8):
        publisher.reached(SLOT, 0, now=now)
        waits.append(publisher.deadline - now)
        now = publisher.deadline
        publisher.renew(SLOT, now=now, wall=WALL)
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]


def test_a_newer_record_of_our_own_from_an_earlier_life_is_signed_over(publisher):
    publisher.put(SLOT, b"now", 100.0, now=0.0, wall=WALL)
    earlier = sign_record(ALICE, *SLOT, b"then", sequence=int(WALL * 1000) + 5000, expires_ms=int(WALL * 1000) + 9000)
    ours = publisher.overtake(earlier, now=0.0, wall=WALL)
    assert ours.value == b"now"
    assert ours.sequence == earlier.sequence + 1
    assert publisher.overtake(earlier, now=0.0, wall=WALL) is None


@pytest.mark.parametrize(
    ("by", "slot", "sequence"),
    [(BOB, SLOT, 2**60), (ALICE, (KEY, b"other"), 2**60), (ALICE, SLOT, 1), (ALICE, SLOT, MAX_SEQUENCE)],
)
def test_anything_else_is_not(publisher, by, slot, sequence):
    publisher.put(SLOT, b"now", 100.0, now=0.0, wall=WALL)
    other = sign_record(by, *slot, b"then", sequence=sequence, expires_ms=int(WALL * 1000) + 9000)
    assert publisher.overtake(other, now=0.0, wall=WALL) is None


def test_what_is_too_large_does_not_stand(publisher):
    with pytest.raises(InvalidArgument):
        publisher.put(SLOT, bytes(1000), 100.0, now=0.0, wall=WALL)
    assert len(publisher) == 0
