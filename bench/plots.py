"""SVG drawings of the results. They take their colours from the page they stand in: classes c0, c1, ... and `ink`."""

import html
import math

_ROW = 30       # height of a row of the ratio plot
_LEFT = 170     # room for names of rows
_WIDTH = 980
_SMALL = (310, 210)  # one plot of growth


def _text(x, y, words, anchor="start", kind=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{html.escape(words)}</text>'


def _line(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _svg(width, height, title, parts):
    return (f'<svg viewBox="0 0 {width} {height:.0f}" width="{width}" height="{height:.0f}" role="img">'
            f"<title>{html.escape(title)}</title>{''.join(parts)}</svg>")


def _number(value):
    return f"{value:g}" if value < 1000 else f"{value:,.0f}"


def _decades(low, high):
    """1, 2, 5 steps of each power of ten between two numbers; the powers alone where that is many."""
    steps = [step * 10.0 ** power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
             for step in (1, 2, 5)]
    steps = [step for step in steps if low <= step <= high]
    return steps if len(steps) < 9 else [step for step in steps if math.log10(step) % 1 == 0]


class _Scale:
    """Logarithmic, from [low, high] to [start, end]."""

    def __init__(self, low, high, start, end):
        self.low, self.high = low, high if high > low else low * 2
        self.start, self.end = start, end

    def __call__(self, value):
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + part * (self.end - self.start)


def ratios(results, candidates, colour):
    """A dot for each row and candidate on an axis of ratios to the reference, with a bar for the spread."""
    found = {(row, name): results.ratio(row, name) for row in results.rows for name in candidates}
    found = {key: value for key, value in found.items() if value}
    rows = [row for row in results.rows if any((row, name) in found for name in candidates)]
    if not rows:
        return ""
    scale = _Scale(min(found.values()) / 1.3, max(found.values()) * 1.3, _LEFT, _WIDTH - 20)
    bottom = 30 + _ROW * len(rows)
    parts = []
    for step in _decades(scale.low, scale.high):
        parts += [_line(scale(step), 24, scale(step), bottom, "one" if step == 1 else "grid"),
                  _text(scale(step), 18, _number(step), "middle", "small")]
    for number, row in enumerate(rows):
        middle = 30 + _ROW * (number + 0.5)
        if number % 2:
            parts.append(f'<rect x="0" y="{middle - _ROW / 2:.1f}" width="{_WIDTH}" height="{_ROW}" class="band"/>')
        parts.append(_text(_LEFT - 12, middle + 4, row, "end"))
        mine = [name for name in candidates if (row, name) in found]
        for place, name in enumerate(mine):
            ratio, spread = found[row, name], results.spread(row, name) or 0
            y = middle + (place - (len(mine) - 1) / 2) * (_ROW - 8) / max(len(mine) - 1, 1)
            low, high = max(ratio * (1 - spread), scale.low), min(ratio * (1 + spread), scale.high)
            parts += [_line(scale(low), y, scale(high), y, f"bar {colour[name]}"),
                      f'<circle cx="{scale(ratio):.1f}" cy="{y:.1f}" r="3.6" class="{colour[name]}">'
                      f"<title>{html.escape(f'{row}, {name}: {ratio:.3g} ±{spread:.0%}')}</title></circle>"]
    return _svg(_WIDTH, bottom + 6, "ratio to the reference, by row", parts)


def growth(row, lines, colour):
    """Time of one operation by number of layers, a line for each candidate: name -> [(layers, seconds)]."""
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    width, height = _SMALL
    across = _Scale(min(x for x, _ in points), max(x for x, _ in points), 52, width - 12)
    up = _Scale(min(y for _, y in points) / 1.2, max(y for _, y in points) * 1.2, height - 30, 30)
    parts = [_text(8, 16, row, "start", "title")]
    for step in _decades(up.low, up.high):
        parts += [_line(52, up(step), width - 12, up(step), "grid"), _text(48, up(step) + 4, _seconds(step), "end", "small")]
    for layers in sorted({x for x, _ in points}):
        parts.append(_text(across(layers), height - 12, str(layers), "middle", "small"))
    for name, line in lines.items():
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in line)
        parts.append(f'<polyline points="{path}" class="path {colour[name]}"/>')
        parts += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" class="{colour[name]}">'
                  f"<title>{html.escape(f'{name}, {x} layers: {_seconds(y)}')}</title></circle>" for x, y in line]
    return _svg(width, height, f"{row} by number of layers", parts)


def _seconds(value):
    for unit, scale in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if value >= scale * 0.9999:
            return f"{value / scale:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"
