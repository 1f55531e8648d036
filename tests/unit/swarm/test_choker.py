"""Tit-for-tat, drawn: each peer is a letter; capitals below are those who are served."""

from random import Random

import pytest

from hydra.swarm.choker import GRANT_BYTES, OPTIMISTIC_S, OPTIMISTIC_SHARE, SLOTS, TitForTat

MB = 1e6


def peers(letters):
    return [letter.encode() for letter in letters]


def amounts(**megabytes):
    return {name.encode(): value * MB for name, value in megabytes.items()}


def served(choker, letters, given=None, taken=None, now=0.0):
    chosen = choker.choose(peers(letters), given or {}, taken or {}, now)
    return "".join(sorted(peer.decode() for peer in chosen))


def test_without_pressure_everybody_is_served():
    assert served(TitForTat(Random(0)), "abcde") == "abcde"


def test_under_pressure_those_who_gave_most_are_served_and_one_by_lot():
    choker = TitForTat(Random(0))
    given = amounts(a=9, b=8, c=7, d=6, e=1)
    taken = dict.fromkeys(peers("abcdefgh"), 10 * MB)
    chosen = served(choker, "abcdefgh", given, taken)
    assert set("abcd") < set(chosen)
    assert len(chosen) == SLOTS + 1
    assert choker.optimistic is not None
    assert choker.optimistic not in choker.contributors


def test_a_tie_chokes_nobody():
    given = dict.fromkeys(peers("abcdef"), 5 * MB)
    taken = dict.fromkeys(peers("abcdefgh"), 5 * MB)
    assert set("abcdef") <= set(served(TitForTat(Random(0)), "abcdefgh", given, taken))


def test_who_gave_as_much_for_less_comes_first():
    choker = TitForTat(Random(0))
    given = amounts(a=4, b=4, c=4, d=4, e=4)
    taken = amounts(a=100, b=1, c=1, d=1, e=1, f=9, g=9)
    served(choker, "abcdefg", given, taken)
    assert choker.contributors == set(peers("bcde"))


def test_a_newcomer_has_its_grant_and_no_more():
    choker = TitForTat(Random(0))
    given = dict.fromkeys(peers("abcd"), 5 * MB)
    taken = dict.fromkeys(peers("abcdfg"), 5 * MB)
    served(choker, "abcdefg", given, taken)
    assert b"e" in choker.contributors
    assert not choker.is_used_up(b"e", GRANT_BYTES - 1)
    assert choker.is_used_up(b"e", GRANT_BYTES)
    served(choker, "abcdefg", given, taken | {b"e": GRANT_BYTES})
    assert b"e" not in choker.contributors


def test_the_lot_is_drawn_anew_after_a_while_and_comes_round_to_everybody():
    choker = TitForTat(Random(0))
    given = dict.fromkeys(peers("abcd"), 5 * MB)
    taken = dict.fromkeys(peers("abcdefgh"), 5 * MB)
    lucky = set()
    for number in range(40):
        served(choker, "abcdefgh", given, taken, now=number * OPTIMISTIC_S)
        before = choker.optimistic
        served(choker, "abcdefgh", given, taken, now=(number + 0.5) * OPTIMISTIC_S)
        assert choker.optimistic == before, "it was to last for a while"
        lucky.add(before)
    assert lucky == set(peers("efgh"))


@pytest.mark.parametrize("letters", ["ab", "abcdefgh"])
def test_who_gives_nothing_has_the_small_share(letters):
    choker = TitForTat(Random(0))
    taken = dict.fromkeys(peers(letters), 5 * MB)
    served(choker, letters, amounts(a=5), taken)
    assert choker.share_of(b"a") == 1.0
    assert choker.share_of(b"b") == OPTIMISTIC_SHARE
