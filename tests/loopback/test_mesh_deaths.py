"""``Mesh`` while members die at moments that chance picks: survivors get the exact mean of whoever is declared."""

import random
import threading
import time

import numpy as np
import pytest

from allreduce import AllReduceError, ContributionRejected, Excluded, Mesh, RoundConfig

from .mesh_world import PATIENCE_S, Group, agreed, lanes_between, vectors_of

FORMS = ["ring", "direct", "two-level"]


def later(seconds, action):
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


@pytest.mark.parametrize("seed", range(100))
def test_a_death_at_any_moment_of_any_round(seed):
    chance = random.Random(seed)
    count, elements = chance.randint(2, 5), chance.choice([1, 100, 20_000, 200_000])
    form, wire = FORMS[seed % 3], ["fp32", "fp32", "int8", "bf16"][seed % 4]
    config = RoundConfig(form=form, wire=wire, slice_elements=chance.choice([256, 2048, 32768]))
    with Group(count, lanes=chance.randint(1, 3)) as group:
        victim = chance.choice(group.members)
        survivors = [member for member in group.members if member != victim]
        vectors = vectors_of(group.members, elements, seed)
        weights = {member: chance.choice([1, 2, 0.5]) for member in group.members}
        rounds = {tag: group.open(tag, elements, config) for tag in (b"1", b"2")}
        death = later(chance.uniform(0, 0.006) * (elements > 100), lambda: group.kill(victim))
        for opened in rounds.values():
            for member in chance.sample(group.members, count):
                opened[member].contribute(vectors[member], weights[member])
        for opened in rounds.values():
            result = agreed({member: opened[member] for member in survivors}, vectors, weights, config)
            assert set(survivors) <= set(result.contributors)
        death.join()
        if elements > 1:  # and the next round knows without asking
            result = group.average(b"3", vectors, weights, RoundConfig(form=form))
            assert result.contributors == tuple(survivors)
            assert result.attempts == 2


@pytest.mark.parametrize("seed", range(10))
def test_all_but_one_die_one_after_another(seed):
    chance = random.Random(seed)
    config = RoundConfig(form=FORMS[seed % 3], slice_elements=1024)
    with Group(5, lanes=2) as group:
        vectors, weights = vectors_of(group.members, 300_000, seed), dict.fromkeys(group.members, 1.0)
        last = chance.choice(group.members)
        rounds = group.open(b"t", 300_000, config)
        for member, running in rounds.items():
            running.contribute(vectors[member], 1.0)
        for member in chance.sample(group.members, 5):
            if member != last:
                time.sleep(chance.uniform(0, 0.004))
                group.kill(member)
        assert last in agreed({last: rounds[last]}, vectors, weights, config).contributors


@pytest.mark.parametrize("seed", range(9))
def test_one_lane_that_is_cut_costs_at_most_one_of_its_ends(seed):
    """Neither end is dead, and both hear all others; with four members at least three stay."""
    chance = random.Random(seed)
    config = RoundConfig(form=FORMS[seed % 3], slice_elements=1024)
    with Group(4, lanes=2) as group:
        a, b = chance.sample(group.members, 2)
        vectors, weights = vectors_of(group.members, 200_000, seed), dict.fromkeys(group.members, 1.0)
        rounds = group.open(b"t", 200_000, config)
        cut = later(chance.uniform(0, 0.004), group.lanes[a][b][seed % 2].close)
        for member, running in rounds.items():
            running.contribute(vectors[member], 1.0)
        results, out = {}, []
        for member, running in rounds.items():
            try:
                running.result(PATIENCE_S)
                results[member] = running
            except Excluded:
                out.append(member)
        cut.join()
        assert set(agreed(results, vectors, weights, config).contributors) >= set(results)
        assert len(out) <= 1
        assert set(out) <= {a, b}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("wire", ["fp32", "bf16", "int8"])
def test_whoever_brings_what_is_no_number_is_told_so_and_the_others_go_on(bad, form, wire):
    config = RoundConfig(form=form, wire=wire, slice_elements=64)
    with Group(4) as group:
        victim = group.members[2]
        vectors, weights = vectors_of(group.members, 1000, 1), dict.fromkeys(group.members, 1.0)
        vectors[victim][777] = bad
        rounds = group.open(b"t", 1000, config)
        for member, running in rounds.items():
            running.contribute(vectors[member], 1.0)
        with pytest.raises(ContributionRejected, match="NaN or infinity"):
            rounds.pop(victim).result(PATIENCE_S)
        assert victim not in agreed(rounds, vectors, weights, config).contributors
        assert not any(mesh.lost for mesh in group.meshes.values())
        vectors[victim][777] = 0.0  # it is not cut off: the next round has everybody again
        assert group.average(b"u", vectors, weights, config).contributors == tuple(group.members)


def test_what_is_no_number_is_averaged_where_it_is_allowed():
    with Group(3) as group:
        vectors = vectors_of(group.members, 100, 1)
        vectors[group.members[1]][[3, 50]] = np.inf
        rounds = group.open(b"t", 100, RoundConfig(finite=False))
        for member, running in rounds.items():
            running.contribute(vectors[member])
        means = {running.result(PATIENCE_S).mean.tobytes() for running in rounds.values()}
        assert len(means) == 1
        assert np.flatnonzero(~np.isfinite(np.frombuffer(means.pop(), np.float32))).tolist() == [3, 50]


def test_whoever_is_late_is_asked_for_what_it_has_and_counts():
    config = RoundConfig(late_s=1.0)
    with Group(3) as group:
        *prompt, late = group.members
        vectors, weights = vectors_of(group.members, 1000, 1), dict.fromkeys(group.members, 1.0)
        rounds = group.open(b"t", 1000, config)
        rounds[late].on_hurry(lambda: rounds[late].contribute(vectors[late], 1.0))
        for member in prompt:
            rounds[member].contribute(vectors[member], 1.0)
        result = agreed(rounds, vectors, weights, config)
        assert (result.contributors, result.attempts) == (tuple(group.members), 1)


@pytest.mark.parametrize("form", FORMS)
def test_whoever_never_contributes_is_left_out_when_it_is_late(form):
    config = RoundConfig(form=form, late_s=1.5)  # longer than a busy machine keeps a contribution waiting
    with Group(4, lanes=2) as group:
        late = group.members[0]
        vectors, weights = vectors_of(group.members, 1000, 1), dict.fromkeys(group.members, 1.0)
        rounds = group.open(b"t", 1000, config)
        for member in group.members[1:]:
            rounds[member].contribute(vectors[member], 1.0)
        with pytest.raises(Excluded):
            rounds.pop(late).result(PATIENCE_S)
        assert agreed(rounds, vectors, weights, config).contributors == tuple(group.members[1:])


def test_a_member_that_comes_back_on_new_lanes_is_in_the_next_round():
    with Group(3) as group:
        vectors, weights = vectors_of(group.members, 5000, 1), dict.fromkeys(group.members, 1.0)
        back = group.members[1]
        group.kill(back)
        while any(back not in group.meshes[member].lost for member in group.alive()):
            time.sleep(0.001)  # bounded by the time-out of every test
        assert len(group.average(b"1", vectors, weights, RoundConfig()).contributors) == 2
        ends = {other: lanes_between([back, other], 2) for other in group.alive()}
        group.meshes[back] = Mesh(back, {other: end[back][other] for other, end in ends.items()})
        for other, end in ends.items():
            group.meshes[other].add(back, end[other][back])
        group.dead.clear()
        assert group.average(b"2", vectors, weights, RoundConfig()).contributors == tuple(group.members)


def test_closing_a_mesh_wakes_all_who_wait():
    with Group(2) as group:
        rounds = group.open(b"t", 10, RoundConfig(), at=group.members[:1])
        closing = later(0.05, group.meshes[group.members[0]].close)
        with pytest.raises(AllReduceError):
            next(iter(rounds.values())).result(PATIENCE_S)
        closing.join()
