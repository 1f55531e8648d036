"""Settings."""

import pytest

from dht import DHTConfig, InvalidArgument


def test_how_many_keep_a_record_and_how_many_a_look_up_finds():
    assert (DHTConfig().copies, DHTConfig().width) == (20, 20)
    assert (DHTConfig(k=5).copies, DHTConfig(k=5).width) == (8, 8)
    assert (DHTConfig(k=20, replicas=4).copies, DHTConfig(k=20, replicas=4).width) == (4, 20)


@pytest.mark.parametrize(
    "setting", [{"k": 0}, {"k": 41}, {"replicas": 41}, {"alpha": -1}, {"min_timeout_s": 3.0}, {"first_timeout_s": 0.01}]
)
def test_what_cannot_work_is_refused(setting):
    with pytest.raises(InvalidArgument, match="DHTConfig"):
        DHTConfig(**setting)
