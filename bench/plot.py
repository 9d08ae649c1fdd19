"""Curves as an SVG file, a panel for each group, without another library."""

from html import escape
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 320, 220, 48, 34, 40  # of a panel; the margins around its axes
COLOURS = ("#2563eb", "#b45309", "#15803d", "#7c3aed")  # 4.5:1 on white
STYLE = "font: 12px system-ui, sans-serif; fill: #334155"


def curves_write(path: Path, panels: dict[str, dict[str, list[float]]], *, across: str, up: str) -> None:
    """Write {panel: {curve: values of steps 1, 2, …}} as one file; each panel has its own scale.

    across, up: what the axes are.
    """
    drawn = [_panel(name, curves, number * WIDTH, across, up) for number, (name, curves) in enumerate(panels.items())]
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    legend = "".join(
        f'<line x1="{LEFT + 130 * n}" x2="{LEFT + 130 * n + 18}" y1="{HEIGHT + 8}" y2="{HEIGHT + 8}" '
        f'stroke="{COLOURS[n]}" stroke-width="2"/>'
        f'<text x="{LEFT + 130 * n + 24}" y="{HEIGHT + 12}">{escape(name)}</text>'
        for n, name in enumerate(names)
    )
    width, height = max(WIDTH * len(panels), LEFT + 130 * len(names)), HEIGHT + 24
    words = escape(f"{up} by {across}: {', '.join(names)}")
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'style="{STYLE}" role="img" aria-label="{words}"><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(drawn)}{legend}</svg>\n",
        encoding="utf-8",
    )


def _panel(name: str, curves: dict[str, list[float]], x: int, across: str, up: str) -> str:
    values = [value for curve in curves.values() for value in curve]
    low, high = min(values), max(values)
    spread, steps = (high - low) or 1.0, max(map(len, curves.values()))
    right, bottom = WIDTH - 12, HEIGHT - BOTTOM

    def place(step: int, value: float) -> str:
        across_share = step / max(1, steps - 1)
        return f"{LEFT + across_share * (right - LEFT):.1f},{bottom - (value - low) / spread * (bottom - TOP):.1f}"

    lines = "".join(
        f'<polyline fill="none" stroke="{colour}" stroke-width="2" '
        f'points="{" ".join(place(step, value) for step, value in enumerate(curve))}"/>'
        for colour, curve in zip(COLOURS, curves.values())
    )
    return (
        f'<g transform="translate({x} 0)"><text x="{LEFT}" y="20" font-weight="600">{escape(name)}</text>'
        f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#94a3b8"/>'
        f'<text x="{LEFT - 6}" y="{TOP + 8}" text-anchor="end">{high:.3g}</text>'
        f'<text x="{LEFT - 6}" y="{bottom}" text-anchor="end">{low:.3g}</text>'
        f'<text x="{LEFT}" y="{bottom + 16}">1</text>'
        f'<text x="{right}" y="{bottom + 16}" text-anchor="end">{steps}</text>'
        f'<text x="{(LEFT + right) / 2}" y="{bottom + 16}" text-anchor="middle">{escape(across)}</text>'
        f'<text x="14" y="{(TOP + bottom) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 14 {(TOP + bottom) / 2})">{escape(up)}</text>{lines}</g>'
    )
