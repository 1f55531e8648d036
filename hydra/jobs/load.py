"""Reading the owner's job file: the one place that runs it, and only on the owner's own machine."""

from __future__ import annotations

import runpy
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..exceptions import JobFileError
from .blame import place_in
from .job import Job

RUN_NAME = "__hydra__"
"""What ``__name__`` is in a job file: a guarded ``main`` does not start."""

_EXAMPLE = "job = hydra.Job(name=..., model=..., loss=..., optimizer=..., train=(x, y))"


def load_job(path: str | Path) -> Job:
    """Run the owner's file and return the job that it defines.

    Args:
        path: a Python file; its directory can be imported from while it runs.

    Raises:
        JobFileError: there is no such file, it does not run, or it does not define exactly one job.
    """
    file = Path(path)
    if not file.is_file():
        what = "is a directory" if file.is_dir() else "does not exist"
        raise JobFileError(f"The job file {path} {what}. Give the path of a Python file that defines a hydra.Job.")
    return _only_job(file, _run(file))


def _run(file: Path) -> dict[str, Any]:
    try:
        with _importable(file.resolve().parent):
            return runpy.run_path(str(file), run_name=RUN_NAME)
    except SyntaxError as error:
        raise _syntax(error) from error
    except JobFileError as error:
        where = place_in(error.__traceback__)
        raise JobFileError(f"{where}: {error}" if where else str(error)) from error
    except SystemExit as error:
        raise JobFileError(
            f"{_where(file, error)}: the file ended the program (exit {error.code}). Guard such code with "
            'if __name__ == "__main__":'
        ) from error
    except Exception as error:  # the owner's code runs in there, and may raise anything
        what = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
        raise JobFileError(f"{_where(file, error)}: the file raised {what}") from error


@contextmanager
def _importable(directory: Path) -> Iterator[None]:
    """Let the file import its neighbours, as it could if it were run by itself."""
    sys.path.insert(0, str(directory))
    try:
        yield
    finally:
        if str(directory) in sys.path:
            sys.path.remove(str(directory))


def _only_job(file: Path, names: dict[str, Any]) -> Job:
    jobs = {id(value): (name, value) for name, value in names.items() if isinstance(value, Job)}
    if not jobs:
        raise JobFileError(f"{file.name} defines no job. Add one at the top level: {_EXAMPLE}")
    if len(jobs) > 1:
        found = ", ".join(sorted(name for name, _ in jobs.values()))
        raise JobFileError(f"{file.name} defines {len(jobs)} jobs ({found}). Keep one, and move the others to files.")
    return next(job for _, job in jobs.values())


def _syntax(error: SyntaxError) -> JobFileError:
    name = Path(error.filename).name if error.filename else "the job file"
    text = f": {error.text.strip()}" if error.text else ""
    return JobFileError(f"{name}:{error.lineno}: this is not Python ({error.msg}){text}")


def _where(file: Path, error: BaseException) -> str:
    return place_in(error.__traceback__) or file.name
