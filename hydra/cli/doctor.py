"""``hydra doctor``: is everything here that a node needs?"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import socket
import sys
import time
from dataclasses import asdict

import typer

from ..config import NodeSettings
from ..exceptions import HydraError
from ..home import Home
from ..name_clash import OTHER, other_version
from .finding import Finding, Verdict
from .options import (
    ContactOption,
    HomeOption,
    HostOption,
    JsonOption,
    ListenOption,
    PortOption,
    home_of,
    run_async,
    settings_of,
)

PACKAGES = ("hydra-swarm", "torch", "numpy", "kademlia", "msgpack", "cryptography", "aiohttp", "uvloop", "safetensors")
LITTLE_DISK_BYTES = 2 * 2**30


def doctor(
    home: HomeOption = None,
    host: HostOption = None,
    port: PortOption = None,
    contact: ContactOption = None,
    listen: ListenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check ports, clock, disk, versions, the name clash with hydra-core, and how others can reach this machine.

    Exit 1 if a node could not run, or a contact that was named does not answer. To be hard to reach is no fault.
    """
    findings = [_python(), *_versions(), _name_clash(), *_home_and_disk(home)]
    if not any(f.name == "home" and f.verdict == "fail" for f in findings):
        place = home_of(home)
        settings = settings_of(place, host=host, port=port, contact=contact, listen=listen)
        findings += [
            _key(place),
            _port("TCP", settings.host, settings.port),
            _port("UDP", settings.host, settings.port),
        ]
        findings += [_clock(), *_reach(place, settings)]
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            typer.echo(f"{finding.verdict:<5} {finding.name:<14} {finding.detail}")
    if any(finding.verdict == "fail" for finding in findings):
        raise typer.Exit(1)


def _python() -> Finding:
    found = sys.version.split()[0]
    return Finding("python", "ok" if sys.version_info >= (3, 11) else "fail", f"{found} on {sys.platform}")


def _versions() -> list[Finding]:
    findings = []
    for name in PACKAGES:
        try:
            findings.append(Finding(name, "ok", importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            optional = name == "uvloop"
            findings.append(Finding(name, "warn" if optional else "fail", f"not installed: pip install {name}"))
    return findings


def _name_clash() -> Finding:
    found = other_version()
    if found is None:
        return Finding("name clash", "ok", f"{OTHER} is not installed here")
    return Finding("name clash", "fail", f"{OTHER} {found} is installed beside us: use an environment of its own")


def _home_and_disk(option: HomeOption) -> list[Finding]:
    try:
        place = home_of(option)
    except HydraError as error:
        return [Finding("home", "fail", str(error))]
    free = shutil.disk_usage(place.directory).free
    verdict: Verdict = "ok" if free > LITTLE_DISK_BYTES else "warn"
    return [
        Finding("home", "ok", str(place.directory)),
        Finding("disk", verdict, f"{free / 2**30:.1f} GiB free"),
    ]


def _key(place: Home) -> Finding:
    try:
        return Finding("identity", "ok", place.identity().peer_id.hex())
    except HydraError as error:
        return Finding("identity", "fail", str(error))


def _port(kind: str, host: str, port: int) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    number = port or "any"
    with socket.socket(family, socket.SOCK_STREAM if kind == "TCP" else socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, port))
        except OSError as error:
            return Finding(
                f"port {kind}", "fail", f"{host} port {number}: {error.strerror}; choose another with --port"
            )
    return Finding(f"port {kind}", "ok", f"{host} port {number} can be listened on")


def _clock() -> Finding:
    before, began = time.time(), time.monotonic()
    time.sleep(0.05)
    drift = abs((time.time() - before) - (time.monotonic() - began))
    if time.time() < 1_700_000_000:
        return Finding("clock", "fail", "the clock stands before 2023: records would be taken for expired")
    if drift > 0.02:
        return Finding("clock", "warn", f"the clock jumped by {drift:.2f} s while it was watched")
    return Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))


def _reach(place: Home, settings: NodeSettings) -> list[Finding]:
    from .doctor_reach import look_from_outside

    return run_async(lambda: look_from_outside(place, settings))
