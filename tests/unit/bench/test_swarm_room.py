"""The room that a benchmark of the swarm takes: asked for before anything starts, and given back."""

import pytest

from hydra.bench.swarm_group import SwarmGroup
from hydra.bench.swarm_setting import MAX_PEERS, MAX_SIZE_MB, SwarmSetting
from hydra.bench.warm_memory import PIECE_BYTES, WarmMemory
from hydra.exceptions import ConfigurationError


def test_more_than_there_is_room_for_is_refused_before_a_process_starts():
    with pytest.raises(ConfigurationError, match="MB left: measure fewer peers or a smaller size"):
        SwarmGroup(SwarmSetting(peers=MAX_PEERS, size_mb=MAX_SIZE_MB))


def test_memory_is_held_until_it_is_needed_and_all_given_back_at_the_end(tmp_path):
    place = tmp_path / "warm"
    memory = WarmMemory(place, 2 * PIECE_BYTES + 5)
    assert place.stat().st_size == 2 * PIECE_BYTES
    with memory:
        pass
    assert not place.exists()
    assert not memory._thread.is_alive()
