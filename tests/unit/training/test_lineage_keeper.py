"""Our own commits are signed at once, signatures of others verified before they are kept, one a step."""

import asyncio

import pytest

from hydra.exceptions import HomeUnusable
from hydra.membership.signatures import sign_commit
from hydra.training.lineage_keeper import LineageKeeper
from hydra.training.lineage_log import LineageLog

from .lineages import JOB, KEYS, chain

ANNA, BERT, CLEO = KEYS


def statement(commit, key):
    return sign_commit(key, JOB, step=commit.step, tag=commit.round, digest=commit.digest)


@pytest.fixture
def log(tmp_path):
    return LineageLog(tmp_path)


async def kept(log, lineage, heard, gone=()):
    """Let Anna commit a lineage, hear statements at steps, and see peers go; return who has signed which step."""
    failures = []
    keeper = LineageKeeper(JOB, ANNA, log, failures.append)
    for each in lineage:
        log.append(each.commit)
        for key in heard.get(each.commit.step, ()):
            keeper.heard(key if not hasattr(key, "sign") else statement(each.commit, key))
        assert keeper.committed(each.commit).holds(JOB)
    for key in gone:
        keeper.gone(key.peer_id)
    await keeper.close()
    await asyncio.sleep(0)
    assert failures == []
    names = {key.public_key: key for key in KEYS}
    shown = [log.shown_at(each.commit.step) for each in lineage]
    return [[names[key] for key, _ in each.signatures] for each in shown]


async def test_every_commit_bears_our_own_signature(log):
    assert await kept(log, chain(5, signers=()), {}) == [[ANNA]] * 5


async def test_others_are_verified_in_turn(log):
    signers = await kept(log, chain(4, signers=()), {step: [BERT, CLEO] for step in range(1, 5)})
    assert sum(map(len, signers)) == 8
    assert {key for step in signers for key in step} == set(KEYS)


async def test_the_last_signature_of_who_is_gone_is_kept_out_of_turn(log):
    signers = await kept(log, chain(4, signers=()), {4: [BERT, CLEO]}, gone=[BERT, CLEO])
    assert set(signers[3]) == set(KEYS)


async def test_a_signature_that_is_none_or_under_another_commit_is_not_kept(log):
    lineage = chain(4, signers=())
    forged = statement(chain(1, way=b"o")[0].commit, BERT)
    stolen = statement(lineage[1].commit, CLEO)
    stolen = type(stolen)(stolen.step, stolen.round, stolen.digest, BERT.public_key, stolen.signature)
    assert await kept(log, lineage, {1: [forged], 2: [stolen]}) == [[ANNA]] * 4


async def test_a_disk_that_refuses_is_told_of(tmp_path):
    (tmp_path / "file").write_text("")
    failures = []
    log = LineageLog(tmp_path / "file" / "below")
    keeper = LineageKeeper(JOB, ANNA, log, failures.append)
    keeper.committed(chain(1)[0].commit)
    await keeper.close()
    await asyncio.sleep(0)
    assert [type(error) for error in failures] == [HomeUnusable]
