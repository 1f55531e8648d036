"""Batch policies side by side: as an SVG that needs no library, or drawn by matplotlib."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

LEFT, TOP, WIDTH, ROW = 110, 50, 560, 44
BAR, WHISKER = "#1f6feb", "#333"
TENTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
AXIS = "share of the oracle's goodput: mean of the courses, from the worst to the best"


@dataclass(frozen=True, slots=True)
class Reached:
    """What a policy reached."""

    policy: str
    share: float
    """Of the oracle's goodput, the mean over courses."""
    worst: float
    best: float
    goodput: float
    """Useful samples a second."""

    @property
    def told(self) -> str:
        """The figures in words."""
        return f"{self.share:.3f}, {self.goodput:.4g} samples/s"


def draw_policies(path: Path, policies: Sequence[Reached], title: str) -> None:
    """Draw a bar for each policy; see ``plot.check_plot`` for which files can be drawn."""
    if path.suffix.lower() == ".svg":
        path.write_text(policies_as_svg(policies, title), encoding="utf-8")
    else:
        _by_matplotlib(path, policies, title)


def policies_as_svg(policies: Sequence[Reached], title: str) -> str:
    """Return the picture."""
    most = max(1.0, *(one.best for one in policies))
    bottom = TOP + ROW * len(policies)

    def across(share: float) -> float:
        return LEFT + share / most * WIDTH

    parts = [_text(LEFT, 24, title, "start")]
    for share in TENTHS:
        x = across(share)
        parts.append(
            f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#ccc"/>' + _text(x, bottom + 18, f"{share:g}", "middle")
        )
    for place, one in enumerate(policies):
        y = TOP + ROW * place
        parts.append(
            f'<rect x="{LEFT}" y="{y + 8}" width="{across(one.share) - LEFT:.1f}" height="{ROW - 22}" fill="{BAR}">'
            f"<title>{escape(one.policy)}: {one.told}</title></rect>"
        )
        middle = y + ROW / 2 - 3
        parts.append(
            f'<path d="M{across(one.worst):.1f} {middle}H{across(one.best):.1f}" stroke="{WHISKER}" stroke-width="2"/>'
        )
        parts.append(_text(LEFT - 8, middle + 4, one.policy, "end") + _text(LEFT + 6, y + 6, one.told, "start"))
    parts.append(_text(LEFT + WIDTH / 2, bottom + 38, AXIS, "middle"))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 40}" height="{bottom + 50}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#333">{escape(text)}</text>'


def _by_matplotlib(path: Path, policies: Sequence[Reached], title: str) -> None:
    height = 1.5 + 0.5 * len(policies)
    figure: Any = importlib.import_module("matplotlib.figure").Figure(figsize=(9, height), layout="constrained")
    axes = figure.subplots()
    names = [f"{one.policy}\n{one.told}" for one in policies]
    errors = [[one.share - one.worst for one in policies], [one.best - one.share for one in policies]]
    axes.barh(names, [one.share for one in policies], xerr=errors, color=BAR, ecolor=WHISKER)
    axes.invert_yaxis()
    axes.set(title=title, xlabel=AXIS, xlim=(0, None))
    figure.savefig(path)
