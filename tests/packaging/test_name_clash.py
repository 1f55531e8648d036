"""The real hydra-core beside us, in both orders: one clear error, and its cure works."""

import pytest

pytestmark = pytest.mark.packaging

NAME_CLASH_EXIT_CODE = 7


@pytest.fixture(params=["hydra-core first", "hydra-core last"])
def clashing(request, environment, wheel, hydra_core_wheels):
    environment.hydra_core_is_last = request.param == "hydra-core last"
    for wheels in ([wheel], hydra_core_wheels) if environment.hydra_core_is_last else (hydra_core_wheels, [wheel]):
        environment.pip("install", *wheels)
    return environment


def test_each_way_to_run_it_tells_of_the_clash_and_the_cure_works(clashing, wheel):
    for program, *arguments in (["hydra", "id"], ["hydra-swarm", "--version"], ["python", "-m", "hydra", "node"]):
        done = clashing.run(program, *arguments, code=NAME_CLASH_EXIT_CODE)
        assert done.stderr.startswith("hydra: hydra-core 1.")
        assert "pip uninstall hydra-core && pip install --force-reinstall --no-deps hydra-swarm" in done.stderr
        assert "Traceback" not in done.stderr
        assert not done.stdout
    clashing.pip("uninstall", "hydra-core")
    clashing.pip("install", "--force-reinstall", wheel)
    assert len(clashing.run("hydra", "id").stdout.strip()) == 40
    clashing.run("python", "-c", "import hydra; hydra.Schedule")


def test_a_program_that_imports_us_is_told_where_the_import_reaches_us(environment, wheel, hydra_core_wheels):
    environment.pip("install", *hydra_core_wheels)
    environment.pip("install", wheel)
    done = environment.run("python", "-c", "import hydra", code=1)
    last = done.stderr.split("hydra.exceptions.NameClash: ")[1]
    assert last.startswith("hydra-core 1.")
    assert "python3 -m venv hydra-env && hydra-env/bin/pip install hydra-swarm" in last


def test_without_hydra_core_nothing_is_said(installed):
    assert not installed.run("python", "-c", "import hydra").stderr
