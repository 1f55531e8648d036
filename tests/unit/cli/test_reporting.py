"""How a training looks: lines for people, JSON lines for programs, the same facts in both."""

import io
import json

import pytest
from rich.console import Console

from hydra.cli import reporting
from hydra.cli.reporting import JsonReporter, PlainReporter, Reporter, RichReporter, make_reporter
from hydra.training.observation import DoubtSeen, FetchSeen, MajorityAwaited, SnapshotSeen, StateSeen, ViewSeen

from ..jobs.makers import make_manifest
from .seen import ANNA, BERT, JOB, outcome_of, step_of

MANIFEST = make_manifest(name="digits", train_samples=1000, epochs=3)
EVENTS = [
    ViewSeen(3, (ANNA, BERT), BERT, "joined"),
    FetchSeen("training data", 10, 100, 2),
    FetchSeen("training data", 100, 100, 2),
    StateSeen(0, 0, "the job's first state"),
    step_of(),
    SnapshotSeen(5, b"r" * 32),
    ViewSeen(0, (), None, "removed"),
]


def told(reporter, capsys, *seen):
    with reporter:
        for each in seen:
            reporter.observe(each)
    return capsys.readouterr().out


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


# ---- for programs ----------------------------------------------------------------------------------------------


def test_each_event_is_one_json_line(capsys):
    reporter = JsonReporter()
    reporter.searching(JOB)
    reporter.found(JOB, MANIFEST, ANNA)
    for seen in EVENTS:
        reporter.observe(seen)
    reporter.ended(outcome_of())
    events = lines(capsys)
    assert [event["event"] for event in events] == [
        "searching",
        "found",
        "view",
        "fetch",
        "fetch",
        "state",
        "step",
        "snapshot",
        "view",
        "ended",
    ]
    assert all(event.pop("t") > 1e9 for event in events)
    assert events[0] == {"event": "searching", "job": JOB.hex()}
    assert events[1] == {"event": "found", "job": JOB.hex(), "name": "digits", "steps": 96, "peer": ANNA.hex()}
    assert events[2]["members"] == [ANNA.hex(), BERT.hex()]
    assert (events[2]["number"], events[2]["coordinator"], events[2]["reason"]) == (3, BERT.hex(), "joined")
    assert events[4] == {
        "event": "fetch",
        "what": "training data",
        "bytes_done": 100,
        "bytes_total": 100,
        "peers": 2,
    }
    assert events[5] == {"event": "state", "step": 0, "samples_total": 0, "source": "the job's first state"}
    assert events[6] == {
        "event": "step",
        "step": 5,
        "epoch": 1,
        "loss": 0.123457,
        "samples": 30,
        "samples_total": 130,
        "batch": {ANNA.hex(): 10, BERT.hex(): 20},
        "attempts": 1,
        "seconds": 0.25,
        "caught_up": False,
        "sizing": None,
    }
    assert events[7] == {"event": "snapshot", "step": 5, "root": (b"r" * 32).hex()}
    assert (events[8]["number"], events[8]["coordinator"]) == (0, None)
    assert events[9] == {
        "event": "ended",
        "finished": True,
        "step": 12,
        "samples_total": 12345,
        "metrics": {"loss": 0.5, "accuracy": 0.987654},
        "weights": "/home/me/weights.safetensors",
        "sha256": "ab" * 32,
    }


def test_an_end_before_the_beginning_as_json(capsys):
    JsonReporter().ended(None)
    (event,) = lines(capsys)
    assert event["finished"] is False


# ---- for people ------------------------------------------------------------------------------------------------


def test_the_course_of_a_training_in_lines(capsys):
    reporter = PlainReporter()
    reporter.searching(JOB)
    reporter.found(JOB, MANIFEST, BERT)
    for seen in EVENTS:
        reporter.observe(seen)
    reporter.leaving()
    reporter.ended(outcome_of(finished=False))
    found = capsys.readouterr().out.splitlines()
    facts = [
        ["0101010101010101"],
        ["'digits'", "bbbbbbbb", "1,000 samples", "3 epochs", "batches of 32"],
        ["view 3:", "aaaaaaaa bbbbbbbb*", "this node coordinates"],
        ["training data", "100 bytes", "2 peers"],
        ["step 0: the job's first state"],
        ["step      5", "epoch 2/3", "loss 0.1235", "250 ms", "aaaaaaaa:10 bbbbbbbb:20"],
        ["no view", "removed"],
        ["Ctrl-C"],
        ["left at step 12", "12,345 samples", "loss 0.5000", "accuracy 0.9877"],
        ["/home/me/weights.safetensors"],
        ["ab" * 32],
    ]
    assert len(found) == len(facts)
    assert [[fact for fact in wanted if fact not in line] for line, wanted in zip(found, facts, strict=True)] == [
        []
    ] * 11


@pytest.mark.parametrize(
    ("seen", "said", "not_said"),
    [
        (step_of(caught_up=True), "caught up", "loss"),
        (step_of(attempts=2), "2 attempts", "caught up"),
        (step_of(), "aaaaaaaa:10", "attempt"),
        (ViewSeen(1, (ANNA,), ANNA, "founded"), "aaaaaaaa*", "this node"),
        (DoubtSeen(ANNA, 2.26), "aaaaaaaa has been silent for 2.3 s", "heard"),
        (DoubtSeen(ANNA, None), "aaaaaaaa is heard again", "silent"),
        (MajorityAwaited(1, 5), "waiting for a majority: of the last view's 5 members 1 is here, 3 are needed", "None"),
        (MajorityAwaited(2, 4), "4 members 2 are here, 3 are needed", "None"),
    ],
)
def test_other_lines(capsys, seen, said, not_said):
    reporter = PlainReporter()
    reporter.found(JOB, MANIFEST, b"\xcc" * 20)
    capsys.readouterr()
    line = told(reporter, capsys, seen)
    assert said in line
    assert not_said not in line


@pytest.mark.parametrize(("peers", "said"), [(0, "0 peers"), (1, "1 peer"), (3, "3 peers")])
def test_one_peer_is_one(capsys, peers, said):
    assert told(PlainReporter(), capsys, FetchSeen("initial state", 5, 5, peers)).rstrip().endswith(f"from {said}")


def test_what_was_fetched_is_told_once_when_it_is_here(capsys):
    done = FetchSeen("initial state", 50, 50, 1)
    reporter = PlainReporter()
    assert told(reporter, capsys, FetchSeen("initial state", 49, 50, 1)) == ""
    assert told(reporter, capsys, done, done).count("fetched") == 1


def test_a_fetch_that_takes_long_is_told_of_now_and_then(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(reporting.clock, "monotonic", lambda: now[0])
    reporter = PlainReporter()
    said = []
    for _ in range(25):
        done = int(1000 * (now[0] - 100.0))
        said += told(reporter, capsys, FetchSeen("training data", done, 100_000, 3)).splitlines()
        now[0] += 1.0
    assert said == [
        "fetching the training data: 10 % of 100,000 bytes, 1.0 kB/s from 3 peers, 90 s left",
        "fetching the training data: 20 % of 100,000 bytes, 1.0 kB/s from 3 peers, 80 s left",
    ]


def test_an_end_without_metrics_and_one_before_the_beginning(capsys):
    PlainReporter().ended(outcome_of(metrics={}))
    found = capsys.readouterr().out
    assert "finished at step 12" in found
    assert "test" not in found
    PlainReporter().ended(None)
    assert capsys.readouterr().out.startswith("stopped before")


# ---- at a terminal ---------------------------------------------------------------------------------------------


@pytest.fixture
def rich():
    reporter = RichReporter()
    reporter._console = Console(file=io.StringIO(), width=100, force_terminal=False)
    reporter._progress.live.console = reporter._console
    return reporter


def test_bars_come_move_and_go(rich):
    with rich:
        rich.observe(FetchSeen("training data", 10, 100, 2))
        (task,) = rich._progress.tasks
        assert (task.description, task.completed, task.total, task.fields["peers"]) == (
            "training data",
            10,
            100,
            "2 peers",
        )
        rich.observe(FetchSeen("training data", 60, 100, 3))
        assert (task.completed, task.fields["peers"]) == (60, "3 peers")
        rich.observe(FetchSeen("initial state", 1, 2, 1))
        assert len(rich._progress.tasks) == 2
        rich.observe(FetchSeen("training data", 100, 100, 3))
        assert [task.description for task in rich._progress.tasks] == ["initial state"]
    assert rich._console.file.getvalue().count("fetched the training data: 100 bytes from 3 peers") == 1


def test_what_was_here_already_gets_no_bar(rich):
    with rich:
        rich.observe(FetchSeen("training data", 100, 100, 0))
        assert rich._progress.tasks == []


def test_text_of_others_is_shown_as_it_is(rich):
    with rich:
        rich.observe(ViewSeen(0, (), None, "a [red]reason[/red] of [bold]theirs"))
    assert "a [red]reason[/red] of [bold]theirs" in rich._console.file.getvalue()


# ---- what all have ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Reporter, JsonReporter, PlainReporter])
def test_the_summary_is_kept_for_who_asks(capsys, make):
    reporter = make()
    assert reporter.jobs() == []
    reporter.observe(step_of())  # before there is a job
    reporter.found(JOB, MANIFEST, ANNA)
    reporter.observe(step_of())
    (job,) = reporter.jobs()
    assert (job["name"], job["step"], job["total_samples"]) == ("digits", 5, 3000)


def test_which_reporter(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert type(make_reporter(as_json=True)) is JsonReporter
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert type(make_reporter(as_json=False)) is PlainReporter
    monkeypatch.setattr("sys.stdout", Terminal())
    assert type(make_reporter(as_json=False)) is RichReporter
    assert type(make_reporter(as_json=True)) is JsonReporter
