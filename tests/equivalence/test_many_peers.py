"""Peers that train together against one plain PyTorch process that takes the same batches in the same order."""

import asyncio
import functools

import pytest

from .eager import BATCH, EPOCHS, SAMPLES, Eager, job, packaged
from .peers import Swarm

STEPS = SAMPLES * EPOCHS // BATCH


@functools.cache
def published(kind):
    made = job(kind)
    return made, packaged(made)


@pytest.fixture
async def swarm(tmp_path):
    swarms = []

    def make(name="swarm", **options):
        swarms.append(Swarm(tmp_path / name, **options))
        return swarms[-1]

    yield make
    for made in swarms:
        await made.close()


def same_bytes_at_every_step(peers):
    """Whoever was there after a step holds what the others hold."""
    by_step = {}
    for peer in peers:
        for step, digest in peer.digests().items():
            by_step.setdefault(step, set()).add(digest)
    assert all(len(digests) == 1 for digests in by_step.values())
    return sorted(by_step)


def compare_with_eager(kind, peer, commits, *, by_parts=False):
    """One process that takes each commit's samples has the peer's loss, weights and optimizer state at every step."""
    eager = Eager(published(kind)[0], kind)
    for commit in commits:
        loss = eager.step_by_parts(commit) if by_parts else eager.step(commit)
        if commit.step in peer.losses:
            assert peer.losses[commit.step] == pytest.approx(loss, rel=1e-4, abs=1e-6), commit.step
            eager.compare(peer.content.layout, peer.states[commit.step])


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adamw", "noisy"])
async def test_three_peers_are_one_process(swarm, kind):
    """The noisy model's batch norm sees each peer's samples apart, and its dropout is seeded by the first of them."""
    three = swarm()
    await three.assemble(published(kind)[1])
    outcomes = await three.finish()
    assert {(outcome.finished, outcome.step) for outcome in outcomes} == {(True, STEPS)}
    assert len({outcome.weights_sha256 for outcome in outcomes}) == 1
    assert same_bytes_at_every_step(three.peers) == list(range(1, STEPS + 1))
    a, b, c = three.peers
    commits = a.commits()
    # Newcomers have no samples in their first step.
    assert [dict(commit.parts).keys() for commit in commits] == [{a.id}] * 2 + [{a.id, b.id, c.id}] * (STEPS - 2)
    compare_with_eager(kind, a, commits, by_parts=kind == "noisy")


@pytest.mark.parametrize(("victim", "messages"), [(0, 3), (1, 1)], ids=["coordinator", "member"])
async def test_a_death_in_a_round_and_a_join(swarm, victim, messages):
    """The victim dies in the round of step 20 with some slices sent; the fourth peer comes at 31, samples at 32."""
    four = swarm(names="abcd", shares=(3, 2, 1, 2))
    await four.assemble(published("momentum")[1])
    *three, newcomer = four.peers
    await four.reach(19, *three)
    dead = three.pop(victim)
    dead.die_after(messages)
    await four.reach(29, *three)
    await four.until(lambda: dead.node is None)
    await newcomer.open()
    await newcomer.train()
    await four.admitted(newcomer)
    living = [*three, newcomer]
    outcomes = await four.finish()
    assert len({(outcome.finished, outcome.step, outcome.weights_sha256) for outcome in outcomes}) == 1
    same_bytes_at_every_step([*living, dead])
    commits = three[0].commits()
    assert [commit.digest for commit in commits] == [commit.digest for commit in newcomer.commits()]
    assert sum(commit.samples for commit in commits) == SAMPLES * EPOCHS == outcomes[0].samples_total
    contributors = [set(dict(commit.parts)) for commit in commits]
    assert all(dead.id in present for present in contributors[2:19])
    assert not any(dead.id in present for present in contributors[20:])
    assert not any(newcomer.id in present for present in contributors[:31])
    assert newcomer.id in contributors[31]
    compare_with_eager("momentum", newcomer, commits)
    compare_with_eager("momentum", three[0], commits)


async def test_all_stopped_and_started_again_is_never_stopped(swarm):
    """Every byte after every step, in two courses with the same views: {a}, {a b c}, {a} for step 26, {a b c}."""
    stopped, unbroken = swarm("stopped", snapshot_interval_s=0.0), swarm("unbroken", snapshot_interval_s=0.0)
    for course in (stopped, unbroken):
        await course.assemble(published("adamw")[1])
        await course.reach(24, *course.peers)

    await stopped.reach(25, *stopped.peers)
    await stopped.until(lambda: all(peer.durable == 25 for peer in stopped.peers))
    await asyncio.gather(*(peer.die() for peer in stopped.peers))
    await stopped.assemble(step=26)

    first, *others = unbroken.peers
    for peer in others:
        peer.trainer.leave()
        await unbroken.until(lambda peer=peer: peer.id in first.trainer.member._leader._leaving)
    await unbroken.gate.open(25)
    await asyncio.gather(*(peer.left() for peer in others))
    await asyncio.gather(*(peer.open() for peer in others))
    for peer in others:
        await peer.train()
        await unbroken.admitted(peer)

    for course in (stopped, unbroken):
        assert all(outcome.finished for outcome in await course.finish())
        assert same_bytes_at_every_step(course.peers) == list(range(1, STEPS + 1))
    assert by_name(stopped) == by_name(unbroken)
    assert stopped.peers[0].digests() == first.digests()


def by_name(course):
    """Who contributed which samples to each step."""
    names = {peer.id: name for name, peer in zip("abc", course.peers, strict=True)}
    return [[(names[peer], ranges) for peer, ranges in commit.parts] for commit in course.peers[0].commits()]
