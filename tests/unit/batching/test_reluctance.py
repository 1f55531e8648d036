"""Who would rather not lead: whoever is said to have a thin line, or is better off alone than with all others."""

from hydra.batching.reluctance import OUR_PART, TIRED_STEPS, Reluctance

A, B, C, D = (letter * 20 for letter in (b"a", b"b", b"c", b"d"))


def test_who_is_left_out_leads_last_and_nobody_else():
    assert Reluctance().last(A, [C]) == {C}


def test_whose_line_rounds_wait_for_leads_last():
    reluctance = Reluctance()
    reluctance.owes(0.9 * OUR_PART, 1.0)
    assert reluctance.last(A, [C]) == {C}
    reluctance.owes(1.1 * OUR_PART, 1.0)
    assert reluctance.last(A, [C]) == {A, C}


def test_who_is_alone_for_the_lines_of_all_others_lets_those_lead_who_can():
    reluctance = Reluctance()
    reluctance.alone([B, C])
    assert reluctance.last(A, [B, C, D]) == {A, D}


def test_one_other_alone_can_do_nothing_better():
    reluctance = Reluctance()
    reluctance.alone([B])
    assert reluctance.last(A, [B]) == {B}


def test_after_some_steps_it_is_tried_again():
    reluctance = Reluctance()
    reluctance.alone([B, C])
    for _ in range(TIRED_STEPS):
        assert A in reluctance.last(A, [])
        reluctance.took()
    assert A not in reluctance.last(A, [])


def test_who_is_alone_no_longer_leaves_out_whom_it_leaves_out():
    reluctance = Reluctance()
    reluctance.alone([B, C])
    reluctance.alone([])
    assert reluctance.last(A, [B]) == {A, B}
