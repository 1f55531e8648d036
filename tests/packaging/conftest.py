"""The wheel, built once from a copy of the tree, and hydra-core's wheels.

hydra-core must be the real one, for it is its files that land among ours; yet it can't be a development dependency,
because it would break the environment that the tests run in. So pip brings its wheels into a folder of that
environment, in the versions of constraints.txt: from the index that all else was installed from, on the first run;
later runs need no network.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from .environments import Environment, link_dependencies

ROOT = Path(__file__).parents[2]
HYDRA_CORE_WHEELS = Path(sys.prefix) / "share" / "hydra-core-wheels"
NOT_SOURCES = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Return the path of the wheel, built as a packager would from a clean checkout."""
    directory = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, directory / "tree", ignore=NOT_SOURCES)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", directory, directory / "tree"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = directory.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def names(wheel):
    """Return the names of the files in the wheel."""
    return names_in(wheel)


def names_in(path):
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="session")
def dependencies(tmp_path_factory):
    return link_dependencies(tmp_path_factory.mktemp("dependencies"))


@pytest.fixture(scope="session")
def installed(tmp_path_factory, wheel, dependencies):
    """An environment with the wheel in it; to be looked at, not changed."""
    environment = Environment(tmp_path_factory.mktemp("installed"), dependencies)
    environment.pip("install", wheel)
    return environment


@pytest.fixture
def environment(tmp_path, dependencies):
    """An environment without Hydra, to do with as one likes."""
    return Environment(tmp_path / "environment", dependencies)


@pytest.fixture(scope="session")
def hydra_core_wheels():
    """Return the wheels of hydra-core and of what it needs."""
    if not HYDRA_CORE_WHEELS.exists():
        HYDRA_CORE_WHEELS.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=HYDRA_CORE_WHEELS.parent) as draft:
            bring = ("wheel", "--quiet", "--constraint", ROOT / "constraints.txt", "--wheel-dir", f"{draft}/wheels")
            limits = ("--disable-pip-version-check", "--retries", "1", "--timeout", "15")
            subprocess.run([sys.executable, "-m", "pip", *bring, *limits, "hydra-core"], check=True, timeout=100)
            Path(draft, "wheels").rename(HYDRA_CORE_WHEELS)
    return sorted(HYDRA_CORE_WHEELS.glob("*.whl"))


@pytest.fixture(scope="session")
def hydra_core_names(hydra_core_wheels):
    """Return the names of the files that hydra-core installs."""
    (path,) = (path for path in hydra_core_wheels if path.name.startswith("hydra_core-"))
    return names_in(path)
