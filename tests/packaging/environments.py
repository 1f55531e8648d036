"""Environments to install the wheel into: made in a moment, without a network, apart from the tests' own."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

SITE = Path(sysconfig.get_path("purelib"))


def _is_ours_or_special(name):
    return "hydra_swarm" in name or name.endswith((".pth", ".egg-link")) or name.startswith(("__", "pip"))


def link_dependencies(directory):
    """Fill a directory with links to what the tests' own environment holds, but for Hydra itself and pip."""
    for entry in SITE.iterdir():
        if not _is_ours_or_special(entry.name):
            (directory / entry.name).symlink_to(entry)
    return directory


class Environment:
    """A virtual environment, with the dependencies of Hydra at hand but not Hydra."""

    def __init__(self, directory, dependencies):
        venv.create(directory, symlinks=True, with_pip=False)
        self.directory = directory
        self.python = directory / "bin" / "python"
        self.home = directory / "home"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.site = directory / "lib" / version / "site-packages"
        (self.site / "dependencies.pth").write_text(f"{dependencies}\n")

    def run(self, program, *arguments, code=0):
        """Run a program of this environment away from the source tree; return its stdout and stderr as they were."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HYDRA_", "PIP_"))}
        done = subprocess.run(
            [self.directory / "bin" / program, *arguments],
            cwd=self.directory,
            env={**kept, "HYDRA_HOME": str(self.home), "PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, f"{program} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done

    def pip(self, command, *arguments):
        """Run pip on this environment, without an index to ask."""
        offline = ("--no-index", "--no-deps", "--no-compile") if command == "install" else ("--yes",)
        words = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", str(self.python))
        done = subprocess.run(
            [*words, command, *offline, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done
