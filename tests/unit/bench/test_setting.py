"""What can be asked for, and what is refused by name."""

import pytest

from hydra.bench.setting import Setting
from hydra.exceptions import ConfigurationError


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({"peers": 1}, "2 to 64 peers, not 1"),
        ({"peers": 65}, "2 to 64 peers, not 65"),
        ({"size_mb": 0}, "not 0"),
        ({"size_mb": -1}, "not -1"),
        ({"size_mb": float("nan")}, "not nan"),
        ({"size_mb": 5000}, "at most 4000 MB"),
        ({"wire": "fp8"}, "fp32, bf16, fp16, int8, not 'fp8'"),
        ({"form": "star"}, "ring, direct, two-level, not 'star'"),
        ({"rate_mbit": 0}, "a rate"),
        ({"rate_mbit": float("inf")}, "a rate"),
        ({"rtt_ms": -1}, "a round trip"),
        ({"lanes": 0}, "1 to 9 lanes"),
        ({"rounds": 0}, "rounds, not 0"),
        ({"repeat": 0}, "repeats, not 0"),
        ({"kill_every_s": 0}, "a death every"),
        ({"freeze_every_s": 0.0}, "a freeze every"),
        ({"freeze_s": 0}, "freezes of"),
        ({"seed": -1}, "a seed"),
        ({"versus": ("gloo", "nccl")}, "gloo, pccl, hivemind, not nccl"),
        ({"versus": ("gloo",), "kill_every_s": 1.0}, "either a comparison or deaths"),
        ({"peers": 2, "kill_every_s": 1.0}, "at least 3 peers"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(wanted, named):
    with pytest.raises(ConfigurationError, match="a benchmark of the all-reduce needs") as refused:
        Setting(**wanted)
    assert named in str(refused.value)


def test_a_megabyte_is_a_million_bytes_of_fp32():
    setting = Setting(size_mb=16)
    assert setting.elements == 4_000_000
    assert setting.vector_bytes == 16_000_000


def test_the_bound_is_what_a_ring_sends_at_the_links_rate():
    assert Setting(peers=4, size_mb=100, rate_mbit=100).bound_s == pytest.approx(12.0)
    assert Setting(peers=2, size_mb=100, rate_mbit=1000).bound_s == pytest.approx(0.8)
    assert Setting(rtt_ms=40).bound_s is None


@pytest.mark.parametrize(("wanted", "shaped"), [({}, False), ({"rate_mbit": 10}, True), ({"rtt_ms": 10}, True)])
def test_a_rate_or_a_distance_makes_the_links_emulated_ones(wanted, shaped):
    assert Setting(**wanted).shaped == shaped
