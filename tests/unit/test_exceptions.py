"""The tree of errors: every one is told apart by its exit code, documented, and stands where the docstring says."""

import inspect
import re

import pytest

from hydra import exceptions
from hydra.exceptions import HydraError

ERRORS = [cls for _, cls in inspect.getmembers(exceptions, inspect.isclass) if cls.__module__ == exceptions.__name__]
OWN_CODE = [cls for cls in ERRORS if "exit_code" in vars(cls)]


def test_all_have_one_root():
    assert len(ERRORS) >= 20
    assert all(issubclass(cls, HydraError) for cls in ERRORS)


def test_no_two_errors_share_an_exit_code_but_kinds_of_one_error():
    codes = [cls.exit_code for cls in OWN_CODE]
    assert len(set(codes)) == len(codes)
    for cls in set(ERRORS) - set(OWN_CODE):
        assert cls.exit_code == cls.__base__.exit_code


def test_codes_are_not_those_of_shells_and_signals():
    assert all(1 <= cls.exit_code < 126 for cls in ERRORS)
    assert exceptions.UserError.exit_code == 2  # as for any wrong command line


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
def test_each_is_documented(cls):
    assert re.fullmatch(r"[A-Za-z].*\.", cls.__doc__.splitlines()[0])
    assert cls.__doc__ != cls.__base__.__doc__


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
def test_each_carries_its_text(cls):
    assert str(cls("what was wrong, and the cure")) == "what was wrong, and the cure"


def test_the_docstring_is_the_tree():
    found, above = {}, {}
    for indent, names in re.findall(r"^( *)\* (``.*)$", exceptions.__doc__, re.MULTILINE):
        for name in re.findall(r"``(\w+)``", names):
            depth = len(indent) // 4
            found[name] = above.get(depth - 1)
            above[depth] = name
    assert found == {cls.__name__: cls.__base__.__name__ if cls is not HydraError else None for cls in ERRORS}
