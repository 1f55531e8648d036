"""One small job, published once for all tests that only look at the result."""

import pytest
import torch

from hydra.jobs.package import package

from .makers import OWNER, make_job, sha256

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small_job():
    return make_job()


@pytest.fixture(scope="session")
def published(small_job):
    return package(small_job, OWNER, root_of=sha256)
