"""The results as one HTML page that needs nothing else: no script, no font, no address."""

import html
import shlex

import plots
import report

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2024; --faint: #6a737d; --rule: #dfe3e8; --band: #f5f7f9;
  --c0: #6a737d; --c1: #0969da; --c2: #7a9cc6; --c3: #9a6700; --c4: #c4a000; --c5: #cf222e; --c6: #8250df; --c7: #1a7f37;
  --c8: #bf3989; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e3e6e9; --faint: #98a1ab; --rule: #333a41;
  --band: #1b1f23; --c0: #98a1ab; --c1: #58a6ff; --c2: #8aa9cf; --c3: #d29922; --c4: #e3d26f; --c5: #ff7b72;
  --c6: #bc8cff; --c7: #56d364; --c8: #f778ba; } }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; max-width: 1120px;
  margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2.2em; }
svg { max-width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .small { fill: var(--faint); font-size: 11px; } svg .title { font-weight: 600; }
.grid { stroke: var(--rule); } .one { stroke: var(--ink); stroke-width: 1.5; } .band { fill: var(--band); }
.bar { stroke-width: 2; opacity: .45; } .path { fill: none; stroke-width: 1.8; }
.growth { display: flex; flex-wrap: wrap; gap: 12px; }
.key { display: flex; flex-wrap: wrap; gap: .3em 1.4em; position: sticky; top: 0; background: var(--paper); padding: .5em 0; }
.key i { display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin-right: .4em; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .25em .5em; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; } td small { color: var(--faint); display: block; }
code { background: var(--band); padding: .1em .3em; } .note { color: var(--faint); }
"""


def _colours(candidates):
    rules = [f".c{number} {{ fill: var(--c{number}); stroke: var(--c{number}); }} "
             f"i.c{number} {{ background: var(--c{number}); }}" for number in range(9)]
    return {name: f"c{number % 9}" for number, name in enumerate(candidates)}, "\n".join(rules) + "\n.path { fill: none; }"


def _table(run, candidates):
    names = report.shown(run, candidates)
    lines = ["<tr><th></th>" + "".join(f"<th>{html.escape(name)}</th>" for name in names) + "</tr>"]
    for row in run.rows:
        cells = []
        for name in names:
            why = run.failures.get((row, name))
            ratio = run.ratio(row, name)
            below = "" if ratio is None or name == report.REFERENCE else f"<small>{ratio:.3g}</small>"
            cells.append(f'<td{f" title={html.escape(repr(why))}" if why else ""}>'
                         f"{html.escape(report.cell(run, row, name, 'median'))}{below}</td>")
        lines.append(f"<tr><td>{html.escape(row)}</td>{''.join(cells)}</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def render(runs, candidates, titles, command):
    """The page. `titles` says what a candidate is."""
    colour, rules = _colours(candidates)
    key = "".join(f'<span><i class="{colour[name]}"></i>{html.escape(titles[name])}</span>' for name in candidates
                  if any(name not in run.absent for run in runs))
    parts = ["<h1>ufs beside other unions</h1>",
             f"<p>{html.escape(report.heading(runs[0]))}, {html.escape(runs[0].facts['date'])}.<br>"
             f"<code>{html.escape(shlex.join(command))}</code></p>",
             "<p>One process inside a fresh mount for each figure; the candidates take turns. What was read and written "
             "was checked; who answered wrong has no figure.</p>", f'<div class="key">{key}</div>']
    for run in runs:
        drawing = plots.ratios(run, [name for name in report.shown(run, candidates) if name != report.REFERENCE], colour)
        if drawing:
            parts.append(f"<h2>{run.layers} layers: time as a ratio to {report.REFERENCE}</h2>"
                         f'<p class="note">Left of 1 is faster. The bar is half the interquartile distance each way.</p>{drawing}')
    growing = report.growing_rows(runs)
    if growing:
        drawings = [plots.growth(row, {name: line for name in candidates if (line := report.growth(runs, row, name))}, colour)
                    for row in growing]
        parts.append("<h2>By number of layers: time of one operation</h2>"
                     f'<p class="note">Both axes are logarithmic.</p><div class="growth">{"".join(drawings)}</div>')
    for run in runs:
        parts.append(f"<h2>{run.layers} layers: medians, and ratio to {report.REFERENCE}</h2>" + _table(run, candidates))
    notes = [f"{run.layers} layers: {name} is absent: {why}" for run in runs for name, why in run.absent.items()]
    notes += [f"{run.layers} layers: {row}: {name} failed: {why}" for run in runs
              for (row, name), why in run.failures.items()]
    if notes:
        parts.append("<h2>Without a figure</h2><ul>" + "".join(f"<li>{html.escape(note)}</li>" for note in notes) + "</ul>")
    return ('<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
            f'content="width=device-width"><title>ufs beside other unions</title><style>{_STYLE}{rules}</style></head>'
            f"<body>{''.join(parts)}</body></html>\n")
