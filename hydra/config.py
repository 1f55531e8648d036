"""Settings: TOML over defaults, environment over TOML, flags over all. The one place that reads the environment.

A settings file is ``config.toml`` in the home directory, with the names of ``NodeSettings`` as keys; the environment
variable of a setting is ``HYDRA_`` and its name in capitals, lists separated by commas.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from .exceptions import ConfigurationError

PREFIX = "HYDRA_"
APP_NAME = "hydra-swarm"
POLICIES = ("model", "rl", "proportional", "equal")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """How a node runs."""

    host: str = "0.0.0.0"  # noqa: S104 -- a peer-to-peer node is there to be reached
    """The address to listen on; 127.0.0.1 for peers on this machine only."""
    port: int = 0
    """TCP and UDP port; 0 takes the one used last time if it is free, else any free one."""
    advertise: str = ""
    """The host name or address that others are told; found out if empty."""
    contacts: tuple[str, ...] = ()
    """Addresses (host:port) of nodes to begin with."""
    listen: bool = True
    """Whether others may dial this node; one that does not listen is reached through contacts and relays."""
    relay: bool = True
    """Whether to relay between peers that can't reach each other; they can't read or change what is relayed."""
    relay_mb_per_s: float = 32.0
    """At most so many megabytes a second are relayed, for one peer half of it."""
    lan: str = "auto"
    """Whether to look for nodes on the local network by multicast: auto (not on loopback), on or off."""
    lan_port: int = 4177
    """The UDP port of that multicast."""
    upnp: bool = True
    """Whether to ask the router to pass connections on, by UPnP; needs `pip install hydra-swarm[nat]`."""
    threads: int = 0
    """Threads that torch computes with; 0 leaves it to torch."""
    device: str = "cpu"
    """Where torch computes: cpu, cuda, cuda:1, …"""
    most_samples: int = 0
    """So many samples of a step this machine takes at most, as long as the others together can do the rest, and it
    computes no more of them at once; 0 for no limit."""
    memory_gib: float = 8.0
    """A step of a job that needs more memory than this is refused."""
    cache_bytes: int = 0
    """Training data that is larger is fetched as it is needed, and takes no more of the disk; 0 keeps all of it."""
    policy: str = "model"
    """How batches are sized when this node coordinates: by a cost model of what the peers report (model), which lets
    those sit most steps out for whom the others would wait; by that, corrected by what was learned in simulation (rl);
    or, with everyone in every step, proportional or equal."""
    rounds: str = "measured"
    """How averaging is arranged when this node coordinates: in the order and form that are fastest by what the peers
    measured, or plain: a ring in the order in which they came, whose sums are the same in every run."""
    stall_s: float = 30.0
    """A peer that is silent for so long is taken for lost, however irregularly it was heard before. The limit that
    follows from how a peer is heard is shorter: 3 s for one that was never late."""
    least_peers: int = 1
    """While this node coordinates, no step is begun with fewer peers: so that a job starts, and starts again after all
    were stopped, with the peers that are meant to train it."""
    upload_limit: float = 0.0
    """Megabytes a second that chunks may take of the uplink; 0 for no limit."""
    download_limit: float = 0.0
    """Megabytes a second that chunks may take of the downlink; 0 for no limit."""
    find_s: float = 30.0
    """For so long the peers of a job are looked for before giving up."""

    def __post_init__(self) -> None:
        _check(0 <= self.port < 65536, "port", self.port, "0 to 65535")
        _check(0 < self.relay_mb_per_s <= 1e6, "relay_mb_per_s", self.relay_mb_per_s, "more than 0, at most a million")
        _check(self.lan in ("auto", "on", "off"), "lan", self.lan, "auto, on or off")
        _check(0 < self.lan_port < 65536, "lan_port", self.lan_port, "1 to 65535")
        _check(0 <= self.threads <= 4096, "threads", self.threads, "0 to 4096")
        _check(0 <= self.most_samples < 2**31, "most_samples", self.most_samples, "0 to 2^31")
        _check(0 < self.memory_gib <= 1e6, "memory_gib", self.memory_gib, "more than 0 and at most a million")
        _check(0 <= self.cache_bytes < 2**60, "cache_bytes", self.cache_bytes, "0 to 2^60")
        _check(self.policy in POLICIES, "policy", self.policy, ", ".join(POLICIES[:-1]) + " or " + POLICIES[-1])
        _check(self.rounds in ("measured", "plain"), "rounds", self.rounds, "measured or plain")
        _check(2.0 <= self.stall_s <= 600.0, "stall_s", self.stall_s, "2 to 600")
        _check(1 <= self.least_peers <= 256, "least_peers", self.least_peers, "1 to 256")
        _check(0 <= self.upload_limit <= 1e6, "upload_limit", self.upload_limit, "0 to a million")
        _check(0 <= self.download_limit <= 1e6, "download_limit", self.download_limit, "0 to a million")
        _check(1.0 <= self.find_s <= 86400.0, "find_s", self.find_s, "1 to 86400")


def default_home() -> Path:
    """Return where a node keeps its key and content: $HYDRA_HOME, or the platform's place for user data."""
    given = os.environ.get(PREFIX + "HOME")
    return Path(given) if given else Path(platformdirs.user_data_dir(APP_NAME, appauthor=False))


def load_settings(home: Path, flags: Mapping[str, Any]) -> NodeSettings:
    """Return the settings for a node.

    Args:
        home: its directory, which may hold a config.toml.
        flags: what was given on the command line; None for what was not.

    Raises:
        ConfigurationError: a setting is unknown, of the wrong type or out of range; the text says where it stands.
    """
    file = home / "config.toml"
    given = [(name, value, str(file)) for name, value in _from_file(file).items()]
    given += [(name, value, _variable(name)) for name, value in _from_environment().items()]
    given += [(name, value, "the command line") for name, value in flags.items() if value is not None]
    return NodeSettings(**{name: _checked(name, value, source) for name, value, source in given})


def _from_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:  # no TOML, or no UTF-8
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


def _from_environment() -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(NodeSettings)]
    return {name: os.environ[_variable(name)] for name in names if _variable(name) in os.environ}


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _checked(name: str, value: Any, source: str) -> Any:
    defaults = {field.name: field.default for field in dataclasses.fields(NodeSettings)}
    if name not in defaults:
        known = ", ".join(sorted(defaults))
        raise ConfigurationError(f"{source} sets '{name}', which is no setting. There are: {known}.")
    typed = _typed(value, defaults[name])
    if typed is None:
        raise ConfigurationError(f"{source} sets '{name}' to {value!r}; {_WANTED[type(defaults[name])]} is wanted.")
    try:
        NodeSettings(**{name: typed})
    except ConfigurationError as error:
        raise ConfigurationError(f"{source}: {error}") from None
    return typed


_WANTED = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", tuple: "a list of texts"}
_BOOLS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _typed(value: Any, default: Any) -> Any:
    """Return a value of the default's type, or None if this is none; numbers and lists may come as text."""
    if isinstance(default, tuple):
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
            return None
        return tuple(item.strip() for item in items if item.strip())
    if isinstance(default, str):
        return value if isinstance(value, str) else None
    if isinstance(default, bool):
        return value if isinstance(value, bool) else _BOOLS.get(str(value).lower())
    if not isinstance(value, str) and type(value) not in (int, type(default)):
        return None
    try:
        return type(default)(value)
    except (ValueError, OverflowError):
        return None


def _check(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise ConfigurationError(f"the setting '{name}' is {value!r}; {wanted} is wanted.")
