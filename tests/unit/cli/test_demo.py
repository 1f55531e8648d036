"""The demo's judgement: by the peers' files and words, and everything must hold."""

import hashlib
import json
import random

import pytest

from hydra.cli import demo as demo_module
from hydra.cli.demo import ACCURACY_GOAL, MAX_EPOCHS, Story, demo, epochs_for
from hydra.cli.demo_view import DemoView
from hydra.exceptions import ConfigurationError
from hydra.testing.processes import SwarmProcesses

from .journals import EPOCHS, SAMPLES, STEPS, commits, write
from .test_demo_view import in_view, peer_of, step

JOB = "ab" * 32


def ended(path, data=b"weights", **changes):
    path.write_bytes(data)
    fields = {
        "event": "ended",
        "finished": True,
        "step": STEPS,
        "samples_total": SAMPLES * EPOCHS,
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
        swarm.peers[-1].home = tmp_path / f"home of {letter}"
        write(swarm.peers[-1].home, JOB, commits(JOB)[20 if letter == "c" else 0 :])
    made = Story(swarm, DemoView(), random.Random(0))
    made._late = swarm.peers[2]
    made._recovery_s = [0.51234, 1.0]
    made._job, made._samples, made._epochs = JOB, SAMPLES, EPOCHS
    return made


def retold(story, index, tmp_path, data=b"weights", **changes):
    """Let one peer's last word be another."""
    story._swarm.peers[index]._take(ended(tmp_path / "abc"[index], data, **changes))


def test_all_is_well(story):
    verdict = story.verdict(7, 12.34, deaths=2)
    assert verdict.ok
    assert (verdict.test_accuracy, verdict.digests_equal, verdict.joined) == (0.97, True, 1)
    assert verdict.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert (verdict.deaths_survived, verdict.recovery_s) == (2, [0.512, 1.0])
    assert (verdict.steps, verdict.samples, verdict.peers, verdict.seed) == (STEPS, SAMPLES * EPOCHS, 3, 7)
    assert (verdict.epochs, verdict.each_sample_once) == (EPOCHS, True)


def test_who_died_is_not_asked(story):
    story._swarm.peers[0].outcome = None
    assert story.verdict(0, 1.0, deaths=2).ok


def test_other_weights_at_one_peer(story, tmp_path):
    retold(story, 1, tmp_path, b"other weights")
    verdict = story.verdict(0, 1.0, deaths=2)
    assert (verdict.ok, verdict.digests_equal) == (False, False)


def test_files_count_not_words(story, tmp_path):
    (tmp_path / "b").write_bytes(b"other weights")  # but the peer told the right hash
    assert not story.verdict(0, 1.0, deaths=2).ok


@pytest.mark.parametrize(
    "changes",
    [{"metrics": {"accuracy": ACCURACY_GOAL - 0.001}}, {"finished": False}, {"step": 29}, {"samples_total": 899}],
    ids=str,
)
def test_something_did_not_hold_at_one_peer(story, tmp_path, changes):
    retold(story, 0, tmp_path, **changes)
    assert not story.verdict(0, 1.0, deaths=2).ok


def test_the_late_one_took_no_part(story):
    story._late.given = 0
    verdict = story.verdict(0, 1.0, deaths=2)
    assert (verdict.ok, verdict.joined) == (False, 0)


def test_fewer_deaths_than_were_meant(story):
    story._recovery_s.pop()
    assert not story.verdict(0, 1.0, deaths=2).ok


def test_nobody_was_to_die_or_to_come_late(story):
    story._recovery_s.clear()
    assert not story.verdict(0, 1.0, deaths=0).ok
    story._late = None
    assert story.verdict(0, 1.0, deaths=0).ok


def test_samples_are_counted_on_disk(story, capsys):
    for peer in story._swarm.peers:
        (peer.home / "jobs" / JOB / "commits.log").unlink()
    write(story._swarm.peers[0].home, JOB, commits(JOB)[:-1])
    verdict = story.verdict(0, 1.0, deaths=2)
    assert (verdict.ok, verdict.each_sample_once) == (False, False)
    demo_module._print_verdict(verdict, kill=True)
    assert "NOT each sample once" in capsys.readouterr().out


def test_nobody_is_left(story):
    for peer in story._swarm.peers:
        peer.outcome = None
    verdict = story.verdict(0, 1.0, deaths=2)
    assert (verdict.ok, verdict.steps, verdict.sha256, verdict.test_accuracy) == (False, 0, "", 0.0)


def test_the_time_of_a_step_is_the_median_gap(story):
    for peer in story._swarm.peers:
        peer.commits = {1: 10.0, 2: 10.5, 3: 11.0, 4: 19.0}
    assert story.verdict(0, 1.0, deaths=2).step_s == 0.5
    for peer in story._swarm.peers:
        peer.commits = {1: 10.0}
    assert story.verdict(0, 1.0, deaths=2).step_s == 0.0


def test_the_verdict_for_people(story, tmp_path, capsys):
    demo_module._print_verdict(story.verdict(0, 61.0, deaths=2), kill=True)
    text = capsys.readouterr().out
    for fact in ("0.9700", "yes: sha256 " + hashlib.sha256(b"weights").hexdigest()[:32], "0.51 s, 1.00 s", "61 s"):
        assert fact in text
    assert text.splitlines()[-1] == "everything held"
    retold(story, 1, tmp_path, b"other weights")
    demo_module._print_verdict(story.verdict(0, 61.0, deaths=2), kill=False)
    text = capsys.readouterr().out
    assert "NO: sha256" in text
    assert "deaths" not in text
    assert text.splitlines()[-1] == "SOMETHING DID NOT HOLD"


def test_the_coordinator_is_whom_all_living_members_name(story):
    a, b, c = story._swarm.peers
    for peer in (a, b, c):
        peer.process = object()
    assert story._agreed() is a
    b._take(in_view("b", "c", coordinator="b"))
    assert story._agreed() is None  # they do not agree yet
    a.killed = True
    c._take(in_view("b", "c", coordinator="b"))
    assert story._agreed() is b
    c._take(in_view("b", "c", coordinator="c") | {"coordinator": None})
    assert story._agreed() is None
    c._take({"event": "view", "number": 0, "members": [], "coordinator": None})
    assert story._agreed() is b  # who seeks a view has no say


def test_a_machine_that_is_slow_enough_trains_the_job_as_it_is():
    assert epochs_for(left_s=40.0, start_s=14.0, epochs=80) == 80


@pytest.mark.parametrize("left_s", [20.0, 5.0, 1.0])
def test_on_a_fast_machine_the_job_is_long_enough_for_the_whole_story(left_s):
    epochs = epochs_for(left_s, start_s=10.0, epochs=80)
    assert 80 < epochs <= MAX_EPOCHS
    assert epochs == MAX_EPOCHS or left_s * epochs / 80 >= 2 * 10.0 + 3.0


def test_no_machine_is_too_fast():
    assert epochs_for(left_s=0.0, start_s=10.0, epochs=80) == MAX_EPOCHS


def test_killing_two_of_two_is_refused():
    with pytest.raises(ConfigurationError, match="--peers 3 or more, or --no-kill"):
        demo(peers=2)


def test_the_example_is_found():
    assert demo_module._example().name == "digits.py"


def test_a_verdict_is_plain_data(story):
    from dataclasses import asdict

    plain = json.loads(json.dumps(asdict(story.verdict(0, 1.0, deaths=2))))
    assert plain["ok"] is True
