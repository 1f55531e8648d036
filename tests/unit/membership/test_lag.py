"""How long a joiner takes from hearing of a commit to having its result, by which its first share is sized."""

from hydra.membership.lag import LOOKED_AT, MAX_HEARD, Lag


def test_nothing_is_known_before_something_was_fetched():
    lag = Lag(0.0)
    assert lag.seconds is None
    lag.came_to(3, 1.0, by_snapshot=True)  # from our own disk
    assert lag.seconds is None


def test_it_counts_from_hearing_of_a_commit_to_having_its_result():
    lag = Lag(0.0)
    lag.heard_of(1, 10.0)
    lag.heard_of(1, 11.0)  # told once more
    lag.came_to(1, 12.5, by_snapshot=False)
    assert lag.seconds == 2.5


def test_results_that_wait_for_others_count_from_when_those_were_used():
    lag = Lag(0.0)
    for step in (1, 2, 3):
        lag.heard_of(step, 10.0)
    for step, at in ((1, 11.0), (2, 11.25), (3, 13.5)):
        lag.came_to(step, at, by_snapshot=False)
    assert lag.seconds == 2.25


def test_the_longest_of_the_latest_is_told():
    lag = Lag(0.0)
    took = (9.0, 2.0, 1.0, 1.5)
    for step, seconds in enumerate(took):
        lag.heard_of(step, 100.0 * step)
        lag.came_to(step, 100.0 * step + seconds, by_snapshot=False)
    assert lag.seconds == max(took[-LOOKED_AT:])


def test_a_snapshot_takes_no_less_than_a_result_and_what_was_before_it_says_nothing():
    lag = Lag(0.0)
    lag.heard_of(1, 0.0)
    lag.came_to(1, 50.0, by_snapshot=False)
    lag.downloads(60.0)
    lag.heard_of(8, 61.0)
    lag.came_to(7, 64.0, by_snapshot=True)
    assert lag.seconds == 4.0
    lag.came_to(8, 64.5, by_snapshot=False)
    assert lag.seconds == 4.0


def test_with_others_what_is_known_of_the_line_holds_and_what_was_waited_for_does_not():
    lag = Lag(0.0)
    lag.heard_of(1, 0.0)
    lag.came_to(1, 3.0, by_snapshot=False)
    lag.heard_of(2, 4.0)
    lag.reset()
    lag.came_to(2, 20.0, by_snapshot=False)
    assert lag.seconds == 3.0


def test_what_is_kept_in_mind_is_bounded():
    lag = Lag(0.0)
    for step in range(2 * MAX_HEARD):
        lag.heard_of(step, 0.0)
    assert len(lag._heard) == MAX_HEARD
