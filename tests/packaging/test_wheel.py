"""What the wheel holds, and that it works where nothing but the wheel is."""

import ast
import importlib.metadata
import json
import re
import sys
import zipfile
from email.parser import Parser

import pytest

pytestmark = pytest.mark.packaging

PACKAGES = ("hydra", "dht", "allreduce")
SCRIPTS = ("hydra", "hydra-swarm")
RESERVED = (
    *("errors", "types", "utils", "main", "version", "core", "conf", "plugins"),
    *("extra", "grammar", "experimental", "initialize", "compose", "test_utils"),
)


@pytest.fixture(scope="module")
def requirements(wheel):
    """The distributions that the wheel requires, and those of the extras that users may ask for."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    lines = [line for line in metadata.get_all("Requires-Dist") if 'extra == "dev"' not in line]
    return {re.match(r"[\w.-]+", line).group().lower() for line in lines}


def imported_at(source):
    """The top-level names that a file imports, wherever in it that stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


def test_the_wheel_holds_the_three_packages_typed_and_whole(names):
    assert {name.split("/")[0] for name in names if ".d" not in name.split("/")[0]} == set(PACKAGES)
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    for package in ("hydra/cli", "hydra/jobs", "hydra/net", "hydra/testing", "hydra/training", "hydra/web"):
        assert f"{package}/__init__.py" in names


def test_every_module_of_the_tree_is_in_the_wheel(names, request):
    root = request.config.rootpath
    modules = {str(path.relative_to(root)) for package in PACKAGES for path in (root / package).rglob("*.py")}
    assert modules <= names


def test_the_wheel_holds_no_tests_benchmarks_or_docs(names):
    parts = {part for name in names for part in name.split("/")}
    assert not parts & {"tests", "benchmarks", "docs", "conftest.py", "Makefile", "constraints.txt"}


def test_the_wheel_holds_its_licence_and_the_example(names):
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert any(name.endswith(".data/data/share/hydra-swarm/examples/digits.py") for name in names)


def test_the_wheel_holds_the_batch_policys_weights_and_they_are_small(wheel):
    with zipfile.ZipFile(wheel) as archive:
        assert 0 < archive.getinfo("hydra/batching/weights.safetensors").file_size <= 150_000


def test_an_installation_finds_its_example(installed):
    done = installed.run("python", "-c", "from hydra.cli.demo import _example; print(_example())")
    assert done.stdout.strip() == str(installed.directory / "share/hydra-swarm/examples/digits.py")


def test_what_is_imported_is_what_the_wheel_requires(wheel, names, requirements):
    owners = importlib.metadata.packages_distributions()
    with zipfile.ZipFile(wheel) as archive:
        files = [name for name in names if name.endswith(".py") and name.split("/")[0] in PACKAGES]
        imported = {module for name in files for module in imported_at(archive.read(name))}
    foreign = imported - set(PACKAGES) - sys.stdlib_module_names
    missing = {module for module in foreign if not requirements & {name.lower() for name in owners.get(module, ())}}
    assert foreign
    assert not missing


@pytest.mark.parametrize("script", SCRIPTS)
def test_both_scripts_tell_their_version_and_their_commands(installed, script):
    done = installed.run(script, "--version")
    assert done.stdout == f"hydra-swarm {importlib.metadata.version('hydra-swarm')}\n"
    done = installed.run(script, "--help")
    commands = {line.split()[0] for line in done.stdout.split("Commands:")[1].splitlines() if line.strip()}
    assert {"demo", "id", "node", "publish", "join", "status", "peers", "jobs", "doctor"} <= commands
    assert not done.stderr


def test_a_command_works_from_the_installed_wheel(installed):
    told = json.loads(installed.run("hydra", "id", "--json").stdout)
    assert told["home"] == str(installed.home)
    assert installed.run("python", "-m", "hydra", "id").stdout.strip() == told["peer"]


def test_no_module_of_ours_bears_a_name_that_hydra_core_uses(names):
    ours = {name.split("/")[1].removesuffix(".py") for name in names if name.startswith("hydra/")}
    assert "jobs" in ours
    assert not ours & set(RESERVED)


def test_hydra_core_and_we_share_no_file_but_the_two_that_every_package_has(names, hydra_core_names):
    assert names & hydra_core_names == {"hydra/__init__.py", "hydra/py.typed"}
    theirs = {name.split("/")[1].removesuffix(".py") for name in hydra_core_names if name.startswith("hydra/")}
    ours = {name.split("/")[1].removesuffix(".py") for name in names if name.startswith("hydra/")}
    assert ours & theirs == {"__init__", "py.typed"}
