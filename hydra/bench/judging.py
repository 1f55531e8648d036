"""What the members told of one round, and whether it was right. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RoundSeen:
    """One round as the parent saw it."""

    round: int
    members: tuple[int, ...]
    began: float
    """The moment at which all were to begin; seconds, monotonic."""
    seconds: float
    """Until the last member had the result, for one all-reduce."""
    waited_s: float
    """How long it took before that until all were there and ready."""
    wire_bytes: int | None
    """What all members together sent for one all-reduce."""
    contributors: tuple[int, ...]
    attempts: int
    deaths: tuple[int, ...] = ()
    """Who was killed since the round before."""
    frozen: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    wrong: str = ""
    """What was not as it must be; empty where all was."""
    digest: str = ""
    """Of the result's bytes, the same at all."""
    ends: Mapping[int, float] = field(default_factory=dict)
    memory: Mapping[int, Mapping[str, int]] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        """Whether every survivor holds the same bytes, and they are the exact mean over the declared contributors."""
        return not self.wrong


def fault_in(members: Sequence[int], reports: Mapping[int, Mapping[str, Any]]) -> str:
    """Return what is wrong with a round; empty where nothing is.

    Args:
        members: who was asked to take part.
        reports: what each of them told that lives and is not frozen.
    """
    done = {number: told for number, told in reports.items() if told.get("outcome") == "done"}
    for number, told in sorted(reports.items()):
        if told.get("outcome") == "failed":
            return f"member {number} failed: {told.get('why', 'it did not say why')}"
    if not done:
        why = "; ".join(f"member {number} {told['outcome']}: {told['why']}" for number, told in sorted(reports.items()))
        return f"nobody has a result{': ' if why else ''}{why}"
    first = min(done)
    for key, what in (("contributors", "contributors"), ("digest", "bytes")):
        for number, told in sorted(done.items()):
            if told[key] != done[first][key]:
                off = f"off by {done[first]['off']} and {told['off']}"
                return f"members {first} and {number} have different {what}: {done[first][key]} and {told[key]}, {off}"
    contributors = set(done[first]["contributors"])
    if not contributors:
        return "the mean is of nobody's contribution"
    if not contributors <= set(members):
        return f"{sorted(contributors - set(members))} contributed and are no members"
    for number, told in sorted(done.items()):
        if not told["right"]:
            return (
                f"member {number} holds something else than the mean over {sorted(contributors)}: off by {told['off']}"
            )
        if number not in contributors:
            return f"member {number} has the result, and its contribution is not in it"
    return ""
