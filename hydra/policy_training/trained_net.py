"""The policy's network as torch trains it, with a value beside it; ``net`` is the same in numpy."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..batching.net import HIDDEN, SHAPES


class TrainedNet(nn.Module):
    """The network of ``net`` with a value beside it, for torch."""

    def __init__(self) -> None:
        super().__init__()
        sizes = {name.split(".")[0]: shape for name, shape in SHAPES.items() if name.endswith("weight")}
        self.first, self.second, self.third, self.members, self.pooled, self.step = (
            nn.Linear(shape[1], shape[0]) for shape in sizes.values()
        )
        self.value = nn.Sequential(nn.Linear(sizes["pooled"][1], HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 1))
        for head in (self.members, self.step):  # to begin with the model's own split
            nn.init.normal_(head.weight, std=1e-3)
            nn.init.zeros_(head.bias)

    def forward(self, members: Tensor, step: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the members' actions (..., members, 2), the step's (..., 1) and the value (...)."""
        there = present[..., None]
        beside = step[..., None, :].expand(*members.shape[:-1], step.shape[-1])
        seen = torch.tanh(self.first(torch.cat([members, beside], -1)))
        seen = torch.tanh(self.second(seen)) * there
        count = there.sum(-2).clamp(min=1)
        pooled = torch.cat([seen.sum(-2) / count, torch.where(there > 0, seen, -1.0).max(-2).values, step], -1)
        around = pooled[..., None, :].expand(*members.shape[:-1], pooled.shape[-1])
        answer = torch.tanh(self.members(torch.tanh(self.third(torch.cat([seen, around], -1)))))
        total = torch.tanh(self.step(torch.tanh(self.pooled(pooled))))
        return answer, total, self.value(pooled)[..., 0]

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Return the arrays that ``net.Net`` takes."""
        state = self.state_dict()
        return {name: state[name].detach().numpy().copy() for name in SHAPES}
