# SPDX-License-Identifier: Apache-2.0
"""Draws a chart as SVG: lines over logarithmic axes, with nothing but the standard library."""
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 70, 190, 50, 60
COLOURS = ["#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860"]


def _decades(low, high):
    """1, 2 and 5 of each power of ten from `low` to `high`."""
    ticks = []
    for power in range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1):
        ticks += [digit * 10.0 ** power for digit in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high]


def _bounds(values):
    """A little wider than the values, so that the outermost ones are not on the frame."""
    return min(values) / 1.15, max(values) * 1.15


def chart(title, x_title, y_title, series, x_label=str):
    """`series`: name to list of (x, y). Returns the SVG's text. `x_label` writes an x that was measured."""
    points = [point for line in series.values() for point in line]
    x_low, x_high = _bounds([x for x, _ in points])
    y_low, y_high = _bounds([y for _, y in points])

    def across(x):
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(x / x_low) / math.log(x_high / x_low)

    def down(y):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * math.log(y / y_low) / math.log(y_high / y_low)

    def text(x, y, words, anchor="middle", more=""):
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
           'font-size="12">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
           text(LEFT, 26, title, "start", 'font-size="15" font-weight="bold"')]
    for x in sorted({x for x, _ in points}):
        out.append(f'<path d="M{across(x):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>')
        out.append(text(across(x), HEIGHT - BOTTOM + 18, x_label(x)))
    for y in _decades(y_low, y_high):
        out.append(f'<path d="M{LEFT} {down(y):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        out.append(text(LEFT - 8, down(y) + 4, f"{y:g}", "end"))
    out.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, x_title))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    out.append(text(18, middle, y_title, "middle", f'transform="rotate(-90 18 {middle:.1f})"'))
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [(across(x), down(y)) for x, y in sorted(line)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        y = TOP + 16 + 20 * number
        out.append(f'<path d="M{WIDTH - RIGHT + 14} {y}h22" stroke="{colour}" stroke-width="2"/>')
        out.append(text(WIDTH - RIGHT + 42, y + 4, name, "start"))
    return "\n".join(out + ["</svg>", ""])
