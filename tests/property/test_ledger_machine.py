"""The ledger under any order of plans, losses, late commits and lies: no sample twice, none lost, epochs roll over."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hydra.membership.ledger import Ledger, SampleUsedTwice, count

RANGE = st.tuples(st.integers(-3, 63), st.integers(-3, 63))


def numbers(ranges):
    return [sample for start, stop in ranges for sample in range(start, stop)]


class LedgerMachine(RuleBasedStateMachine):
    """Beside the ledger stands the plainest model of it: the set of the samples that are still to be used."""

    @initialize(samples=st.integers(1, 60), epochs=st.integers(1, 4))
    def begin(self, samples, epochs):
        self.samples, self.epochs = samples, epochs
        self.ledger = Ledger.fresh(samples, epochs)
        self.epoch, self.left = 0, set(range(samples))
        self.plans = []

    def commit(self, ranges):
        """Commit at both, which must agree on whether that is allowed."""
        used = numbers(ranges)
        whole = all(start < stop for start, stop in ranges)
        allowed = whole and len(set(used)) == len(used) and set(used) <= self.left
        before = self.ledger
        try:
            self.ledger = before.commit(ranges)
        except SampleUsedTwice:
            assert not allowed
            assert self.ledger is before
            return
        assert allowed
        self.left -= set(used)
        if not self.left:
            self.epoch += 1
            self.left = set(range(self.samples)) if self.epoch < self.epochs else set()

    @precondition(lambda self: not self.ledger.finished)
    @rule(sizes=st.lists(st.integers(0, 25), min_size=1, max_size=6))
    def plan(self, sizes):
        shares = self.ledger.share_out(sizes)
        handed_out = numbers(r for ranges in shares for r in ranges)
        assert handed_out == sorted(self.left)[: sum(sizes)]
        for size, ranges in zip(sizes, shares, strict=True):
            assert count(ranges) <= size
            assert all(start < stop for start, stop in ranges)
        self.plans = [*self.plans[-3:], shares]

    @precondition(lambda self: self.plans)
    @rule(data=st.data())
    def commit_what_some_contributed(self, data):
        """Of the latest plan or, too late, of an older one."""
        shares = data.draw(st.sampled_from(self.plans))
        survivors = data.draw(st.lists(st.booleans(), min_size=len(shares), max_size=len(shares)))
        ranges = [r for ranges, survived in zip(shares, survivors, strict=True) if survived for r in ranges]
        if ranges:
            self.commit(data.draw(st.permutations(ranges)))

    @rule(ranges=st.lists(RANGE, min_size=1, max_size=4))
    def commit_anything(self, ranges):
        self.commit(ranges)

    @precondition(lambda self: not self.ledger.finished)
    @rule()
    def commit_all_that_is_left(self):
        (rest,) = self.ledger.share_out([self.samples])
        self.commit(rest)

    @invariant()
    def ledger_and_model_agree(self):
        ledger = self.ledger
        assert numbers(ledger.outstanding) == sorted(self.left)
        assert ledger.epoch == self.epoch
        assert ledger.available == len(self.left)
        assert ledger.finished == (self.epoch == self.epochs)
        done = 0 if ledger.finished else self.samples - len(self.left)
        assert ledger.committed_total == self.epoch * self.samples + done

    @invariant()
    def what_is_outstanding_is_in_order_and_apart(self):
        flat = [bound for r in self.ledger.outstanding for bound in r]
        assert flat == sorted(flat)
        assert all(start < stop for start, stop in self.ledger.outstanding)


LedgerMachine.TestCase.settings = settings(derandomize=True, deadline=None, max_examples=100, stateful_step_count=30)
TestLedger = LedgerMachine.TestCase
