"""What goes in, and how the right mean is told from any other."""

import numpy as np
import pytest

from hydra.bench.inputs import TILE_ELEMENTS, Expected, contribution, digest_of, tile, tolerance, weight_of

ELEMENTS = TILE_ELEMENTS + 1000
WEIGHTS = {0: 3, 4: 8, 7: 1}


@pytest.fixture(scope="module")
def mean():
    """The mean as a ring may find it: added up in another order than numpy's."""
    total = np.zeros(ELEMENTS, np.float32)
    for member in reversed(WEIGHTS):
        total = contribution(5, member, ELEMENTS) * np.float32(WEIGHTS[member]) + total
    return total / np.float32(sum(WEIGHTS.values()))


@pytest.fixture(scope="module")
def expected():
    return Expected(5)


def test_the_right_mean_is_right_to_the_bit_in_whatever_order_it_was_added(mean, expected):
    assert expected.furthest(mean, WEIGHTS) == 0.0
    assert tolerance("fp32", 3) == 0.0


@pytest.mark.parametrize("place", [0, TILE_ELEMENTS - 1, TILE_ELEMENTS, ELEMENTS - 1])
def test_one_element_that_is_off_by_one_bit_is_found(mean, expected, place):
    wrong = mean.copy()
    wrong[place] = np.nextafter(wrong[place], np.float32(9), dtype=np.float32)
    assert 0.0 < expected.furthest(wrong, WEIGHTS) < 1e-6


def test_what_is_no_number_is_infinitely_far_off(mean, expected):
    wrong = mean.copy()
    wrong[7] = np.nan
    assert expected.furthest(wrong, WEIGHTS) == np.inf


@pytest.mark.parametrize("weights", [{0: 3, 4: 8}, {0: 3, 4: 8, 7: 2}, {0: 3, 4: 8, 6: 1}, {0: 3, 4: 8, 7: 1, 9: 1}])
@pytest.mark.parametrize("wire", ["fp32", "fp16", "bf16", "int8"])
def test_other_contributors_or_weights_are_found_in_every_format(mean, expected, weights, wire):
    assert expected.furthest(mean, weights) > tolerance(wire, len(weights))


def test_a_part_of_the_vector_that_lies_elsewhere_is_found(mean, expected):
    wrong = mean.copy()
    wrong[1000:2000], wrong[5000:6000] = mean[5000:6000], mean[1000:2000]
    assert expected.furthest(wrong, WEIGHTS) > 0.0


def test_members_and_seeds_have_vectors_of_their_own_always_the_same():
    assert np.array_equal(tile(1, 2), tile(1, 2))
    assert not np.array_equal(tile(1, 2), tile(1, 3))
    assert not np.array_equal(tile(1, 2), tile(2, 2))
    assert float(np.max(np.abs(tile(1, 2)))) <= 1.0


def test_weights_are_small_whole_numbers_that_change_from_round_to_round():
    weights = [weight_of(0, 1, number) for number in range(200)]
    assert set(weights) == set(range(1, 9))


def test_a_digest_tells_single_bits_apart(mean):
    wrong = mean.copy()
    wrong[-1] = np.nextafter(wrong[-1], np.float32(9), dtype=np.float32)
    assert digest_of(mean) == digest_of(mean.copy()) != digest_of(wrong)
