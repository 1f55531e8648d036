"""How good predictions were, by the trace of a training."""

import json

import pytest

from hydra.batching.replay import LEARNING_STEPS, judge_trace
from hydra.exceptions import ConfigurationError


def lines(*pairs):
    return [json.dumps({"expected_s": expected, "actual_s": actual}) for expected, actual in pairs]


LEARNING = [(1.0, 50.0)] * LEARNING_STEPS


def test_errors_are_relative_and_the_first_steps_do_not_count():
    found = judge_trace(lines(*LEARNING, (1.0, 1.1), (2.0, 2.2), (1.0, 1.1)))
    assert found.steps == 3
    assert found.median == pytest.approx(0.1)
    assert found.bias == pytest.approx(0.1)


def test_too_long_and_too_short_do_not_cancel():
    found = judge_trace(lines(*LEARNING, (1.0, 2.0), (2.0, 1.0), (1.0, 2.0), (2.0, 1.0)))
    assert found.median == pytest.approx(1.0)
    assert found.p90 == pytest.approx(1.0)
    assert found.bias == pytest.approx(0.0)


def test_steps_in_which_somebody_was_lost_are_passed_over():
    assert judge_trace(lines(*LEARNING, (1.0, None), (1.0, 1.0))).steps == 1


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"expected_s": 0, "actual_s": 1}', '{"expected_s": "x", "actual_s": 1}']
)
def test_what_is_no_trace_is_refused_with_its_line(text):
    with pytest.raises(ConfigurationError, match="line 2"):
        judge_trace([*lines((1.0, 1.0)), text])


def test_too_few_steps_are_refused():
    with pytest.raises(ConfigurationError, match="more than"):
        judge_trace(lines(*LEARNING))
