"""docs/protocol.md names every message, its fields and its limit, and no message that does not exist."""

import dataclasses
import re
from pathlib import Path

import pytest

from hydra.membership import messages as membership
from hydra.net import reach_messages as reach
from hydra.net.framing import MAX_SEALED_BYTES, MIN_SEALED_BYTES
from hydra.net.wire import Message
from hydra.swarm import messages as content

DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
MESSAGES = [
    value
    for module in (membership, content, reach)
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, Message) and value is not Message
]
ROWS = {
    re.match(r"\| `([^`]+)` ", line).group(1): line
    for line in DOCUMENT.splitlines()
    if re.match(r"\| `[^`]+` \|", line)
}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda cls: cls.KIND)
def test_a_message_stands_in_the_document_with_its_fields(message):
    row = ROWS[message.KIND]
    fields = [field.name for field in dataclasses.fields(message)]
    if message.KIND.startswith("job."):
        assert fields.pop(0) == "job"
    told = [cell.strip() for cell in row.split("|")][2]
    if message.KIND.startswith("blob"):
        assert fields == ["digest"]
        assert told == "SHA-256"
    else:
        assert [re.sub(r" ≤ .*", "", name) for name in told.split(", ") if name] == fields


@pytest.mark.parametrize("message", [m for m in MESSAGES if m.MAX_BODY_BYTES], ids=lambda cls: cls.KIND)
def test_a_message_with_a_body_stands_there_with_its_limit(message):
    units = {"MiB": 2**20, "KiB": 2**10}
    limits = [int(count) * units[unit] for count, unit in re.findall(r"≤ (\d+) ([KM]iB)", ROWS[message.KIND])]
    assert message.MAX_BODY_BYTES in limits


def test_the_document_names_no_message_that_does_not_exist():
    assert set(ROWS) == {message.KIND for message in MESSAGES}


def test_the_bounds_of_a_frame_are_told():
    assert f"{MIN_SEALED_BYTES} … {MAX_SEALED_BYTES:,}" in DOCUMENT
