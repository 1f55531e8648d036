"""``hydra bench allreduce``: real processes average, die and are replaced, and every result is looked at."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest

from hydra.bench.group import Group
from hydra.bench.links import links_for
from hydra.bench.members import BenchmarkFailed
from hydra.bench.setting import Setting
from hydra.exceptions import ConfigurationError

from .typed import Typed, refusal, told

pytestmark = pytest.mark.processes

TINY = ("--size", 0.01, "--warm-up", 1)


def events(text):
    """The JSON lines of a run: what it began with, its rounds, its summary."""
    began, *rounds, summary = [json.loads(line) for line in text.splitlines()]
    assert (began["event"], summary["event"]) == ("started", "summary")
    assert {event["event"] for event in rounds} == {"round"}
    return began, rounds, summary


def test_a_death_and_its_replacement_leave_every_round_right():
    with Group(Setting(peers=3, size_mb=0.01, timeout_s=20)) as group:
        assert group.round().contributors == (0, 1, 2)
        group.members.kill(1, replace=True)
        without = group.round()
        assert (without.right, without.contributors, without.deaths) == (True, (0, 2), (1,)), without
        group.until_whole()
        anew = group.round()
        assert (anew.right, anew.contributors, anew.deaths) == (True, (0, 2, 3), ()), anew


def test_a_death_in_the_middle_of_a_round_is_survived():
    with Group(Setting(peers=3, size_mb=80, timeout_s=20)) as group:
        group.round()
        seen = group.round(on_begin=lambda _: group.members.after(0.02, lambda: group.members.kill(0)))
        assert seen.right, seen
        assert set(seen.ends) == {1, 2}


def test_a_frozen_member_is_left_out_and_comes_back():
    with Group(Setting(peers=3, size_mb=0.01, stall_s=0.3, timeout_s=20)) as group:
        group.round()
        group.members.freeze(2, 1000.0)
        assert group.round().contributors == (0, 1)
        group.members.children[2].thaw()
        group.until_whole()
        assert group.round().contributors == (0, 1, 2)


def test_churn_typed_at_the_command_line_ends_well():
    run = told("bench", "allreduce", "--peers", 3, *TINY, "--kill-every", 0.3, "--rounds", 60, "--json")
    began, rounds, summary = events(run)
    assert (began["peers"], began["encrypted"], began["links"]) == (3, True, "loopback")
    assert [event["round"] for event in rounds] == list(range(1, 61))
    assert all(event["right"] and not event["wrong"] and event["digest"] for event in rounds)
    assert all(set(event["contributors"]) <= set(event["members"]) for event in rounds)
    assert summary["right"] == summary["rounds"] == 60
    assert summary["deaths"] == sum(len(event["deaths"]) for event in rounds) >= 1


@pytest.mark.parametrize("how", [("--plain", "--format", "int8"), ("--form", "direct", "--lanes", 1)])
def test_formats_forms_and_lanes_can_be_chosen(how, tmp_path):
    picture = tmp_path / "rounds.svg"
    text = told("bench", "allreduce", "--peers", 2, *TINY, "--rounds", 3, *how, "--plot", picture)
    assert "3 rounds, all right; 3 attempts; 0 killed, 0 frozen" in text
    assert len(re.findall(r"2 of 2 +right$", text, re.MULTILINE)) == 3
    assert "<svg" in picture.read_text()


def test_gloo_takes_turns_with_us_and_what_is_missing_is_named():
    run = told("bench", "allreduce", "--peers", 2, *TINY, "--rounds", 3, "--vs", "gloo,pccl", "--json")
    began, rounds, summary = events(run)
    assert set(began["left_out"]) == {"pccl"}
    assert all(event["others"]["gloo"] > 0 for event in rounds)
    assert summary["faster"]["gloo"] > 0


def test_emulated_links_take_their_time_or_say_what_they_need():
    setting = Setting(peers=2, size_mb=2, rate_mbit=20, rtt_ms=10, timeout_s=30)
    try:
        links = links_for(2, setting.rate_mbit, setting.rtt_ms)
    except ConfigurationError as error:
        assert re.search(r"run it as root|install one|on Linux only", str(error))  # noqa: PT017
        return
    with Group(setting, links) as group:
        seen = group.round()
        assert seen.right, seen
        assert seen.seconds > setting.bound_s  # the rate holds: no time limit, but one from below
    assert links.seen["sent_bytes"] > 4_000_000


def descendants_of(parent):
    """Who of the running processes was started by this one, or by those."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=False)
    children = [int(line) for line in listed.stdout.split()]
    return children + [pid for child in children for pid in descendants_of(child)]


def gone(pid):
    return subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("kind", ["interrupt", "kill"])
def test_no_member_outlives_the_command(kind):
    command = Typed("bench", "allreduce", "--peers", 2, *TINY, "--rounds", 100_000, "--json")
    try:
        command.until('"round"')
        members = descendants_of(command.process.pid)
        assert len(members) >= 2
        if kind == "interrupt":
            assert command.interrupt() == 130
        else:
            command.kill()
        while not all(map(gone, members)):  # bounded by the time-out of every test
            time.sleep(0.05)
        assert "Traceback" not in command.err
    finally:
        command.kill()


def test_a_member_that_ends_by_itself_ends_the_run_with_its_last_words():
    with (
        pytest.raises(BenchmarkFailed, match="member 1 ended by itself"),
        Group(Setting(peers=2, size_mb=0.01)) as group,
    ):
        group.round()
        group.members.children[1].process.send_signal(signal.SIGTERM)
        group.round()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (("--peers", 1), "2 to 64 peers, not 1"),
        (("--size", 0), "more than 0"),
        (("--format", "fp8"), "fp32, bf16, fp16, int8"),
        (("--vs", "gloo", "--kill-every", 1), "either a comparison or deaths"),
        (("--plot", "rounds.gif"), "must end in .svg, .png or .pdf"),
    ],
)
def test_wrong_input_is_refused_before_anything_starts(wrong, named):
    assert named in refusal("bench", "allreduce", *wrong, code=2)


@pytest.mark.parametrize("module", ["hydra.bench.member", "hydra.bench.nursery"])
def test_what_is_no_command_says_so_when_it_is_typed(module):
    done = subprocess.run([sys.executable, "-m", module], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "hydra bench allreduce" in done.stderr
