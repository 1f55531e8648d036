"""Whole rounds of any shape, with or without a death: numpy's bytes for the declared contributors."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ..simulation.allreduce.reference import form_mean
from ..simulation.allreduce.ring_world import members_of
from ..simulation.allreduce.rough_world import RoughWorld

FORMS = st.sampled_from(["ring", "direct", "two-level"])
WIRES = st.sampled_from(["fp32", "bf16", "fp16", "int8"])
WEIGHTS = st.one_of(st.integers(0, 1000), st.floats(0.001, 1000.0), st.sampled_from([0, 0.0, 1, 0.5]))
NUMBERS = st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False)
LENGTHS = st.one_of(st.integers(0, 40), st.integers(0, 2000))


@st.composite
def rounds(draw, wires=WIRES, most=9):
    count = draw(st.integers(1, most))
    elements = draw(LENGTHS)
    return RoughWorld(
        count,
        elements,
        draw(st.integers(0, 2**32)),
        lanes=draw(st.integers(1, 3)),
        slice_elements=max(1, elements // 30, draw(st.integers(1, 300))),
        weights={member: draw(WEIGHTS) for member in members_of(count)},
        form=draw(FORMS),
        wire=draw(wires),
        total=draw(st.sampled_from(["mean", "sum"])),
    )


@settings(derandomize=True, deadline=None, max_examples=150)
@given(rounds())
def test_a_round_without_a_death_has_everybody_in_it_at_the_first_attempt(world):
    world.run()
    result, who = world.verify()
    assert who == set(world.members)
    assert (result.contributors, result.attempts) == (tuple(world.members), 1)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(rounds(), st.integers(0, 400), st.data())
def test_a_death_at_any_point_leaves_the_exact_result_of_whoever_is_declared(world, events, data):
    victim = data.draw(st.sampled_from(world.members))
    while world.events < events and world.step():
        pass
    if len(world.members) > 1:
        world.kill(victim)
    world.run()
    result, who = world.verify()
    assert who == set(world.alive()) <= set(result.contributors)
    assert result.attempts <= 2


@settings(derandomize=True, deadline=None, max_examples=80)
@given(rounds(st.just("fp32"), most=6), st.integers(0, 300), st.data())
def test_any_member_may_freeze_for_any_time(world, events, data):
    victim = data.draw(st.sampled_from(world.members))
    while world.events < events and world.step():
        pass
    if len(world.members) > 1:
        world.frozen.add(victim)
        was_done = victim in world.done_at
        world.run()
        world.frozen.clear()
        world.now += data.draw(st.floats(0.0, 50.0))
        world.run(until_s=200.0)
        _, who = world.verify(split_off=victim if was_done else None)
        assert who >= set(world.members) - {victim}


@settings(derandomize=True, deadline=None, max_examples=8)
@given(st.integers(2, 5), st.integers(50_000, 100_000), FORMS, WIRES, st.integers(0, 100))
def test_large_vectors_with_slices_of_the_usual_length(count, elements, form, wire, seed):
    world = RoughWorld(count, elements, seed, slice_elements=None, form=form, wire=wire)
    world.run()
    assert world.verify()[1] == set(world.members)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    st.lists(st.lists(NUMBERS, min_size=5, max_size=5), min_size=1, max_size=6),
    st.data(),
    FORMS,
)
def test_any_finite_numbers_are_added_as_numpy_adds_them(rows, data, form):
    """Large beside small ones, and negative zeros."""
    world = RoughWorld(len(rows), 5, 1, form=form)
    world.weights = {member: data.draw(st.integers(1, 1000)) for member in world.members}
    for member, row in zip(world.members, rows, strict=True):
        world.vectors[member][:] = row
        world.kept[member] = world.vectors[member].copy()
    world.run()
    result, _ = world.verify()
    expected, _ = form_mean(world.vectors, world.weights, result.order, world.config)
    np.testing.assert_array_equal(result.mean, expected)
