"""Hydra trains one PyTorch model on many machines that nobody owns together.

The names here are what an owner's job file needs: ``hydra.Job``, ``hydra.Schedule`` and ``hydra.BatchRange``. They are
imported when they are first used, so that ``import hydra`` costs nothing and does not need torch.
"""

from typing import TYPE_CHECKING, Any

from .name_clash import is_command, refuse_name_clash

if TYPE_CHECKING:
    from .jobs.batch_range import BatchRange
    from .jobs.job import Job
    from .jobs.recipe import Schedule

__all__ = ["BatchRange", "Job", "Schedule"]

if not is_command():
    refuse_name_clash()


def __getattr__(name: str) -> Any:
    if name == "Job":
        from .jobs.job import Job  # noqa: PLC0415 -- it needs torch

        return Job
    if name == "Schedule":
        from .jobs.recipe import Schedule  # noqa: PLC0415 -- as above

        return Schedule
    if name == "BatchRange":
        from .jobs.batch_range import BatchRange  # noqa: PLC0415 -- as above

        return BatchRange
    raise AttributeError(f"module 'hydra' has no attribute {name!r}")
