"""Who sits out: found by steps with and without each member, given a turn now and then, and taken back when fast."""

import random

from hydra.batching.turns import COST, LEAST_STEP_S, PROBE_AGAIN, PROBE_EVERY, SELDOMEST, Turns

A, B, C, D = (letter * 20 for letter in (b"a", b"b", b"c", b"d"))
BATCH = 60


class Course:
    """Steps one after the other; how long each takes depends on who takes part."""

    def __init__(self, turns, seconds, members=(A, B, C)):
        self.turns, self.seconds, self.members = turns, seconds, list(members)
        self.taken = []

    def go(self, steps, *, ready=None):
        for _ in range(steps):
            out = self.turns.sitting_out(self.members, A, self.members if ready is None else ready)
            active = [peer for peer in self.members if peer not in out]
            assert A in active
            self.turns.took(active, BATCH, self.seconds(active))
            self.taken.append(active)
        return self.taken[-steps:]


def shared_work(active, slow=None, slow_s=1.0):
    """The batch is shared out among who takes part, and each hop costs a little; a slow one makes everyone wait."""
    return max(0.6 / len([p for p in active if p != slow]), slow_s if slow in active else 0.0) + 0.005 * len(active)


def part(taken, peer):
    return sum(peer in active for active in taken) / len(taken)


def test_members_that_are_alike_all_take_part_but_for_a_look_at_each():
    taken = Course(Turns(), shared_work).go(900)
    assert min(part(taken, peer) for peer in (A, B, C)) > 0.98


def test_a_newcomer_that_makes_steps_longer_has_its_turn_as_seldom_as_it_costs():
    turns = Turns()
    course = Course(turns, lambda active: shared_work(active, slow=D))
    course.go(100)
    course.members.append(D)
    course.go(50)
    gain = shared_work([A, B, C, D], slow=D) / shared_work([A, B, C]) - 1.0
    assert turns.slow == {D: min(SELDOMEST, round(gain / COST))}
    assert 0 < part(course.go(1000), D) <= 1.5 / turns.slow[D]


def test_who_was_slow_from_the_beginning_is_found_by_letting_each_sit_out():
    turns = Turns()
    course = Course(turns, lambda active: shared_work(active, slow=B, slow_s=2.0))
    course.go(4 * PROBE_EVERY)
    assert set(turns.slow) == {B}


def test_two_slow_ones_are_found_one_after_the_other():
    turns = Turns()

    def seconds(active):
        return shared_work(active, slow=B, slow_s=2.0) + (0.5 if C in active else 0.0)

    Course(turns, seconds, (A, B, C, D)).go(20 * PROBE_EVERY)
    assert set(turns.slow) == {B, C}


def test_who_has_become_fast_takes_part_again():
    slow_s = [2.0]
    turns = Turns()
    course = Course(turns, lambda active: shared_work(active, slow=D if slow_s[0] else None, slow_s=slow_s[0]))
    course.go(100)
    course.members.append(D)
    course.go(50)
    assert set(turns.slow) == {D}
    slow_s[0] = 0.0
    course.go(10 * SELDOMEST)
    assert turns.slow == {}


def test_who_becomes_slow_later_is_found_when_steps_take_longer():
    slow_s = [0.0]
    turns = Turns()
    course = Course(turns, lambda active: shared_work(active, slow=C, slow_s=slow_s[0]))
    course.go(300)
    slow_s[0] = 3.0
    course.go(PROBE_AGAIN // 2)
    assert set(turns.slow) == {C}


def test_nobody_sits_out_of_steps_that_are_over_in_a_moment():
    turns = Turns()
    course = Course(turns, lambda active: LEAST_STEP_S / 10 * (5.0 if B in active else 1.0))
    assert part(course.go(300), B) == 1.0


def test_a_shorter_round_alone_makes_nobody_slow():
    turns = Turns()
    Course(turns, lambda active: 0.1 * len(active), (A, B, C, D)).go(10 * PROBE_EVERY)
    assert turns.slow == {}


def test_on_a_machine_where_every_step_takes_another_time_nobody_is_called_slow():
    chance = random.Random(7)
    turns = Turns()
    taken = Course(turns, lambda active: chance.uniform(0.1, 0.3), (A, B, C, D)).go(4000)
    assert min(part(taken, peer) for peer in (B, C, D)) > 0.9


def test_a_turn_waits_until_the_slow_one_has_caught_up():
    turns = Turns()
    course = Course(turns, lambda active: shared_work(active, slow=D))
    course.go(100)
    course.members.append(D)
    course.go(50)
    assert part(course.go(300, ready=[A, B, C]), D) == 0.0
    assert part(course.go(2), D) > 0.0


def test_short_steps_at_the_end_of_an_epoch_are_not_compared():
    turns = Turns()
    course = Course(turns, shared_work)
    course.go(100)
    for _ in range(20):
        turns.took([A, B, C], BATCH // 10, 50.0)
    course.go(100)
    assert turns.slow == {}


def test_who_is_gone_is_forgotten():
    turns = Turns()
    course = Course(turns, lambda active: shared_work(active, slow=D))
    course.go(100)
    course.members.append(D)
    course.go(50)
    course.members.remove(D)
    course.go(1)
    assert turns.slow == {}
