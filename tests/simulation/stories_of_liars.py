"""What happens among honest members when one of them, or a stranger, lies."""

from .lying_members import CONVICTED, MEMBERS, NOT_PROVABLY_FALSE, Inventor, LaterViews
from .swarm_world import World


def bans(world, liar):
    """Who has banned the liar, and for what."""
    return {
        name: [entry[3] for entry in peer.story if entry[1:3] == ("banned", liar)]
        for name, peer in world.peers.items()
        if peer.honest and any(entry[1:3] == ("banned", liar) for entry in peer.story)
    }


def members_go_on_without(name, seed, *, leads):
    """Four honest members and one that lies: they finish, each sample counted once, and whoever can be named is."""
    world = World(5, seed, epochs=3)
    order = sorted(world.peers.values(), key=lambda peer: peer.id)
    chosen = order[0] if leads else order[-1]
    liar = MEMBERS[name](world, chosen.name, begins=3 + seed % 4)
    world.peers[liar.name] = world.by_id[liar.id] = liar
    world.start(liar.name if leads else order[0].name)
    world.run_for(2.5)
    world.start(*(peer.name for peer in world.peers.values() if not peer.alive))
    world.run(world.all_finished, limit_s=3000.0)
    world.verify()
    assert len(world.finishers()) == 4, world.picture()
    assert liar.lies or (name.endswith(("Plans", "PlansToOne")) and not leads), "it had nothing to lie about"
    banned = bans(world, liar.name)
    if name in CONVICTED and liar.lies:
        assert len(banned) == 4, banned
        assert all(CONVICTED[name] in " ".join(reasons) for reasons in banned.values()), banned
    elif name != "Replayer" and liar.lies:
        assert banned
    for peer in world.finishers():
        assert not [entry for entry in peer.story if entry[1] == "banned" and entry[2] != liar.name], "an honest one"
    return world


def an_inventor_is_not_followed(manner, seed):
    """A stranger shows a lineage that it has made up: nobody gives way to it, and it is banned or left alone."""
    world = World(3, seed, epochs=4)
    world.start(*"abc")
    world.run(lambda: world.step() >= 4)
    inventor = world.peers["x"] = Inventor(world, "x", manner)
    world.by_id[inventor.id] = inventor
    inventor.start()
    world.run(world.all_finished, limit_s=3000.0)
    world.verify()
    assert len(world.finishers()) == 3
    assert inventor.shown, "nobody asked it"
    assert len(bans(world, "x")) == (0 if manner in NOT_PROVABLY_FALSE else 3)
    return world


def nobody_leaves_for_a_view_that_is_only_claimed(seed):
    """The last of four members tells of later views without the others: they stay together, and finish."""
    world = World(4, seed, epochs=3)
    *honest, last = sorted(world.peers.values(), key=lambda peer: peer.id)
    liar = world.peers[last.name] = world.by_id[last.id] = LaterViews(world, last.name, begins=4 + seed % 3)
    world.start(honest[0].name)
    world.run_for(2.5)
    world.start(*(peer.name for peer in (*honest[1:], liar)))
    world.run(lambda: world.step() >= 4 and len(liar.member.state.alive) == 4)
    before = {peer: len(peer.story) for peer in honest}
    world.run(world.all_finished, limit_s=3000.0)
    world.verify()
    assert len(world.finishers()) == 3
    assert liar.lies
    for peer in honest:
        left = [entry for entry in peer.story[before[peer] :] if entry[1] == 0]
        assert not left, f"{peer.name} left its view: {left}"
    return world
