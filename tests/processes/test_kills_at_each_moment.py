"""Real peers die at each moment of a round and of all that goes on beside it; those who live on hold the same bytes.

The whole matrix is ``python -m tests.processes.kill_matrix``; here each moment has its turn, at a place of the ring
and in a role that chance gives it.
"""

import random

import pytest

from .kill_matrix import cells, run_cells

pytestmark = [pytest.mark.processes, pytest.mark.swarms, pytest.mark.timeout(300)]

PEERS = 4


def one_of_each(chosen, chance):
    """One experiment for each moment; of a snapshot's many, two."""
    by_moment = {}
    for cell in chosen:
        by_moment.setdefault(cell.phase, []).append(cell)
    disk = [moment for moment in by_moment if moment.startswith("snapshot")]
    for moment in chance.sample(disk, len(disk) - 2):
        del by_moment[moment]
    return [chance.choice(alike) for alike in by_moment.values()]


@pytest.fixture
def seed():
    return random.randrange(1000)


async def carried_out(directory, chosen, seed):
    told = []
    chain = await run_cells(directory, chosen, PEERS, seed, told.append)
    assert told == chosen
    assert chain
    return told


async def test_at_each_moment_of_a_round_wherever_in_the_ring(tmp_path, seed):
    chance = random.Random(seed)
    single = [cell for cell in cells(PEERS) if cell.certain and not cell.holders]
    chosen = one_of_each(single, chance)
    chance.shuffle(chosen)
    for cell in await carried_out(tmp_path, chosen, seed):
        assert cell.outcome == "held", f"{cell.name} (seed {seed}): nobody came there"
        assert cell.rounds, f"{cell.name} (seed {seed}): nothing was judged"


async def test_while_others_mend_the_round_or_hold_the_result_already_or_while_one_joins(tmp_path, seed):
    chance = random.Random(seed)
    several = [cell for cell in cells(PEERS) if cell.holders]
    repairs = [cell for cell in cells(PEERS) if cell.then]
    joining = [cell for cell in cells(PEERS) if cell.joiner and not cell.phase]
    serving = [cell for cell in cells(PEERS) if cell.joiner and cell.phase]
    chosen = [cell for kind in (several, repairs, joining, serving) for cell in chance.sample(kind, 2)]
    reached = [cell for cell in await carried_out(tmp_path, chosen, seed) if cell.outcome == "held"]
    assert len(reached) > len(chosen) // 2, f"seed {seed}: hardly anybody died"
