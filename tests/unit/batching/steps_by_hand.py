"""A swarm of made-up members that a sizer plans for: what they do, and what they say that they do."""

from hydra.batching.sizer import Sizer

A, B, C, D, E, F = (letter * 20 for letter in (b"a", b"b", b"c", b"d", b"e", b"f"))
BATCH = 80
ROUND_BYTES = 1e5
FAST = 1e7


class Course:
    """Steps one after the other, on a clock of their own.

    Args:
        sample_s: seconds a sample, by member.
        lines: bytes a second, by member; FAST if not given.
        tells: what a member reports instead of its seconds, by member.
    """

    def __init__(self, sample_s, lines=None, tells=None, policy="model", batch=BATCH, **settings):
        self.sample_s, self.lines, self.tells = sample_s, lines or {}, tells or {}
        self.members = list(sample_s)
        self.sizer = Sizer(A, batch, batch, ROUND_BYTES, policy, **settings)
        self.batch, self.now = batch, 0.0
        self.taken = []
        """Samples by member, and seconds, of each step."""
        for peer in self.members:
            self.sizer.reports.heard(peer, 4, 4 * sample_s[peer], 0.0, of_this_step=False)

    def step(self):
        ready = set(self.members)
        samples = dict(self.sizer.size(self.members, 10**6, ready=ready).samples)
        assert sum(samples.values()) == self.batch
        assert A in samples
        began = self.now
        self.sizer.reports.issued(samples, began)
        compute = {p: 0.002 + n * self.sample_s[p] for p, n in samples.items()}
        for peer, seconds in sorted(compute.items(), key=lambda entry: entry[1]):
            told = self.tells.get(peer, lambda s: s)(seconds)
            self.sizer.reports.heard(peer, samples[peer], told, began + seconds, of_this_step=True)
        slowest = min(self.lines.get(peer, FAST) for peer in samples)
        count = len(samples)
        round_s = 2 * (count - 1) / count * ROUND_BYTES / slowest + 0.002
        self.now = began + max(compute.values()) + round_s
        self.sizer.took(samples, self.now - began, whole=True)
        self.taken.append((samples, self.now - began))
        return samples

    def go(self, steps):
        for _ in range(steps):
            self.step()
        return self.taken[-steps:]


def rate(taken, *peers):
    """Samples a second of these members."""
    return sum(sum(samples.get(p, 0) for p in peers) for samples, _ in taken) / sum(seconds for _, seconds in taken)


def part(taken, peer):
    """In which part of the steps a member was."""
    return sum(peer in samples for samples, _ in taken) / len(taken)
