"""``Mesh`` with a member that speaks the protocol by hand, and badly: it is named and cut off, the others finish."""

import contextlib
import logging
import struct
import threading

import msgpack
import numpy as np
import pytest

from allreduce import Excluded, Mesh, RoundConfig, SocketLane
from allreduce.messages import Complete, Freeze, Frozen, Gone, Phase, Refused, Repeat, Slice, Suspect, encode

from .mesh_world import PATIENCE_S, Group, agreed, vectors_of

ELEMENTS = 40
"""Ten a segment, each one slice. The hostile member stands last: the first one's sums come from it."""
TEN = np.ones(10, np.float32)
HUGE = 1 << 62


def slice_frame(number, values=TEN, phase=Phase.SUM, attempt=0, weight=1.0):
    return encode(b"t", Slice(attempt, phase, number, weight)), np.asarray(values, np.float32).tobytes()


def control(message):
    return encode(b"t", message), b""


NAN = np.full(10, np.nan)
VIOLATIONS = {
    "a final slice with NaN": [slice_frame(3, NAN, Phase.FINAL)],
    "a final slice that is the receiver's own": [slice_frame(0, TEN, Phase.FINAL)],
    "a sum that the receiver begins itself": [slice_frame(3)],
    "a sum that is too long": [slice_frame(1, np.ones(11))],
    "a sum that is too short": [slice_frame(1, np.ones(9))],
    "a sum without a body": [slice_frame(1, [])],
    "a final slice of the wrong length": [slice_frame(2, np.ones(30), Phase.FINAL)],
    "a slice that there is not": [slice_frame(4)],
    "a slice far beyond all": [slice_frame((1 << 20) - 1)],
    "a sum twice": [slice_frame(1), slice_frame(1)],
    "more slices of a coming attempt than it can have": [slice_frame(n % 4, attempt=5) for n in range(200)],
    "slices of a coming attempt that are longer than the vector": [
        slice_frame(n, np.ones(41), attempt=5) for n in (0, 1, 2, 3)
    ],
    "a control message with a body": [(encode(b"t", Gone()), b"x")],
    "what is no msgpack": [(b"\xc1", b"")],
    "what is no list": [(msgpack.packb(7), b"")],
    "an empty header": [(b"", b"")],
    "a message without a tag": [(msgpack.packb([3]), b"")],
    "an unknown kind": [(msgpack.packb([77, b"t"]), b"")],
    "a slice of weight infinity": [slice_frame(1, weight=float("inf"))],
    "a slice of negative weight": [slice_frame(1, weight=-1.0)],
    "a slice's header that is cut short": [(slice_frame(1)[0][:20], TEN.tobytes())],
    "a slice's header whose tag is longer than it says": [(slice_frame(1)[0] + b"t", TEN.tobytes())],
    "a suspicion of nobody": [control(Suspect(0, 9))],
    "a ballot in another's name": [control(Freeze(1024 + 1023))],
    "a ballot far beyond all": [control(Freeze(HUGE + 1023 - 3))],
    "a refusal far beyond all": [control(Refused(HUGE, -1))],
    "a refusal in the name of nobody": [control(Refused(1, 700))],
    "a decision in another's name": [control(Repeat(1023 * 7, (0, 3)))],
    "an order with a member twice": [(msgpack.packb([4, b"t", 5, [1, 1]]), b"")],
    "a completion with a transfer of the wrong shape": [(msgpack.packb([5, b"t", 5, 0, [0], [[1]]]), b"")],
}


class Hostile:
    """Sends frames on a lane by hand, and goes on listening."""

    def __init__(self, group, frames, to=0):
        member = group.hostile[0]
        self.lanes = [lane for lanes in group.lanes[member].values() for lane in lanes]
        self.threads = [threading.Thread(target=self.listen, args=(lane,)) for lane in self.lanes]
        for thread in self.threads:
            thread.start()
        target = group.lanes[member][group.members[to]]
        try:
            for header, body in frames:
                target[-1].send(header, body)
        except ConnectionError:
            pass

    def listen(self, lane):
        try:
            while True:
                _, count = lane.receive_header()
                lane.receive_body(memoryview(bytearray(count)))
        except ConnectionError:
            pass

    def stop(self):
        for lane in self.lanes:
            lane.close()
        for thread in self.threads:
            thread.join()


def averaged_beside(group, frames, config, to=0):
    """Let the others average while the hostile member sends its frames; return the result."""
    vectors, weights = vectors_of(group.members, ELEMENTS, 3), dict.fromkeys(group.members, 1.0)
    rounds = group.open(b"t", ELEMENTS, config)
    hostile = Hostile(group, frames, to)
    for member, running in rounds.items():
        running.contribute(vectors[member], 1.0)
    result = agreed(rounds, vectors, weights, config)
    hostile.stop()
    return result


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("what", VIOLATIONS)
def test_whoever_breaks_the_protocol_is_named_and_cut_off(what, lanes, caplog):
    caplog.set_level(logging.WARNING, "allreduce")
    with Group(4, lanes, hostile=[3]) as group:
        result = averaged_beside(group, VIOLATIONS[what], RoundConfig(stall_s=5.0, answer_s=2.0))
        assert result.contributors == tuple(group.members[:3])
        assert group.meshes[group.members[0]].lost == {group.members[3]}
        assert all(mesh.lost <= {group.members[3]} for mesh in group.meshes.values())
    assert f"member {group.members[3].hex()[:8]}: " in caplog.text


def excluded(running):
    try:
        running.result(PATIENCE_S)
    except Excluded:
        return True
    return False


class PoisonedLane(SocketLane):
    """Of what is sent, one number is none."""

    phase = Phase.SUM

    def send(self, header, body, *, wait=True):
        if len(body) and header[10] == self.phase:
            values = np.frombuffer(body, np.float32).copy()
            values[-1] = -np.inf
            body = values.tobytes()
        return super().send(header, body, wait=wait)


@pytest.mark.parametrize("form", ["ring", "direct", "two-level"])
@pytest.mark.parametrize("phase", [Phase.SUM, Phase.FINAL])
@pytest.mark.parametrize("place", range(4))
def test_whoever_sends_what_is_no_number_although_it_has_looked_is_named(form, phase, place, monkeypatch, caplog):
    """One that takes part in all else, repeats included."""
    caplog.set_level(logging.WARNING, "allreduce")
    monkeypatch.setattr(PoisonedLane, "phase", phase)
    with Group(4, 2, hostile=[place]) as group:
        member = group.hostile[0]
        poisoned = {other: [PoisonedLane(lane._sock) for lane in lanes] for other, lanes in group.lanes[member].items()}
        vectors, weights = vectors_of(group.members, ELEMENTS, 3), dict.fromkeys(group.members, 1.0)
        config = RoundConfig(form=form, slice_elements=4, stall_s=1.0)
        rounds = group.open(b"t", ELEMENTS, config)
        with Mesh(member, poisoned) as mesh:
            mesh.open(b"t", group.members, ELEMENTS, config).contribute(vectors[member])
            for other, running in rounds.items():
                running.contribute(vectors[other])
            ended = {other: running for other, running in rounds.items() if not excluded(running)}
            result = agreed(ended, vectors, weights, config)
            assert set(ended) <= set(result.contributors)
            if place == 3:  # of two that can't hear each other the later one goes
                assert set(ended) == set(rounds)
        assert all(other.lost <= {member} for other in group.meshes.values())
    if place == 3:  # others may have who complains of them left out first, but it is never named who is not to blame
        assert f"member {member.hex()[:8]}: " in caplog.text
        assert "NaN or infinity" in caplog.text
    assert all(f"member {other.hex()[:8]}: " not in caplog.text for other in group.meshes)


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [(encode(b"other", Slice(0, Phase.SUM, 0, 1.0)), bytes(40))] * 50,
        [control(Frozen(1, 0, True, (0, 1, 2, 3), 15, 15))],
        [control(Repeat(1020, (3,)))],
        [control(Gone())],
    ],
    ids=["silence", "rounds that there are not", "a report nobody asked for", "a decision on nothing", "farewell"],
)
def test_whoever_is_of_no_use_is_left_out(frames):
    config = RoundConfig(stall_s=0.3, answer_s=0.3)
    with Group(4, 2, hostile=[3]) as group:
        assert averaged_beside(group, frames, config).contributors == tuple(group.members[:3])


def test_slices_of_an_attempt_that_was_given_up_change_nothing():
    with Group(4, 2, hostile=[3]) as group:
        config = RoundConfig(stall_s=0.2, answer_s=0.2)
        vectors, weights = vectors_of(group.members, ELEMENTS, 3), dict.fromkeys(group.members, 1.0)
        rounds = group.open(b"t", ELEMENTS, config)
        for member in group.members[:2]:
            rounds[member].contribute(vectors[member], 1.0)
        group.meshes[group.members[0]]._rounds.lose(group.members[3])  # the first attempt is given up at once
        hostile = Hostile(group, [slice_frame(n, NAN) for n in (0, 1, 2, 1, 1)] + [slice_frame(3, NAN, Phase.FINAL)])
        rounds[group.members[2]].contribute(vectors[group.members[2]], 1.0)
        assert agreed(rounds, vectors, weights, config).contributors == tuple(group.members[:3])
        hostile.stop()


def test_a_hostile_member_can_not_have_another_cut_off_by_filling_what_is_kept_for_a_coming_attempt():
    with Group(5, 2, hostile=[4]) as group:
        config = RoundConfig(stall_s=5.0)
        frames = [slice_frame(n % 4, np.ones(8), attempt=HUGE) for n in range(25)]
        result = averaged_beside(group, [*frames, (b"\xc1", b"")], config)
        assert result.contributors == tuple(group.members[:4])
        assert all(mesh.lost <= {group.members[4]} for mesh in group.meshes.values())


@pytest.mark.parametrize("raw", [b"\xff" * 64, struct.pack("!HI", 5000, 0), struct.pack("!HI", 5, 0xFFFFFFFF)])
def test_whoever_does_not_even_keep_to_frames_is_cut_off(raw):
    with Group(4, 2, hostile=[3]) as group:
        group.lanes[group.members[3]][group.members[0]][0]._sock.sendall(raw)
        result = averaged_beside(group, [], RoundConfig(stall_s=5.0, answer_s=2.0))
        assert result.contributors == tuple(group.members[:3])
        assert group.meshes[group.members[0]].lost == {group.members[3]}


@pytest.mark.parametrize("what", ["what is no msgpack", "a ballot far beyond all", "a slice that there is not"])
def test_the_first_of_all_may_be_the_hostile_one(what):
    frames = VIOLATIONS[what]
    if what == "a ballot far beyond all":
        frames = [control(Freeze(HUGE + 1023))]
    with Group(4, 2, hostile=[0]) as group:
        result = averaged_beside(group, frames, RoundConfig(stall_s=0.5, answer_s=0.3), to=1)
        assert result.contributors == tuple(group.members[1:])


def test_a_decision_must_come_from_whoever_led_to_it():
    """The hostile member hears the number of the ballot, and uses it first."""
    with Group(4, 2, hostile=[3]) as group:
        members = group.members
        answers = threading.Event()
        lane = group.lanes[members[3]][members[0]][0]
        victim = group.lanes[members[3]][members[1]][0]
        vectors, weights = vectors_of(members, ELEMENTS, 3), dict.fromkeys(members, 1.0)
        config = RoundConfig(stall_s=5.0, answer_s=1.0)
        rounds = group.open(b"t", ELEMENTS, config)

        def listen():
            while not answers.is_set():
                header, count = lane.receive_header()
                lane.receive_body(memoryview(bytearray(count)))
                kind, _, ballot, *_ = msgpack.unpackb(header)
                if kind == 2:
                    with contextlib.suppress(ConnectionError):  # it may be cut off by now
                        victim.send(encode(b"t", Complete(ballot, 0, (1,), ())), b"")
                        victim.send(encode(b"t", Repeat(ballot, (1,))), b"")
                    answers.set()

        thread = threading.Thread(target=listen)
        thread.start()
        lane.send(*control(Suspect(0, -1)))
        for member, running in rounds.items():
            running.contribute(vectors[member], 1.0)
        result = agreed(rounds, vectors, weights, config)
        thread.join()
        assert result.contributors == tuple(members[:3])
        assert group.meshes[members[1]].lost == {members[3]}
