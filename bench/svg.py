"""Plots as SVG, by hand: bars, a stack, lines. Readable on light and dark: text and axes take the reader's side.

Each gives the whole file. Numbers are rounded in the drawing, so that the same measurement gives the same bytes.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, MARGIN, LABEL, BAR = 720, 16, 240, 26
STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 14px } .small { font-size: 11px; fill: #59636e }
.axis { stroke: #818b98; stroke-opacity: .5 } .line { fill: none; stroke-width: 2 }
.ours { fill: #0969da } .peer { fill: #afb8c1 } .floor { fill: #1a7f37 }
.goal { stroke: #cf222e; stroke-dasharray: 4 3 }
.p0 { fill: #0550ae } .p1 { fill: #54aeff } .p2 { fill: #8250df } .p3 { fill: #1a7f37 } .p4 { fill: #4ac26b }
.p5 { fill: #bf8700 } .p6 { fill: #cf222e } .l0 { stroke: #0969da } .l1 { stroke: #bf8700 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .small { fill: #9198a1 } .ours { fill: #4493f8 } .peer { fill: #656c76 } .floor { fill: #3fb950 }
.l0 { stroke: #4493f8 } .l1 { stroke: #d29922 } .goal { stroke: #f85149 }
}
</style>"""
WIDE = 30.0
"""From this ratio between the longest bar and the shortest on, the scale is logarithmic."""


class Bar(NamedTuple):
    """One value. Its kind is `ours`, `peer` or `floor`."""

    label: str
    value: float
    kind: str


def number(value: float) -> str:
    """Write a number as people do: three digits that matter."""
    if abs(value) >= 100:  # noqa: PLR2004 - three digits
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _file(height: int, title: str, parts: Iterable[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    name = f'role="img" aria-label="{escape(title)}">'
    return "\n".join([f"{head} {name}", STYLE, _text(MARGIN, 24, title, "title"), *parts, "</svg>", ""])


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _rect(x: float, y: float, width: float, kind: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{BAR - 8}" rx="2" class="{kind}"/>'


def bars(title: str, unit: str, values: Sequence[Bar], goal: float | None = None) -> str:
    """Draw a bar for each, the goal as a dashed line."""
    least = min(bar.value for bar in values)
    most = max([*(bar.value for bar in values), goal or 0.0])
    logarithmic = most > WIDE * least
    room = WIDTH - LABEL - 2 * MARGIN - 70

    def length(value: float) -> float:
        low = least / 2
        return room * (math.log(value / low) / math.log(most / low) if logarithmic else value / most)

    parts = []
    for place, bar in enumerate(values):
        y = 44 + place * BAR
        parts.append(_text(LABEL, y + 13, bar.label, anchor="end"))
        parts.append(_rect(LABEL + 10, y, length(bar.value), bar.kind))
        parts.append(_text(LABEL + 16 + length(bar.value), y + 13, number(bar.value)))
    bottom = 44 + len(values) * BAR
    if goal is not None:
        x = LABEL + 10 + length(goal)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="38" y2="{bottom}" class="goal"/>')
    words = [unit, *(["logarithmic"] if logarithmic else []), *(["dashed: the goal"] if goal is not None else [])]
    parts.append(_text(LABEL + 10, bottom + 14, ", ".join(words), "small"))
    return _file(bottom + 26, title, parts)


def stack(title: str, unit: str, values: Sequence[tuple[str, float]]) -> str:
    """Draw one bar of parts that follow each other, and name each below."""
    whole = sum(max(value, 0.0) for _, value in values)
    room, x, parts = WIDTH - 2 * MARGIN, float(MARGIN), []
    for place, (label, value) in enumerate(values):
        width = room * max(value, 0.0) / whole
        parts.append(_rect(x, 44, width, f"p{place}"))
        x += width
        y = 82 + place * 22
        parts.append(f'<rect x="{MARGIN}" y="{y}" width="12" height="12" rx="2" class="p{place}"/>')
        parts.append(_text(MARGIN + 20, y + 11, f"{label}: {number(value)} {unit}"))
    return _file(90 + 22 * len(values), title, parts)


def lines(title: str, under: str, series: dict[str, Sequence[tuple[float, float]]]) -> str:
    """Draw lines on two logarithmic axes, each point with its value."""
    points = [point for line in series.values() for point in line]
    left, right, top, bottom = 60.0, WIDTH - 150.0, 60.0, 260.0
    across, up = _axis([x for x, _ in points], left, right), _axis([y for _, y in points], bottom, top)
    parts = [f'<line x1="{left}" x2="{right}" y1="{bottom + 14}" y2="{bottom + 14}" class="axis"/>']
    parts += [_text(across(x), bottom + 30, number(x), "small", "middle") for x in sorted({x for x, _ in points})]
    for place, (label, line) in enumerate(series.items()):
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in line)
        parts.append(f'<polyline points="{path}" class="line l{place}"/>')
        parts += [_text(across(x), up(y) - 8, number(y), "small", "middle") for x, y in line]
        parts.append(_text(across(line[-1][0]) + 12, up(line[-1][1]) + 4, label))
    parts.append(_text(left, bottom + 50, under, "small"))
    return _file(320, title, parts)


def _axis(values: Sequence[float], start: float, end: float) -> "_Scale":
    low, high = min(values), max(values)
    return _Scale(math.log(low), math.log(high / low) or 1.0, start, end)


class _Scale(NamedTuple):
    low: float
    width: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (self.end - self.start) * (math.log(value) - self.low) / self.width
