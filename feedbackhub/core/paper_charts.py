"""The charts of a report on paper, from the same data as those on the page (static/js/chart_options.js)."""

import math
from collections.abc import Iterable

from .paper import GRID, INK, INK_2, INK_3, LINE, MARGIN, Paper

PALETTE = (
    (42, 82, 190), (234, 107, 6), (42, 161, 129), (205, 105, 200),
    (163, 144, 74), (0, 64, 105), (80, 64, 64), (136, 0, 5),
)  # fmt: skip
TIE = (200, 196, 188)
LOW, MIDDLE, HIGH = (217, 119, 47), (242, 240, 236), (91, 127, 224)
CURVE = 60  # millimetres high


def shares(paper: Paper, a: str, b: str, wins: int, ties: int, losses: int, *, ties_said: str) -> None:
    """Wins, ties and losses as parts of one bar, with their counts below; `ties_said`: theirs in words."""
    total = wins + ties + losses
    if not total:
        return
    paper.need(12)
    left, top = MARGIN, paper.get_y() + 1
    for count, colour in ((wins, PALETTE[0]), (ties, TIE), (losses, PALETTE[1])):
        paper.set_fill_color(*colour)
        width = paper.epw * count / total
        if count:
            paper.rect(left, top, width, 2.6, style="F")
        left += width
    paper.letters(7.5, ink=INK_2)
    for align, text in (("L", f"{a}: {wins}"), ("C", ties_said), ("R", f"{b}: {losses}")):
        paper.set_xy(MARGIN, top + 3.6)
        paper.cell(0, 4, paper.cut_middle(text, paper.epw * 0.45), align=align)
    paper.set_xy(MARGIN, top + 10)


def whiskers(paper: Paper, data: dict) -> None:
    """{rows: [{name, rating, lower, upper}], x?, range?, middle?}: ratings with intervals, the first on top."""
    rows = [row for row in data["rows"] if row["rating"] is not None]
    if not rows:
        return
    ends = [row[key] for row in rows for key in ("rating", "lower", "upper") if row[key] is not None]
    low, high = data.get("range") or (min(ends), max(ends))
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    names = min(52.0, paper.epw * 0.34)
    step = 5.4
    # a long list goes on over the next page
    for part in _parts(rows, int((paper.eph - 30) / step)):
        height = step * len(part)
        paper.need(height + 12)
        top, left = paper.get_y() + 1, MARGIN + names
        width = paper.epw - names - 4

        def across(value: float, left=left, width=width) -> float:
            return left + width * (value - low) / ((high - low) or 1)

        _grid_down(paper, ticks, across, top, height, data.get("x", ""))
        if data.get("middle") is not None:
            paper.set_draw_color(*INK_2)
            with paper.local_context(dash_pattern={"dash": 1.4, "gap": 1.1}):
                paper.line(across(data["middle"]), top, across(data["middle"]), top + height)
        for number, row in enumerate(part):
            y = top + step * (number + 0.5)
            paper.letters(7.8)
            paper.set_xy(MARGIN, y - 2)
            paper.cell(names - 2, 4, paper.cut_middle(row["name"], names - 2), align="R")
            if row["lower"] is not None:
                _interval(paper, across(row["lower"]), across(row["upper"]), y, PALETTE[0], lying=True)
            paper.set_fill_color(*PALETTE[0])
            paper.circle(across(row["rating"]), y, 1, style="F")
        paper.set_xy(MARGIN, top + height + (9 if data.get("x") else 6))


def bars(paper: Paper, data: dict) -> None:
    """{groups: [name], series: [{name, values: [{value, lower, upper} | number | None]}]}: bars with intervals."""
    groups, series = data["groups"], data["series"]
    measured = [[value if isinstance(value, dict) else {"value": value} for value in one["values"]] for one in series]
    tops = [top for one in measured for value in one if (top := value.get("upper") or value.get("value")) is not None]
    if not tops:
        return
    height, step = 44.0, paper.epw - 14
    paper.need(height + 22)
    legend(paper, [one["name"] for one in series])
    ticks = _ticks(0, max(tops))
    top, left = paper.get_y() + 1, MARGIN + 12
    step = (paper.epw - 12) / len(groups)

    def up(value: float) -> float:
        return top + height * (1 - value / ticks[-1])

    _grid_across(paper, ticks, up, left)
    width = min(9.0, step * 0.72 / len(series))
    for group, name in enumerate(groups):
        middle = left + step * (group + 0.5)
        for which, one in enumerate(measured):
            value = one[group].get("value")
            if value is None:
                continue
            x = middle + width * (which - len(series) / 2)
            paper.set_fill_color(*PALETTE[which % len(PALETTE)])
            paper.rect(x + 0.2, up(value), width - 0.4, top + height - up(value), style="F")
            if one[group].get("lower") is not None:
                _interval(paper, up(one[group]["lower"]), up(one[group]["upper"]), x + width / 2, INK, lying=False)
        paper.letters(6.8)
        paper.set_xy(middle - step / 2, top + height + 1)
        paper.cell(step, 4, paper.cut_middle(name, step - 1), align="C")
    paper.set_xy(MARGIN, top + height + 8)


def heatmap_height(count: int) -> float:
    """At most, in millimetres."""
    return 7.0 * count + 28


def heatmap(paper: Paper, data: dict) -> None:
    """{names, values: [[0…1 | None]]}: the row against the column; ½ is neutral, the ends are two colours."""
    names, values = data["names"], data["values"]
    left_of = min(46.0, paper.epw * 0.3)
    above = 24.0
    cell = min(14.0, (paper.epw - left_of - above / 2) / len(names))
    tall = min(cell, 7.0)
    paper.need(min(heatmap_height(len(names)), paper.eph))
    top, left = paper.get_y() + above, MARGIN + left_of
    for column, name in enumerate(names):
        paper.letters(6.8)
        x = left + cell * (column + 0.5)
        with paper.rotation(40, x, top - 1):
            paper.text(x, top - 1, paper.cut_middle(name, above * 1.25))
    for row, name in enumerate(names):
        y = top + tall * row
        paper.letters(7.5)
        paper.set_xy(MARGIN, y + tall / 2 - 2)
        paper.cell(left_of - 2, 4, paper.cut_middle(name, left_of - 2), align="R")
        for column, value in enumerate(values[row]):
            if value is None or row == column:
                continue
            fill = _between(value)
            paper.set_fill_color(*fill)
            paper.rect(left + cell * column + 0.2, y + 0.2, cell - 0.4, tall - 0.4, style="F")
            if cell > 6:
                paper.set_xy(left + cell * column, y + tall / 2 - 2)
                paper.cell(cell, 4, f"{100 * value:.0f}", align="C")
    paper.set_xy(MARGIN, top + tall * len(names) + 4)


def lines(paper: Paper, data: dict, *, height: float = CURVE, width: float | None = None) -> None:
    """{series: [{name, points: [[x, y, lower?, upper?, what?]]}] or {name: points}, x?, ticks?}: curves."""
    series = data["series"]
    if isinstance(series, dict):
        series = [{"name": name, "points": points} for name, points in series.items()]
    points = [point for one in series for point in one["points"]]
    if not points:
        return
    paper.need(height + 20)
    if len(series) > 1:
        legend(paper, [one["name"] for one in series])
    ends = [value for point in points for value in point[1:4] if value is not None]
    ticks = _ticks(min(ends), max(ends))
    from_x, to_x = min(point[0] for point in points), max(point[0] for point in points)
    if data.get("ticks"):
        from_x, to_x = from_x - 0.4, to_x + 0.4
    top, left = paper.get_y() + 1, MARGIN + 13
    right = (width or paper.epw) - 13

    def across(x: float) -> float:
        return left + right * (x - from_x) / ((to_x - from_x) or 1)

    def up(value: float) -> float:
        return top + height * (1 - (value - ticks[0]) / ((ticks[-1] - ticks[0]) or 1))

    _grid_across(paper, ticks, up, left)
    for number, one in enumerate(series):
        colour = PALETTE[number % len(PALETTE)]
        places = [(across(point[0]), up(point[1])) for point in one["points"]]
        paper.set_draw_color(*colour)
        with paper.local_context(line_width=0.45):
            if len(places) > 1:
                paper.polyline(places)
        for point, (x, y) in zip(one["points"], places, strict=True):
            if len(point) > 3 and point[2] is not None:
                _interval(paper, up(point[2]), up(point[3]), x, colour, lying=False)
            if len(places) < 30:
                paper.set_fill_color(*colour)
                paper.circle(x, y, 0.9, style="F")
    paper.letters(6.8, ink=INK_2)
    below = top + height + 1.2
    if data.get("ticks"):
        room = right / len(data["ticks"])
        for at, name in enumerate(data["ticks"]):
            paper.set_xy(across(at) - room / 2, below)
            paper.cell(room, 4, paper.cut_middle(name, room - 2), align="C")
    else:
        for at, align in ((from_x, "L"), (to_x, "R")):
            paper.set_xy(left, below)
            paper.cell(right, 4, number_said(at), align=align)
        paper.set_xy(left, below)
        paper.cell(right, 4, paper.cut(str(data.get("x", "")), right * 0.6), align="C")
    paper.set_xy(MARGIN, below + 7)


def radar(paper: Paper, data: dict) -> None:
    """{axes: [name], series: [{name, values: [0…1]}]}: several models' shapes over the same axes."""
    axes, radius = data["axes"], 34.0
    paper.need(2 * radius + 28)
    legend(paper, [one["name"] for one in data["series"]])
    middle = (MARGIN + paper.epw / 2, paper.get_y() + radius + 6)

    def place(at: int, share: float) -> tuple[float, float]:
        angle = 2 * math.pi * at / len(axes) - math.pi / 2
        return middle[0] + radius * share * math.cos(angle), middle[1] + radius * share * math.sin(angle)

    paper.set_draw_color(*GRID)
    for ring in (0.25, 0.5, 0.75, 1.0):
        paper.polygon([place(at, ring) for at in range(len(axes))], style="D")
    paper.letters(7.2)
    for at, name in enumerate(axes):
        paper.set_draw_color(*GRID)
        paper.line(*middle, *place(at, 1))
        x, y = place(at, 1.08)
        align = "C" if abs(x - middle[0]) < 2 else "L" if x > middle[0] else "R"
        paper.set_xy({"C": x - 20, "L": x, "R": x - 40}[align], y - 2)
        paper.cell(40, 4, paper.cut_middle(name, 40), align=align)
    for number, one in enumerate(data["series"]):
        paper.set_draw_color(*PALETTE[number % len(PALETTE)])
        with paper.local_context(line_width=0.5):
            paper.polygon([place(at, share) for at, share in enumerate(one["values"])], style="D")
    paper.set_xy(MARGIN, middle[1] + radius + 8)


def legend(paper: Paper, names: Iterable[str]) -> None:
    """The colours of the series, in a line, or in as many as they take."""
    paper.letters(7.5, ink=INK_2)
    x, y = MARGIN, paper.get_y()
    for number, name in enumerate(names):
        text = paper.cut_middle(name, 60)
        width = paper.get_string_width(text) + 10
        if x + width > MARGIN + paper.epw:
            x, y = MARGIN, y + 5
        paper.set_fill_color(*PALETTE[number % len(PALETTE)])
        paper.rect(x, y + 1.2, 4, 1.8, style="F")
        paper.set_xy(x + 5, y)
        paper.cell(width - 5, 4, text)
        x += width
    paper.set_xy(MARGIN, y + 6)


def number_said(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from at most `low` to at least `high`, some five of them."""
    span = (high - low) or abs(high) or 1.0
    step = 10 ** math.floor(math.log10(span / 4))
    step *= next(times for times in (1, 2, 2.5, 5, 10) if span / (step * times) <= 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * at, 10) for at in range(first, max(last, first + 1) + 1)]


def _grid_down(paper: Paper, ticks: list[float], across, top: float, height: float, name: str) -> None:
    paper.letters(6.8, ink=INK_3)
    for at in ticks:
        paper.set_draw_color(*GRID)
        paper.line(across(at), top, across(at), top + height)
        paper.set_xy(across(at) - 8, top + height + 0.6)
        paper.cell(16, 3.5, number_said(at), align="C")
    if name:
        paper.set_xy(across(ticks[0]), top + height + 4)
        paper.cell(across(ticks[-1]) - across(ticks[0]), 3.5, paper.cut(name, 100), align="C")


def _grid_across(paper: Paper, ticks: list[float], up, left: float) -> None:
    paper.letters(6.8, ink=INK_3)
    for at in ticks:
        paper.set_draw_color(*(LINE if at == ticks[0] else GRID))
        paper.line(left, up(at), MARGIN + paper.epw, up(at))
        paper.set_xy(MARGIN, up(at) - 1.8)
        paper.cell(left - MARGIN - 1, 3.5, number_said(at), align="R")


def _interval(paper: Paper, start: float, end: float, at: float, colour: tuple, *, lying: bool) -> None:
    paper.set_draw_color(*colour)
    with paper.local_context(line_width=0.35):
        for x1, y1, x2, y2 in ((start, at, end, at), (start, at - 1, start, at + 1), (end, at - 1, end, at + 1)):
            paper.line(*((x1, y1, x2, y2) if lying else (y1, x1, y2, x2)))


def _between(share: float) -> tuple[int, ...]:
    start, end, part = (LOW, MIDDLE, share * 2) if share < 0.5 else (MIDDLE, HIGH, share * 2 - 1)
    return tuple(round(x + (y - x) * part) for x, y in zip(start, end, strict=True))


def _parts(rows: list, most: int) -> list[list]:
    return [rows[start : start + most] for start in range(0, len(rows), most)]
