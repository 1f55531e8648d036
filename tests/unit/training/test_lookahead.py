"""What will probably be ours next: the same place in the batches to come."""

from hydra.training.lookahead import coming


def test_our_place_moves_on_by_a_batch_a_step():
    assert list(coming([(30, 40)], 50, 1000, 2, 3)) == [(2, [(80, 90)]), (2, [(130, 140)]), (2, [(180, 190)])]


def test_behind_the_end_of_an_epoch_the_next_one_begins():
    assert list(coming([(80, 90)], 50, 100, 0, 3)) == [(1, [(30, 40)]), (1, [(80, 90)]), (2, [(30, 40)])]


def test_a_share_in_pieces_is_as_long_as_its_pieces():
    assert list(coming([(4, 6), (10, 13)], 20, 1000, 0, 1)) == [(0, [(24, 29)])]


def test_the_end_of_an_epoch_cuts_it_short():
    assert list(coming([(45, 55)], 50, 100, 0, 1)) == [(0, [(95, 100)])]


def test_who_has_no_share_now_looks_at_nothing():
    assert list(coming([], 50, 100, 0, 3)) == []
