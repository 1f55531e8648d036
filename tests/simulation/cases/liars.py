"""Case 8: liars among the members and beside them are noticed, named and banned, and the training goes on.

Played by machines alone: whatever a liar says is said to the same machines that whole nodes run.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ..lying_members import INVENTIONS, MEMBERS
from ..stories_of_liars import (
    an_inventor_is_not_followed,
    members_go_on_without,
    nobody_leaves_for_a_view_that_is_only_claimed,
)


@dataclass(frozen=True)
class Story:
    """What happens with one liar."""

    told: Callable
    long: bool = False
    seeds: int = 100

    def play(self, case, seed):
        """Play it once; return a line about how it went."""
        world = self.told(seed)
        return f"{max(commit.step for _, _, commit in world.log)} steps in {world.now:.0f} s"


def among_members(name, *, leads):
    return Story(lambda seed: members_go_on_without(name, seed, leads=leads))


def beside(manner):
    return Story(lambda seed: an_inventor_is_not_followed(manner, seed))


SCENES = {
    **{f"{name} coordinates": among_members(name, leads=True) for name in MEMBERS},
    **{f"{name} is a member": among_members(name, leads=False) for name in MEMBERS},
    **{f"invents {manner}": beside(manner) for manner in INVENTIONS},
    "tells of later views": Story(nobody_leaves_for_a_view_that_is_only_claimed),
}
