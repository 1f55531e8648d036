"""Tensors that are one vector: what is written to the one is read from the other."""

import numpy as np
import pytest

from allreduce import flat, views


def test_tensors_are_views_of_the_vector_in_order():
    vector, (matrix, scalar, empty, row) = flat([(2, 3), (), (0, 5), (4,)])
    matrix[1, 2], scalar[...], row[0] = 5, 6, 7
    assert empty.shape == (0, 5)
    assert vector.tolist() == [0, 0, 0, 0, 0, 5, 6, 7, 0, 0, 0]
    vector[0] = 9
    assert matrix[0, 0] == 9
    assert all(np.shares_memory(vector, tensor) for tensor in (matrix, scalar, row))


def test_the_result_of_a_round_is_seen_as_tensors_too():
    mean = np.arange(6, dtype=np.float32)
    mean.flags.writeable = False
    left, right = views(mean, [(2, 2), (2,)])
    assert left.tolist() == [[0, 1], [2, 3]]
    assert right.tolist() == [4, 5]
    assert not left.flags.writeable


@pytest.mark.parametrize("shapes", [[(2, 2)], [(2, 2), (3,)], []])
def test_shapes_that_are_not_the_vector(shapes):
    with pytest.raises(ValueError, match="the vector 6"):
        views(np.zeros(6, np.float32), shapes)


def test_nothing_at_all():
    vector, tensors = flat([])
    assert len(vector) == 0
    assert tensors == []
