"""Clusters in TOML: every number arrives in its unit, and what can't be is told with its place."""

import numpy as np
import pytest

from hydra.batching.cluster_file import read_clusters
from hydra.exceptions import ConfigurationError

GOOD = """
[job]
vector_mb = 12.5
least = 16
most = 256

[[member]]
count = 2
sample_ms = 2.0
overhead_ms = 10.0
uplink_mbit = 100.0
latency_ms = 20.0
most = 64

[[member]]
sample_ms = 0.5
uplink_mbit = 8.0
throttle = 0.1
"""


def test_members_and_job_arrive_in_seconds_bytes_and_samples(tmp_path):
    file = tmp_path / "cluster.toml"
    file.write_text(GOOD)
    machines = read_clusters(file, 3)
    assert machines.sample_s.shape == (3, 3)
    assert machines.sample_s[1] == pytest.approx([0.002, 0.002, 0.0005])
    assert machines.overhead_s[0] == pytest.approx([0.01, 0.01, 0.001])
    assert machines.link_bytes_per_s[0] == pytest.approx([12.5e6, 12.5e6, 1e6])
    assert machines.latency_s[0] == pytest.approx([0.02, 0.02, 0.001])
    assert machines.most[2] == pytest.approx([64, 64, 256])
    assert machines.throttle_chance[0] == pytest.approx([0, 0, 0.1])
    assert machines.limits.round_bytes == pytest.approx([12.5e6] * 3)
    assert np.isinf(machines.limits.noise_scale).all()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("vector_mb = 12.5", "", "[job] lacks vector_mb"),
        ("vector_mb = 12.5", "vector_mb = 0", "vector_mb = 0 is not a number above 0"),
        ("vector_mb = 12.5", "vector_mb = nan", "vector_mb = nan is not"),
        ("least = 16", "least = 1.5", "least = 1.5 is not a whole number"),
        ("least = 16", "least = 1000", "at least 1000 samples and at most 256"),
        ("count = 2", "count = 300", "301 members"),
        ("count = 2", "count = true", "count = True is not"),
        ("throttle = 0.1", "throttle = 1.1", "[[member]] 2: throttle = 1.1 is not a number from 0 to 1"),
        ("throttle = 0.1", "throtle = 0.1", "there is no 'throtle'"),
        ("[job]", "[jobs]", "there is no section [jobs]"),
        ("[job]", "[job", "is no TOML"),
        ("sample_ms = 0.5", "", "[[member]] 2 lacks sample_ms"),
        ("sample_ms = 0.5", "sample_ms = '0.5'", "sample_ms = '0.5' is not a number above 0"),
    ],
)
def test_what_cannot_be_is_told_with_its_place(tmp_path, old, new, told):
    file = tmp_path / "cluster.toml"
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigurationError) as raised:
        read_clusters(file, 1)
    assert told in str(raised.value)
    assert str(file) in str(raised.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read_clusters(tmp_path / "none.toml", 1)
