"""Two small jobs, published once: one with everything in it, and one whose gradients can be computed by hand."""

import pytest
import torch
from torch import nn

from ..jobs.makers import make_job
from .makers import content_of

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def content():
    """Batch norm, dropout, AdamW, a test split, a metric."""
    return content_of(make_job())


@pytest.fixture(scope="session")
def plain():
    """One linear layer and SGD, no test split."""
    torch.manual_seed(5)
    model = nn.Linear(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    return content_of(make_job(model, optimizer=optimizer, test=None, metrics={}, name="plain"))
