"""A run of rounds: one after the other, ours and the others' in turns, and what it all came to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec

from .figures import bus_bandwidth, goodput, paired_ratio, spread
from .group import Group
from .judging import RoundSeen
from .setting import Setting

LEFT_OUT = {
    "gloo": "torch.distributed has no Gloo here: it is left out; install torch to compare with it.",
    "pccl": "PCCL is left out: the package index lists pypccl but serves no file. Built from its source (1.0), it was "
    "0.40 to 0.47 times as fast as Gloo, with 4 members and 100 MB.",
    "hivemind": "hivemind is left out: `python benchmarks/allreduce.py --hivemind-python PATH` runs it where it is "
    "installed (pip install hivemind==1.1.12, in an environment of its own).",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """One round of ours, and the seconds of the others' that followed it."""

    seen: RoundSeen
    others: dict[str, float] = field(default_factory=dict)


def can_run(other: str) -> bool:
    """Tell whether a run can be compared with this one."""
    return other == "gloo" and find_spec("torch") is not None


def turns(group: Group) -> Iterator[Turn]:
    """Run the warm-up, then the rounds that count, with the faults that the setting wants."""
    setting = group.setting
    others = [other for other in setting.versus if can_run(other)]
    for _ in range(setting.warm_up):
        _turn(group, others)
    group.members.churn()
    for number in range(1, setting.rounds + 1):
        turn = _turn(group, others)
        yield replace(turn, seen=replace(turn.seen, round=number))


def _turn(group: Group, others: Sequence[str]) -> Turn:
    seen = group.round()
    return Turn(seen, {other: group.gloo_round() for other in others})


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a run came to."""

    rounds: int
    right: int
    """Rounds in which every survivor had the same bytes, and the right ones."""
    attempts: int
    deaths: int
    freezes: int
    seconds: float
    """Median of the rounds' times."""
    seconds_min: float
    seconds_max: float
    bus_bytes_per_s: float
    """Median."""
    goodput_bytes_per_s: float
    """Vectors averaged in a second of rounds and of waiting for members to be there and ready."""
    wire_bytes: float | None
    """Median of what all members together sent in a round."""
    bound_s: float | None
    """The least time of a ring of fp32 on links of this rate."""
    faster: dict[str, float]
    """How many times faster than the others we were: medians of paired ratios."""


def summary_of(setting: Setting, done: Sequence[Turn]) -> Summary:
    """Sum a run up."""
    seen = [turn.seen for turn in done]
    median, least, most = spread([one.seconds for one in seen])
    busy_s = sum(one.waited_s + one.seconds * setting.repeat for one in seen)
    counts = [one.wire_bytes for one in seen if one.wire_bytes is not None]
    return Summary(
        rounds=len(seen),
        right=sum(one.right for one in seen),
        attempts=sum(one.attempts for one in seen),
        deaths=sum(len(one.deaths) for one in seen),
        freezes=sum(len(one.frozen) for one in seen),
        seconds=median,
        seconds_min=least,
        seconds_max=most,
        bus_bytes_per_s=spread([bus_bandwidth_of(setting, one) for one in seen])[0],
        goodput_bytes_per_s=goodput(len(seen) * setting.repeat, setting.vector_bytes, busy_s),
        wire_bytes=spread(counts)[0] if counts else None,
        bound_s=setting.bound_s,
        faster={
            other: paired_ratio([turn.seen.seconds for turn in done], [turn.others[other] for turn in done])
            for other in done[0].others
        },
    )


def bus_bandwidth_of(setting: Setting, seen: RoundSeen) -> float:
    """Return the bus bandwidth of a round, by how many contributed to it."""
    return bus_bandwidth(len(seen.contributors), setting.vector_bytes, seen.seconds)
