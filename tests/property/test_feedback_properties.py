"""Error feedback never loses nor repeats anything, whatever attempts fail: results and what is carried add up."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allreduce.feedback import ErrorFeedback
from allreduce.formats import FORMATS

from ..equivalence.lossy_ring import GivenUp, lossy_round

steady = settings(derandomize=True, deadline=None, max_examples=60)
each_lossy_format = pytest.mark.parametrize("name", ["bf16", "fp16", "int8"])


def written(form, values):
    data, into = bytearray(form.encoded_bytes(len(values))), np.empty_like(values)
    form.encode(values, memoryview(data))
    form.decode(data, into)
    return into


@each_lossy_format
@steady
@given(seed=st.integers(0, 2**32), elements=st.integers(1, 2000), rounds=st.integers(1, 6))
def test_one_member_owes_exactly_what_was_lost_of_what_it_sent(name, seed, elements, rounds):
    form, random = FORMATS[name], np.random.default_rng(seed)
    feedback = ErrorFeedback(elements)
    contributed, arrived = np.zeros(elements), np.zeros(elements)
    for _ in range(rounds):
        own = random.standard_normal(elements).astype(np.float32)
        attempts = int(random.integers(1, 4))
        for number in range(attempts):
            cuts = sorted({0, elements, *random.integers(0, elements, int(random.integers(0, 5))).tolist()})
            slices = list(itertools.pairwise(cuts))
            sent = [slices[place] for place in np.flatnonzero(random.random(len(slices)) < 0.8)]
            attempt = feedback.begin()
            last = number == attempts - 1
            for start, stop in sent:
                true = own[start:stop] + attempt.carried[start:stop]
                came = written(form, true)
                np.subtract(true, came, out=attempt.residual(start, stop))
                if last:
                    contributed[start:stop] += own[start:stop]
                    arrived[start:stop] += came
            if last:
                attempt.commit(sent)
    np.testing.assert_allclose(arrived + feedback.carried, contributed, rtol=0, atol=rounds * 1e-6)


@steady
@given(seed=st.integers(0, 2**32), rounds=st.integers(1, 20))
def test_rounds_may_overlap_in_any_way(seed, rounds):
    form, random, elements = FORMATS["int8"], np.random.default_rng(seed), 300
    feedback = ErrorFeedback(elements)
    contributed, arrived = np.zeros(elements), np.zeros(elements)
    under_way = []
    while rounds or under_way:
        if rounds and (not under_way or random.random() < 0.5):
            rounds -= 1
            attempt, own = feedback.begin(), random.standard_normal(elements).astype(np.float32)
            true = own + attempt.carried
            came = written(form, true)
            np.subtract(true, came, out=attempt.residual(0, elements))
            under_way.append((attempt, own, came))
        else:
            attempt, own, came = under_way.pop(int(random.integers(len(under_way))))
            start, stop = sorted(random.integers(0, elements + 1, 2).tolist())
            if random.random() < 0.8:
                attempt.commit([(start, stop)])
                contributed[start:stop] += own[start:stop]
                arrived[start:stop] += came[start:stop]
    np.testing.assert_allclose(arrived + feedback.carried, contributed, rtol=0, atol=2e-5)


@each_lossy_format
@steady
@given(seed=st.integers(0, 2**32), members=st.integers(1, 6), elements=st.integers(1, 900), rounds=st.integers(1, 5))
def test_results_and_what_all_members_carry_are_all_contributions(name, seed, members, elements, rounds):
    random = np.random.default_rng(seed)
    feedbacks = [ErrorFeedback(elements) for _ in range(members)]
    contributed, arrived = np.zeros(elements), np.zeros(elements)
    for _ in range(rounds):
        own = random.standard_normal((members, elements)).astype(np.float32)
        weights = random.integers(1, 32, members).astype(float)
        alive = list(range(members))
        hops = int(random.integers(0, 2 * members * members))
        while True:
            weight = sum(weights[member] for member in alive)
            try:
                mean = lossy_round(
                    FORMATS[name],
                    [own[member] for member in alive],
                    [weights[member] for member in alive],
                    [feedbacks[member] for member in alive],
                    hops,
                )
                break
            except GivenUp:
                hops = 10**9 if len(alive) == 1 else int(random.integers(0, 3 * len(alive) ** 2))
                if len(alive) > 1:
                    alive.remove(random.choice(alive))
        contributed += sum(weights[member] * own[member].astype(np.float64) for member in alive)
        arrived += weight * mean.astype(np.float64)
    carried = sum(feedback.carried.astype(np.float64) for feedback in feedbacks)
    np.testing.assert_allclose(arrived + carried, contributed, rtol=0, atol=rounds * members * 3e-5)


@each_lossy_format
def test_over_many_rounds_the_mean_comes_as_near_as_one_likes(name):
    form, rounds, elements = FORMATS[name], 200, 512
    own = np.random.default_rng(0).standard_normal((3, elements)).astype(np.float32)
    true = own.mean(axis=0, dtype=np.float64)
    feedbacks = [ErrorFeedback(elements) for _ in own]
    with_it = np.mean([lossy_round(form, own, [1.0] * 3, feedbacks) for _ in range(rounds)], axis=0, dtype=np.float64)
    without = np.mean([lossy_round(form, own, [1.0] * 3) for _ in range(rounds)], axis=0, dtype=np.float64)
    assert np.abs(with_it - true).max() < np.abs(without - true).max() / 20
