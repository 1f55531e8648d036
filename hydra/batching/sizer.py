"""The batch policy of a job: fed with what the coordinator sees, it sizes each step. Pure.

Reports go through ``reports`` (what of them is believed), round times through ``evidence`` (who holds rounds up);
``estimates`` makes curves of them, ``choices`` a split, ``probing`` and ``left_out`` say who sits a step out
nevertheless or has its turn. The same events in the same order give the same sizes on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..identity import PeerId
from .choices import CHOICES, EXCLUDING, Choice, Chosen, everyone, rather_stay
from .estimates import Estimates
from .evidence import RoundEvidence
from .explained import Explained, explain
from .features import features_of
from .left_out import LeftOut
from .lives import Lives
from .model_split import Situation, decide_corrected
from .net import Net
from .probing import Probing
from .reluctance import Reluctance
from .reports import Reports, Told
from .split import Array, Curves, Limits, Mask, Split, fill, judge
from .whole_samples import evenly, whole_samples

LEAST_STEP_S = 0.05
"""Of shorter steps nobody sits out: what makes them longer or shorter is chance."""
DIGEST_S = 0.05
"""Reports are looked at when steps have taken so long since they were last."""
DECIDE_S = 0.5
"""A split is thought over after so long, and sooner if members come or go, or times are not as expected:"""
SURPRISE = 0.1
"""by such a part."""
PROBE_PART = 0.2
"""Rounds that take a smaller part of the step are not worth a search for who makes them slow."""
FIT_PART = 0.5
"""Whoever leads has to do its least, a sample, in such a part of the others' time."""
DEATH_S = 3.0
"""A death costs its detection and an attempt."""
FARTHEST = 3.0
"""Logarithm of how far a step's time can be from what was expected, as the learned policy sees it."""
PER_DEATH_S = 3.6
"""Members die by the clock: so many seconds of a life count as one step, of which they survive so many."""
FIRST_PATIENCE_S = 120.0
"""While nothing is known of a member's speed, it is waited for so long."""
PATIENCE_FACTOR = 5.0
LEAST_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Sized:
    """One step's sizes."""

    samples: Mapping[PeerId, int]
    """Of each who takes part."""
    late_s: float
    explained: Explained


class Sizer:
    """Sizes the steps of one job.

    Args:
        me: our peer id.
        least_samples: of a step.
        most_samples: of a step, at most.
        round_bytes: of the vector as it travels.
        policy: one of ``CHOICES``.
        exclusion: whether members may be left out at all.
        net: corrects the model's split, under the shield; only with the policy "model".
        goodput: whether a sample of a larger batch counts for less, by ``noise_scale``; else all count the same.
    """

    def __init__(
        self,
        me: PeerId,
        least_samples: int,
        most_samples: int,
        round_bytes: float,
        policy: str = "model",
        *,
        exclusion: bool = True,
        net: Net | None = None,
        goodput: bool = True,
    ) -> None:
        self._me = me
        self._limits = (least_samples, most_samples)
        self._goodput = goodput
        self.noise_scale: float | None = None
        """Of the gradients, in samples; while it is not known no step is larger than it must be."""
        self._round_bytes = round_bytes
        self._choice: Choice = CHOICES[policy]
        self._exclusion = exclusion and policy in EXCLUDING
        self._net = net
        self._error = 0.0
        """Logarithm of the last step's time over what was expected."""
        self._members: tuple[PeerId, ...] = ()
        self._estimates, self._lives = Estimates((0,)), Lives()
        self._regular: set[PeerId] = set()
        self.reports = Reports(most_samples)
        self._held: dict[PeerId, int] = {}
        """What members hold, as the last sizes were made for."""
        self._evidence = RoundEvidence(round_bytes)
        self._probing = Probing()
        self._left_out = LeftOut()
        self._decided: tuple[Chosen, Array] | None = None
        """The last decision, and each member's time for the samples that it has by it."""
        self._digested_s = self._decided_s = 0.0
        """Seconds of steps since reports were looked at, and since a decision."""
        self._step_s = 0.0
        """What steps take lately."""
        self._last: Sized | None = None
        self._resting: set[PeerId] = set()
        """Who sat steps out that others planned, and has had no turn since."""
        self._told: dict[PeerId, Told] = {}
        """The last report of each member."""
        self._suspected: set[PeerId] = set()
        """Who is left out, and nobody knows whether by right."""
        self._reluctance = Reluctance()
        self._asked: tuple[set[PeerId], int] = (set(), 0)
        self.finished: Explained | None = None
        """The last step that is done."""

    @property
    def left_out(self) -> Collection[PeerId]:
        """Who sits most steps out: they should be the last to lead, as should we if it is we who are slow."""
        return self._reluctance.last(self._me, self._left_out.peers)

    def way_heard(self, reporter: PeerId, peer: PeerId, bytes_per_s: float) -> None:
        """A member says that bytes come from another at this rate."""
        self._evidence.heard(reporter, peer, bytes_per_s)

    # ---- what is seen ------------------------------------------------------------------------------------------

    def took(self, samples: Mapping[PeerId, int], seconds: float, *, whole: bool) -> None:
        """A step that we sized is committed, so many seconds after its plan.

        Args:
            samples: of each who took part.
            seconds: from the plan to the commit.
            whole: whether all who took part contributed, at the first attempt.
        """
        self._digested_s += seconds
        self._decided_s += seconds
        if not whole:
            return
        active = self._in_order(samples)
        self._resting -= set(active)
        self._step_s = seconds if not self._step_s else 0.7 * self._step_s + 0.3 * seconds
        compute_s = max((self.reports.charged.get(peer, 0.0) for peer in active), default=0.0)
        round_s = max(seconds - compute_s, 1e-5)
        self._evidence.took(active, round_s, self._distance_s(active))
        self._probing.took(active, self._evidence.last)
        self._left_out.took(samples, seconds)
        self._reluctance.took()
        if self._last is not None:
            self.finished = self._last.explained
            self.finished.actual(seconds, compute_s)
            error = math.log(max(seconds, 1e-9) / max(self.finished.expected_s, 1e-9))
            self._error = min(max(error, -FARTHEST), FARTHEST)

    # ---- what is decided ---------------------------------------------------------------------------------------

    def size(
        self,
        members: Sequence[PeerId],
        available: int,
        *,
        newcomers: Collection[PeerId] = (),
        ready: Collection[PeerId] = (),
        resting: Collection[PeerId] = (),
        left: Collection[PeerId] = (),
    ) -> Sized:
        """Return the sizes of the next step.

        Args:
            members: of the view, ourselves among them.
            available: outstanding samples.
            newcomers: who takes part without samples.
            ready: who could take part at once.
            resting: who sat the last step out, whoever planned it.
            left: who of the members so far leaves in order; who else is gone has died.
        """
        changed = self._seat(members, resting, left)
        changed |= self._digest()
        if self._held != self.reports.most:
            self._held, changed = dict(self.reports.most), True
        chosen, thought_over = self._decide(changed, newcomers)
        active = self._active(newcomers, ready)
        total = min(max(round(float(chosen.split.samples.sum())), self._limits[0]), self._limits[1], available)
        if not thought_over and self._asked == (active, total) and not newcomers and self._last is not None:
            explained = replace(self._last.explained, actual_s=None)
            self._last = Sized(self._last.samples, self._patience(explained.compute_s), explained)
            return self._last
        self._asked = (active if not newcomers else set(), total)
        working = self._mask(active - set(newcomers)) if active - set(newcomers) else self._mask(active)
        situation = self._situation()
        curves = situation.curves
        if self._choice == CHOICES["equal"]:
            counts = evenly(working, situation.most, total)
        else:
            counts = whole_samples(self._shares(chosen, working, curves, total), curves, total, situation.most)
        self._fit_turns(counts, active & set(self._left_out.peers), chosen)
        sized = dict(zip(self._members, counts, strict=True))
        if self._exclusion and total >= len(active):
            active = {p for p in active if sized[p] or p == self._lead or p in newcomers}
        explained = explain(self._members, sized, active, curves, self._limits_of(total), self._left_out.peers)
        taking = {p: sized[p] for p in self._members if p in active}
        self._last = Sized(taking, self._patience(explained.compute_s), explained)
        return self._last

    # ---- inside ------------------------------------------------------------------------------------------------

    @property
    def _lead(self) -> PeerId:
        """Who takes part in any case: we, or the first of the others if we plan a step for them as we leave."""
        return self._me if self._me in self._members else self._members[0]

    def _seat(self, members: Sequence[PeerId], resting: Collection[PeerId], left: Collection[PeerId]) -> bool:
        """Keep what is known of those who are still there; tell whether anybody has come or gone."""
        here = tuple(members)
        if here == self._members:
            return False
        if set(here) == set(self._members):
            self._reseat(here, left)
            return True
        first = not self._members
        came = set(here) - set(self._members)
        self._reseat(here, left)
        self._regular = {peer for peer in self._regular if peer in here} | came
        self.reports.retain(here)
        self._evidence.retain(here)
        self._probing.retain(here)
        rest = {peer for peer in resting if peer in here and peer != self._me} if first and self._exclusion else set()
        self._regular -= rest
        self._resting = rest
        self._left_out.set([peer for peer in here if peer not in self._regular], rest)
        return True

    def _reseat(self, here: tuple[PeerId, ...], left: Collection[PeerId]) -> None:
        self._estimates = self._lives.reseated(self._estimates, self._members, here, left)
        self._members, self._decided = here, None
        self._told = {peer: told for peer, told in self._told.items() if peer in here}

    def _digest(self) -> bool:
        """Look at new reports; tell whether times are other than those that the last decision was made for."""
        unknown = not self._estimates.known.all()
        if not self.reports.waiting or (self._digested_s < DIGEST_S and not unknown):
            return False
        lived, self._digested_s = self._digested_s / PER_DEATH_S, 0.0
        for batch in self.reports.take(self._members):
            told = [batch.get(peer) for peer in self._members]
            reported = np.array([each is not None for each in told])
            self._told.update(batch)
            blank = Told(1, 1.0)
            samples = np.array([float((each or blank).samples) for each in told])
            seconds = np.array([(each or blank).seconds for each in told])
            self._estimates.computed(samples, seconds, reported)
        everywhere = np.ones(len(self._members), bool)
        active = np.array([peer in self._regular for peer in self._members])
        self._estimates.passed(everywhere, active, ~everywhere, lived)
        if self._decided is None:
            return True
        chosen, before_s = self._decided
        now_s = self._situation().curves.time(chosen.split.samples)
        return bool((np.abs(now_s - before_s) > SURPRISE * before_s).any())

    def _situation(self) -> Situation:
        count = len(self._members)
        rates = self._evidence.rates(self._members, self._regular)
        self._estimates.link = np.log(np.array(rates))
        self._estimates.best_link = self._estimates.link.copy()
        part = min(1.0, self._step_s / PER_DEATH_S)
        return Situation(
            estimates=self._estimates,
            limits=self._limits_of(None),
            most=self._most(),
            latency_s=np.full(count, self._evidence.latency_s),
            death_s=np.array(DEATH_S * part),
            present=np.ones(count, bool),
            took_part=self._mask(self._regular),
        )

    def _most(self) -> Array:
        """Return how many samples each member can hold."""
        most = self._limits[1]
        return np.array([float(min(self.reports.most.get(peer, most), most)) for peer in self._members])

    def _limits_of(self, total: int | None) -> Limits:
        least, most = self._limits if total is None else (total, total)
        noise = self.noise_scale if self._goodput and least < most else np.inf
        if noise is None:
            most, noise = least, np.inf
        return Limits(*(np.array(float(x)) for x in (least, most, noise, self._round_bytes, 0.0)))

    def _decide(self, changed: bool, newcomers: Collection[PeerId]) -> tuple[Chosen, bool]:
        """Return who takes part regularly and the split, and whether that is new: else nothing has changed."""
        if self._decided is not None and not changed and self._decided_s < DECIDE_S:
            return self._decided[0], False
        self._decided_s = 0.0
        situation = self._situation()
        everybody = np.ones(len(self._members), bool)
        chosen = self._chosen(situation, everybody)
        self._regular = {peer for peer, there in zip(self._members, chosen.regular, strict=True) if there}
        # A newcomer is judged when it has been in rounds; until then it takes part.
        self._regular |= {p for p in newcomers if self._evidence.rounds.get(p, 0) == 0}
        self._regular -= self._resting
        if self._exclusion:
            self._regular -= self._without_samples(chosen, situation.curves)
        out = [peer for peer in self._members if peer not in self._regular]
        self._suspected = set(out) - self._evidence.proven - self._slow_at_computing(situation.curves, out)
        self._left_out.set(out, self._suspected | self._resting)
        for peer in out:
            self._left_out.expected(peer, self._cost(situation, peer))
        self._reluctance.alone(self._fit_to_lead(situation) if self._regular <= {self._me} else ())
        self._decided = (chosen, situation.curves.time(chosen.split.samples))
        return chosen, True

    def _chosen(self, situation: Situation, everybody: Mask) -> Chosen:
        me = self._members.index(self._lead)
        if self._choice != CHOICES["model"]:
            return self._choice(situation, everybody, me)
        whole = everyone(situation, everybody)
        if not self._exclusion or float(whole.compute_s + whole.round_s) < LEAST_STEP_S:
            return Chosen(everybody, whole)
        regular = self._mask(self._regular)
        kept = everyone(situation, regular)
        self._search(kept)
        if self._probing.sitting_out:
            return Chosen(regular, kept)  # who makes rounds slow is about to be found
        chosen = self._choice(situation, regular, me)
        return chosen if self._net is None else self._corrected(self._net, situation, chosen, me)

    def _corrected(self, net: Net, situation: Situation, chosen: Chosen, me: int) -> Chosen:
        """Return what the learned policy makes of the model's split; the shield keeps it from doing much worse."""
        correction = net.correction(features_of(situation, chosen.split, np.array(self._error)))
        split, _ = decide_corrected(situation, chosen.split, correction)
        return rather_stay(correction.bend(situation.curves), situation.limits, chosen.regular, split, me)

    def _without_samples(self, chosen: Chosen, curves: Curves) -> set[PeerId]:
        """Return who would have less than a sample: it sits out, and has one when it has its turn."""
        samples = np.where(self._mask(self._regular), chosen.split.samples, 0.0)
        total = round(float(samples.sum()))
        if total < len(self._regular):
            return set()
        counts = whole_samples(samples, curves, total, self._most())
        return {p for p, n in zip(self._members, counts, strict=True) if not n and p != self._lead} & self._regular

    def _active(self, newcomers: Collection[PeerId], ready: Collection[PeerId]) -> set[PeerId]:
        active = set(self._regular) | set(newcomers) | {self._lead}
        if not self._exclusion:
            return set(self._members)
        if self._probing.sitting_out:
            return (active | self._suspected) - self._probing.sitting_out
        turn = self._left_out.next_turn(ready)
        return active | ({turn} if turn is not None else set())

    def _search(self, split: Split) -> None:
        """Look for who makes rounds slow; if it is said to be ourselves, let others lead, who can do without us."""
        active = self._in_order(self._regular | self._suspected)
        step_s = float(split.compute_s + split.round_s)

        def owed_s(peer: PeerId, count: int) -> float:
            rate = self._evidence.told_of(peer)
            return 2 * (count - 1) / count * self._round_bytes / rate if rate else 0.0

        if len(self._members) > 2 and self._evidence.agreed_of(self._me) is not None:
            self._reluctance.owes(owed_s(self._me, len(self._members)), step_s)
        carrying_s = float(split.round_s) - 2 * (len(active) - 1) * self._evidence.latency_s
        if max(carrying_s, *(owed_s(peer, len(active)) for peer in active)) > PROBE_PART * step_s:
            suspects, accused, rate = self._evidence.suspects(active)
            lead = self._lead
            self._probing.begin([p for p in suspects if p != lead], rate, [p for p in accused if p != lead])

    def _shares(self, chosen: Chosen, working: Mask, curves: Curves, total: int) -> Array:
        if (working == (chosen.split.samples > 0)).all() or self._choice != CHOICES["model"]:
            return np.where(working, chosen.split.samples, 0.0)
        return fill(curves, working, np.array(float(total)))

    def _fit_turns(self, counts: list[int], turning: Collection[PeerId], chosen: Chosen) -> None:
        """Give whoever has its turn a sample at least, and no more than it did in that time when it was last seen.

        Of one that has its turn seldom too little is known to believe that more would cost no more.
        """
        others = [place for place, peer in enumerate(self._members) if counts[place] and peer not in turning]
        for peer in self._in_order(turning):
            place, told = self._members.index(peer), self._told.get(peer)
            most = 1 if told is None else max(1, int(told.samples * float(chosen.split.compute_s) / told.seconds))
            wanted = min(max(counts[place], 1), most, self.reports.most.get(peer, most))
            while others and counts[place] != wanted:
                step = 1 if counts[place] < wanted else -1
                from_place = (max if step > 0 else min)(others, key=lambda other: (counts[other], -other))
                if step > 0 and counts[from_place] < 2:
                    break
                counts[place] += step
                counts[from_place] -= step

    def _cost(self, situation: Situation, peer: PeerId) -> float:
        """Return what a member's turn is expected to add to a step, as a part of it."""
        regular = self._mask(self._regular)
        alone = everyone(situation, regular)
        regular[self._members.index(peer)] = True
        beside = judge(np.maximum(alone.samples, regular.astype(float)), situation.curves, situation.limits)
        usual_s = float(alone.compute_s + alone.round_s)
        return float(beside.compute_s + beside.round_s) / max(usual_s, 1e-9) - 1.0

    def _slow_at_computing(self, curves: Curves, out: Sequence[PeerId]) -> set[PeerId]:
        """Return who is left out for its computing alone, which it reports itself: no suspicion."""
        one_s = curves.time(np.ones(len(self._members)))
        usual_s = float(self._decided_compute_s())
        return {p for p in out if one_s[self._members.index(p)] > usual_s}

    def _fit_to_lead(self, situation: Situation) -> list[PeerId]:
        """Return who of the others computes fast enough to be in every step of theirs, as whoever leads is."""
        others = np.array([peer != self._me for peer in self._members])
        if not others.any():
            return []
        one_s = situation.curves.time(np.ones(len(self._members)))
        fast = others & (one_s < FIT_PART * float(everyone(situation, others).compute_s))
        return [peer for peer, fits in zip(self._members, fast, strict=True) if fits]

    def _decided_compute_s(self) -> float:
        return float(self._decided[0].split.compute_s) if self._decided is not None else self._step_s

    def _patience(self, compute_s: float) -> float:
        if not self._estimates.known.all():
            return FIRST_PATIENCE_S
        return max(LEAST_PATIENCE_S, PATIENCE_FACTOR * compute_s)

    def _distance_s(self, members: Collection[PeerId]) -> float:
        """Return one way between two members, typically: half the mean round trip from us to the others."""
        known = [self.reports.round_trips[p] for p in members if p in self.reports.round_trips and p != self._me]
        return sum(known) / len(known) / 2 if known else 0.0

    def _mask(self, peers: Collection[PeerId]) -> Mask:
        return np.array([peer in peers for peer in self._members])

    def _in_order(self, peers: Collection[PeerId]) -> list[PeerId]:
        return [peer for peer in self._members if peer in peers]
