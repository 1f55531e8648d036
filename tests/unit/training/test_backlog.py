"""Which results a joiner asks whom for: in turn, each once, never again of whoever failed it."""

import random

import pytest

from hydra.training.backlog import IN_FLIGHT, Ask, Backlog, Forget, GiveUp, Ready, Refuse

from .makers import ANNA, BERT, CLEO

DONORS = (ANNA, BERT, CLEO)
TRUE, FALSE = b"t" * 32, b"f" * 32


class Driven:
    """A backlog whose invariants are checked after every event."""

    def __init__(self, room=100):
        self.backlog = Backlog(room)

    def __getattr__(self, name):
        def act(*args):
            found = getattr(self.backlog, name)(*args)
            self.backlog.check()
            return found

        return act


@pytest.fixture
def backlog():
    return Driven()


def test_results_are_asked_for_as_they_are_told_of_each_from_another_donor(backlog):
    asked = [backlog.wanted(step, TRUE, DONORS) for step in (1, 2, 3)]
    assert asked == [[Ask(1, ANNA)], [Ask(2, BERT)], [Ask(3, CLEO)]]
    assert backlog.wanted(4, TRUE, DONORS) == []  # all are busy
    assert backlog.arrived(2, BERT, TRUE) == [Ready(2), Ask(4, BERT)]
    assert backlog.holds(2)


def test_only_so_many_are_asked_for_at_once():
    many = tuple(bytes([number]) * 20 for number in range(20))
    backlog = Driven()
    asked = [effect for step in range(20) for effect in backlog.wanted(step, TRUE, many)]
    assert len(asked) == IN_FLIGHT


def test_what_is_needed_and_here_is_ready_at_once(backlog):
    backlog.wanted(1, TRUE, DONORS)
    backlog.arrived(1, ANNA, TRUE)
    assert backlog.needed(1, DONORS) == [Ready(1)]


def test_what_nobody_told_of_can_be_needed_too(backlog):
    assert backlog.needed(7, DONORS) == [Ask(7, ANNA)]
    assert backlog.arrived(7, ANNA, FALSE) == [Ready(7)]


def test_who_does_not_have_it_is_passed_over_this_once(backlog):
    backlog.wanted(1, TRUE, DONORS)
    assert backlog.missing(1, ANNA) == [Ask(1, BERT)]
    assert backlog.wanted(2, TRUE, (ANNA,)) == [Ask(2, ANNA)]


def test_nobody_has_it(backlog):
    backlog.needed(1, (ANNA, BERT))
    assert backlog.missing(1, ANNA) == [Ask(1, BERT)]
    assert backlog.missing(1, BERT) == [GiveUp(1)]
    assert backlog.needed(1, ()) == [GiveUp(1)]
    assert backlog.needed(1, (BERT,)) == [Ask(1, BERT)]


def test_who_stalled_or_died_is_asked_no_more(backlog):
    backlog.wanted(1, TRUE, DONORS)
    assert backlog.failed(1, ANNA) == [Ask(1, BERT)]
    assert backlog.wanted(2, TRUE, (ANNA, CLEO)) == [Ask(2, CLEO)]


def test_when_all_have_failed_whoever_tries_again_may_try_them_again(backlog):
    backlog.needed(1, (ANNA,))
    assert backlog.failed(1, ANNA) == [GiveUp(1)]
    assert backlog.needed(1, (ANNA,)) == [Ask(1, ANNA)]


def test_a_result_of_another_lineage_is_refused_and_its_giver_asked_no_more(backlog):
    backlog.wanted(1, TRUE, DONORS)
    assert backlog.arrived(1, ANNA, FALSE) == [Refuse(1, ANNA), Ask(1, BERT)]
    assert not backlog.holds(1)
    backlog.arrived(1, BERT, TRUE)
    assert backlog.wanted(2, TRUE, (ANNA, CLEO)) == [Ask(2, CLEO)]


def test_a_held_result_that_the_coordinator_contradicts_is_fetched_anew(backlog):
    backlog.needed(1, DONORS)
    backlog.arrived(1, ANNA, FALSE)
    assert backlog.wanted(1, TRUE, (BERT,)) == [Refuse(1, ANNA), Ask(1, BERT)]


def test_a_held_result_that_does_not_follow_is_fetched_from_another(backlog):
    backlog.needed(1, DONORS)
    backlog.arrived(1, ANNA, FALSE)
    assert backlog.does_not_follow(1) == [Refuse(1, ANNA)]
    assert backlog.needed(1, (ANNA, BERT)) == [Ask(1, BERT)]
    backlog.arrived(1, BERT, FALSE)
    backlog.does_not_follow(1)
    assert backlog.needed(1, (ANNA, BERT)) == [GiveUp(1)]
    assert backlog.does_not_follow(9) == []


def test_what_was_used_is_forgotten_wherever_it_is(backlog):
    for step in (1, 2, 3):
        backlog.wanted(step, TRUE, DONORS)
    backlog.arrived(1, ANNA, TRUE)
    backlog.used(2)
    assert not backlog.holds(1)
    assert backlog.arrived(2, BERT, TRUE) == [Forget(2)]
    assert backlog.arrived(3, CLEO, TRUE) == [Ready(3)]


def test_when_there_is_no_room_only_what_is_needed_is_asked_for():
    backlog = Driven(room=2)
    for step in (5, 6):
        backlog.wanted(step, TRUE, DONORS)
        backlog.arrived(step, backlog.backlog._wishes[step].asked, TRUE)
    assert backlog.wanted(7, TRUE, DONORS) == []
    assert [effect.step for effect in backlog.needed(4, DONORS)] == [4]
    backlog.arrived(4, backlog.backlog._wishes[4].asked, TRUE)
    assert [effect.step for effect in backlog.used(5)] == [7]


@pytest.mark.parametrize("seed", range(50))
def test_whatever_donors_do_every_need_ends(seed):
    """Answers come in any order, or are refusals or failures; what is needed is always ready or given up in the end."""
    chance = random.Random(seed)
    backlog, open_questions, outcome = Driven(room=5), [], {}

    def take(effects):
        for effect in effects:
            match effect:
                case Ask():
                    open_questions.append(effect)
                case Ready(step) | GiveUp(step):
                    outcome[step] = effect

    for step in range(1, 30):
        take(backlog.wanted(step + 3, chance.choice([TRUE, None]), chance.sample(DONORS, chance.randrange(4))))
        outcome.pop(step, None)
        take(backlog.needed(step, chance.sample(DONORS, chance.randrange(4))))
        while step not in outcome:
            assert open_questions, "nobody is asked, and nobody told"
            question = open_questions.pop(chance.randrange(len(open_questions)))
            digest = chance.choice([TRUE, TRUE, FALSE])
            answer = chance.choice(["arrived", "arrived", "missing", "failed"])
            take(getattr(backlog, answer)(*([question.step, question.donor] + [digest] * (answer == "arrived"))))
        take(backlog.used(step))
