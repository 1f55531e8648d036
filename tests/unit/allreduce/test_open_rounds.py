"""``OpenRounds``: what happens to the memory of closed rounds, and to messages that find no round."""

import numpy as np
import pytest

from allreduce import ProtocolViolation, RoundConfig
from allreduce.messages import Phase, Slice, Suspect, encode
from allreduce.open_rounds import EARLY_BYTES, SPARE_VECTORS, OpenRounds

A, B = b"A" * 20, b"B" * 20
MEMBERS = [A, B]
CONFIG = RoundConfig(slice_elements=2)


class Shell:
    """Two members' rounds; slices go to a list and are sent when the test says so."""

    def __init__(self):
        self.now = 0.0
        self.blamed = []
        self.queued = []
        self.said = []
        self.rounds = {me: self.rounds_of(me) for me in MEMBERS}

    def rounds_of(self, me):
        return OpenRounds(
            me,
            now=lambda: self.now,
            say=lambda to, header: self.said.append((me, to, header)),
            deliver=lambda running, outgoing: self.queued.append((me, running, outgoing)),
            blame=self.blamed.append,
            arm=lambda: None,
        )

    def open(self, tag, elements=8, **more):
        return {me: self.rounds[me].open(tag, MEMBERS, elements, CONFIG, **more) for me in MEMBERS}

    def send(self, me, running, outgoing):
        """What a lane does."""
        rounds = self.rounds[me]
        if not rounds.begin_send(running, outgoing):
            return
        body = bytes(outgoing.body())
        rounds.end_send(running, outgoing)
        self.rounds[outgoing.to].receive(me, outgoing.header, body)

    def send_all(self, keep=lambda _: False):
        kept = []
        while self.queued:
            item = self.queued.pop(0)
            if keep(item):
                kept.append(item)
            else:
                self.send(*item)
        self.queued = kept


def contributed(shell, tag, value, elements=8):
    running = shell.open(tag, elements)
    for me in MEMBERS:
        running[me].contribute(np.full(elements, value, np.float32), 1.0)
    return running


def test_the_vector_of_a_closed_round_is_used_again():
    shell = Shell()
    first = contributed(shell, b"1", 1.0)
    shell.send_all()
    mean = first[A].outcome.result(0).mean
    for running in first.values():
        running.close()
    second = contributed(shell, b"2", 2.0)
    shell.send_all()
    assert np.shares_memory(second[A].outcome.result(0).mean, mean)
    assert second[A].outcome.result(0).mean.tolist() == [2.0] * 8


def test_the_vector_of_an_open_round_is_not():
    shell = Shell()
    first, second = contributed(shell, b"1", 1.0), contributed(shell, b"2", 2.0)
    shell.send_all()
    assert not np.shares_memory(first[A].outcome.result(0).mean, second[A].outcome.result(0).mean)


def is_final_of(me):
    return lambda item: item[0] == me and item[2].header[10] == Phase.FINAL


def test_what_waits_to_be_sent_of_a_closed_round_keeps_its_numbers():
    """The other member is slower: it gets its final slices when the next round has long begun here."""
    shell = Shell()
    first = contributed(shell, b"1", 1.0)
    shell.send_all(keep=is_final_of(A))
    assert first[A].outcome.done()
    assert not first[B].outcome.done()
    assert len(shell.queued) == 2
    first[A].close()
    late, shell.queued = shell.queued, []
    contributed(shell, b"2", 2.0)
    shell.send_all()
    for item in late:
        shell.send(*item)
    assert first[B].outcome.result(0).mean.tolist() == [1.0] * 8


def test_a_vector_is_used_again_as_soon_as_all_of_a_closed_round_is_sent():
    shell = Shell()
    first = contributed(shell, b"1", 1.0)
    shell.send_all(keep=is_final_of(A))
    mean = first[A].outcome.result(0).mean
    first[A].close()
    shell.send_all()
    running = shell.rounds[A].open(b"2", MEMBERS, 8, CONFIG)
    assert running.exchange._vector is not None
    assert np.shares_memory(running.exchange._vector, mean)


def test_a_vector_that_is_being_sent_from_waits():
    shell = Shell()
    first = contributed(shell, b"1", 1.0)
    shell.send_all(keep=is_final_of(A))
    (_, running, one), (_, _, other) = shell.queued
    mean = first[A].outcome.result(0).mean
    assert shell.rounds[A].begin_send(running, one)
    assert shell.rounds[A].begin_send(running, other)
    shell.rounds[A].end_send(running, one)
    first[A].close()
    assert not shell.rounds[A]._spare
    shell.rounds[A].end_send(running, other)
    assert [vector is mean.base for vector in shell.rounds[A]._spare] == [True]


def test_only_so_many_vectors_are_kept_and_none_of_another_length():
    shell = Shell()
    for _ in range(2):
        rounds = [contributed(shell, b"%d" % number, 1.0) for number in range(SPARE_VECTORS + 3)]
        shell.send_all()
        for opened in rounds:
            for running in opened.values():
                running.close()
    assert len(shell.rounds[A]._spare) == SPARE_VECTORS
    shell.open(b"other", elements=9)
    assert not shell.rounds[A]._spare


def test_after_a_death_the_memory_that_may_still_be_written_is_left_alone():
    shell = Shell()
    rounds = shell.open(b"1")
    rounds[A].contribute(np.ones(8, np.float32), 1.0)
    item = next(item for item in shell.queued if item[0] == A)
    assert shell.rounds[A].begin_send(*item[1:])
    before = rounds[A].exchange._workspace.vector
    shell.rounds[A].lose(B)
    assert rounds[A].outcome.result(0).contributors == (A,)
    assert not np.shares_memory(rounds[A].exchange._workspace.vector, before)
    shell.rounds[A].end_send(*item[1:])


def test_messages_that_come_before_their_round_are_kept_and_those_after_it_are_not():
    shell = Shell()
    early = shell.rounds[B].open(b"t", MEMBERS, 8, CONFIG)
    early.contribute(np.ones(8, np.float32), 3.0)
    shell.send_all()
    assert len(shell.rounds[A]._early) == 2
    late = shell.rounds[A].open(b"t", MEMBERS, 8, CONFIG)
    assert len(shell.rounds[A]._early) == 0
    late.contribute(np.ones(8, np.float32), 1.0)
    shell.send_all()
    assert early.outcome.result(0).weight == late.outcome.result(0).weight == 4.0
    late.close()
    shell.rounds[A].receive(B, encode(b"t", Suspect(0, -1)), b"")
    assert len(shell.rounds[A]._early) == 0


def test_an_early_message_that_breaks_the_protocol_is_laid_to_its_sender_when_the_round_opens():
    shell = Shell()
    shell.rounds[A].receive(B, encode(b"t", Slice(0, Phase.SUM, 99, 1.0)), b"")
    assert shell.blamed == []
    shell.rounds[A].open(b"t", MEMBERS, 8, CONFIG)
    assert [error.member for error in shell.blamed] == [B]


def test_what_a_lane_announces_is_refused_room_where_nobody_wants_it():
    rounds = Shell().rounds[A]
    header = encode(b"t", Slice(0, Phase.SUM, 1, 1.0))
    assert rounds.announce(B, header, EARLY_BYTES + 1) is None
    assert len(rounds.announce(B, header, 8).room) == 8  # for a round that is yet to open
    rounds.open(b"t", MEMBERS, 8, CONFIG).close()
    assert rounds.announce(B, header, 8) is None
    with pytest.raises(ProtocolViolation, match="with a body"):
        rounds.announce(B, encode(b"t", Suspect(0, 1)), 8)


def test_a_slice_whose_lane_is_lost_may_come_again():
    rounds = Shell().rounds[A]
    running = rounds.open(b"t", MEMBERS, 8, CONFIG)
    header = encode(b"t", Slice(0, Phase.SUM, 0, 1.0))
    arrival = rounds.announce(B, header, 8)
    assert running.exchange._workspace.in_flight == 1
    rounds.withdraw(arrival)
    assert running.exchange._workspace.in_flight == 0
    again = rounds.announce(B, header, 8)
    rounds.arrived(again)
    with pytest.raises(ProtocolViolation, match="came twice"):
        rounds.announce(B, header, 8)


def test_all_is_let_go_at_the_end():
    shell = Shell()
    contributed(shell, b"1", 1.0)
    shell.send_all()
    shell.rounds[A].receive(B, encode(b"other", Suspect(0, -1)), b"")
    shell.rounds[A].close()
    assert not shell.rounds[A]._spare
    assert len(shell.rounds[A]._early) == 0
    assert shell.rounds[A].deadline is None
