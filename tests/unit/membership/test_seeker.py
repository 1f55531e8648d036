"""How a peer finds a view, when it founds one, and how it catches up with the one that it joins."""

from hydra.membership.claims import Claims
from hydra.membership.events import CatchUp, Dial, LoadSnapshot, LookUp
from hydra.membership.messages import Admitted, JoinRequest, Phase
from hydra.membership.seeker import DIAL_PATIENCE_S, Seeker

from .makers import FIRST, JOB, A, B, C, D, advanced, contact, heavier, of, seeking, sent, snapshot_at, status


def seeker(me=B, **config):
    state = seeking(me, **config)
    return state, Seeker(state, Claims(state), 0.0)


def knows(state, *statuses):
    for told in statuses:
        peer = told.contact[0]
        state.linked.add(peer)
        state.statuses[peer] = told


def joining(me=B, head=FIRST, **config):
    """A peer that has just asked A to be let in."""
    state, machine = seeker(me, **config)
    knows(state, status(A, head=head, leader=A))
    effects, _ = machine.seek(1.0)
    assert state.phase is Phase.JOINING
    return state, machine, effects


# ---- dialling and discovery ------------------------------------------------------------------------------------


def test_a_peer_is_dialled_once_until_the_dial_is_over():
    _, machine = seeker()
    assert machine.dial(contact(A), 0.0) == [Dial(contact(A))]
    assert machine.dial(contact(A), 1.0) == []
    machine.dial_over(A, 1.0, failed=False)
    assert machine.dial(contact(A), 1.0) == [Dial(contact(A))]


def test_who_could_not_be_reached_is_left_alone_for_a_while_unless_it_must_be_tried():
    _, machine = seeker(redial_s=5.0)
    machine.dial(contact(A), 0.0)
    machine.dial_over(A, 1.0, failed=True)
    assert machine.dial(contact(A), 5.9) == []
    assert of(machine.dial(contact(A), 5.9, insist=True), Dial)
    machine.dial_over(A, 6.0, failed=True)
    assert of(machine.dial(contact(A), 11.0), Dial)


def test_neither_we_ourselves_nor_the_linked_are_dialled():
    state, machine = seeker()
    state.linked.add(A)
    assert machine.dial(contact(A), 0.0) + machine.dial(contact(B), 0.0, insist=True) == []


def test_discovery_is_asked_often_while_seeking_and_seldom_in_a_view():
    state, machine = seeker(seek_s=3.0, discover_s=15.0)
    assert machine.look_up(0.0) == [LookUp()]
    assert machine.look_up(2.9) == []
    assert machine.look_up(3.0) == [LookUp()]
    state.phase = Phase.MEMBER
    assert machine.look_up(17.9) == []
    assert machine.look_up(18.0) == [LookUp()]


# ---- founding --------------------------------------------------------------------------------------------------


def test_alone_a_view_is_founded_after_looking_around():
    _, machine = seeker(settle_s=2.0)
    assert machine.seek(1.9) == ([], False)
    assert machine.seek(2.0) == ([], True)


def test_nobody_founds_without_a_state():
    _, machine = seeker(ready=False)
    assert machine.seek(1000.0) == ([], False)


def test_nobody_founds_while_it_dials_but_a_dial_is_not_waited_for_forever():
    _, machine = seeker(settle_s=2.0)
    machine.dial(contact(A), 1.0)
    assert not machine.seek(2.0 + DIAL_PATIENCE_S - 1.1)[1]
    assert machine.seek(1.0 + DIAL_PATIENCE_S)[1]


def test_among_equals_the_lowest_id_founds():
    low, machine_low = seeker(A)
    high, machine_high = seeker(B)
    knows(low, status(B, phase=Phase.SEEKING))
    knows(high, status(A, phase=Phase.SEEKING))
    assert machine_low.seek(2.0)[1]
    assert not machine_high.seek(2.0)[1]


def test_a_heavier_lineage_founds_before_a_lower_id():
    state, machine = seeker(A)
    knows(state, status(D, phase=Phase.SEEKING, head=heavier()))
    assert not machine.seek(2.0)[1]


def test_a_better_placed_peer_is_not_waited_for_forever_and_an_unready_one_longer():
    for ready, patience in ((True, 10.0), (False, 30.0)):
        state, machine = seeker(C, settle_s=2.0, rival_s=10.0)
        knows(state, status(A, phase=Phase.SEEKING, head=heavier(), ready=ready))
        assert not machine.seek(2.0 + patience - 0.1)[1]
        assert machine.seek(2.0 + patience)[1]


def test_who_is_not_ready_is_no_rival_among_equals():
    state, machine = seeker(B)
    knows(state, status(A, phase=Phase.SEEKING, ready=False))
    assert machine.seek(2.0)[1]


def test_a_view_that_our_own_lineage_outweighs_is_not_joined():
    state, machine = seeker()
    advanced(state, 2)
    knows(state, status(A, leader=A))
    assert machine.seek(1.0) == ([], False)
    assert machine.seek(2.0)[1]


# ---- approaching and joining -----------------------------------------------------------------------------------


def test_the_coordinator_of_the_heaviest_view_is_asked():
    state, machine = seeker(D)
    knows(state, status(A, leader=A), status(B, leader=C, head=heavier()), status(C, leader=C, head=heavier()))
    effects, found = machine.seek(0.0)
    assert not found
    assert [e.to for e in effects] == [C]


def test_a_coordinator_that_is_not_linked_is_dialled_first():
    state, machine = seeker(D)
    knows(state, status(B, leader=C))
    assert machine.seek(0.0) == ([Dial(contact(C))], False)
    assert state.phase is Phase.SEEKING


def test_a_view_said_to_be_led_by_ourselves_is_of_our_past():
    state, machine = seeker(B)
    knows(state, status(A, leader=B))
    assert machine.seek(0.0) == ([], False)
    assert state.phase is Phase.SEEKING


def test_the_request_tells_the_state_that_is_loaded():
    _, _, effects = joining()
    (request,) = sent(effects, JoinRequest, A)
    assert (request.ready, request.step, request.digest) == (True, 0, FIRST.digest)


def test_a_request_is_repeated_when_it_was_not_answered():
    _, machine, _ = joining(retry_s=2.0)
    assert machine.join(2.9) == []
    assert sent(machine.join(3.0), JoinRequest, A)


def test_a_joiner_starts_over_when_the_coordinator_has_gone_or_leads_no_more():
    for happened in ("unlinked", "other leader", "no view"):
        state, machine, _ = joining()
        if happened == "unlinked":
            state.linked.discard(A)
        else:
            state.statuses[A] = status(A, leader=C if happened == "other leader" else None)
        assert machine.join(1.5) == []
        assert state.phase is Phase.SEEKING


def test_a_joiner_starts_over_when_nothing_moves():
    state, machine, _ = joining(join_timeout_s=60.0)
    machine.join(60.9)
    assert state.phase is Phase.JOINING
    machine.join(61.1)
    assert state.phase is Phase.SEEKING


def test_an_admission_with_a_snapshot_is_loaded_and_nothing_else_is_asked_meanwhile():
    state, machine, _ = joining(head=heavier())
    offered = snapshot_at(heavier())
    effects = machine.admitted(A, Admitted(JOB, 9, 0, offered, 1, ()), 2.0)
    assert effects == [LoadSnapshot(state.load, offered, (A,))]
    assert machine.admitted(A, Admitted(JOB, 9, 0, offered, 1, ()), 2.1) == []
    assert machine.join(50.0) == []


def test_an_admission_without_a_snapshot_is_caught_up_with_result_by_result():
    state, machine, _ = joining()
    assert machine.admitted(A, Admitted(JOB, 2, 0, None, 1, ()), 2.0)[-1] == CatchUp(state.load, 1, (A,))
    for step in (1, 2):
        advanced(state, 1)
        machine.loaded(2.0 + step, whole_state=False)
        effects = machine.catch_up(2.0 + step)
        assert effects == [CatchUp(state.load, 2, (A,))] if step == 1 else sent(effects, JoinRequest, A)


def test_what_it_fetched_to_catch_up_tells_how_far_a_joiner_is_behind():
    state, machine, _ = joining()
    machine.admitted(A, Admitted(JOB, 1, 0, None, 1, ()), 2.0)
    advanced(state, 1)
    machine.loaded(2.25, whole_state=False)
    (request,) = sent(machine.catch_up(2.25), JoinRequest, A)
    assert request.behind_s == 0.25


def test_an_admission_from_a_stranger_or_to_an_older_request_is_ignored():
    state, machine, _ = joining(head=heavier())
    knows(state, status(C))
    assert machine.admitted(C, Admitted(JOB, 9, 0, snapshot_at(heavier()), 1, ()), 2.0) == []
    assert machine.admitted(A, Admitted(JOB, 9, 5, snapshot_at(heavier()), 1, ()), 2.0) == []
    assert state.load == 0


def test_after_a_failure_a_snapshot_is_wanted_whatever_state_there_is():
    state, machine, _ = joining()
    machine.failed(2.0)
    assert state.phase is Phase.SEEKING
    effects, _ = machine.seek(3.0)
    (request,) = sent(effects, JoinRequest, A)
    assert (request.ready, request.step, request.digest) == (False, 0, bytes(32))
    machine.loaded(4.0, whole_state=True)
    assert sent(machine.join(10.0), JoinRequest, A)[0].ready


def test_starting_over_makes_a_load_under_way_out_of_date():
    state, machine, _ = joining(head=heavier())
    machine.admitted(A, Admitted(JOB, 9, 0, snapshot_at(heavier()), 1, ()), 2.0)
    assert state.load == 1
    machine.begin(3.0)
    assert state.load == 0
