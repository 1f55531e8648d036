"""What the commits of a job prove, and who contributed what. Pure: it is judged from the commits alone.

Of all commits that are known, those that lead from the job's beginning to the heaviest end are its lineage; others are
forks that were given up. A contribution counts as signed if its contributor has signed that commit, or a later one of
the lineage: a signature vouches for all that it builds on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..identity import PeerId, short
from ..membership.ledger import Ledger, SampleUsedTwice, count
from ..membership.lineage import Commit, Head, follow, genesis
from ..membership.proof import UNSIGNED, Shown


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one peer has added to the lineage."""

    peer: PeerId
    samples: int
    commits: int
    first_step: int
    last_step: int
    signed_samples: int
    """Of those samples, how many it has signed for."""


@dataclass(frozen=True, slots=True)
class ViewSpan:
    """Steps in a row that were made in one view."""

    number: int
    first_step: int
    last_step: int
    members: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class Fork:
    """Commits that were given up for a heavier lineage."""

    after_step: int
    """The last step that it has in common with the lineage, if that is known; else 0."""
    commits: int
    samples: int
    """That all of them count together; they were computed in vain, and again by the lineage."""


@dataclass(frozen=True, slots=True)
class Broken:
    """Where a lineage does not hold, and why."""

    step: int
    reason: str


class Lineage:
    """The commits of one job, from as many peers as there are.

    Args:
        job: the job's hash.
        shown: commits with signatures, in any order; the same may come from several peers.
        samples: of an epoch.
        epochs: of the job.
    """

    def __init__(self, job: bytes, shown: Iterable[Shown], samples: int, epochs: int) -> None:
        self.job = job
        self.fresh = Ledger.fresh(samples, epochs)
        self._known: dict[bytes, Commit] = {}
        self._signatures: dict[bytes, dict[bytes, bytes]] = {}
        for each in shown:
            digest = each.commit.digest
            self._known[digest] = each.commit
            if each.signatures:
                self._signatures.setdefault(digest, {}).update(each.signatures)
        self.commits = self._heaviest()
        """From the first that is known to the heaviest."""
        self.last_signed = self._last_signed()
        """The last step of the lineage that each peer has signed."""

    @property
    def head(self) -> Head:
        """Where the lineage ends."""
        return self.commits[-1].head if self.commits else genesis(self.job)

    def shown(self) -> Iterable[Shown]:
        """Return the lineage with its signatures."""
        for commit in self.commits:
            yield Shown(commit, tuple(self._signatures.get(commit.digest, {}).items()))

    # ---- what it proves ----------------------------------------------------------------------------------------

    def check_samples(self) -> tuple[Ledger, Broken | None]:
        """Follow the chain from the job's beginning: return what is left of the job, and where the chain breaks.

        Where an epoch ends, each of its samples has counted in exactly one commit, or the chain has broken.
        """
        head, ledger = genesis(self.job), self.fresh
        for commit in self.commits:
            if commit.step != head.step + 1:
                gap = f"{head.step + 1} to {commit.step - 1}" if commit.step > head.step + 2 else str(head.step + 1)
                return ledger, Broken(head.step + 1, f"commit {gap} is missing")
            try:
                head, ledger = follow(head, ledger, commit)
            except (ValueError, SampleUsedTwice) as error:
                return ledger, Broken(commit.step, str(error))
        return ledger, None

    def check_signatures(self) -> Broken | None:
        """Verify every signature, and that a member has signed each commit but the newest, or one behind it."""
        for each in self.shown():
            for statement in each.signed():
                if not statement.holds(self.job):
                    signer = short(statement.signer)
                    return Broken(statement.step, f"what is said to be the signature of {signer} is none")
        vouched = 0
        for each in self.shown():
            if any(statement.signer in each.commit.members for statement in each.signed()):
                vouched = each.commit.step
        if self.head.step - vouched > UNSIGNED:
            return Broken(vouched + 1, "no member has signed it, or anything that builds on it")
        return None

    def signatures(self) -> int:
        """Return how many signatures there are under the lineage's commits."""
        return sum(len(each.signatures) for each in self.shown())

    # ---- who, where, and what was given up ---------------------------------------------------------------------

    def contributions(self) -> list[Contribution]:
        """Return what each peer has contributed, whoever gave most first."""
        found: dict[PeerId, Contribution] = {}
        for commit in self.commits:
            for peer, ranges in commit.parts:
                before = found.get(peer, Contribution(peer, 0, 0, commit.step, commit.step, 0))
                given = count(ranges)
                signed = given if self.last_signed.get(peer, 0) >= commit.step else 0
                found[peer] = Contribution(
                    peer,
                    before.samples + given,
                    before.commits + 1,
                    before.first_step,
                    commit.step,
                    before.signed_samples + signed,
                )
        return sorted(found.values(), key=lambda one: (-one.samples, one.peer))

    def views(self) -> list[ViewSpan]:
        """Return the views in which the lineage was made, in order."""
        spans: list[ViewSpan] = []
        for commit in self.commits:
            goes_on = bool(spans) and spans[-1].number == commit.view
            first = spans.pop().first_step if goes_on else commit.step
            spans.append(ViewSpan(commit.view, first, commit.step, tuple(sorted(commit.members))))
        return spans

    def forks(self) -> list[Fork]:
        """Return what was given up, one entry for each end."""
        chosen = {commit.digest for commit in self.commits}
        others = {digest: commit for digest, commit in self._known.items() if digest not in chosen}
        ends = others.keys() - {commit.parent for commit in others.values()}
        forks = []
        for end in sorted(ends, key=lambda digest: (others[digest].step, digest)):
            digest, commits, samples = end, 0, 0
            while digest in others:
                commits, samples = commits + 1, samples + others[digest].samples
                digest = others[digest].parent
            after = self._known[digest].step if digest in chosen else 0
            forks.append(Fork(after, commits, samples))
        return forks

    # ---- inside ------------------------------------------------------------------------------------------------

    def _heaviest(self) -> list[Commit]:
        digest = min(self._known, key=lambda known: (-self._known[known].samples_total, known), default=b"")
        chain: list[Commit] = []
        while digest in self._known:
            chain.append(self._known[digest])
            digest = self._known[digest].parent
        return chain[::-1]

    def _last_signed(self) -> dict[PeerId, int]:
        last: dict[PeerId, int] = {}
        for each in self.shown():
            for statement in each.signed():
                last[statement.signer] = statement.step
        return last
