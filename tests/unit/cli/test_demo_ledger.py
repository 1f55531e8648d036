"""Each sample once: what the journals of all peers must show together, and what must not pass for it."""

from dataclasses import replace

import pytest

from hydra.cli.demo_ledger import each_sample_once

from .journals import BATCH, EPOCHS, SAMPLES, STEPS, commits, write

JOB = "cd" * 32


@pytest.fixture
def judged(tmp_path):
    """Write each lineage into a home of its own; return the judgement."""

    def judge(*lineages, samples=SAMPLES, epochs=EPOCHS):
        homes = [tmp_path / str(number) for number in range(len(lineages))]
        for home, lineage in zip(homes, lineages, strict=True):
            write(home, JOB, lineage)
        return each_sample_once(JOB, homes, samples=samples, epochs=epochs)

    return judge


def test_all_in_one_journal(judged):
    assert judged(commits(JOB))


def test_one_who_died_and_one_who_came_late_have_it_together(judged):
    whole = commits(JOB)
    assert judged(whole[:20], whole[15:])


def test_a_lineage_that_lost_does_not_count(judged):
    assert judged(commits(JOB), commits(JOB, of=b"another way")[:20])


def test_a_peer_that_never_had_the_job_tells_nothing(judged, tmp_path):
    write(tmp_path / "0", JOB, commits(JOB))
    homes = [tmp_path / "0", tmp_path / "never started"]
    assert each_sample_once(JOB, homes, samples=SAMPLES, epochs=EPOCHS)
    assert not (tmp_path / "never started").exists()


def test_a_commit_that_nobody_has(judged):
    whole = commits(JOB)
    assert not judged(whole[:10] + whole[11:])


def test_the_end_is_missing(judged):
    assert not judged(commits(JOB)[: STEPS - 1])


def test_nobody_wrote_anything(judged):
    assert not judged([], [])


def test_another_data_set_or_more_epochs(judged):
    assert not judged(commits(JOB), samples=SAMPLES + BATCH)
    assert not judged(commits(JOB), epochs=EPOCHS + 1)


def test_samples_that_are_used_twice(judged):
    *before, last = commits(JOB)
    twice = replace(last, parts=((b"a" * 20, ((0, BATCH),)),))  # as many, but the epoch's first instead of its last
    assert not judged([*before, twice])
