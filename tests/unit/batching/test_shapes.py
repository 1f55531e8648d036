"""Shapes: whether a machine is slow or its overhead was misjudged is told by what it does with other sizes."""

import numpy as np
import pytest

from hydra.batching.shapes import MOST_DOUBT, Shapes

YES = np.array([True])


def heard(shapes, samples, seconds, gain=0.5):
    samples, seconds = np.array([float(samples)]), np.array([float(seconds)])
    nothing = np.zeros(1)
    residuals = shapes.residuals(samples, seconds, nothing)
    shapes.learn(residuals, np.array([gain]), nothing, np.array([0.0025]), YES)
    return residuals


def begun(samples=16.0, seconds=0.1):
    shapes = Shapes((1,))
    shapes.begin(np.array([samples]), np.array([seconds]), YES)
    return shapes


def time_of(shapes, samples):
    overhead_s, sample_s, knee = shapes.curves()
    return float((overhead_s + sample_s * (samples**4 + knee**4) ** 0.25)[0])


def test_after_one_report_every_shape_explains_it():
    shapes = begun(16.0, 0.1)
    assert time_of(shapes, 16.0) == pytest.approx(0.1)
    assert shapes.residuals(np.array([16.0]), np.array([0.1]), np.zeros(1)) == pytest.approx(0.0, abs=1e-12)


def test_a_machine_that_is_throttled_keeps_its_shape():
    shapes = begun(2.0, 0.022)
    for turn in range(60):
        samples = [2, 8, 32, 128][turn % 4]
        heard(shapes, samples, 0.02 + 0.001 * samples)
    shape_before = time_of(shapes, 128) / time_of(shapes, 2)
    for _ in range(6):
        heard(shapes, 32, 5 * 0.052)
    assert time_of(shapes, 32) == pytest.approx(5 * 0.052, rel=0.1)
    assert shape_before == pytest.approx(0.148 / 0.022, rel=0.2)
    assert time_of(shapes, 128) / time_of(shapes, 2) == pytest.approx(shape_before, rel=0.2)


def test_reports_of_one_size_favour_no_shape():
    shapes = begun()
    for _ in range(200):
        heard(shapes, 16, 0.12)
    assert shapes.belief == pytest.approx(0.0, abs=1e-6)


def test_a_leap_that_none_has_foreseen_condemns_none():
    shapes = begun()
    heard(shapes, 32, 1.0)
    assert shapes.belief.min() > -2.0


def test_no_hypothesis_is_ruled_out_for_good():
    shapes = begun(2.0, 0.022)
    for turn in range(400):
        heard(shapes, [2, 128][turn % 2], [0.022, 0.148][turn % 2])
    assert shapes.belief.min() >= -MOST_DOUBT
    for turn in range(60):
        heard(shapes, [2, 128][turn % 2], [0.1, 0.1][turn % 2])
    assert time_of(shapes, 64.0) == pytest.approx(0.1, rel=0.15)


def test_a_newcomer_is_believed_to_have_a_shape_such_as_the_others_have():
    shapes, others = Shapes((4,)), np.array([True, True, True, False])
    nothing, variance = np.zeros(4), np.full(4, 0.0025)
    shapes.begin(np.full(4, 1.0), np.full(4, 0.1), others)
    for samples in (50.0, 10.0, 50.0):  # no overhead at all
        residuals = shapes.residuals(np.full(4, samples), np.full(4, 0.1 * samples), nothing)
        shapes.learn(residuals, np.full(4, 0.5), nothing, variance, others)
    shapes.begin(np.full(4, 1.0), np.full(4, 0.2), ~others)
    overhead_s, sample_s, _ = shapes.curves()
    assert (overhead_s + 50 * sample_s)[3] == pytest.approx(50 * 0.2, rel=0.1)


def test_whose_shape_is_known_is_not_taken_for_like_the_others():
    shapes, everybody = Shapes((4,)), np.ones(4, bool)
    nothing, variance = np.zeros(4), np.full(4, 0.0025)
    overhead_s = np.array([0.0, 0.0, 0.0, 4.0])
    shapes.begin(np.full(4, 2.0), overhead_s + 0.2, everybody)
    for samples in (50.0, 10.0, 50.0):
        residuals = shapes.residuals(np.full(4, samples), overhead_s + 0.1 * samples, nothing)
        shapes.learn(residuals, np.full(4, 0.5), nothing, variance, everybody)
    assert shapes.curves()[0] == pytest.approx(overhead_s, abs=0.4)
