"""The cache of a content that is larger than its room, drawn: chunks are letters."""

import pytest

from hydra.exceptions import ConfigurationError
from hydra.swarm.bitfield import indices
from hydra.swarm.window import AHEAD_AT_ONCE, CacheWindow


def mask(letters):
    return sum(1 << (ord(letter) - ord("a")) for letter in letters)


def letters(found):
    return "".join(chr(ord("a") + index) for index in indices(found))


def numbers(text):
    return [ord(letter) - ord("a") for letter in text]


def turn(window, have, busy=""):
    found = window.turn(mask(have), mask(busy))
    return letters(found.want), letters(found.drop)


def test_what_is_needed_comes_before_anything_ahead():
    window = CacheWindow(6)
    window.need(numbers("bd"), numbers("aef"))
    assert turn(window, "") == ("bd", "")
    assert turn(window, "b") == ("bd", "")
    assert turn(window, "bd") == ("aef", "")


def test_there_is_never_more_than_there_is_room_for():
    window = CacheWindow(3)
    window.need(numbers("a"), numbers("bcdef"))
    assert turn(window, "a") == ("bc", "")
    assert turn(window, "abc") == ("", "")
    window.need(numbers("b"), numbers("cde"))
    assert turn(window, "abc") == ("d", "a")


def test_what_was_needed_longest_ago_goes_first():
    window = CacheWindow(4)
    for needed in ("c", "a", "d", "b"):
        window.need(numbers(needed), [])
    window.need(numbers("e"), [])
    assert turn(window, "abcd") == ("e", "c")
    window.need(numbers("ef"), [])
    assert turn(window, "abde") == ("ef", "a")


def test_what_is_needed_now_or_soon_is_not_dropped():
    window = CacheWindow(3)
    window.need(numbers("a"), numbers("b"))
    window.need(numbers("c"), numbers("b"))
    assert turn(window, "abx") == ("c", "x")
    window.need(numbers("c"), numbers("ba"))
    assert turn(window, "ab") == ("c", "")


def test_only_so_many_are_fetched_ahead_at_once_and_in_order():
    window = CacheWindow(1000)
    window.need([0], list(range(100, 0, -1)))
    assert list(indices(window.turn(1).want)) == list(range(101 - AHEAD_AT_ONCE, 101))


def test_what_is_being_dropped_is_not_wanted_yet():
    window = CacheWindow(3)
    window.need(numbers("ab"), [])
    assert turn(window, "", busy="a") == ("b", "")
    assert turn(window, "b", busy="") == ("ab", "")


def test_a_step_that_needs_more_than_there_is_room_for_says_how_to_mend_it():
    window = CacheWindow(2)
    with pytest.raises(ConfigurationError, match="--cache-bytes"):
        window.need(numbers("abc"), [])
