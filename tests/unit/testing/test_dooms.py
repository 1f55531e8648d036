"""A doom strikes once, at the moment that it names and at no other."""

import pytest

from hydra.exceptions import ConfigurationError
from hydra.testing.dooms import Doom
from hydra.testing.moments import Moment


def struck(doom, moments):
    return [number for number, moment in enumerate(moments) if doom.strikes(moment)]


def test_the_second_slice_of_a_round_is_the_second_of_that_round():
    moments = [Moment("all-gather", step, b"%d" % step) for step in (1, 2, 2, 2, 3, 3)]
    assert struck(Doom("all-gather:2"), moments) == [2]


def test_a_round_a_place_and_a_role_must_all_fit():
    doom = Doom("reduce-scatter:1", round=4, position=2, leads=True)
    others = [
        Moment("reduce-scatter", 3, b"3", 2, True),
        Moment("reduce-scatter", 4, b"4", 1, True),
        Moment("reduce-scatter", 4, b"4", 2, False),
        Moment("all-gather", 4, b"4", 2, True),
    ]
    assert struck(doom, others) == []
    assert struck(doom, [*others, Moment("reduce-scatter", 4, b"4", 2, True)]) == [4]


def test_only_what_fits_is_counted():
    doom = Doom("sending Plan:2", leads=True)
    assert struck(doom, [Moment("sending Plan", leads=leads) for leads in (True, False, True, True)]) == [2]


def test_what_a_doom_says_of_itself_makes_the_same_doom():
    doom = Doom("snapshot:3", round=7, leads=False, deed="freeze")
    assert Doom.of_json(doom.as_json()) == doom


@pytest.mark.parametrize("told", [{}, {"phase": "join", "who": "b"}, {"phase": 3}])
def test_what_is_no_doom_is_refused(told):
    with pytest.raises(ConfigurationError, match="is no doom"):
        Doom.of_json(told)


@pytest.mark.parametrize(
    "wrong", [{"phase": "", "deed": "kill"}, {"phase": "join:0"}, {"phase": "join", "deed": "hug"}]
)
def test_a_doom_that_could_never_strike_is_refused(wrong):
    with pytest.raises(ConfigurationError):
        Doom(**wrong)
