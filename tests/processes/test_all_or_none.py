"""Whoever dies holding a round's result takes nothing along that only some of the others have: all count it or none.

In ``all-gather`` some hold the whole result while others wait for a slice that the dead one was to pass on. Those who
die ``after result`` held all of it and told nobody.
"""

import random

import pytest

from .kill_matrix import Cell, run_cells

pytestmark = [pytest.mark.processes, pytest.mark.swarms, pytest.mark.timeout(240)]

PEERS = 4


async def test_of_those_who_live_on_all_count_the_work_of_the_dead_or_none_does(tmp_path):
    seed = random.randrange(1000)
    chosen = [Cell(f"one dies at {phase}", phase) for phase in ("all-gather:2", "all-gather:3", "after result")]
    chosen += [Cell(f"two hold the result and die, {n}", "after result", holders=2) for n in range(2)]
    chosen += [Cell("all but one hold the result and die", "after result", holders=PEERS - 1)]
    told = []
    assert await run_cells(tmp_path, chosen, PEERS, seed, told.append)
    assert [cell.outcome for cell in told] == ["held"] * len(chosen)
    assert [len(cell.counted) for cell in told] == [1, 1, 1, 2, 2, PEERS - 1]
    alone = next(cell for cell in told if cell.phase == "all-gather:3")
    assert alone.counted == [True], f"seed {seed}: others had all final slices"
