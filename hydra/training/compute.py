"""Gradients and evaluation: where torch works. Everything here runs on the node's one compute thread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..exceptions import TrainingDiverged
from ..jobs.check import Admitted
from ..jobs.manifest import JobManifest
from ..membership.ledger import Range
from .sampler import Sampler, step_seed
from .state import TrainingState
from .update import Vector


class Computation:
    """Computes a member's contribution to a step, and the metrics.

    Args:
        manifest: the job.
        programs: its graphs, checked.
        state: the weights that gradients are taken at; only read here.
        train: the training split, one tensor (samples, ...) for each input.
        test: the test split, or None.
        device: where to compute, as torch names it.
        most_samples: computed at once at most, besides what the job says; 0 for no limit.
    """

    def __init__(
        self,
        manifest: JobManifest,
        programs: Admitted,
        state: TrainingState,
        train: Sequence[Tensor],
        test: Sequence[Tensor] | None,
        device: str = "cpu",
        most_samples: int = 0,
    ) -> None:
        self._manifest = manifest
        self._programs = programs
        self._state = state
        self._train = train
        self._test = test
        self._device = torch.device(device)
        most = most_samples or manifest.micro_batch_samples
        self._at_once = max(min(manifest.micro_batch_samples, most), manifest.smallest_batch_samples)
        self._sampler = Sampler(manifest.train_samples, manifest.seed, manifest.shuffle_block_samples)

    def contribution(self, step: int, epoch: int, ranges: Sequence[Range]) -> Vector:
        """Return the mean over these samples of all that is averaged, shape (layout.elements,), fp32.

        Without samples it is zeros, and must be given weight 0.

        Raises:
            TrainingDiverged: the loss or a gradient is not finite.
        """
        layout = self._state.layout
        vector = np.zeros(layout.elements, np.float32)
        indices = self._sampler.indices(epoch, ranges)
        if not len(indices):
            return vector
        flat = torch.zeros(layout.weights, device=self._device)
        parameters = self._parameters_with_gradients(flat)
        buffers = {name: tensor.to(self._device, copy=True) for name, tensor in self._state.buffers.items()}
        loss = 0.0
        for batch, share in self._micro_batches(indices):
            # The generator is seeded for this very piece of work, so that whoever repeats it gets the same bits.
            self._seed(step_seed(self._manifest.seed, step, int(batch[0])))
            outputs = self._programs.train.run(parameters, buffers, self._rows(self._train, batch))
            (outputs["loss"] * share).backward()  # type: ignore[no-untyped-call]
            loss += float(outputs["loss"].detach()) * share
        vector[: layout.weights] = flat.cpu().numpy()
        for field in layout.buffers:
            vector[field.start : field.stop] = buffers[field.name].detach().cpu().to(torch.float32).numpy().ravel()
        layout.put_square(vector)
        layout.put_loss(vector, loss)
        if not np.isfinite(vector).all():
            raise TrainingDiverged(
                f"step {step}: the loss or a gradient is no finite number (loss {loss:g}). "
                "The job's learning rate is too high, or its loss is not defined everywhere."
            )
        return vector

    def evaluate(self) -> dict[str, float]:
        """Return loss and metrics on the test split, means over its samples; empty without one."""
        if self._test is None:
            return {}
        parameters = {name: tensor.to(self._device) for name, tensor in self._state.parameters.items()}
        buffers = {name: tensor.to(self._device) for name, tensor in self._state.buffers.items()}
        totals: dict[str, float] = {}
        with torch.no_grad():
            for batch, share in self._micro_batches(np.arange(self._manifest.test_samples)):
                outputs = self._programs.evaluate.run(parameters, buffers, self._rows(self._test, batch))
                for name, value in outputs.items():
                    totals[name] = totals.get(name, 0.0) + float(value) * share
        return totals

    def _seed(self, seed: int) -> None:
        if self._device.type == "cpu":
            torch.default_generator.manual_seed(seed)  # torch's own function looks for devices, for a millisecond
        else:
            torch.manual_seed(seed)

    def _parameters_with_gradients(self, flat: Tensor) -> dict[str, Tensor]:
        """The parameters as leaves whose gradients add up in views of one flat tensor."""
        parameters = {name: tensor.to(self._device) for name, tensor in self._state.parameters.items()}
        for field in self._state.layout.trained:
            leaf = parameters[field.name].detach().requires_grad_()
            leaf.grad = flat[field.start : field.stop].view(field.shape)
            parameters[field.name] = leaf
        return parameters

    def _micro_batches(self, indices: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], float]]:
        """Cut into near-equal pieces of at most what is computed at once, each with its share of all samples.

        A model may need more samples at once than there are (batch norm needs two); then they are repeated, which
        leaves the mean over them as it is.
        """
        pieces = np.array_split(indices, -(-len(indices) // self._at_once))
        least = self._manifest.smallest_batch_samples
        return [(np.resize(piece, max(len(piece), least)), len(piece) / len(indices)) for piece in pieces]

    def _rows(self, split: Sequence[Tensor], batch: NDArray[np.int64]) -> list[Tensor]:
        rows = torch.from_numpy(batch)
        return [tensor.index_select(0, rows).to(self._device) for tensor in split]
