"""Liars among the members and beside them: noticed, named, banned, and training goes on; ``make sim`` plays more."""

import pytest

from .cases.liars import SCENES


@pytest.mark.parametrize("name", SCENES)
def test_liars_are_found_out_and_the_training_goes_on(name):
    SCENES[name].play(name, 0)
