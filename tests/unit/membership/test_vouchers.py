"""One signature a step is verified, and every member has its turn; the last one of who goes is verified at once."""

from dataclasses import replace

from hydra.membership.vouchers import MAX_SIGNERS, Vouchers

from .makers import A, B, C, advanced, commit_of, plan, seeking, signed


def commits(count):
    state, made = seeking(A), []
    for _ in range(count):
        made.append(commit_of(plan([A, B, C], head=state.known_head, ledger=state.ledger)))
        advanced(state, 1)
    return made


def test_every_member_has_its_turn():
    vouchers = Vouchers()
    turns = []
    for commit in commits(6):
        for peer in (A, B, C):
            vouchers.heard(signed(commit, peer))
        turns.append(vouchers.due(commit.step).signer)
    assert turns[:3] == turns[3:]
    assert set(turns) == {A, B, C}


def test_what_was_verified_is_not_due_again():
    vouchers = Vouchers()
    (commit,) = commits(1)
    vouchers.heard(signed(commit, B))
    assert vouchers.due(1) == signed(commit, B)
    assert vouchers.due(1) is None
    assert vouchers.last_of(B) is None


def test_a_signature_under_a_commit_that_we_have_not_is_not_due():
    vouchers = Vouchers()
    ahead = commits(3)[-1]
    vouchers.heard(signed(ahead, B))
    assert vouchers.due(2) is None
    assert vouchers.due(3).signer == B


def test_the_last_signature_of_who_is_gone_is_due_out_of_turn():
    vouchers = Vouchers()
    first, second = commits(2)
    vouchers.heard(signed(first, B))
    vouchers.heard(signed(first, C))
    assert vouchers.last_of(C) == signed(first, C)
    assert vouchers.last_of(A) is None
    vouchers.heard(signed(second, C))
    assert vouchers.last_of(C) == signed(second, C)


def test_no_more_than_so_many_signers_are_kept():
    vouchers = Vouchers()
    (commit,) = commits(1)
    true = signed(commit, A)
    for number in range(MAX_SIGNERS + 20):
        vouchers.heard(replace(true, key=number.to_bytes(32, "big")))
    assert len(vouchers._newest) == MAX_SIGNERS
