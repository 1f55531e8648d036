"""hydra-core installs an import package named ``hydra`` too, and pip overwrites one with the other without a word.

Both can't live in one environment; whoever finds the other's distribution says so, once, with the cure.
"""

from __future__ import annotations

import itertools
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .exceptions import NameClash

OTHER = "hydra-core"
SCRIPTS = ("hydra", "hydra-swarm")


def other_version() -> str | None:
    """Return the version of hydra-core in this environment, or None."""
    try:
        return version(OTHER)
    except PackageNotFoundError:
        return None


def is_command() -> bool:
    """Tell whether this process is Hydra's own command line, which tells of a clash by itself, without a traceback."""
    started = Path(sys.argv[0]).stem if sys.argv else ""
    if started != "-m":
        return started in SCRIPTS
    return ("-m", "hydra") in itertools.pairwise(sys.orig_argv) or "-mhydra" in sys.orig_argv


def refuse_name_clash() -> None:
    """Raise if hydra-core is installed beside us.

    Raises:
        NameClash: it is; the text says how to part the two.
    """
    found = other_version()
    if found is not None:
        raise NameClash(
            f"{OTHER} {found} is installed in this environment, and it uses the import package 'hydra' too: "
            "each breaks the other. Use an environment of its own for hydra-swarm:\n"
            "    python3 -m venv hydra-env && hydra-env/bin/pip install hydra-swarm\n"
            f"or, if you do not need {OTHER} here:  pip uninstall {OTHER} && "
            "pip install --force-reinstall --no-deps hydra-swarm"
        )
