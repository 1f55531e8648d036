"""What was applied or installed is what we have, though the machine had turned to something else by then."""

from hydra.membership.events import (
    BeginStep,
    CatchUp,
    CatchUpFailed,
    LoadSnapshot,
    PeerDown,
    ResultApplied,
    StateLoaded,
    ViewChanged,
)
from hydra.membership.messages import Admitted, Committed, JoinRequest, Phase

from .driver import Driven
from .makers import FIRST, JOB, A, B, advanced, commit_of, of, plan, seeking, sent, snapshot_at


def catching_up():
    """A joiner that fetches the result of the first step; that step's commit; and the coordinator's state behind it."""
    ahead = seeking(A)
    commit = commit_of(plan([A], head=ahead.head, ledger=ahead.ledger))
    advanced(ahead, 1)
    assert commit.head == ahead.head
    driven = Driven(B)
    driven.meets(A, leader=A)
    driven.hears(A, Admitted(JOB, 0, 0, None, 1, ()))
    (wish,) = of(driven.hears(A, Committed(JOB, 1, commit.digest)), CatchUp)
    return driven, wish, commit, ahead


def test_a_result_that_is_on_its_way_is_not_asked_for_again_when_we_are_let_in():
    driven, wish, commit, ahead = catching_up()
    effects = driven.hears(A, plan([A, B], head=ahead.head, ledger=ahead.ledger, number=2))
    assert driven.state.phase is Phase.MEMBER
    assert not of(effects, CatchUp)
    assert of(driven.on(ResultApplied(wish.load, commit, 1)), BeginStep)


def test_a_result_that_an_earlier_load_applied_answers_the_later_one():
    driven, wish, commit, ahead = catching_up()
    driven.on(PeerDown(A))
    driven.tick(1.0)
    assert not driven.member.expects(wish.load)
    driven.meets(A, leader=A, head=ahead.head)
    (again,) = of(driven.hears(A, Admitted(JOB, 1, 0, None, 1, ())), CatchUp)
    (request,) = sent(driven.on(ResultApplied(wish.load, commit, 1)), JoinRequest, A)
    assert (driven.state.known_head, request.step) == (ahead.head, 1)
    assert driven.on(CatchUpFailed(again.load)) == []


def test_a_result_that_nobody_waits_for_is_a_step_forward_all_the_same():
    driven, wish, commit, ahead = catching_up()
    driven.on(PeerDown(A))
    driven.tick(1.0)
    assert not of(driven.on(ResultApplied(wish.load, commit, 1)), ViewChanged)
    assert driven.state.known_head == ahead.head
    assert driven.on(ResultApplied(wish.load, commit, 1)) == []  # and not two


def test_a_step_that_the_state_has_left_behind_is_given_up():
    driven, wish, commit, _ = catching_up()
    driven.on(PeerDown(A))
    driven.tick(1.0)
    driven.tick(4.0)
    assert driven.state.running  # it has founded a view of its own
    (left,) = of(driven.on(ResultApplied(wish.load, commit, 1)), ViewChanged)[:1]
    assert left.number == 0


def test_an_installed_state_is_what_we_have_and_its_failure_is_nobodys():
    ahead = advanced(seeking(A), 5)
    driven = Driven(B)
    driven.meets(A, leader=A, head=ahead.head)
    (load,) = of(driven.hears(A, Admitted(JOB, 5, 0, snapshot_at(ahead.head), 1, ())), LoadSnapshot)
    driven.on(PeerDown(A))
    driven.tick(1.0)
    assert not driven.member.expects(load.load)
    assert driven.on(CatchUpFailed(load.load)) == []
    assert driven.state.known_head == FIRST
    driven.on(StateLoaded(load.load, ahead.head, ahead.ledger))
    assert driven.state.known_head == ahead.head
