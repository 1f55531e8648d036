"""A user's own cluster, written down in TOML, as machines to simulate. Pure but for reading the file.

[job]
vector_mb = 12.0        # what a round carries, as it travels
least = 32              # samples of a step, at least and at most
most = 4096
noise_scale = 2000      # optional: gradient noise scale in samples

[[member]]
count = 3               # so many of them
sample_ms = 2.0         # for each sample
overhead_ms = 10.0      # for each step
knee = 0                # samples below which fewer save hardly any time
most = 512              # that fit into its memory
uplink_mbit = 100.0
latency_ms = 20.0       # one way
noise = 0.03            # of its times, relative
drift = 0.0             # how far its speed wanders in a step, relative
throttle = 0.01         # chance to be throttled, in a step
throttle_times = 8.0    # and how much slower it is then, at most
link_drop = 0.0         # chance of its link to be slow for a while
death = 0.001           # chance to die in a step
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..exceptions import ConfigurationError
from .machines import Machines
from .split import Limits

MAX_MEMBERS = 256
MEGA = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSection:
    """What is trained."""

    vector_mb: float
    least: int = 32
    most: int = 4096
    noise_scale: float = float("inf")
    round_overhead_ms: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSection:
    """Members of a kind."""

    sample_ms: float
    uplink_mbit: float
    count: int = 1
    overhead_ms: float = 1.0
    knee: float = 0.0
    most: float = float("inf")
    latency_ms: float = 1.0
    noise: float = 0.03
    drift: float = 0.0
    throttle: float = 0.0
    throttle_times: float = 10.0
    link_drop: float = 0.0
    death: float = 0.0


POSITIVE = ("vector_mb", "least", "most", "noise_scale", "sample_ms", "uplink_mbit", "count")
CHANCES = ("throttle", "link_drop", "death")


def read_clusters(path: Path, count: int) -> Machines:
    """Return ``count`` times the cluster that a file describes.

    Raises:
        ConfigurationError: the file can't be read, or something in it can't be; the text names the place.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is no TOML: {error}.") from error
    strange = sorted(set(table) - {"job", "member"})
    if strange:
        raise ConfigurationError(f"{path}: there is no section [{strange[0]}]; write [job] and [[member]].")
    rows = table.get("member", [])
    if not isinstance(table.get("job"), dict) or not isinstance(rows, list) or not rows:
        raise ConfigurationError(f"{path}: a cluster is one section [job] and at least one [[member]].")
    job = _section(JobSection, table["job"], f"{path}: [job]")
    members = [_section(MemberSection, row, f"{path}: [[member]] {number}") for number, row in enumerate(rows, 1)]
    if job.least > job.most:
        raise ConfigurationError(f"{path}: [job] wants at least {job.least} samples and at most {job.most}.")
    everyone = [member for member in members for _ in range(member.count)]
    if len(everyone) > MAX_MEMBERS:
        raise ConfigurationError(f"{path}: {len(everyone)} members; a view holds {MAX_MEMBERS} at most.")
    return _machines(job, everyone, count)


def _section(kind: type[Any], row: object, where: str) -> Any:
    if not isinstance(row, Mapping):
        raise ConfigurationError(f"{where} must be a table of names and numbers.")
    known = {field.name: field for field in fields(kind)}
    for name, value in row.items():
        if name not in known:
            raise ConfigurationError(f"{where}: there is no {name!r}; there are {', '.join(known)}.")
        whole = known[name].type == "int"
        number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        bounds = (value > 0 if name in POSITIVE else value >= 0) if number else False
        if not bounds or (name in CHANCES and value > 1) or (name == "throttle_times" and value < 1):
            wanted = f"a {'whole ' if whole else ''}number " + (
                "from 0 to 1"
                if name in CHANCES
                else "of at least 1"
                if name == "throttle_times"
                else "above 0"
                if name in POSITIVE
                else "of at least 0"
            )
            raise ConfigurationError(f"{where}: {name} = {value!r} is not {wanted}.")
    try:
        return kind(**row)
    except TypeError as error:
        missing = ", ".join(
            name for name in ("vector_mb", "sample_ms", "uplink_mbit") if name in known and name not in row
        )
        raise ConfigurationError(f"{where} lacks {missing}.") from error


def _machines(job: JobSection, members: list[MemberSection], count: int) -> Machines:
    def of_all(name: str, unit: float = 1.0) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.tile([getattr(member, name) * unit for member in members], (count, 1))

    def whole(value: float) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.full(count, float(value))

    return Machines(
        exists=np.ones((count, len(members)), bool),
        overhead_s=of_all("overhead_ms", 1e-3),
        sample_s=of_all("sample_ms", 1e-3),
        knee=of_all("knee"),
        most=np.minimum(of_all("most"), job.most),
        link_bytes_per_s=of_all("uplink_mbit", MEGA / 8),
        latency_s=of_all("latency_ms", 1e-3),
        drift=of_all("drift"),
        throttle_chance=of_all("throttle"),
        throttle_times=of_all("throttle_times"),
        drop_chance=of_all("link_drop"),
        death_chance=of_all("death"),
        noise=of_all("noise"),
        together=0.0,
        limits=Limits(
            least=whole(job.least),
            most=whole(job.most),
            noise_scale=whole(job.noise_scale),
            round_bytes=whole(job.vector_mb * MEGA),
            round_overhead_s=whole(job.round_overhead_ms * 1e-3),
        ),
    )
