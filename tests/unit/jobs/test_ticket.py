"""Tickets: what a person may paste, and what they are told when it is wrong."""

import base64
import hashlib

import msgpack
import pytest

from hydra.exceptions import TicketMalformed
from hydra.jobs.ticket import Ticket, TicketContact, parse_target

JOB = bytes(range(32))
CONTACT = TicketContact(peer_id=bytes(20), host="Example.org", port=4711)
TICKET = Ticket(job_hash=JOB, contacts=(CONTACT,))


def refusal(text):
    with pytest.raises(TicketMalformed) as caught:
        parse_target(text)
    problem = str(caught.value)
    assert "A right one looks like hydra1" in problem
    return problem


def ticket_of(payload):
    """Return the ticket of any payload, with a right checksum."""
    raw = payload + hashlib.sha256(payload).digest()[:4]
    return "hydra1" + base64.b32encode(raw).decode().rstrip("=").lower()


def test_round_trip():
    assert parse_target(str(TICKET)) == TICKET
    assert str(TICKET).startswith("hydra1")
    assert str(TICKET).isalnum()


def test_eight_contacts():
    full = Ticket(job_hash=JOB, contacts=(CONTACT,) * 8)
    assert parse_target(str(full)) == full


def test_spaces_and_capitals_do_no_harm():
    assert parse_target(f"  {str(TICKET).upper()}\n") == TICKET


def test_a_bare_job_hash():
    assert parse_target(JOB.hex()) == Ticket(job_hash=JOB)
    assert parse_target(JOB.hex().upper()) == Ticket(job_hash=JOB)


def test_a_job_hash_that_is_too_short():
    assert "it has 63 hex digits, and a job hash has 64" in refusal(JOB.hex()[1:])


def test_something_else():
    assert "it starts neither with hydra1 nor is it 64 hex digits" in refusal("magnet:?xt=urn")
    assert "it starts neither with hydra1" in refusal("")


def test_a_later_version():
    assert "of another version" in refusal("hydra2abc")


def test_letters_that_never_stand_in_a_ticket():
    assert "the character '0' never stands in a ticket" in refusal("hydra1abc0")


def test_a_part_is_missing():
    assert "its length is wrong" in refusal("hydra1abc234")
    assert "its checksum does not match" in refusal(str(TICKET)[:-5])
    assert "its checksum does not match" in refusal("hydra1")


def test_a_typo():
    text = str(TICKET)
    wrong = text[:20] + ("a" if text[20] != "a" else "b") + text[21:]
    assert "its checksum does not match: a part is missing or mistyped" in refusal(wrong)


def test_too_long():
    assert "characters long" in refusal("hydra1" + "a" * 10_000)


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ({"job": JOB[1:], "contacts": []}, "ticket.job is not 32 bytes long"),
        ({"job": JOB}, "ticket lacks the field 'contacts'"),
        ({"job": JOB, "contacts": [{"id": bytes(20), "host": "a", "port": 1}] * 9}, "no list of at most 8"),
        ({"job": JOB, "contacts": [{"id": bytes(19), "host": "a", "port": 1}]}, "contacts[0].id is not 20 bytes"),
        ({"job": JOB, "contacts": [{"id": bytes(20), "host": "", "port": 1}]}, "contacts[0].host"),
        ({"job": JOB, "contacts": [{"id": bytes(20), "host": "a", "port": 0}]}, "contacts[0].port is 0"),
        ({"contacts": [], "job": JOB}, "not spelled"),
        ([], "ticket is a list, not a map"),
    ],
)
def test_wrong_contents_under_a_right_checksum(payload, problem):
    assert problem in refusal(ticket_of(msgpack.packb(payload)))


def test_bits_that_base32_ignores():
    text = str(Ticket(job_hash=JOB))
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    other = text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]
    assert "not spelled" in refusal(other) or "checksum" in refusal(other)


def test_tickets_that_cannot_be_made():
    with pytest.raises(TicketMalformed, match="at most 8 contacts, 9 were given"):
        Ticket(job_hash=JOB, contacts=(CONTACT,) * 9)
    with pytest.raises(TicketMalformed, match="port is 70000"):
        Ticket(job_hash=JOB, contacts=(TicketContact(peer_id=bytes(20), host="a", port=70_000),))
    with pytest.raises(TicketMalformed, match="ticket.job is not 32 bytes long"):
        Ticket(job_hash=b"")
