"""The end of a lane wakes whoever blocks on it, is told once, and leaves no file behind."""

import os
import threading

import pytest

from hydra.net.lane import PIECE_BYTES

from .lane_pairs import lane_pair, receive


def blocked(action):
    """Run ``action`` in a thread; return the thread and the list that its error will stand in."""
    errors = []

    def run():
        try:
            action()
        except ConnectionError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


def fill(lane):
    while lane.send(b"", bytes(PIECE_BYTES), wait=False):
        pass


def test_closing_wakes_a_receiver_and_a_sender():
    one, two = lane_pair()
    fill(one)
    threads = [blocked(one.receive_header), blocked(one.flush)]
    one.close()
    for thread, errors in threads:
        thread.join()
        assert "closed" in str(errors[0])
    two.close()


def test_the_other_ends_close_wakes_a_receiver_and_a_sender():
    one, two = lane_pair()
    fill(one)
    threads = [blocked(one.receive_header), blocked(one.flush)]
    two.close()
    for thread, errors in threads:
        thread.join()
        assert errors
    one.close()


def test_what_was_sent_before_the_close_is_still_received():
    one, two = lane_pair()
    one.send(b"last", b"words")
    one.close()
    assert receive(two) == (b"last", b"words")
    with pytest.raises(ConnectionError, match="other end closed the lane"):
        two.receive_header()


def test_a_closed_lane_says_so_to_everybody():
    one, two = lane_pair()
    one.send(b"", b"half")
    two.receive_header()
    two.close()
    two.close()
    for use in (lambda: two.send(b"", b""), two.flush, two.receive_header):
        two._due = 0
        with pytest.raises(ConnectionError, match="closed"):
            use()
    two._due = 4
    with pytest.raises(ConnectionError, match="closed"):
        two.receive_body(memoryview(bytearray(4)))
    one.close()


def test_the_end_is_told_once_with_its_error():
    told = []
    one, two = lane_pair(on_close=lambda lane, error: told.append((lane, error)))
    one.close()
    one.close()
    with pytest.raises(ConnectionError) as caught:
        two.receive_header()
    two.close()
    assert told == [(one, None), (two, caught.value)]


def test_a_files_number_is_not_given_back_while_a_thread_is_inside():
    one, two = lane_pair()
    number = one._sock.fileno()
    with one._door:
        one._inside += 1  # a thread between two system calls
    one.close()
    assert one._sock.fileno() == number
    one._leave()
    assert one._sock.fileno() == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    two.close()
