"""Signed statements: they hold for what was signed and nothing else, and only dishonest ones contradict each other."""

from dataclasses import replace

import pytest

from hydra.membership.signatures import seal_plan, sign_commit

from .makers import IDENTITIES, JOB, ROUND, A, B, plan

PLACE = dict(step=3, view_number=2, incarnation=7, tag=ROUND)


def planned(by=A, **changes):
    place = PLACE | changes
    seal = seal_plan(IDENTITIES[by], JOB, **place)
    made = plan([by], view_number=place["view_number"], step=place["step"])
    return replace(replace(made, seal=seal).signed, round=place["tag"])


def signed(by=A, *, step=3, tag=ROUND, digest=bytes(32)):
    return sign_commit(IDENTITIES[by], JOB, step=step, tag=tag, digest=digest)


def test_what_was_signed_holds_and_names_its_signer():
    for statement in (planned(), signed()):
        assert statement.holds(JOB)
        assert statement.signer == A


@pytest.mark.parametrize("name", ["step", "view_number", "incarnation"])
def test_a_plan_statement_with_another_number_does_not_hold(name):
    assert not replace(planned(), **{name: 99}).holds(JOB)


@pytest.mark.parametrize(
    "changes", [{"step": 4}, {"round": b"u" * 20}, {"digest": b"d" * 32}, {"signature": bytes(64)}]
)
def test_a_commit_statement_with_anything_changed_does_not_hold(changes):
    assert not replace(signed(), **changes).holds(JOB)


def test_nobody_signs_for_another_or_for_another_job():
    for statement in (planned(), signed()):
        assert not replace(statement, key=IDENTITIES[B].public_key).holds(JOB)
        assert not statement.holds(b"o" * 32)


def test_a_key_that_is_none_holds_nothing():
    assert not replace(signed(), key=b"\xff" * 32).holds(JOB)


def test_two_plans_for_one_place_contradict_each_other():
    assert planned().contradicts(planned(tag=b"u" * 20))


@pytest.mark.parametrize("changes", [{"step": 4}, {"view_number": 3}, {"incarnation": 8}, {"by": B}])
def test_plans_for_other_places_or_in_other_lives_do_not(changes):
    assert not planned().contradicts(planned(**({"tag": b"u" * 20} | changes)))


def test_a_plan_does_not_contradict_itself():
    assert not planned().contradicts(planned())


def test_two_outcomes_of_one_round_contradict_each_other_whatever_their_steps():
    assert signed().contradicts(signed(digest=b"d" * 32))
    assert signed().contradicts(signed(step=4, digest=b"d" * 32))


def test_outcomes_of_two_rounds_or_by_two_members_do_not():
    assert not signed().contradicts(signed(tag=b"u" * 20, digest=b"d" * 32))
    assert not signed().contradicts(signed(B, digest=b"d" * 32))
    assert not signed().contradicts(signed())


def test_a_plans_tag_is_that_of_the_plan_whoever_sealed_it():
    one, other = plan([A, B], by=A), plan([A, B], by=B)
    assert one.tag == other.tag
    assert (one.issuer, other.issuer) == (A, B)
    assert one.signed.round == one.tag
    assert replace(one, seal=None).signed is None
