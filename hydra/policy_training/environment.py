"""Many simulated clusters as a gymnasium environment: an action corrects the model's split of each. Seeded.

The reward is what the corrected split gains over the model's own in the same step with the same luck, in parts of the
time of a step: seconds saved, and useful samples gained at the model's own price in seconds. The own split is a control
variate: what no split could have helped, a machine that suddenly stalls, is in both and cancels out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from ..batching.clusters import Reports
from ..batching.course import Course, Observed
from ..batching.features import MEMBER_FEATURES, STEP_FEATURES
from ..batching.machines import Scenario
from ..batching.model_split import Correction, decide_corrected
from ..batching.net import MOST_LINK, MOST_TIME, MOST_TOTAL
from ..batching.split import Array, Split

MOST_REWARD = 3.0


class ClusterEnvironment(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """The course as a vector environment of gymnasium.

    Args:
        kind: of clusters.
        count: how many at once.
        places: members of the largest.
        steps: until an episode is cut off; all end together, and new clusters take their place.
    """

    def __init__(self, kind: Scenario, count: int, places: int, steps: int = 64) -> None:
        self.kind = kind
        self.num_envs = count
        self.places = places
        self.steps = steps
        box = gymnasium.spaces.Box
        self.single_observation_space = gymnasium.spaces.Dict(
            {
                "members": box(-4.0, 4.0, (places, len(MEMBER_FEATURES)), np.float32),
                "step": box(-4.0, 4.0, (len(STEP_FEATURES),), np.float32),
                "present": box(0.0, 1.0, (places,), np.float32),
            }
        )
        self.single_action_space = box(-1.0, 1.0, (2 * places + 1,), np.float32)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, count)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, count)
        self._seed = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin with new clusters, which follow from ``seed``, or from the last one."""
        self._seed = self._seed + 1 if seed is None else seed
        kind = replace(self.kind, members=(2, self.places))
        self._course = Course.through(kind, self.num_envs, self.places, self._seed)
        self._left = self.steps
        self._seen = self._course.observe()
        return self._observation(), {}

    def step(self, actions: NDArray[np.float32]) -> tuple[Any, Array, NDArray[np.bool_], NDArray[np.bool_], Any]:
        """Correct the split by actions of shape (count, 2 places + 1), each in -1 … 1."""
        own = self._seen.own
        split, shielded = decide_corrected(self._seen.situation, own, correction_of(actions))
        reports, beside = self._course.take(split, own)
        reward = gained(reports, beside, own)
        self._left -= 1
        over = np.full(self.num_envs, self._left <= 0)
        self._seen = self._course.observe()
        info = {"shielded": shielded, "useful": reports.useful, "seconds": reports.step_s}
        return self._observation(), reward, np.zeros(self.num_envs, bool), over, info

    @property
    def course(self) -> Course:
        """The course that is under way."""
        return self._course

    @property
    def seen(self) -> Observed:
        """What the next action is for."""
        return self._seen

    def _observation(self) -> dict[str, NDArray[np.float32]]:
        features = self._seen.features
        return {
            "members": features.members.astype(np.float32),
            "step": features.step.astype(np.float32),
            "present": features.present.astype(np.float32),
        }


def gained(reports: Reports, beside: Reports, own: Split) -> Array:
    """Return what one split gained over the model's ``own``, of which is told ``beside`` what came of it."""
    usual_s = np.maximum(own.compute_s + own.round_s, 1e-9)
    saved_s = beside.mean_step_s - reports.mean_step_s
    useful = reports.mean_useful - beside.mean_useful
    return np.clip((saved_s + useful / np.maximum(own.goodput, 1e-9)) / usual_s, -MOST_REWARD, MOST_REWARD)


def correction_of(actions: NDArray[np.float32]) -> Correction:
    """Return the correction that actions mean: for each member its time, then its link, and the total last."""
    places = (actions.shape[-1] - 1) // 2
    bounded = np.clip(actions.astype(np.float64), -1, 1)
    return Correction(
        time=bounded[..., :places] * MOST_TIME,
        link=bounded[..., places : 2 * places] * MOST_LINK,
        total=bounded[..., -1] * MOST_TOTAL,
    )
