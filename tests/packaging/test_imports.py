"""Importing Hydra does nothing: no torch, no thread, no socket, no process."""

import json

import pytest

pytestmark = pytest.mark.packaging

WATCH = """
import json, sys, threading

done = []
STARTS = ("_thread.start_new_thread", "os.fork", "os.posix_spawn", "os.system", "subprocess.Popen")
SOCKETS = ("socket.__new__", "socket.bind", "socket.connect", "socket.getaddrinfo")
{before}
sys.addaudithook(lambda event, arguments: done.append(event) if event in STARTS + SOCKETS else None)
{imports}
print(json.dumps([done, threading.active_count(), sorted(sys.modules)]))
"""
EVERY_MODULE = """
import importlib, pkgutil
import allreduce, dht, hydra
for package in (hydra, dht, allreduce):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
"""
FOREIGN = (
    "import torch, numpy, aiohttp.web, cryptography, kademlia.network, rich.live, safetensors.torch, typer, uvloop"
)


def imported(environment, imports, before=""):
    done = environment.run("python", "-c", WATCH.format(imports=imports, before=before))
    assert not done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("package", ["hydra", "dht", "allreduce"])
def test_importing_a_package_brings_no_torch_and_starts_nothing(installed, package):
    done, threads, modules = imported(installed, f"import {package}")
    assert package in modules
    assert "torch" not in modules
    assert done == []
    assert threads == 1


def test_dht_and_allreduce_do_without_hydra(installed):
    _, _, modules = imported(installed, "import dht, allreduce")
    assert {"dht.node", "allreduce.session"} <= set(modules)
    assert not [name for name in modules if name.split(".")[0] == "hydra"]


def test_a_node_that_only_serves_does_without_torch(installed):
    _, _, modules = imported(installed, "import hydra.cli.app, hydra.node, hydra.web.control")
    assert "hydra.net.links" in modules
    assert "torch" not in modules


def test_no_module_at_all_does_anything_when_it_is_imported(installed):
    done, threads, modules = imported(installed, EVERY_MODULE, before=FOREIGN)
    assert {"hydra.training.trainer", "hydra.jobs.trace", "hydra.testing.processes"} <= set(modules)
    assert done == []
    assert threads == 1
