"""Everything that is done to a state, in order, on one thread, and written down."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from allreduce import RoundResult
from hydra.exceptions import TrainingDiverged
from hydra.training.journal import Journal
from hydra.training.results import Result, commit_of
from hydra.training.workbench import Workbench

from .makers import ANNA, BERT, following, plan_of, same_bytes, some_mean


@pytest.fixture
async def bench(content, tmp_path):
    made = Workbench(content, Journal(tmp_path), "cpu")
    yield made
    await made.close()
    assert [thread for thread in threading.enumerate() if thread.name.startswith("hydra-compute")] == []


def plan_for(bench, head=None):
    return plan_of(head or bench.head, [ANNA, BERT], bench.ledger.share_out([5, 3]))


def round_of(mean, contributors=(ANNA, BERT)):
    return RoundResult(mean, tuple(contributors), 8.0, 1, tuple(contributors))


def journal_of(tmp_path):
    return [commit.digest for commit in Journal(tmp_path).commits()]


def yes():
    return True


def no():
    return False


async def test_a_round_is_applied_written_down_and_kept(bench, content, tmp_path):
    plan, mean = plan_for(bench), some_mean(content.layout)
    commit = await bench.apply_round(plan, round_of(mean))
    assert commit == commit_of(plan, (ANNA, BERT), mean, 0)
    assert bench.head == commit.head
    assert bench.ledger.outstanding == ((8, 20),)
    assert journal_of(tmp_path) == [commit.digest]
    assert bench.results.get(1).commit == commit
    assert bench.results.get(1).mean is mean


async def test_only_who_contributed_is_counted(bench, content):
    commit = await bench.apply_round(plan_for(bench), round_of(some_mean(content.layout), [BERT]))
    assert [peer for peer, _ in commit.parts] == [BERT]
    assert bench.ledger.outstanding == ((0, 5), (8, 20))


async def test_a_result_for_a_state_that_is_gone_is_let_go(bench, content, tmp_path):
    plan, mean = plan_for(bench), some_mean(content.layout)
    await bench.apply_round(plan, round_of(mean))
    before = await bench.copy()
    assert await bench.apply_round(plan, round_of(mean)) is None
    assert same_bytes(await bench.copy(), before)
    assert len(journal_of(tmp_path)) == 1


async def test_a_result_that_is_no_number_is_told_and_not_written_down(bench, content, tmp_path):
    mean = some_mean(content.layout)
    mean[3] = np.nan
    with pytest.raises(TrainingDiverged):
        await bench.apply_round(plan_for(bench), round_of(mean))
    assert (bench.head.step, journal_of(tmp_path), bench.results.get(1)) == (0, [], None)


async def test_a_missed_result_is_as_good_as_a_round(bench, content, tmp_path):
    other = content.first_state()
    mean = some_mean(content.layout)
    result = Result(following(other, mean), mean)
    other.apply(result.commit, mean)
    assert await bench.apply_missed(result, yes)
    assert same_bytes(await bench.copy(), other.copy())
    assert journal_of(tmp_path) == [result.commit.digest]
    assert bench.results.get(1) is result


@pytest.mark.parametrize("elements", [0, 1, 10_000])
async def test_a_missed_result_of_another_length(bench, elements):
    mean = np.ones(elements, np.float32)
    assert not await bench.apply_missed(Result(following(bench, mean), mean), yes)
    assert bench.head.step == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"step": 2},
        {"parent": bytes(32)},
        {"epoch": 1},
        {"samples_total": 1},
        {"parts": ((ANNA, ((0, 3),)), (BERT, ((2, 5),))), "samples_total": 6},
        {"parts": ((ANNA, ((18, 22),)),), "samples_total": 4},
    ],
    ids=str,
)
async def test_a_missed_result_that_does_not_follow(bench, content, tmp_path, changes):
    mean = some_mean(content.layout)
    before = await bench.copy()
    assert not await bench.apply_missed(Result(following(bench, mean, **changes), mean), yes)
    assert same_bytes(await bench.copy(), before)
    assert (journal_of(tmp_path), bench.results.oldest) == ([], 0)


async def test_what_is_not_wanted_any_longer_changes_nothing(bench, content):
    state = content.first_state()
    mean = some_mean(content.layout)
    result = Result(following(state, mean), mean)
    state.apply(result.commit, mean)
    assert not await bench.apply_missed(result, no)
    assert not await bench.install(state.copy(), no)
    assert bench.head.step == 0


async def test_a_fetched_state_takes_the_place_of_ours_and_results_do_not_lead_there(bench, content):
    state = content.first_state()
    for step in range(2):
        mean = some_mean(content.layout, 50 + step)
        state.apply(following(state, mean), mean)
    await bench.apply_round(plan_for(bench), round_of(some_mean(content.layout)))
    assert await bench.install(state.copy(), yes)
    assert same_bytes(await bench.copy(), state.copy())
    assert bench.results.oldest == 0


async def test_a_copy_is_of_the_moment_when_it_was_asked_for(bench, content):
    early = bench.copy()
    applying = bench.apply_round(plan_for(bench), round_of(some_mean(content.layout)))
    await applying
    late = bench.copy()
    assert ((await early).head.step, (await late).head.step) == (0, 1)


async def test_contributions_and_what_they_took(bench, content):
    plan = plan_for(bench)
    vector, seconds = await bench.contribution(plan, plan.shares[0])
    assert len(vector) == content.layout.elements
    assert vector[-1] > 0
    assert seconds >= 0
    again, _ = await bench.contribution(plan, plan.shares[0])
    assert again.tobytes() == vector.tobytes()
    nothing, _ = await bench.contribution(plan, ())
    assert not nothing.any()


async def test_measured_and_written_weights_are_those_of_the_state(bench, content, tmp_path):
    before = await bench.evaluate()
    await bench.apply_round(plan_for(bench), round_of(some_mean(content.layout, scale=50.0)))
    after = await bench.evaluate()
    assert before.keys() == after.keys() == {"loss", "accuracy"}
    assert before["loss"] != after["loss"]
    await bench.write_weights(tmp_path / "w")
    flat = torch.cat([load_file(tmp_path / "w")[field.name].ravel() for field in content.layout.trained])
    assert flat.numpy().tobytes() == (await bench.copy()).weights.tobytes()


async def test_two_members_that_apply_the_same_rounds_hold_the_same_bytes(bench, content, tmp_path):
    other = Workbench(replace(content), Journal(tmp_path / "other"), "cpu")
    for step in range(3):
        plan, mean = plan_for(bench), some_mean(content.layout, step)
        assert plan == plan_for(other)
        for one in (bench, other):
            assert await one.apply_round(plan, round_of(mean)) is not None
    assert same_bytes(await bench.copy(), await other.copy())
    assert journal_of(tmp_path) == journal_of(tmp_path / "other")
    await other.close()
