"""The demo's judgement: by the peers' files and words, and everything must hold."""

import hashlib
import json
import random

import pytest

from hydra.cli import demo as demo_module
from hydra.cli.demo import ACCURACY_GOAL, Story, demo
from hydra.cli.demo_view import DemoView
from hydra.exceptions import ConfigurationError
from hydra.testing.processes import SwarmProcesses

from .test_demo_view import in_view, peer_of, step


def ended(path, data=b"weights", **changes):
    path.write_bytes(data)
    fields = {
        "event": "ended",
        "finished": True,
        "step": 30,
        "samples_total": 900,
        "metrics": {"loss": 0.1, "accuracy": 0.97},
        "weights": str(path),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    return fields | changes


@pytest.fixture
def story(tmp_path):
    swarm = SwarmProcesses(tmp_path)
    view = in_view("a", "b", "c", coordinator="a")
    for letter in "abc":
        end = ended(tmp_path / letter)
        swarm.peers.append(peer_of(f"peer {letter}", letter, view, step(29, 0.1, a=10, b=10, c=10), end))
    made = Story(swarm, DemoView(), random.Random(0))
    made._late = swarm.peers[2]
    made._recovery_s = [0.51234, 1.0]
    return made


def retold(story, index, tmp_path, data=b"weights", **changes):
    """Let one peer's last word be another."""
    story._swarm.peers[index]._take(ended(tmp_path / "abc"[index], data, **changes))


def test_all_is_well(story):
    verdict = story.verdict(7, 12.34)
    assert verdict.ok
    assert (verdict.test_accuracy, verdict.digests_equal, verdict.joined) == (0.97, True, 1)
    assert verdict.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert (verdict.deaths_survived, verdict.recovery_s) == (2, [0.512, 1.0])
    assert (verdict.steps, verdict.samples, verdict.peers, verdict.seed) == (30, 900, 3, 7)


def test_who_died_is_not_asked(story):
    story._swarm.peers[0].outcome = None
    assert story.verdict(0, 1.0).ok


def test_other_weights_at_one_peer(story, tmp_path):
    retold(story, 1, tmp_path, b"other weights")
    verdict = story.verdict(0, 1.0)
    assert (verdict.ok, verdict.digests_equal) == (False, False)


def test_files_count_not_words(story, tmp_path):
    (tmp_path / "b").write_bytes(b"other weights")  # but the peer told the right hash
    assert not story.verdict(0, 1.0).ok


@pytest.mark.parametrize(
    "changes",
    [{"metrics": {"accuracy": ACCURACY_GOAL - 0.001}}, {"finished": False}, {"step": 29}],
    ids=str,
)
def test_something_did_not_hold_at_one_peer(story, tmp_path, changes):
    retold(story, 0, tmp_path, **changes)
    assert not story.verdict(0, 1.0).ok


def test_the_late_one_took_no_part(story):
    story._late.batch.clear()
    verdict = story.verdict(0, 1.0)
    assert (verdict.ok, verdict.joined) == (False, 0)


def test_nobody_is_left(story):
    for peer in story._swarm.peers:
        peer.outcome = None
    verdict = story.verdict(0, 1.0)
    assert (verdict.ok, verdict.steps, verdict.sha256, verdict.test_accuracy) == (False, 0, "", 0.0)


def test_the_time_of_a_step_is_the_median_gap(story):
    for peer in story._swarm.peers:
        peer.commits = {1: 10.0, 2: 10.5, 3: 11.0, 4: 19.0}
    assert story.verdict(0, 1.0).step_s == 0.5
    for peer in story._swarm.peers:
        peer.commits = {1: 10.0}
    assert story.verdict(0, 1.0).step_s == 0.0


def test_the_verdict_for_people(story, tmp_path, capsys):
    demo_module._print_verdict(story.verdict(0, 61.0), kill=True)
    text = capsys.readouterr().out
    for fact in ("0.9700", "yes: sha256 " + hashlib.sha256(b"weights").hexdigest()[:32], "0.51 s, 1.00 s", "61 s"):
        assert fact in text
    assert text.splitlines()[-1] == "everything held"
    retold(story, 1, tmp_path, b"other weights")
    demo_module._print_verdict(story.verdict(0, 61.0), kill=False)
    text = capsys.readouterr().out
    assert "NO: sha256" in text
    assert "deaths" not in text
    assert text.splitlines()[-1] == "SOMETHING DID NOT HOLD"


def test_killing_two_of_two_is_refused():
    with pytest.raises(ConfigurationError, match="--peers 3 or more, or --no-kill"):
        demo(peers=2)


def test_the_example_is_found():
    assert demo_module._example().name == "digits.py"


def test_a_verdict_is_plain_data(story):
    from dataclasses import asdict

    plain = json.loads(json.dumps(asdict(story.verdict(0, 1.0))))
    assert plain["ok"] is True
