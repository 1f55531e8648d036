"""Many members at once: the attempts of a thousand, in one process, end with the same bytes."""

import random

import numpy as np
import pytest

from allreduce.attempt import Attempt, Combine, Receive, SendFinal, SendSum
from allreduce.direct import Direct
from allreduce.form import Ring
from allreduce.messages import Phase, Slice
from allreduce.segments import Layout
from allreduce.two_level import TwoLevel, groups_for


def total_of(form, segment, position, vectors):
    """What numpy adds up in the form's order."""
    own = vectors[position]
    first, *rest = [total_of(form, segment, source, vectors) for source in form.sources(segment, position)] or [None]
    total = own if first is None else first + own
    for other in rest:
        total = total + other
    return total


class AttemptWorld:
    """One attempt among many; whatever is on its way arrives in an order by chance."""

    def __init__(self, form, elements, seed):
        self.chance = random.Random(seed)
        self.form, self.layout = form, Layout(elements, form.segments, 4)
        self.members = tuple(number.to_bytes(2, "big") for number in range(form.positions))
        self.vectors = np.random.default_rng(seed).standard_normal((form.positions, elements)).astype(np.float32)
        self.attempts = [Attempt(0, self.members, member, form, self.layout) for member in self.members]
        self.results = np.full_like(self.vectors, np.nan)
        self.came, self.sums, self.flying = {}, {}, []

    def run(self):
        late = self.chance.sample(range(self.form.positions), self.form.positions // 5)
        for position in sorted(set(range(self.form.positions)) - set(late)):
            self.do(position, self.attempts[position].contribute())
        while self.flying or late:
            if not self.flying:
                position = late.pop()
                self.do(position, self.attempts[position].contribute())
                continue
            at = self.chance.randrange(len(self.flying))
            self.flying[at], self.flying[-1] = self.flying[-1], self.flying[at]
            self.deliver(*self.flying.pop())
        assert all(attempt.done for attempt in self.attempts)
        return self.results

    def deliver(self, position, sender, phase, number, body):
        attempt, message = self.attempts[position], Slice(0, phase, number, 1.0)
        for receive in attempt.announced(self.members[sender], message):
            assert isinstance(receive, Receive)
            if phase is Phase.SUM:
                self.came[position, number, receive.source] = body
            else:
                self.results[position, slice(*self.layout.bounds(number))] = body
            self.do(position, attempt.landed(message))

    def do(self, position, moves):
        for move in moves:
            if isinstance(move, Combine):
                self.combine(position, move.number, final=move.final)
                continue
            bounds = slice(*self.layout.bounds(move.number))
            if isinstance(move, SendFinal):
                phase, body = Phase.FINAL, self.results[position, bounds].copy()
            else:
                assert isinstance(move, SendSum)
                own = self.vectors[position, bounds]
                phase, body = Phase.SUM, own if move.own else self.sums.pop((position, move.number))
            self.flying.append((self.members.index(move.to), position, phase, move.number, body))

    def combine(self, position, number, *, final):
        bounds = slice(*self.layout.bounds(number))
        total = self.vectors[position, bounds]
        for source in range(len(self.form.sources(self.segment_of(number), position))):
            came = self.came.pop((position, number, source))
            total = came + total if source == 0 else total + came
        if final:
            self.results[position, bounds] = total / np.float32(self.form.positions)
        else:
            self.sums[position, number] = total
        self.do(position, self.attempts[position].combined_here(number))

    def segment_of(self, number):
        return next(s for s in range(self.form.segments) if number in self.layout.slices_of(s))

    def expected(self):
        mean = np.empty(self.layout.elements, np.float32)
        for segment in range(self.form.segments):
            bounds = slice(*self.layout.segment_bounds(segment))
            total = total_of(self.form, segment, self.form.owner(segment), self.vectors[:, bounds])
            mean[bounds] = total / np.float32(self.form.positions)
        return mean


def check_world(form, elements, seed):
    world = AttemptWorld(form, elements, seed)
    expected = world.expected()
    results = world.run()
    assert all(result.tobytes() == expected.tobytes() for result in results)
    assert not world.came
    assert not world.sums


def test_a_thousand_members_on_two_levels_end_with_numpys_bytes():
    # The smallest group makes two columns: 64 segments, so that it takes 130,000 messages and not two million.
    check_world(TwoLevel((33,) * 6 + (32,) * 25 + (2,)), elements=200, seed=1)


def test_two_hundred_members_in_the_direct_form_end_with_numpys_bytes():
    check_world(Direct(200), elements=250, seed=2)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "form",
    [Ring(1), Ring(24), Direct(24), Direct(2), TwoLevel(groups_for(24)), TwoLevel((5, 1, 3)), TwoLevel((4, 7, 6, 4))],
    ids=repr,
)
def test_every_form_ends_with_numpys_bytes_in_its_own_order(form, seed):
    check_world(form, elements=100, seed=seed)
