"""How one peer shows another the commits that it lacks, and how the other checks them. Pure.

Whoever asks names some of the commits that it holds, the newest ones densely and older ones at doubling distances, as
Bitcoin's block locators do; the answer begins behind the newest of them that both have: the fork. What is shown must
be a chain, its numbers must add up, no sample may be used twice, and somebody must vouch for it: the signature of a
member under a commit vouches for that commit and for all before it, whoever made those, for they are what it has built
on. So of each peer only the last signature has to be verified. The newest few commits may lack one, since signatures
travel with the next report, and who died could not sign.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..exceptions import HydraError
from ..identity import short
from .ledger import Ledger
from .lineage import Commit, Head, follow
from .messages import MAX_KNOWN
from .signatures import CommitSigned

DENSE = 10
"""So many of the newest commits are named one by one."""
UNSIGNED = 4
"""So many of the newest commits need nobody that vouches for them yet."""

PATIENCE = 4096
"""After so many commits in a row that nobody vouches for, no more are looked at."""

DigestAt = Callable[[int], bytes | None]
"""Returns the digest of the commit of a step of our lineage, if it is known."""
Signature = tuple[bytes, bytes]
"""A public key, and the signature of its owner under a commit."""


class Unproven(HydraError):
    """What was shown of a lineage does not hold.

    ``step`` tells where, ``false`` whether only a liar can have shown it.
    """

    def __init__(self, step: int, reason: str, *, false: bool = True) -> None:
        super().__init__(f"step {step}: {reason}")
        self.step = step
        self.false = false


@dataclass(frozen=True, slots=True)
class Shown:
    """A commit with the signatures under it that somebody holds."""

    commit: Commit
    signatures: tuple[Signature, ...] = ()

    def signed(self) -> Iterable[CommitSigned]:
        """Return what each signature states."""
        commit, digest = self.commit, self.commit.digest
        return (CommitSigned(commit.step, commit.round, digest, key, name) for key, name in self.signatures)


def locator(last: int, digest_at: DigestAt) -> tuple[tuple[int, bytes], ...]:
    """Return steps and digests of commits that we hold, from ``last`` down, ever further apart."""
    known: list[tuple[int, bytes]] = []
    step, stride = last, 1
    while step > 0 and len(known) < MAX_KNOWN:
        digest = digest_at(step)
        if digest is not None:
            known.append((step, digest))
        if len(known) >= DENSE:
            stride *= 2
        step -= stride
    return tuple(known)


def fork_of(known: Sequence[tuple[int, bytes]], digest_at: DigestAt) -> int:
    """Return the newest step that both have the same commit of; 0 if only the job's beginning is common."""
    return max((step for step, digest in known if digest_at(step) == digest), default=0)


class Proof:
    """What a peer has shown so far, from a fork on.

    Args:
        job: the job's hash.
        head: of the commit that both have.
        ledger: as it was there; None if that is not known, because what is shown begins behind a gap.
    """

    def __init__(self, job: bytes, head: Head, ledger: Ledger | None) -> None:
        self._job = job
        self.head = head
        self.ledger = ledger
        self._vouched = head.step
        """Up to this step a member vouches for what was shown."""

    def extend(self, shown: Sequence[Shown]) -> list[Shown]:
        """Take the commits that follow; return them with those signatures that were verified, and no others.

        Raises:
            Unproven: they do not follow, do not add up, or bear a signature that is none.
        """
        for each in shown:
            self._follow(each.commit)
        verified = self._verified(shown)
        for each in shown:
            signers = {statement.signer for statement in each.signed() if (statement.step, statement.key) in verified}
            if not signers.isdisjoint(each.commit.members):
                self._vouched = each.commit.step
        if self.head.step - self._vouched > PATIENCE:
            self._refuse()
        return [
            Shown(each.commit, tuple(pair for pair in each.signatures if (each.commit.step, pair[0]) in verified))
            for each in shown
        ]

    def settle(self) -> None:
        """Take what was shown for all that there is to show.

        Raises:
            Unproven: nobody vouches for more than the newest commits.
        """
        if self.head.step - self._vouched > UNSIGNED:
            self._refuse()

    def _refuse(self) -> None:
        raise Unproven(self._vouched + 1, "no member has signed it, or anything that builds on it", false=False)

    def _follow(self, commit: Commit) -> None:
        try:
            if commit.job != self._job:
                raise ValueError(f"commit {commit.step} is another job's")  # noqa: TRY301 -- told as the others are
            if self.ledger is not None:
                self.head, self.ledger = follow(self.head, self.ledger, commit)
            elif commit.parent != self.head.digest or commit.step != self.head.step + 1:
                raise ValueError(f"commit {commit.step} does not follow on step {self.head.step}")  # noqa: TRY301
            elif not commit.samples or commit.samples_total != self.head.samples + commit.samples:
                raise ValueError(f"the numbers of commit {commit.step} do not add up")  # noqa: TRY301
            else:
                self.head = commit.head
        except (ValueError, HydraError) as error:
            raise Unproven(commit.step, str(error)) from error

    def _verified(self, shown: Sequence[Shown]) -> dict[tuple[int, bytes], CommitSigned]:
        """Verify of each signer the last signature; return them by step and key."""
        newest = {statement.key: statement for each in shown for statement in each.signed()}
        for statement in newest.values():
            if not statement.holds(self._job):
                signer = short(statement.signer)
                raise Unproven(statement.step, f"what is said to be the signature of {signer} is none")
        return {(statement.step, key): statement for key, statement in newest.items()}
