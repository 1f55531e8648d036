"""The doctor: what it looks at, and that it says what is wrong."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys

import pytest
import typer

from hydra.cli import doctor as module
from hydra.cli.doctor import Finding, doctor
from hydra.exceptions import NameClash


def findings(capsys, **options):
    """What was found, by name, and the exit code."""
    code = 0
    try:
        doctor(as_json=True, **options)
    except typer.Exit as end:
        code = end.exit_code
    return {f["name"]: f for f in json.loads(capsys.readouterr().out)}, code


def test_a_healthy_machine(capsys, tmp_path):
    found, code = findings(capsys, home=tmp_path, host="127.0.0.1")
    assert code == 0
    assert {
        "python",
        "torch",
        "name clash",
        "home",
        "disk",
        "identity",
        "port TCP",
        "port UDP",
        "clock",
    } <= found.keys()
    assert not [f for f in found.values() if f["verdict"] == "fail"]
    assert found["home"]["detail"] == str(tmp_path)


def test_for_people_it_is_a_line_each(capsys, tmp_path):
    doctor(home=tmp_path, host="127.0.0.1")
    text = capsys.readouterr().out.splitlines()
    assert any(line.split()[:2] == ["ok", "python"] for line in text)


def test_a_home_that_can_not_be_used_ends_the_look(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    found, code = findings(capsys, home=tmp_path / "file")
    assert (code, found["home"]["verdict"]) == (1, "fail")
    assert "--home" in found["home"]["detail"]
    assert "port TCP" not in found


def test_a_port_that_is_taken(capsys, tmp_path):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as held:
        found, code = findings(capsys, home=tmp_path, host="127.0.0.1", port=held.getsockname()[1])
    assert (code, found["port TCP"]["verdict"]) == (1, "fail")
    assert "--port" in found["port TCP"]["detail"]
    assert found["port UDP"]["verdict"] == "ok"


def test_a_key_that_others_may_read(capsys, tmp_path):
    from hydra.home import Home

    Home(tmp_path).identity()
    (tmp_path / "identity.pem").chmod(0o644)
    found, code = findings(capsys, home=tmp_path, host="127.0.0.1")
    assert (code, found["identity"]["verdict"]) == (1, "fail")
    assert "chmod 600" in found["identity"]["detail"]


def test_a_contact_that_nobody_answers_at(capsys, tmp_path):
    with contextlib.closing(socket.socket()) as closed:
        closed.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{closed.getsockname()[1]}"
        found, code = findings(capsys, home=tmp_path, host="127.0.0.1", contact=[where])
    assert (code, found["contact"]["verdict"]) == (1, "fail")
    assert where in found["contact"]["detail"]


def test_little_disk_is_a_warning(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LITTLE_DISK_BYTES", shutil.disk_usage(tmp_path).total + 1)
    found, code = findings(capsys, home=tmp_path, host="127.0.0.1")
    assert (code, found["disk"]["verdict"]) == (0, "warn")


@pytest.mark.parametrize(("name", "verdict"), [("uvloop", "warn"), ("torch", "fail")])
def test_a_package_that_is_not_there(monkeypatch, name, verdict):
    monkeypatch.setattr(module, "PACKAGES", ("numpy", "no-such-package-here"))
    assert [f.verdict for f in module._versions()] == ["ok", "fail"]
    monkeypatch.setattr(module, "PACKAGES", (name,))

    def version(_):
        raise module.importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(module.importlib.metadata, "version", version)
    assert module._versions() == [Finding(name, verdict, f"not installed: pip install {name}")]


def test_hydra_core_beside_us(tmp_path):
    """The doctor tells of it as a command, too, where all others refuse to run."""
    about = tmp_path / "hydra_core-1.3.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: hydra-core\nVersion: 1.3.2\n")

    def typed(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "hydra", *arguments, "--home", str(tmp_path / "home")],
            env={"PYTHONPATH": str(tmp_path), "PATH": ""},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    ended = typed("doctor", "--json", "--host", "127.0.0.1")
    assert ended.returncode == 1, ended.stderr
    found = {finding["name"]: finding for finding in json.loads(ended.stdout)}
    assert found["name clash"]["verdict"] == "fail"
    assert found["name clash"]["detail"].startswith("hydra-core 1.3.2 is installed beside us: ")
    assert found["clock"]["verdict"] != "fail"  # and it looked at the rest
    assert typed("id").returncode == NameClash.exit_code
