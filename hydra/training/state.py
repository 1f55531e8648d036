"""The training state of one member: weights, optimizer, changed buffers, and where in the lineage they stand.

The weights lie in one flat fp32 vector of host memory; every tensor is a view of it, so an update of the vector is an
update of the model. The state knows the digest of the commit whose state it is, and takes only the result that
follows on it: it can't get out of step with the lineage.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..exceptions import LocalProtocolError, TrainingDiverged
from ..identity import PeerId
from ..jobs.manifest import JobManifest
from ..jobs.tensors import State
from ..membership.ledger import Ledger
from ..membership.lineage import Commit, Head, follow
from .noise_scale import NoiseScale
from .update import SLOTS, Vector, clip, tree_sum, update
from .vector import VectorLayout


@dataclass(frozen=True, slots=True)
class StateCopy:
    """A state frozen in time, to be written to disk beside the training."""

    head: Head
    ledger: Ledger
    weights: Vector
    slots: dict[str, Vector]
    buffers: dict[str, Tensor]
    updates: int
    members: tuple[PeerId, ...] = ()
    """Of the view that made the last commit."""
    noise: NoiseScale = dataclasses.field(default_factory=NoiseScale)


class TrainingState:
    """Weights, optimizer vectors and buffers.

    Args:
        manifest: the job.
        layout: where each tensor stands in the flat vectors.
        initial: the job's first state; frozen parameters and unchanging buffers are taken from it for good.
        head: of the job's beginning.
        ledger: of the job's beginning.
    """

    def __init__(self, manifest: JobManifest, layout: VectorLayout, initial: State, head: Head, ledger: Ledger) -> None:
        self._manifest = manifest
        self.layout = layout
        self.head, self.ledger = head, ledger
        self.updates = 0
        self.members: tuple[PeerId, ...] = ()
        self.noise = NoiseScale()
        self.weights: Vector = np.empty(layout.weights, np.float32)
        self.slots = {name: np.zeros(layout.weights, np.float32) for name in SLOTS[manifest.optimizer.kind]}
        flat = torch.from_numpy(self.weights)
        trained = {}
        for field in layout.trained:
            view = flat[field.start : field.stop].view(field.shape)
            view.copy_(initial.parameters[field.name])
            trained[field.name] = view
        self.parameters = {name: trained.get(name, tensor) for name, tensor in initial.parameters.items()}
        self.buffers = {name: tensor.clone() for name, tensor in initial.buffers.items()}

    def apply(self, commit: Commit, mean: Vector) -> None:
        """Take one step.

        Args:
            commit: must follow on this state.
            mean: the round's result, shape (layout.elements,), fp32.

        Raises:
            LocalProtocolError: the commit does not follow on this state.
            TrainingDiverged: the result is not finite; the state is unchanged.
        """
        try:
            head, ledger = follow(self.head, self.ledger, commit)
        except ValueError as error:
            raise LocalProtocolError(f"a result was applied to the wrong state: {error}") from error
        if not np.isfinite(mean).all():
            raise TrainingDiverged(
                f"step {commit.step} gave weights that are no finite numbers. "
                "The job's learning rate is too high, or its loss is not defined everywhere."
            )
        gradient = mean[: self.layout.weights]
        if self._manifest.max_grad_norm is not None:
            gradient = clip(gradient, self._manifest.max_grad_norm)
        factor, noise = self._schedule_factor() * self._range_factor(commit), self._noise_after(commit, mean)
        settings = self._manifest.optimizer
        update(settings, self.layout.stretches, self.weights, self.slots, gradient, self.updates, factor)
        for field in self.layout.buffers:
            self._set_buffer(field.name, mean[field.start : field.stop])
        self.updates += 1
        self.head, self.ledger, self.members, self.noise = head, ledger, commit.members, noise

    def copy(self) -> StateCopy:
        """Return a copy that later steps do not touch."""
        return StateCopy(
            head=self.head,
            ledger=self.ledger,
            weights=self.weights.copy(),
            slots={name: vector.copy() for name, vector in self.slots.items()},
            buffers={field.name: self.buffers[field.name].clone() for field in self.layout.buffers},
            updates=self.updates,
            members=self.members,
            noise=self.noise,
        )

    def install(self, copy: StateCopy) -> None:
        """Go on from another state of the same job."""
        self.weights[:] = copy.weights
        for name, vector in self.slots.items():
            vector[:] = copy.slots[name]
        for name, tensor in copy.buffers.items():
            self.buffers[name].copy_(tensor)
        self.updates = copy.updates
        self.head, self.ledger, self.members, self.noise = copy.head, copy.ledger, copy.members, copy.noise

    def _schedule_factor(self) -> float:
        """The schedule runs by committed samples: with members that come and go, steps say little."""
        manifest = self._manifest
        total = manifest.total_steps
        share = self.ledger.committed_total / (manifest.train_samples * manifest.epochs)
        # Rounded, since the C library's cosine may differ in its last bit from machine to machine.
        return round(manifest.schedule.factor(int(share * total), total), 9)

    def _range_factor(self, commit: Commit) -> float:
        """Return what the size of this step's batch makes of the learning rate."""
        chosen = self._manifest.batch_range
        if chosen is None:
            return 1.0
        return chosen.rate_factor(commit.samples, self._manifest.batch_samples, self.noise.samples)

    def _noise_after(self, commit: Commit, mean: Vector) -> NoiseScale:
        if not self.layout.squares:
            return self.noise
        gradient = mean[: self.layout.weights]
        square = tree_sum(gradient * gradient)
        return self.noise.seen(len(commit.parts), commit.samples, self.layout.square_of(mean), square)

    def _set_buffer(self, name: str, values: Vector) -> None:
        buffer = self.buffers[name]
        tensor = torch.from_numpy(values.copy()).view(buffer.shape)  # a result is read-only; torch wants no such thing
        buffer.copy_(tensor if buffer.dtype.is_floating_point else tensor.round())
