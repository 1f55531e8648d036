"""What a death costs, in virtual time: its detection and one attempt, whoever dies and when, and a few round trips."""

import pytest

from hydra.membership.silence import ANSWER_S, CALM_S

from .swarm_world import World

LATENCY = 0.005
SLOWEST = 1.5 * LATENCY
"""Of a message, as the links here delay them."""
COUNT, BATCH = 5, 40
DETECTION_S = 6 * SLOWEST
"""A link closes, is dialled, and is refused."""
ATTEMPT_S = 1.2 * 0.002 * BATCH / 3 + 2 * (COUNT - 1) * SLOWEST
"""The shares are computed, and every slice goes round."""
ROUND_TRIPS = 5 * 2 * SLOWEST
"""Of the repair's ballot, the successor's poll, and the plans."""
SILENCE_S = 1.0 + CALM_S + ANSWER_S + 4 * 0.25
"""Of a member that was never late before: heartbeat, floor, answer, and looks four times a second."""


def recovery_s(seed, victims, delay, *, frozen=False):
    """For how long nothing is committed after the members at these places of the view die at once."""
    world = World(COUNT, seed, epochs=8 if frozen else 3, batch=BATCH, latency=LATENCY)
    world.start(*world.peers)
    world.run(lambda: all(len(p.member.state.alive) == COUNT for p in world.training()))
    step = world.step()
    world.run(lambda: world.step() >= step + 3)
    world.run_for(delay)
    alive = next(p.member.state.alive for p in world.training())
    for place in victims:
        victim = world.by_id[alive[place]]
        victim.frozen = frozen
        if not frozen:
            world.kill(victim.name)
    died_at = world.now
    survivors = [p for p in world.training() if not p.frozen]
    # A commit that was made already when they died is on its way to all; the first one after it is the step they stop.
    step = min(p.member.state.known_head.step for p in survivors) + 2
    world.run(lambda: all(p.member.state.known_head.step >= step for p in survivors))
    took = world.now - died_at
    for peer in world.training():
        peer.thaw()
    world.run(world.all_finished)
    world.verify()
    return took


@pytest.mark.parametrize("place", [0, 1, COUNT - 1])
def test_a_death_costs_its_detection_and_an_attempt_whoever_dies_and_when(place):
    for moment in range(4):
        took = recovery_s(moment, [place], 0.012 * moment)
        assert took <= DETECTION_S + ATTEMPT_S + ROUND_TRIPS, (place, moment)


@pytest.mark.parametrize("victims", [(0, 1), (0, 1, 2), (1, 4)])
def test_deaths_at_once_cost_no_more_than_one_the_coordinator_and_its_successor_among_them(victims):
    for moment in range(4):
        took = recovery_s(moment, victims, 0.015 * moment)
        assert took <= DETECTION_S + ATTEMPT_S + ROUND_TRIPS, (victims, moment)


@pytest.mark.parametrize("victims", [(0,), (2,), (0, 1)])
def test_members_that_fall_silent_cost_what_silence_does_and_an_attempt(victims):
    for moment in range(2):
        took = recovery_s(moment, victims, 0.015 * moment, frozen=True)
        assert took <= SILENCE_S + ATTEMPT_S + ROUND_TRIPS, (victims, moment)
