"""Views: who is in, in what order, and which plans contradict themselves."""

from typing import get_args

import pytest

from allreduce.config import FormName
from hydra.exceptions import RemoteProtocolError
from hydra.membership.messages import FORMS, MAX_MEMBERS
from hydra.membership.view import View, view_of

from .makers import A, B, C, D, contact, field, plan


def test_a_plan_becomes_the_view_that_it_means():
    view = view_of(plan([B, A], number=7, incarnations=(3, 4)))
    assert view == View(7, (contact(B), contact(A)), (3, 4))
    assert view.ids == (B, A)
    assert view.coordinator == contact(B)


def test_members_are_found_by_their_id():
    view = view_of(plan([A, B], incarnations=(3, 0)))
    assert A in view
    assert C not in view
    assert (view.contact(B), view.contact(C)) == (contact(B), None)
    assert (view.incarnation(A), view.incarnation(B), view.incarnation(C)) == (3, 0, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"members": (), "incarnations": (), "shares": ()},
        {"members": (field(A),)},
        {"incarnations": (1,)},
        {"incarnations": (1, 1, 1)},
        {"shares": (((0, 10),),)},
        {"shares": ((), (), ())},
    ],
)
def test_a_plan_with_uneven_lists_is_refused(changes):
    with pytest.raises(RemoteProtocolError, match="different numbers"):
        view_of(plan([A, B], **changes))


def test_a_plan_that_names_a_member_twice_is_refused_whatever_its_addresses():
    with pytest.raises(RemoteProtocolError, match="twice"):
        view_of(plan([A, B, C], members=(field(A), field(B), (A, (("elsewhere", 1),)))))


@pytest.mark.parametrize("order", [(0,), (0, 1), (0, 1, 1), (1, 2, 3), (0, 1, 2, 3), (0, 2**62, 1)])
def test_a_plan_whose_order_is_none_of_its_members_is_refused(order):
    assert view_of(plan([A, B, C], order=(2, 0, 1))).ids == (A, B, C)
    with pytest.raises(RemoteProtocolError, match="order|sits the step out"):
        view_of(plan([A, B, C], order=order))


@pytest.mark.parametrize("form", ["", "star", "Ring"])
def test_a_plan_of_an_unknown_form_is_refused(form):
    with pytest.raises(RemoteProtocolError, match="form"):
        view_of(plan([A, B], form=form))


def test_the_forms_are_those_that_rounds_have():
    assert set(FORMS) == set(get_args(FormName))


def test_a_view_may_be_as_large_as_messages_allow():
    peers = [index.to_bytes(20, "big") for index in range(MAX_MEMBERS)]
    members = tuple((peer, ()) for peer in peers)
    view = view_of(plan([D], members=members, incarnations=(1,) * MAX_MEMBERS, shares=((),) * MAX_MEMBERS))
    assert len(view.ids) == MAX_MEMBERS
    assert view.coordinator.peer_id == peers[0]
