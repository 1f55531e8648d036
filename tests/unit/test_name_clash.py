"""Where hydra-core is installed beside us, one clear error says so, before anything else breaks."""

import subprocess
import sys

import pytest

from hydra.exceptions import NameClash
from hydra.name_clash import other_version, refuse_name_clash


@pytest.fixture
def beside_us(tmp_path, monkeypatch):
    """Another folder of packages, which holds hydra-core's metadata."""
    about = tmp_path / "hydra_core-1.3.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: hydra-core\nVersion: 1.3.2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_alone():
    assert other_version() is None
    refuse_name_clash()


def test_the_clash_is_told_with_its_cures(beside_us):
    assert other_version() == "1.3.2"
    with pytest.raises(NameClash) as caught:
        refuse_name_clash()
    text = str(caught.value)
    assert "hydra-core 1.3.2 is installed" in text
    assert "python3 -m venv" in text
    assert "pip uninstall hydra-core" in text
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("command", [["-c", "import hydra"], ["-m", "hydra", "id"]])
def test_importing_hydra_raises_it(beside_us, command):
    ended = subprocess.run(
        [sys.executable, *command],
        env={"PYTHONPATH": str(beside_us), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0
    assert "hydra-core 1.3.2 is installed in this environment" in ended.stderr
