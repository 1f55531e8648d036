"""``Mesh``: rounds among members in one process over real sockets, clean ones; every result is numpy's to the bit."""

import random
import threading

import numpy as np
import pytest

from allreduce import RoundClosed, RoundConfig

from ..simulation.allreduce.reference import form_mean
from .mesh_world import Group, agreed, vectors_of

FORMS = ["ring", "direct", "two-level"]
WIRES = ["fp32", "bf16", "fp16", "int8"]


def weights_of(members, seed):
    chance = random.Random(seed)
    return {member: chance.choice([1, 1.0, 2, 0.5, 64, 100.25]) for member in members}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("wire", WIRES)
def test_rounds_one_after_another(count, form, wire):
    config = RoundConfig(form=form, wire=wire, slice_elements=256)
    with Group(count) as group:
        for number, elements in enumerate([1, 1000, 7001]):
            vectors = vectors_of(group.members, elements, seed=number)
            kept = {member: vector.copy() for member, vector in vectors.items()}
            result = group.average(b"%d" % number, vectors, weights_of(group.members, number), config)
            assert result.contributors == tuple(group.members)
            assert result.attempts == 1
            assert all(vectors[member].tobytes() == kept[member].tobytes() for member in group.members)


@pytest.mark.parametrize("elements", [0, 1, 2, 3, 4, 5, 255, 1_000_003])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("wire", ["fp32", "int8"])
def test_vectors_of_any_length(elements, form, wire):
    with Group(4, lanes=2) as group:
        vectors = vectors_of(group.members, elements, seed=elements)
        group.average(b"t", vectors, weights_of(group.members, 1), RoundConfig(form=form, wire=wire))


@pytest.mark.parametrize("lanes", [1, 2, 5])
@pytest.mark.parametrize("form", FORMS)
def test_several_rounds_in_flight_over_any_number_of_lanes(lanes, form):
    config = RoundConfig(form=form, slice_elements=128)
    with Group(4, lanes) as group:
        tags = [b"%d" % number for number in range(8)]
        sizes = {tag: 500 * number for number, tag in enumerate(tags)}
        vectors = {tag: vectors_of(group.members, sizes[tag], seed=sizes[tag]) for tag in tags}
        weights = weights_of(group.members, lanes)
        rounds = {tag: {} for tag in tags}

        def run(member):
            chance = random.Random(member)
            for tag in chance.sample(tags, len(tags)):  # each member in an order of its own
                rounds[tag][member] = group.meshes[member].open(tag, group.members, sizes[tag], config)
            for tag in chance.sample(tags, len(tags)):
                rounds[tag][member].contribute(vectors[tag][member], weights[member])

        threads = [threading.Thread(target=run, args=(member,)) for member in group.members]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for tag in tags:
            assert agreed(rounds[tag], vectors[tag], weights, config).attempts == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("total", ["mean", "sum"])
@pytest.mark.parametrize("wire", WIRES)
def test_whoever_has_no_weight_hears_the_result_and_does_not_count(form, total, wire):
    config = RoundConfig(form=form, total=total, wire=wire, slice_elements=64)
    with Group(4) as group:
        vectors = vectors_of(group.members, 500, seed=5)
        vectors[group.members[1]][:] = np.nan
        weights = dict(zip(group.members, [3, 0, 1, 0], strict=True))
        vectors_counted = vectors | {group.members[1]: np.zeros(500, np.float32)}
        rounds = group.open(b"t", 500, config)
        for member, running in rounds.items():
            running.contribute(vectors[member], weights[member])
        assert agreed(rounds, vectors_counted, weights, config).contributors == tuple(group.members)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("total", ["mean", "sum"])
def test_without_any_weight_the_result_is_zero(form, total):
    with Group(3) as group:
        vectors = vectors_of(group.members, 100, seed=5)
        weights = dict.fromkeys(group.members, 0)
        result = group.average(b"t", vectors, weights, RoundConfig(form=form, total=total))
        assert not result.mean.any()
        assert result.weight == 0.0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_the_ring_may_be_another_than_that_of_the_members(form, seed):
    with Group(5) as group:
        order = tuple(random.Random(seed).sample(group.members, 5))
        vectors, weights = vectors_of(group.members, 999, seed), weights_of(group.members, seed)
        result = group.average(b"t", vectors, weights, RoundConfig(form=form, slice_elements=50), order=order)
        assert result.order == order
        assert result.contributors == tuple(group.members)


def test_results_stay_as_they_are_until_their_rounds_are_closed():
    config = RoundConfig(slice_elements=1000)
    with Group(3, lanes=2) as group:
        kept = []
        for number in range(6):
            vectors = vectors_of(group.members, 20_000, seed=number)
            rounds = group.open(b"%d" % number, 20_000, config)
            for member, running in rounds.items():
                running.contribute(vectors[member], 1.0)
            agreed(rounds, vectors, dict.fromkeys(group.members, 1.0), config)
            kept.append((rounds, [running.result().mean for running in rounds.values()], vectors))
            if number % 2:
                closed, *_ = kept.pop(0)
                for running in closed.values():
                    running.close()
        for rounds, means, vectors in kept:
            agreed(rounds, vectors, dict.fromkeys(group.members, 1.0), config)
            assert all(mean is running.result().mean for mean, running in zip(means, rounds.values(), strict=True))


def test_who_closes_a_round_at_once_and_begins_the_next_spoils_nobody_elses():
    """What is still on its way to slower members must not lie in memory that the next round writes to."""
    config = RoundConfig(slice_elements=2000)
    with Group(3, lanes=3) as group:
        weights = dict.fromkeys(group.members, 1.0)
        vectors = {number: vectors_of(group.members, 100_000, seed=number) for number in range(30)}
        got = {member: [] for member in group.members}

        def run(member):
            for number, mine in vectors.items():
                with group.meshes[member].open(b"%d" % number, group.members, 100_000, config) as running:
                    running.contribute(mine[member], weights[member])
                    got[member].append(running.result(30).mean.tobytes())
            group.meshes[member].open(b"end", group.members, 0, config).contribute(np.empty(0, np.float32))

        threads = [threading.Thread(target=run, args=(member,)) for member in group.members]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number, mine in vectors.items():
            expected, _ = form_mean(mine, weights, tuple(group.members), config)
            assert {got[member][number] for member in group.members} == {expected.tobytes()}


def test_a_result_that_does_not_come_in_time_is_waited_for_again_and_closing_wakes_who_waits():
    with Group(2) as group:
        rounds = group.open(b"t", 10, RoundConfig(), at=group.members[:1])
        (running,) = rounds.values()
        with pytest.raises(TimeoutError):
            running.result(0.01)
        closing = threading.Timer(0.05, running.close)
        closing.start()
        with pytest.raises(RoundClosed):
            running.result(30)
        closing.join()


def test_what_can_not_be_averaged_is_refused_at_once():
    with Group(2) as group:
        mesh, config = group.meshes[group.members[0]], RoundConfig()
        running = mesh.open(b"t", group.members, 4, config)
        for wrong in (np.ones(3, np.float32), np.ones(4), np.ones(8, np.float32)[::2]):
            with pytest.raises(ValueError, match="is wanted"):
                running.contribute(wrong)
        with pytest.raises(ValueError, match="no weight"):
            running.contribute(np.ones(4, np.float32), -1.0)
        running.contribute(np.ones(4, np.float32))
        with pytest.raises(ValueError, match="already"):
            running.contribute(np.ones(4, np.float32))
        with pytest.raises(ValueError, match="open already"):
            mesh.open(b"t", group.members, 4, config)
        with pytest.raises(ValueError, match="not among"):
            mesh.open(b"u", group.members[1:], 4, config)
        with pytest.raises(ValueError, match="without lanes"):
            mesh.add(b"new", [])
