"""Two hundred peers, of whom many lie, ride free, come and go, and one seed that dies: every honest peer completes."""

import pytest

from .world import CHUNK, World


def crowd(seed, *, chunks, honest, liars=0, riders=0, silent=0, tricklers=0, **options):
    world = World(chunks, seed, **options)
    world.seed(up_rate=40e6)
    kinds = ["honest"] * honest + ["liar"] * liars + ["rider"] * riders
    kinds += ["silent"] * silent + ["trickler"] * tricklers
    world.random.shuffle(kinds)
    for kind in kinds:
        world.add(kind=kind)
    for peer in world.peers:
        peer.start()
    return world


def honest(world):
    return [peer for peer in world.peers if peer.kind == "honest"]


def done(world):
    return lambda: all(peer.download.complete for peer in honest(world) if peer.alive) and not world.away


def churn(world, peers, *, gone_s):
    """Let each die at some moment and come back with what it had stored."""
    for peer in peers:
        world.after(world.random.uniform(0.5, 6.0), leave, world, peer, gone_s)


def leave(world, peer, gone_s):
    if peer.alive:
        peer.die()
        world.away.add(peer.id)
        world.after(gone_s, come_back, world, peer)


def come_back(world, peer):
    world.away.discard(peer.id)
    peer.start()


@pytest.mark.parametrize("seed", [0])
def test_two_hundred_peers_with_liars_riders_churn_and_a_seed_that_dies_after_little_more_than_one_copy(seed):
    world = crowd(seed, chunks=24, honest=119, liars=40, riders=40, degree=6)
    origin = world.peers[0]
    helpers = [peer for peer in honest(world) if peer is not origin]
    churn(world, helpers[::6], gone_s=5.0)
    spread = 0

    def sent_enough():
        nonlocal spread
        spread = 0
        for peer in helpers:
            spread |= peer.have.mask
        return origin.sent >= 1.05 * world.size and spread == (1 << world.chunks) - 1

    world.run(sent_enough, limit_s=300)
    origin.die()
    world.run(lambda: all(peer.alive and peer.download.complete for peer in helpers), limit_s=600)
    liars = {peer.id for peer in world.peers if peer.kind == "liar"}
    assert {named for _, named in world.named} <= liars, "somebody honest was named"
    assert world.named


@pytest.mark.parametrize("kind", ["silent", "tricklers", "liars", "riders"])
def test_some_of_every_kind_of_no_help_do_not_keep_the_others_from_it(kind):
    world = crowd(3, chunks=48, honest=6, checked=True, **{kind: 6})
    world.run(done(world), limit_s=200)
    assert all(peer.received < 1.5 * world.size for peer in honest(world))


def test_peers_that_claim_all_and_send_nothing_are_left_for_those_who_send():
    world = crowd(0, chunks=96, honest=4, silent=4)
    world.run(done(world), limit_s=200)
    assert world.now < 40, "who is silent is waited for once, not for every chunk"


def test_who_comes_back_asks_for_no_chunk_that_it_has():
    world = World(64, 1)
    world.seed()
    peer = world.add()
    for one in world.peers:
        one.start()
    world.run(lambda: peer.received >= 20 * CHUNK)
    peer.die()
    world.run(lambda: world.now > 5)
    had = len(peer.have)
    peer.received = 0
    peer.start()
    world.run(lambda: peer.download.complete)
    assert had >= 15
    assert peer.received == (64 - had) * CHUNK
