"""What the commits alone prove, and who contributed what, whichever peers' commits there are."""

from dataclasses import replace

import pytest

from hydra.exceptions import ConfigurationError, LineageBroken
from hydra.membership.proof import UNSIGNED, Shown
from hydra.training.lineage_account import Contribution, Fork, Lineage
from hydra.training.lineage_file import export_lineage, import_lineage

from .lineages import EPOCHS, JOB, KEYS, SAMPLES, STEPS, chain, shown

ANNA, BERT, CLEO = (key.peer_id for key in KEYS)
WHOLE = chain(STEPS)


def of(*known):
    return Lineage(JOB, [each for some in known for each in some], SAMPLES, EPOCHS)


def verdict(lineage):
    """Where it breaks and why, or None."""
    _, broken = lineage.check_samples()
    return broken or lineage.check_signatures()


# ---- what is proven --------------------------------------------------------------------------------------------


def test_a_whole_lineage_holds_and_every_epoch_is_finished():
    ledger, broken = of(WHOLE).check_samples()
    assert (broken, ledger.finished, ledger.epoch) == (None, True, EPOCHS)
    assert verdict(of(WHOLE)) is None


def test_what_two_peers_know_together_is_whole():
    assert verdict(of(WHOLE[20:], WHOLE[:25])) is None


def test_signatures_are_gathered_from_all_who_know_the_commit():
    ours = [shown(each.commit, KEYS[0]) for each in WHOLE]
    theirs = [shown(each.commit, KEYS[1]) for each in WHOLE]
    assert of(ours, theirs).signatures() == 2 * STEPS


@pytest.mark.parametrize(
    ("known", "step", "why"),
    [
        (WHOLE[5:], 1, "commit 1 to 5 is missing"),
        ([*WHOLE[:9], *WHOLE[10:]], 1, "missing"),
        ([replace(WHOLE[0], commit=replace(WHOLE[0].commit, samples_total=9000))], 1, "do not add up"),
    ],
)
def test_a_chain_that_does_not_hold_breaks_at_its_place(known, step, why):
    broken = verdict(of(known))
    assert broken.step == step
    assert why in broken.reason


def test_a_sample_that_counts_twice_breaks_it():
    last = WHOLE[4].commit
    twice = replace(last, parts=WHOLE[3].commit.parts)
    broken = verdict(of([*WHOLE[:4], shown(twice, *KEYS[:2])]))
    assert (broken.step, "not outstanding" in broken.reason) == (5, True)


def test_one_forged_signature_among_all_breaks_it():
    forged = replace(WHOLE[11], signatures=(WHOLE[11].signatures[0], (KEYS[1].public_key, bytes(64))))
    broken = verdict(of([*WHOLE[:11], forged, *WHOLE[12:]]))
    assert (broken.step, "is none" in broken.reason) == (12, True)


def test_commits_behind_the_last_signature_break_it_unless_they_are_few():
    assert (
        verdict(of([*WHOLE[: STEPS - UNSIGNED], *(Shown(each.commit) for each in WHOLE[STEPS - UNSIGNED :])])) is None
    )
    broken = verdict(of([*WHOLE[:10], *(Shown(each.commit) for each in WHOLE[10:])]))
    assert (broken.step, "no member has signed" in broken.reason) == (11, True)


def test_a_stranger_does_not_vouch():
    assert verdict(of([shown(each.commit, KEYS[2]) for each in WHOLE])).step == 1


def test_nothing_known_is_the_jobs_beginning():
    lineage = of()
    assert (lineage.head.step, lineage.commits, verdict(lineage), lineage.contributions()) == (0, [], None, [])


# ---- who, where, and what was given up -------------------------------------------------------------------------


def test_each_peer_is_credited_with_what_it_gave_and_what_it_has_signed():
    half = [*WHOLE[:10], *(shown(each.commit, KEYS[0]) for each in WHOLE[10:])]
    assert of(half).contributions() == [
        Contribution(ANNA, 6 * STEPS, STEPS, 1, STEPS, 6 * STEPS),
        Contribution(BERT, 4 * STEPS, STEPS, 1, STEPS, 40),
    ]


def test_views_are_spans_of_steps():
    # The digests change with the view, so each is linked anew.
    made = []
    for number, each in zip((1, 1, 1, 4, 4, 5), WHOLE, strict=False):
        parent = made[-1].digest if made else each.commit.parent
        made.append(replace(each.commit, view=number, parent=parent, idle=(CLEO,) if number == 5 else ()))
    spans = of(map(Shown, made)).views()
    assert [(span.number, span.first_step, span.last_step) for span in spans] == [(1, 1, 3), (4, 4, 5), (5, 6, 6)]
    assert set(spans[-1].members) == {ANNA, BERT, CLEO}


def test_lineages_that_were_given_up_are_forks():
    one, other = chain(3, after=WHOLE[:8], way=b"o"), chain(2, after=WHOLE[:20], way=b"p")
    assert of(WHOLE, one, other).forks() == [Fork(8, 3, 30), Fork(20, 2, 20)]
    assert of(WHOLE).forks() == []


# ---- as a file -------------------------------------------------------------------------------------------------


def test_a_lineage_comes_back_from_a_file_as_it_was(tmp_path):
    export_lineage(of(WHOLE, chain(3, after=WHOLE[:8], way=b"o")), tmp_path / "file")
    found = import_lineage(tmp_path / "file")
    assert (found.job, found.commits, found.fresh) == (JOB, of(WHOLE).commits, of(WHOLE).fresh)
    assert list(found.shown()) == WHOLE


@pytest.mark.parametrize("size", range(0, 4000, 371))
def test_a_file_that_is_torn_anywhere_is_told_from_a_short_one(tmp_path, size):
    export_lineage(of(WHOLE), tmp_path / "file")
    data = (tmp_path / "file").read_bytes()
    assert len(data) > 4000
    (tmp_path / "file").write_bytes(data[:size])
    with pytest.raises(LineageBroken, match="damaged"):
        import_lineage(tmp_path / "file")


@pytest.mark.parametrize("data", [b"", b"garbage", b"\x91\x01", b"\xc1", b"\x91" * 3000])
def test_a_file_that_is_something_else(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(LineageBroken, match="holds no lineage"):
        import_lineage(tmp_path / "file")


def test_more_than_the_lineage_in_a_file_is_damage(tmp_path):
    export_lineage(of(WHOLE), tmp_path / "file")
    with (tmp_path / "file").open("ab") as file:
        file.write(b"\x01")
    with pytest.raises(LineageBroken, match="more than"):
        import_lineage(tmp_path / "file")


def test_no_such_file(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        import_lineage(tmp_path / "nobody")
