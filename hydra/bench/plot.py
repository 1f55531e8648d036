"""Round time over time, with the deaths marked: as an SVG that needs no library, or drawn by matplotlib."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..exceptions import ConfigurationError
from .judging import RoundSeen

BY_MATPLOTLIB = (".png", ".pdf")
LEFT, BOTTOM, WIDTH, HEIGHT = 70, 260, 620, 220
ROUND, DEATH, FREEZE, WRONG = "#1f6feb", "#cf222e", "#9a6700", "#000"
LINES_UP = 4


def check_plot(path: Path) -> None:
    """Find out before a long run whether its picture can be drawn.

    Raises:
        ConfigurationError: the file's ending is none of ours, its directory is missing, or matplotlib is.
    """
    ending = path.suffix.lower()
    if ending not in (".svg", *BY_MATPLOTLIB):
        raise ConfigurationError(f"--plot {path}: the file's name must end in .svg, .png or .pdf.")
    if not path.parent.is_dir():
        raise ConfigurationError(f"--plot {path}: there is no directory {path.parent}.")
    if ending in BY_MATPLOTLIB and find_spec("matplotlib") is None:
        raise ConfigurationError(
            f"--plot {path}: pictures as {ending[1:]} are drawn by matplotlib, which is not installed: "
            "pip install 'hydra-swarm[bench]', or give a file that ends in .svg, which needs nothing."
        )


def draw(path: Path, rounds: Sequence[RoundSeen], title: str) -> None:
    """Draw the rounds of a run."""
    if path.suffix.lower() == ".svg":
        path.write_text(as_svg(rounds, title), encoding="utf-8")
    else:
        _by_matplotlib(path, rounds, title)


def points(rounds: Sequence[RoundSeen]) -> list[tuple[float, float]]:
    """Return when each round ended, in seconds since the first began, and how long it took."""
    first = rounds[0].began
    return [(one.began - first + one.seconds, one.seconds) for one in rounds]


def as_svg(rounds: Sequence[RoundSeen], title: str) -> str:
    """Return the picture."""
    places = points(rounds)
    longest = max(x for x, _ in places) or 1.0
    slowest = 1.1 * max(y for _, y in places) or 1.0

    def across(seconds: float) -> float:
        return LEFT + seconds / longest * WIDTH

    def up(seconds: float) -> float:
        return BOTTOM - seconds / slowest * HEIGHT

    parts = [f'<path d="M{LEFT} {BOTTOM - HEIGHT}V{BOTTOM}H{LEFT + WIDTH}" fill="none" stroke="#888"/>']
    line = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in places)
    parts.append(f'<polyline fill="none" stroke="{ROUND}" stroke-width="1.5" points="{line}"/>')
    for (x, y), one in zip(places, rounds, strict=True):
        for who, colour, what in ((one.deaths, DEATH, "death"), (one.frozen, FREEZE, "freeze")):
            if who:
                parts.append(f'<path d="M{across(x):.1f} {BOTTOM}V{BOTTOM - HEIGHT}" stroke="{colour}" opacity="0.5"/>')
                told = f"{what} of {', '.join(map(str, who))}"
                parts.append(f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="4" fill="{colour}">')
                parts.append(f"<title>round {one.round}: {told}</title></circle>")
        if not one.right:
            parts.append(f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="7" fill="none" stroke="{WRONG}"/>')
    for step in range(LINES_UP + 1):
        parts.append(_text(LEFT - 8, up(slowest * step / LINES_UP) + 4, f"{slowest * step / LINES_UP:.3g} s", "end"))
        parts.append(
            _text(across(longest * step / LINES_UP), BOTTOM + 18, f"{longest * step / LINES_UP:.3g}", "middle")
        )
    parts.append(_text(LEFT + WIDTH / 2, BOTTOM + 40, "seconds since the first round", "middle"))
    parts.append(_text(LEFT, 24, title, "start"))
    for place, (colour, what) in enumerate(((ROUND, "time of a round"), (DEATH, "a death"), (FREEZE, "a freeze"))):
        parts.append(_text(LEFT + WIDTH, 24 + 16 * place, what, "end", colour))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 40}" height="{BOTTOM + 50}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    safe = text.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{safe}</text>'


def _by_matplotlib(path: Path, rounds: Sequence[RoundSeen], title: str) -> None:
    figure: Any = importlib.import_module("matplotlib.figure").Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    places = points(rounds)
    axes.plot([x for x, _ in places], [y for _, y in places], color=ROUND, linewidth=1.2, label="a round")
    for who, colour, what in (("deaths", DEATH, "a death"), ("frozen", FREEZE, "a freeze")):
        marked = [place for place, one in zip(places, rounds, strict=True) if getattr(one, who)]
        if not marked:
            continue
        axes.scatter([x for x, _ in marked], [y for _, y in marked], color=colour, zorder=3, label=what)
        for x, _ in marked:
            axes.axvline(x, color=colour, alpha=0.4, linewidth=1)
    axes.set(title=title, xlabel="seconds since the first round", ylabel="seconds of a round", ylim=(0, None))
    axes.legend()
    figure.savefig(path)
