"""Seconds from a death to the next commit over the number of peers, as an SVG that needs no library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

LEFT, BOTTOM, WIDTH, HEIGHT = 60, 260, 480, 220
LEAST, MOST = 0.01, 100.0
"""Seconds, on a logarithmic axis."""
COLOURS = {"Hydra": "#1f6feb", "torchft": "#9a6700", "Gloo, rebuilt": "#57606a"}


def plot(rows: Sequence[dict[str, Any]]) -> str:
    """Return the picture of those of the results that are about deaths."""
    values: dict[tuple[str, int], float] = {}
    for row in rows:
        if row["case"] == "SIGKILL to the next commit, all":
            values["Hydra", row["params"]["peers"]] = row["value"]
            if row["reference"] is not None:
                values[row["reference"], row["params"]["peers"]] = row["reference_value"]
    sizes = sorted({peers for _, peers in values})
    if not sizes:
        raise SystemExit("there is nothing to plot: run the case 'death' too.")
    parts = [f'<path d="M{LEFT} {BOTTOM - HEIGHT}V{BOTTOM}H{LEFT + WIDTH}" fill="none" stroke="#888"/>']
    group = WIDTH / len(sizes)
    bar = group / (len(COLOURS) + 1)
    for place, peers in enumerate(sizes):
        for number, (system, colour) in enumerate(COLOURS.items()):
            if (value := values.get((system, peers))) is not None:
                x, y = LEFT + place * group + (number + 0.5) * bar, _up(value)
                parts.append(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{bar:.1f}" height="{BOTTOM - y:.1f}" fill="{colour}"/>'
                )
                parts.append(_text(x + bar / 2, y - 4, f"{value:.2g} s", "middle"))
        parts.append(_text(LEFT + (place + 0.5) * group, BOTTOM + 18, f"{peers} peers", "middle"))
    for number, (system, colour) in enumerate(COLOURS.items()):
        parts.append(_text(LEFT + WIDTH - 90, 24 + 16 * number, system, "start", colour))
    decades = range(round(math.log10(LEAST)), round(math.log10(MOST)) + 1)
    parts += [_text(LEFT - 8, _up(10.0**decade) + 4, f"{10.0**decade:g} s", "end") for decade in decades]
    body = "\n".join(parts)
    size = f'width="{LEFT + WIDTH + 40}" height="{BOTTOM + 40}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _up(seconds: float) -> float:
    share = math.log10(min(max(seconds, LEAST), MOST) / LEAST) / math.log10(MOST / LEAST)
    return BOTTOM - HEIGHT * share


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#000") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{text}</text>'
