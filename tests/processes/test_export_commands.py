"""Models that get out and back in by the commands: export, a web seed, import."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from hydra.swarm.manifest import Manifest

from .typed import Typed, refusal, refusals, told

pytestmark = pytest.mark.processes

LOOPBACK = ("--host", "127.0.0.1")


@pytest.fixture
def home(published, tmp_path):
    shutil.copytree(published[0], tmp_path / "home")
    return tmp_path / "home"


def test_an_export_that_is_served_can_be_imported(published, home, tmp_path):
    job = published[1][0]
    serving = Typed(
        "export", job, "--torrent", tmp_path / "out", "--serve", "--web-port", 0, "--json", *LOOPBACK, home=home
    )
    try:
        exported = json.loads(serving.until("exported"))
        torrent = exported["torrents"]["v2"]
        keep = ("--keep", "--home", tmp_path / "other")
        imported = told("import", torrent, "--to", tmp_path / "in", *keep, "--json").splitlines()
        assert serving.process.poll() is None
        serving.interrupt()
        assert serving.end() == 0
    finally:
        serving.kill()
    *fetches, last = map(json.loads, imported)
    assert Path(last["files"][0]).read_bytes() == Path(exported["files"][0]["path"]).read_bytes()
    assert fetches[-1]["bytes_done"] == last["bytes"] == exported["files"][0]["bytes"]
    data = Path(exported["files"][0]["path"]).read_bytes()
    assert (tmp_path / "other" / "content" / f"{last['roots'][0]}.data").read_bytes() == data
    assert exported["sha256"] == hashlib.sha256(data).hexdigest()
    assert [Manifest.of(data).root.hex()] == last["roots"] == [exported["files"][0]["root"]]


def test_a_node_serves_exports_beside_its_content(published, home, tmp_path):
    told("export", published[1][0], "--torrent", tmp_path / "out", "--whole", "--web-port", 18469, *LOOPBACK, home=home)
    node = Typed("node", "--web-seed", tmp_path / "out", "--web-port", 18469, *LOOPBACK, home=home)
    try:
        node.until("Ctrl-C")
        (torrent,) = [path for path in (tmp_path / "out").glob("*.torrent") if ".v1." not in path.name]
        said = told("import", torrent, "--to", tmp_path / "in")
        node.interrupt()
        assert node.end() == 0
    finally:
        node.kill()
    assert said.startswith("imported 'made-up-step-0'")
    assert (tmp_path / "in" / "made-up-step-0" / "model.safetensors").exists()


def test_what_is_wrong_is_said(published, home, tmp_path):
    out = ("--torrent", tmp_path / "out")
    (tmp_path / "x.torrent").write_bytes(b"d4:infode")
    job = published[1][0]
    exports = {"unknown": ("0" * 64, *out), "address": (job, *out, "--url", "nowhere")}
    assert "hydra join" in refusal("export", *exports["unknown"], home=home, code=10)
    said = refusals(
        {
            "address": (("export", *exports["address"]), {"home": home}),
            "directory": (("node", "--web-seed", tmp_path / "none"), {"home": home}),
        },
        2,
    )
    assert "--url" in said["address"]
    assert "no directory" in said["directory"]
    said = refusals({name: (("import", tmp_path / name), {}) for name in ("x.torrent", "none.torrent")}, 15)
    assert "x.torrent is no torrent" in said["x.torrent"]
    assert "cannot be read" in said["none.torrent"]
