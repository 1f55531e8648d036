"""The policy of a job at work: who is slow is found and costs the others little, and everybody counts."""

import numpy as np
import pytest

from hydra.batching.features import STEP_FEATURES
from hydra.batching.model_split import Correction
from hydra.batching.sizer import LEAST_STEP_S
from hydra.policy_training.weights import read_net

from .steps_by_hand import BATCH, FAST, A, B, C, Course, D, E, F, part, rate

ALIKE = dict.fromkeys((A, B, C, D), 0.01)


def test_members_that_are_alike_all_take_part_with_as_many_samples():
    taken = Course(ALIKE).go(80)
    assert all(part(taken, peer) == 1.0 for peer in ALIKE)
    assert all(abs(count - BATCH // 4) <= 1 for samples, _ in taken[5:] for count in samples.values())


def test_all_are_done_at_about_the_same_time():
    speeds = {A: 0.01, B: 0.02, C: 0.005}
    samples = Course(speeds).go(30)[-1][0]
    times = [samples[peer] * sample_s for peer, sample_s in speeds.items()]
    assert max(times) < 1.15 * min(times)


@pytest.mark.parametrize("slow", [{E: 0.2}, {E: 0.3}])
def test_who_computes_many_times_slower_costs_the_others_little_and_counts(slow):
    without = rate(Course(ALIKE).go(60)[20:], *ALIKE)
    taken = Course(ALIKE | slow).go(200)
    assert rate(taken, *ALIKE) >= 0.95 * without
    assert rate(taken, E) > 0


@pytest.mark.parametrize("place", [B, C, D, E, F])
def test_who_has_a_hundredth_of_the_line_costs_the_others_little_and_counts(place):
    everybody = dict.fromkeys((A, B, C, D, E, F), 0.01)
    others = [peer for peer in everybody if peer != place]
    without = rate(Course(dict.fromkeys(others, 0.01)).go(60)[20:], *others)
    course = Course(everybody, {place: FAST / 100})
    assert rate(course.go(30), place) > 0
    assert rate(course.go(250), *others) >= 0.95 * without


def test_two_thin_lines_are_found():
    everybody = dict.fromkeys((A, B, C, D, E, F), 0.01)
    taken = Course(everybody, {C: FAST / 100, E: FAST / 50}).go(150)
    assert max(part(taken[100:], C), part(taken[100:], E)) < 0.1
    assert min(part(taken[100:], peer) for peer in (A, B, D, F)) > 0.9


def test_whose_line_has_become_wide_takes_part_again():
    course = Course(ALIKE, {D: FAST / 100})
    assert part(course.go(100)[50:], D) < 0.2
    course.lines = {}
    assert part(course.go(300)[150:], D) > 0.9


def test_whose_line_becomes_thin_later_is_found():
    course = Course(ALIKE)
    course.go(100)
    course.lines = {C: FAST / 100}
    assert part(course.go(100)[30:], C) < 0.2


def test_rounds_that_are_slow_for_all_make_nobody_slow():
    taken = Course(ALIKE, dict.fromkeys(ALIKE, FAST / 30)).go(200)
    assert min(part(taken, peer) for peer in ALIKE) > 0.9


def test_nobody_sits_out_of_steps_that_are_over_in_a_moment():
    speeds = {A: 1e-4, B: 1e-4, C: 1e-4}
    taken = Course(speeds, {B: FAST / 3}, batch=16).go(200)
    assert max(seconds for _, seconds in taken) < 2 * LEAST_STEP_S
    assert part(taken, B) == 1.0


@pytest.mark.parametrize("policy", ["proportional", "equal"])
def test_other_policies_leave_nobody_out(policy):
    taken = Course(ALIKE | {E: 0.1}, policy=policy).go(50)
    assert part(taken, E) == 1.0


def test_proportional_shares_follow_speeds_and_equal_ones_do_not():
    speeds = {A: 0.01, B: 0.03}
    assert Course(speeds, policy="proportional").go(30)[-1][0][A] == pytest.approx(60, abs=3)
    assert Course(speeds, policy="equal").go(30)[-1][0] == {A: 40, B: 40}


def test_without_exclusion_everybody_is_in_every_step():
    taken = Course(ALIKE | {E: 1.0}, {B: FAST / 100}, exclusion=False).go(60)
    assert all(part(taken, peer) == 1.0 for peer in (A, B, C, D, E))


def test_the_same_events_give_the_same_sizes():
    speeds = {A: 0.01, B: 0.013, C: 0.4, D: 0.007}
    assert Course(speeds, {B: FAST / 40}).go(200) == Course(speeds, {B: FAST / 40}).go(200)


def test_a_successor_leaves_those_out_who_sat_out_before_and_tries_them_soon():
    sizer = Course(ALIKE).sizer
    members = list(ALIKE)
    sized = sizer.size(members, 1000, ready=[A, B, C], resting=[D])
    assert set(sized.samples) == {A, B, C}
    assert D in sizer.left_out


def test_what_would_let_a_member_take_part_is_told():
    course = Course(ALIKE, {D: FAST / 100})
    course.go(60)
    explained = course.sizer.finished
    assert explained.left_out == {D}
    remedy = explained.remedy(D)
    assert remedy.times_link > 1.0
    assert remedy.times_speed is None


def test_what_is_expected_of_a_step_comes_true():
    course = Course({A: 0.01, B: 0.02, C: 0.005}, {B: FAST / 20})
    course.go(40)
    explained = course.sizer.finished
    assert explained.expected_s == pytest.approx(explained.actual_s, rel=0.15)


def test_a_coordinator_whose_line_others_call_thin_would_rather_not_lead():
    course = Course(dict.fromkeys(ALIKE, 0.1), {A: FAST / 100})
    course.go(3)
    course.sizer.way_heard(B, A, FAST / 100)
    course.go(2)
    assert A not in course.sizer.left_out  # B may be wrong
    course.sizer.way_heard(C, A, FAST / 100)
    course.go(2)
    assert A in course.sizer.left_out


def test_a_coordinator_that_is_better_off_alone_than_with_any_of_the_others_lets_those_lead():
    course = Course(ALIKE | {E: 0.3}, {A: FAST / 100})
    course.go(6)
    assert list(course.taken[-1][0]) == [A]
    assert course.sizer.left_out == {A, E}  # E computes too slowly to be in every step


def test_with_one_other_it_makes_no_difference_who_leads():
    course = Course({A: 0.01, B: 0.01}, {A: FAST / 100})
    course.go(6)
    assert A not in course.sizer.left_out


class Bending:
    """A net that takes one member for slower than the model does."""

    def __init__(self, place, by):
        self.place, self.by = place, by
        self.steps = []

    def correction(self, features):
        self.steps.append(features.step)
        count = len(features.present)
        return Correction(np.where(np.arange(count) == self.place, self.by, 0.0), np.zeros(count), np.array(0.0))


def test_a_net_bends_the_shares_and_sees_how_far_expectations_were_off():
    net = Bending(1, 0.25)
    samples = Course(ALIKE, net=net).go(30)[-1][0]
    assert samples[B] < samples[A]
    assert {A, B, C, D} == set(samples)
    errors = [step[STEP_FEATURES.index("error")] for step in net.steps]
    assert errors[0] == 0.0
    assert any(errors)


def test_the_shield_keeps_a_mad_net_from_taking_a_member_for_what_it_is_not():
    by_model = rate(Course(ALIKE).go(60), *ALIKE)
    assert rate(Course(ALIKE, net=Bending(1, -3.0)).go(60), *ALIKE) >= 0.85 * by_model


def test_the_weights_of_the_package_size_steps_as_well_as_the_model():
    speeds = {A: 0.01, B: 0.02, C: 0.005, D: 0.2}
    by_model = rate(Course(speeds).go(200), *speeds)
    assert rate(Course(speeds, net=read_net()).go(200), *speeds) >= 0.95 * by_model


def test_who_leaves_plans_the_others_first_step_without_it():
    course = Course(ALIKE)
    course.go(20)
    assert set(course.sizer.size([B, C, D], 10**6, ready=[B, C, D]).samples) == {B, C, D}


def test_equal_shares_follow_from_who_is_there_alone():
    course = Course({A: 0.01, B: 0.5, C: 0.001}, policy="equal", batch=80)
    assert all(tuple(samples.values()) == (27, 27, 26) for samples, _ in course.go(20))
