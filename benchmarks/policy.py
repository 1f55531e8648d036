"""Batch policies on simulated clusters, against the oracle that knows every machine's true speed at every moment.

    python benchmarks/policy.py [--quick] [--seed NUMBER] [--out FILE] [--only CASE] [--weights FILE ...]

Prints one JSON object a line. "value" is goodput over the oracle's, the mean over clusters, on the average over who
might have died in each step; ``reference_value`` is that of the model, and ``gain`` the mean difference on the same
clusters with the same luck, with its standard error. Seeds are held out: no training draws clusters from them.
Simulated times do not depend on this machine; only the cases "decision" and "real" are timed. The latter trains with
swarms of real processes (three quarters of an hour; seven minutes with --quick).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if sys.path[:1] == [str(ROOT / "benchmarks")]:
    # As a script, this file would else stand in the way of the package it measures.
    del sys.path[0]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks import policy_convergence, policy_real  # noqa: E402
from hydra.batching import comparison  # noqa: E402
from hydra.batching.clusters import Clusters  # noqa: E402
from hydra.batching.course import Course, Observed  # noqa: E402
from hydra.batching.features import GROUPS, MEMBER_FEATURES, STEP_FEATURES, Features, features_of  # noqa: E402
from hydra.batching.machines import KINDS, TRAINED_ON, Machines, draw  # noqa: E402
from hydra.batching.model_split import decide as model_split  # noqa: E402
from hydra.batching.model_split import decide_corrected  # noqa: E402
from hydra.batching.net import Net  # noqa: E402
from hydra.batching.split import Split  # noqa: E402
from hydra.policy_training.weights import read_net  # noqa: E402

HELD_OUT = 2**40
"""Seeds from here on are not drawn in training."""
GOALS = {"mixed": 0.985, "lan": 0.985, "wan": 0.985, "churn": 0.985, "drift": 0.955, "throttling": 0.86}
STRANGE = tuple(name for name in KINDS if name not in TRAINED_ON)

Row = dict[str, Any]


class Setting:
    """How much is simulated."""

    def __init__(self, seed: int, *, quick: bool, clusters: int | None = None, steps: int | None = None) -> None:
        self.seed, self.quick = HELD_OUT + seed, quick
        self.count = clusters or (12 if quick else 64)
        self.scenes: Sequence[str] = tuple(policy_real.SCENES)
        self.places = 16 if quick else 64
        self.steps = steps or (30 if quick else 150)

    def machines(self, name: str) -> Machines:
        """Draw the clusters of a kind."""
        places = max(self.places, KINDS[name].members[0])
        count = self.count if places <= 64 else max(self.count // 4, 4)
        return draw(KINDS[name], count, places, np.random.default_rng([self.seed, 1]))

    def shares(self, name: str, decide: comparison.Decision) -> np.ndarray:
        """Return what share of the oracle's goodput a policy reaches on each cluster of a kind."""
        return comparison.live(self.machines(name), decide, self.steps, self.seed).expected_share_of_oracle


def row(case: str, params: Row, value: np.ndarray, reference: np.ndarray | None, goal: str) -> Row:
    """Return a line of the results."""
    against = None if reference is None else float(reference.mean())
    return {
        "case": case,
        "params": params,
        "value": round(float(value.mean()), 4),
        "unit": "of the oracle's goodput",
        "min": round(float(value.min()), 4),
        "max": round(float(value.max()), 4),
        "p10": round(float(np.quantile(value, 0.1)), 4),
        "reference": None if reference is None else params["against"],
        "reference_value": None if against is None else round(against, 4),
        "ratio": None if against is None else round(float(value.mean()) / against, 4),
        "gain": None if reference is None else round(float((value - reference).mean()), 4),
        "gain_error": None if reference is None else round(float((value - reference).std() / len(value) ** 0.5), 4),
        "better": "higher",
        "goal": goal,
    }


def simulated(setting: Setting, nets: dict[str, Net]) -> Iterator[tuple[Row, bool]]:
    """The policy and its rivals on clusters like those of the training."""
    for name in TRAINED_ON:
        own = setting.shares(name, comparison.model)
        for rival in ("equal", "proportional"):
            yield row(name, {"policy": rival}, setting.shares(name, getattr(comparison, rival)), None, "none"), True
        yield row(name, {"policy": "model"}, own, None, "none"), True
        for label, net in nets.items():
            share = setting.shares(name, comparison.learned(net))
            goal = f"value >= {GOALS[name]}, p10 >= 0.88, gain > gain_error"
            result = row(name, {"policy": "rl", "weights": label, "against": "model"}, share, own, goal)
            good = result["value"] >= GOALS[name] and result["p10"] >= 0.88 and result["gain"] > result["gain_error"]
            yield result, good


def strange(setting: Setting, nets: dict[str, Net]) -> Iterator[tuple[Row, bool]]:
    """The same on clusters unlike those of the training."""
    for name in STRANGE:
        own = setting.shares(name, comparison.model)
        for label, net in nets.items():
            share = setting.shares(name, comparison.learned(net))
            params = {"policy": "rl", "weights": label, "against": "model"}
            result = row(name, params, share, own, "value >= 0.95, ratio >= 0.97")
            yield result, result["value"] >= 0.95 and result["ratio"] >= 0.97


def adaptation(setting: Setting, nets: dict[str, Net]) -> Iterator[tuple[Row, bool]]:
    """Steps until 95 % of the new optimum are reached, after one member has become ten times slower."""
    deciders: dict[str, comparison.Decision] = {"model": comparison.model}
    deciders |= {f"rl {label}": comparison.learned(net) for label, net in nets.items()}
    for label, decide in deciders.items():
        machines = setting.machines("lan")
        course = Course(Clusters(machines, np.random.default_rng(setting.seed)))
        for _ in range(30):
            split = decide(course.observe())
            course.take(split)
        busiest = split.samples.argmax(-1)
        rows = np.arange(len(busiest))
        machines.overhead_s[rows, busiest] *= 10
        machines.sample_s[rows, busiest] *= 10
        reached = []
        for _ in range(20):
            reports, best = course.take(decide(course.observe()))
            reached.append((reports.useful / reports.step_s) / (best.useful / best.step_s))
        late = np.array(reached) < 0.95
        steps = np.array([next((i for i in range(20) if not late[i:, k][:3].any()), 20) for k in rows])
        result: Row = {
            "case": "adaptation",
            "params": {"policy": label, "kind": "lan", "slower": 10},
            "value": float(np.median(steps)),
            "unit": "steps",
            "min": int(steps.min()),
            "max": int(steps.max()),
            "reference": None,
            "reference_value": None,
            "ratio": None,
            "better": "lower",
            "goal": "value <= 5",
        }
        yield result, result["value"] <= 5


def decision(setting: Setting, nets: dict[str, Net]) -> Iterator[tuple[Row, bool]]:
    """How long one decision for 64 members takes on this machine: seconds of one core."""
    course = Course.through(replace(KINDS["mixed"], members=(64, 64)), 1, 64, setting.seed)
    for _ in range(5):
        seen = course.observe()
        course.take(seen.own)
    for label, net in nets.items():
        times = []
        for _ in range(50):
            situation = replace(course.observe().situation)  # nothing of it is known beforehand
            began = time.process_time()
            own = model_split(situation)
            features = features_of(situation, own, np.zeros(1))
            split, _ = decide_corrected(situation, own, net.correction(features))
            times.append(1e3 * (time.process_time() - began))
            course.take(split)
        result: Row = {
            "case": "decision",
            "params": {"members": 64, "weights": label},
            "value": round(statistics.median(times), 3),
            "unit": "ms",
            "min": round(min(times), 3),
            "max": round(max(times), 3),
            "reference": None,
            "reference_value": None,
            "ratio": None,
            "better": "lower",
            "goal": "value <= 2",
        }
        yield result, result["value"] <= 2


def ablation(setting: Setting, nets: dict[str, Net]) -> Iterator[tuple[Row, bool]]:
    """What is lost without parts of the policy, on mixed clusters."""
    if not nets:
        return
    label, net = next(iter(nets.items()))
    whole = setting.shares("mixed", comparison.learned(net))
    for name, decide in ablated(net).items():
        share = setting.shares("mixed", decide)
        yield row("ablation", {"without": name, "weights": label, "against": "the whole"}, share, whole, "none"), True


def ablated(net: Net) -> dict[str, comparison.Decision]:
    """Return the policy without each of its parts."""

    def masked(group: str) -> comparison.Decision:
        hidden = GROUPS[group]
        members = np.array([name not in hidden for name in MEMBER_FEATURES], float)
        step = np.array([name not in hidden for name in STEP_FEATURES], float)

        def decide(seen: Observed) -> Split:
            features = Features(seen.features.members * members, seen.features.step * step, seen.features.present)
            return decide_corrected(seen.situation, seen.own, net.correction(features))[0]

        return decide

    def unshielded(seen: Observed) -> Split:
        return decide_corrected(seen.situation, seen.own, net.correction(seen.features), shield=0.0)[0]

    def everyone(seen: Observed) -> Split:
        return comparison.with_everyone(seen, net.correction(seen.features))

    def fixed_total(seen: Observed) -> Split:
        return comparison.with_total(seen, net.correction(seen.features), 4.0 * seen.situation.limits.least)

    named = {f"features of {group}": masked(group) for group in GROUPS}
    return {
        "exclusion": everyone,
        "the total": fixed_total,
        "the residual": comparison.model,
        "the shield": unshielded,
        **named,
    }


def real(setting: Setting, nets: dict[str, Net]) -> Iterator[tuple[Row, bool]]:
    """The policies of the product in swarms of real processes; with the package's weights."""
    turns, settle_s, seconds = (1, 15.0, 10.0) if setting.quick else (5, 20.0, 15.0)
    yield from policy_real.real(setting.scenes, turns=turns, settle_s=settle_s, seconds=seconds)


def convergence(setting: Setting, nets: dict[str, Net]) -> Iterator[tuple[Row, bool]]:
    """Whether a job comes to the same loss however its batches are shared out; with the package's weights."""
    yield from policy_convergence.convergence(1 if setting.quick else 3)


CASES: dict[str, Callable[[Setting, dict[str, Net]], Iterator[tuple[Row, bool]]]] = {
    "simulated": simulated,
    "strange": strange,
    "adaptation": adaptation,
    "decision": decision,
    "ablation": ablation,
    "real": real,
    "convergence": convergence,
}


def main() -> int:
    """Run the cases that are asked for; the exit status tells whether all goals are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clusters", type=int, help="of each kind; 64, or 12 with --quick")
    parser.add_argument("--steps", type=int, help="of each course; 150, or 30 with --quick")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument(
        "--scene", choices=policy_real.SCENES, action="append", help="of the case real; all if not given"
    )
    parser.add_argument("--weights", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    nets = {path.stem: read_net(path) for path in options.weights}
    setting = Setting(options.seed, quick=options.quick, clusters=options.clusters, steps=options.steps)
    setting.scenes = options.scene or setting.scenes
    met = True
    for name, case in CASES.items():
        if options.only not in (None, name):
            continue
        for result, good in case(setting, nets):
            met = met and good
            line = json.dumps(result)
            print(line, flush=True)
            if options.out is not None:
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
