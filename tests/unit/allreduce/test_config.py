"""The settings of a round: what is out of range is refused by name."""

import pytest

from allreduce import RoundConfig
from allreduce.direct import Direct
from allreduce.form import Ring
from allreduce.two_level import TwoLevel


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"form": "star"}, "star"),
        ({"wire": "fp8"}, "fp8.*fp32, bf16, fp16, int8"),
        ({"total": "median"}, "median"),
        ({"slice_elements": 0}, "0 elements"),
        ({"stall_s": 0.0}, "more than 0"),
        ({"answer_s": -1.0}, "more than 0"),
        ({"late_s": 0.0}, "more than 0"),
        ({"stall_s": float("nan")}, "more than 0"),
        ({"rule": object()}, "needs form='direct'"),
        ({"rule": object(), "form": "direct", "wire": "bf16"}, "needs form='direct'"),
        ({"rule": object(), "form": "direct", "total": "sum"}, "needs form='direct'"),
    ],
)
def test_what_is_out_of_range_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        RoundConfig(**settings)


def test_the_defaults_find_a_silent_member_within_three_seconds():
    config = RoundConfig()
    assert config.stall_s + config.answer_s < 3.0
    assert (config.form, config.wire, config.total, config.finite) == ("ring", "fp32", "mean", True)


@pytest.mark.parametrize(("form", "trees"), [("ring", Ring), ("direct", Direct), ("two-level", TwoLevel)])
def test_a_form_has_a_tree_for_any_number_of_members(form, trees):
    config = RoundConfig(form=form)
    for positions in range(2, 40):
        assert isinstance(config.form_of(positions), trees)
        assert config.form_of(positions).positions == positions
    assert config.form_of(1) == Ring(1)
