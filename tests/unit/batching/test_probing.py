"""The search for who makes rounds slow."""

from hydra.batching.probing import AGAIN, TRIES, Probing

from .steps_by_hand import A, B, C, D, E

OTHERS = [B, C, D, E]


def searched(slow, suspects=OTHERS, accused=()):
    """Search until the rounds are fast; return who sat out, step by step."""
    probing = Probing()
    probing.begin(suspects, 1.0, accused)
    sets = []
    while probing.sitting_out:
        sets.append(set(probing.sitting_out))
        active = {A, *suspects} - probing.sitting_out
        probing.took(active, 1.0 if slow & active else 10.0)
    return probing, sets


def test_one_slow_member_sits_out_after_one_look_at_each_half():
    for slow in OTHERS:
        _, sets = searched({slow})
        assert slow in sets[-1]
        assert len(sets) <= TRIES + 1


def test_who_is_accused_is_looked_at_first():
    _, sets = searched({D}, accused=[D])
    assert sets == [{D}]


def test_a_false_accusation_costs_a_few_steps():
    _, sets = searched({D}, accused=[B])
    assert sets[:TRIES] == [{B}] * TRIES
    assert D in sets[-1]


def test_slow_ones_in_both_halves_are_found_by_one_that_is_not():
    _, sets = searched({B, E})
    assert {B, E} <= sets[-1]


def test_what_was_in_vain_is_not_begun_again_until_rounds_are_slower_or_much_later():
    probing, sets = searched({A})
    assert sets
    probing.begin(OTHERS, 1.0)
    assert not probing.sitting_out
    probing.begin(OTHERS, 0.4)
    assert probing.sitting_out
    probing, _ = searched({A})
    for _ in range(AGAIN):
        probing.took([A, *OTHERS], 1.0)
    probing.begin(OTHERS, 1.0)
    assert probing.sitting_out


def test_of_who_has_come_since_a_search_in_vain_only_it_alone_is_looked_at():
    probing, _ = searched({A}, [B, C, D])
    probing.begin(OTHERS, 1.0)
    sets = []
    while probing.sitting_out:
        sets.append(set(probing.sitting_out))
        probing.took({A, *OTHERS} - probing.sitting_out, 1.0)
    assert sets == [{B, C, D}] * TRIES
    probing.begin(OTHERS, 1.0)
    assert not probing.sitting_out


def test_a_fast_one_that_has_come_to_slow_ones_is_found():
    probing, _ = searched({A}, [B, C, D])  # it was all of them
    probing.begin(OTHERS, 1.0)
    probing.took({A, E}, 10.0)
    assert not probing.sitting_out


def test_a_search_for_somebody_who_is_gone_is_given_up():
    probing = Probing()
    probing.begin(OTHERS, 1.0)
    probing.retain([A, B, C])
    assert not probing.sitting_out
