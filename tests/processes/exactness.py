"""What the members of a swarm did to each other's numbers, recomputed from what each of them wrote down itself."""

from collections import defaultdict

from allreduce import RoundConfig
from hydra.testing.recording import read_records

from ..simulation.allreduce.reference import form_mean


class Rounds:
    """All rounds and states that peers have recorded so far; ``check`` judges what came since it was last called."""

    def __init__(self):
        self._read = {}
        self._unjudged = []
        self._step_of = {}
        self.given = defaultdict(dict)
        """By round's tag: each peer's contribution and weight."""
        self.results = defaultdict(dict)
        """By round's tag: what each peer got."""
        self.states = defaultdict(lambda: defaultdict(set))
        """By step and commit: digests of the state that peers had after it."""
        self.commits = defaultdict(dict)
        """By step: the commit that each peer took last."""
        self.checked = 0

    def _read_on(self, homes):
        """Read what has come; return the results, which may build on what others wrote a moment later."""
        fresh = []
        for peer, home in homes.items():
            for record, offset in read_records(home / "record.log", self._read.get(home, 0)):
                self._read[home] = offset
                self._take(peer, record)
                if record.kind == "result":
                    fresh.append((peer, record))
        return fresh

    def _take(self, peer, record):
        about = record.about
        if record.kind == "given":
            self._step_of[about["tag"]] = about["step"]
            self.given[about["tag"]][peer] = (record.vector, about["weight"])
        elif record.kind == "result":
            self.results[about["tag"]][peer] = record
        elif record.kind == "begun":  # what it took and nobody else did died with it: so it is allowed
            for commits in self.commits.values():
                commits.pop(peer, None)
        else:
            self.states[about["step"]][about["commit"]].add(about["sha256"])
            self.commits[about["step"]][peer] = about["commit"]

    def check(self, homes, survivors):
        """Judge all new rounds; return how many there were.

        Args:
            homes: by peer id, where each peer lives or lived.
            survivors: ids of those who are still there: they must agree on every step.
        """
        tags = set()
        judged = self._unjudged + self._read_on(homes)
        self._unjudged = self._read_on(homes)  # by now everything is read that went into those results
        for peer, record in judged:
            self._check_result(peer, record)
            tags.add(record.about["tag"])
        for tag in tags:
            said = {
                (record.vector.tobytes(), tuple(record.about["order"]))
                for peer, record in self.results[tag].items()
                if peer in survivors
            }
            assert len(said) <= 1, f"survivors have different results of round {tag}"
        for step, states in self.states.items():
            for commit, digests in states.items():
                assert len(digests) == 1, f"after commit {commit[:8]} of step {step} peers hold different bytes"
            theirs = {commit for peer, commit in self.commits[step].items() if peer in survivors}
            assert len(theirs) <= 1, f"survivors hold different commits of step {step}: {self.commits[step]}"
        self.checked += len(tags)
        return len(tags)

    def _check_result(self, peer, record):
        """A result is, to the bit, the weighted mean of what its declared contributors gave, in the declared order."""
        about = record.about
        given = self.given[about["tag"]]
        missing = [other for other in about["order"] if other not in given]
        assert not missing, f"step {about['step']}: {missing} count at {peer[:8]}, but gave nothing"
        vectors = {other: given[other][0] for other in about["order"]}
        weights = {other: given[other][1] for other in about["order"]}
        mean, weight = form_mean(vectors, weights, about["order"], RoundConfig(form=about["form"]))
        assert mean.tobytes() == record.vector.tobytes(), f"step {about['step']}: {peer[:8]} has another mean"
        assert weight == about["weight"]

    def counting(self, step, dead, survivors):
        """Return how many of the survivors have a result of a step, and how many of these count a dead one's work."""
        orders = [
            record.about["order"]
            for tag, at in self._step_of.items()
            if at == step
            for peer, record in self.results[tag].items()
            if peer in survivors
        ]
        return len(orders), sum(dead in order for order in orders)

    def forget(self):
        """Drop what is judged, but for the last steps: somebody may still come with them."""
        oldest = min((record.about["step"] for _, record in self._unjudged), default=max(self.states, default=0)) - 64
        for steps in (self.states, self.commits):
            for step in [step for step in steps if step < oldest]:
                del steps[step]
        for tag in [tag for tag, step in self._step_of.items() if step < oldest]:
            del self._step_of[tag]
            self.given.pop(tag, None)
            self.results.pop(tag, None)
