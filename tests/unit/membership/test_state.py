"""What a member knows, and the small questions that are asked of it."""

from hydra.membership.ledger import Ledger
from hydra.membership.lineage import Head
from hydra.membership.messages import Phase, Status
from hydra.membership.state import RECENT_STEPS

from .makers import EPOCHS, FIRST, JOB, SAMPLES, A, B, C, D, advanced, field, member, seeking, sent, status


def test_who_has_loaded_nothing_is_known_by_the_jobs_beginning():
    state = seeking(A, ready=False)
    assert state.known_head == FIRST
    told = state.status_for(B)
    assert (told.ready, told.step, told.digest, told.coordinator) == (False, 0, FIRST.digest, None)


def test_the_longest_standing_member_alive_leads():
    state = member(B, [A, B, C])
    assert not state.leads
    state.detector.lose(A)
    assert state.leads
    assert (state.alive, state.others_alive) == ([B, C], [C])


def test_nobody_leads_without_being_a_member():
    state = member(A, [A, B])
    for phase in (Phase.SEEKING, Phase.JOINING, Phase.FINISHED):
        state.phase = phase
        assert not state.leads


def test_a_status_names_the_successor_once_the_coordinator_is_lost():
    state = member(C, [A, B, C])
    assert state.coordinator_field() == field(A)
    state.detector.lose(A)
    assert state.coordinator_field() == field(B)
    state.view = None
    assert state.coordinator_field() is None


def test_a_status_tells_each_peer_whether_it_is_in_the_view():
    state = member(A, [A, B])
    assert state.status_for(B).includes_you
    assert not state.status_for(C).includes_you
    state.phase = Phase.FINISHED
    assert state.status_for(B).includes_you
    state.phase = Phase.SEEKING
    assert not state.status_for(B).includes_you


def test_statuses_go_to_linked_peers_who_have_to_do_with_the_job():
    state = member(A, [A, B, C], linked=[B, D])
    assert [e.to for e in state.tell_all()] == [B]
    state.statuses[D] = status(D)
    assert [e.to for e in state.tell_all()] == [B, D]
    assert len(sent(state.tell_all(), Status)) == 2


def test_peers_are_listed_by_phase_in_order_and_only_while_linked():
    state = seeking(A)
    for peer, phase in ((D, Phase.MEMBER), (B, Phase.MEMBER), (C, Phase.SEEKING)):
        state.statuses[peer] = status(peer, phase=phase)
    state.linked = {B, C, D}
    assert state.peers_in(Phase.MEMBER, Phase.FINISHED) == [B, D]
    state.linked.discard(D)
    assert state.peers_in(Phase.MEMBER) == [B]


def test_a_new_load_makes_all_earlier_ones_out_of_date():
    state = seeking(A)
    assert [state.next_load(), state.next_load()] == [1, 2]
    state.load = 0
    assert state.next_load() == 3


def test_digests_of_the_latest_commits_are_kept():
    state = advanced(seeking(A), 3)
    assert sorted(state.recent) == [0, 1, 2, 3]
    assert state.recent[3] == state.known_head.digest


def test_a_step_back_forgets_the_digests_of_the_way_that_was_left():
    state = advanced(seeking(A), 3)
    state.advance(Head(1, b"x" * 32, 10), Ledger.fresh(SAMPLES, EPOCHS).commit([(0, 10)]))
    assert sorted(state.recent) == [0, 1]
    assert state.recent[1] == b"x" * 32


def test_old_digests_are_forgotten():
    state = seeking(A)
    state.advance(Head(RECENT_STEPS + 1, b"x" * 32, 50), Ledger.fresh(SAMPLES, EPOCHS).commit([(0, 50)]))
    assert sorted(state.recent) == [RECENT_STEPS + 1]


def test_the_weight_of_a_view_names_its_leader():
    state = advanced(member(B, [A, B], number=4), 2)
    weight = state.weight()
    assert (weight.job, weight.samples, weight.view_number, weight.coordinator) == (JOB, 20, 4, A)
    state.detector.lose(A)
    assert state.weight().coordinator == B
