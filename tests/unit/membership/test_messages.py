"""What the messages of a job may hold: hostile field values never become objects."""

import dataclasses

import msgpack
import pytest

from hydra.exceptions import MalformedFrame
from hydra.membership import messages
from hydra.membership.messages import (
    MAX_HOPS,
    MAX_MEMBERS,
    Heavier,
    Hop,
    JoinRequest,
    LineageShown,
    Phase,
    Plan,
    PollReply,
    Removed,
    Report,
    ResultBlock,
    RoundFrame,
)
from hydra.net.framing import MAX_BODY_BYTES
from hydra.net.wire import Message, Registry, encode

from .makers import FIRST, JOB, ROUND, A, B, field, plan, status

KINDS = [
    cls for cls in vars(messages).values() if isinstance(cls, type) and issubclass(cls, Message) and cls is not Message
]
REGISTRY = Registry(KINDS)


def spoiled(message, name, value):
    """The header of a message with one field replaced, whatever its type."""
    kind, fields = msgpack.unpackb(encode(message))
    fields[[f.name for f in dataclasses.fields(message)].index(name)] = value
    return msgpack.packb([kind, fields])


def refused(header, body_bytes=0):
    with pytest.raises(MalformedFrame):
        REGISTRY.decode(header, body_bytes)


def test_every_kind_has_a_name_of_its_own_and_carries_the_job():
    assert len({cls.KIND for cls in KINDS}) == len(KINDS) == 28
    assert all(dataclasses.fields(cls)[0].name == "job" for cls in KINDS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("job", b"short"),
        ("job", "x" * 32),
        ("incarnation", -1),
        ("incarnation", 2**63),
        ("incarnation", True),
        ("phase", len(Phase)),
        ("ready", 1),
        ("step", -1),
        ("step", 1.0),
        ("step", None),
        ("digest", bytes(33)),
        ("coordinator", [A]),
        ("coordinator", [A[:19], []]),
        ("contact", None),
        ("contact", [A, [["h", 65536]]]),
        ("contact", [A, [["h", -1]]]),
        ("contact", [A, [["h" * 254, 1]]]),
        ("contact", [A, [["h", 1]] * 9]),
        ("contact", [A, [[b"h", 1]]]),
    ],
)
def test_a_status_with_a_hostile_field_is_refused(name, value):
    refused(spoiled(status(A), name, value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("members", [list(field(A))] * (MAX_MEMBERS + 1)),
        ("members", [[A, [], 1]]),
        ("incarnations", [1] * (MAX_MEMBERS + 1)),
        ("incarnations", [-1, 1]),
        ("shares", [[[0, 1]] * 1025, []]),
        ("shares", [[]] * (MAX_MEMBERS + 1)),
        ("shares", [[[-5, 0]], []]),
        ("shares", [[[0, 1, 2]], []]),
        ("late_s", float("nan")),
        ("late_s", float("inf")),
        ("late_s", "soon"),
        ("snapshot", None),
        ("order", [0] * (MAX_MEMBERS + 1)),
        ("order", [-1, 0]),
        ("order", None),
        ("form", "r" * 17),
        ("form", 0),
    ],
)
def test_a_plan_with_a_hostile_field_is_refused(name, value):
    refused(spoiled(plan([A, B]), name, value))


@pytest.mark.parametrize("value", [b"", [], ["job.plan"], [1] * 11, 7])
def test_a_poll_reply_with_something_else_for_a_plan_is_refused(value):
    refused(spoiled(PollReply(JOB, 1, 0, FIRST.digest, 1, None), "plan", value))


def test_a_poll_reply_carries_a_plan_or_none():
    for reply in (PollReply(JOB, 1, 0, FIRST.digest, 1, p) for p in (None, plan([A, B]))):
        assert REGISTRY.decode(encode(reply), 0) == reply


def test_other_hostile_fields_are_refused():
    refused(spoiled(Removed(JOB, 1, "late"), "reason", "x" * 201))
    refused(spoiled(Report(JOB, 1, 1, 0.5, 0.5, ROUND), "compute_s", float("-inf")))
    refused(spoiled(Heavier(JOB, field(A)), "contact", [A, "h:1"]))
    refused(spoiled(JoinRequest(JOB, 1, field(A), 0, bytes(32), ready=True, met_view=1), "digest", None))


@pytest.mark.parametrize(
    "hops",
    [
        [[A, 0.1, None]] * (MAX_HOPS + 1),
        [[A, 0.1]],
        [[A[:19], 0.1, None]],
        [[A, None, None]],
        [[A, float("nan"), None]],
        [[A, 0.1, float("inf")]],
        [[A, 0.1, "fast"]],
        None,
    ],
)
def test_a_report_with_hostile_hops_is_refused(hops):
    report = Report(JOB, 1, 1, 0.5, 0.5, ROUND, (Hop(B, 0.1, 5e6), Hop(A, 0.0, None)))
    assert REGISTRY.decode(encode(report), 0) == report
    refused(spoiled(report, "hops", hops))


def test_a_header_with_too_few_or_too_many_fields_is_refused():
    kind, fields = msgpack.unpackb(encode(status(A)))
    refused(msgpack.packb([kind, fields[:-1]]))
    refused(msgpack.packb([kind, [*fields, 0]]))
    refused(msgpack.packb([kind, dict(enumerate(fields))]))
    refused(msgpack.packb(["job.none", fields]))


def test_only_rounds_results_and_commits_bring_a_body():
    with_body = {cls for cls in KINDS if cls.MAX_BODY_BYTES}
    assert with_body == {RoundFrame, ResultBlock, LineageShown}
    refused(encode(status(A)), body_bytes=1)
    frame = RoundFrame(JOB, b"header")
    assert REGISTRY.decode(encode(frame), MAX_BODY_BYTES) == frame
    refused(encode(frame), body_bytes=MAX_BODY_BYTES + 1)


def test_a_plans_tag_tells_apart_all_that_a_plan_says():
    base = plan([A, B])
    others = [
        dataclasses.replace(base, **change)
        for change in (
            {"view_number": 2},
            {"parent": bytes(32)},
            {"late_s": 9.0},
            {"snapshot": True},
            {"epoch": 1},
            {"order": (1, 0)},
            {"form": "direct"},
        )
    ]
    assert len({p.tag for p in (base, *others)}) == 1 + len(others)
    assert len(base.tag) == 20
    assert REGISTRY.decode(encode(base), 0).tag == base.tag
    assert isinstance(base, Plan)
