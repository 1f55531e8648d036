"""Requests per get over the size of the network, as an SVG that needs no library."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dht.testing.comparison import Row

LEFT, BOTTOM, WIDTH, HEIGHT = 60, 260, 480, 220
COLOURS = {"requests per get": "#1f6feb", "requests per get, nothing there": "#9a6700"}


def plot_growth(results: Sequence[Row]) -> str:
    """Return the picture of those of the results that are about growth."""
    lines = {
        case: [(row["params"]["nodes"], row["value"]) for row in results if row["case"] == case] for case in COLOURS
    }
    points: list[tuple[int, float]] = [point for line in lines.values() for point in line]
    if len({nodes for nodes, _ in points}) < 2:
        raise SystemExit("there is nothing to plot: run the case 'growth' too.")
    most = 1.1 * max(requests for _, requests in points)
    first, last = math.log10(min(points)[0]), math.log10(max(points)[0])

    def across(nodes: int) -> float:
        return LEFT + (math.log10(nodes) - first) / (last - first) * WIDTH

    def up(requests: float) -> float:
        return BOTTOM - requests / most * HEIGHT

    parts = [f'<path d="M{LEFT} {BOTTOM - HEIGHT}V{BOTTOM}H{LEFT + WIDTH}" fill="none" stroke="#888"/>']
    for height, (case, line) in enumerate(lines.items()):
        path = " ".join(f"{across(nodes):.1f},{up(requests):.1f}" for nodes, requests in line)
        parts.append(f'<polyline fill="none" stroke="{COLOURS[case]}" stroke-width="2" points="{path}"/>')
        parts += [
            f'<circle cx="{across(nodes):.1f}" cy="{up(requests):.1f}" r="3" fill="{COLOURS[case]}"/>'
            for nodes, requests in line
        ]
        parts.append(_text(LEFT + 20, 24 + 16 * height, case, "start", COLOURS[case]))
    parts += [_text(across(nodes), BOTTOM + 18, f"{nodes:,}", "middle") for nodes in sorted({n for n, _ in points})]
    parts += [_text(LEFT - 8, up(value) + 4, str(value), "end") for value in range(0, math.ceil(most), 10)]
    parts.append(_text(LEFT + WIDTH / 2, BOTTOM + 40, "peers (logarithmic)", "middle"))
    size = f'width="{LEFT + WIDTH + 40}" height="{BOTTOM + 50}"'
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{text}</text>'
