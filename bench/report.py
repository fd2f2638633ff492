"""Medians, spread and ratios of the samples: text for people, JSON for programs, the table of a README.

A run is a list of Results, one for each number of layers; the first is the one whose rows are all there.
"""

import json
import shlex
import statistics

REFERENCE = "overlayfs"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"  # what into_readme replaces lies between these lines


class Results:
    """Samples over one set of layers, by row and candidate, and the reasons where there are none."""

    def __init__(self, facts, rows):
        self.facts = facts
        self.rows = rows    # names, in the order of the table
        self.samples = {}   # (row, candidate) -> seconds
        self.ops = {}       # row -> how many operations a sample is
        self.failures = {}  # (row, candidate) -> why there is no figure
        self.absent = {}    # candidate -> why it does not run here

    @property
    def layers(self):
        return self.facts["layers"]

    def add(self, row, candidate, seconds, ops):
        self.samples.setdefault((row, candidate), []).append(seconds)
        self.ops[row] = max(ops, 1)

    def fail(self, row, candidate, why):
        self.failures[row, candidate] = why
        self.samples.pop((row, candidate), None)

    def median(self, row, candidate):
        values = self.samples.get((row, candidate))
        return statistics.median(values) if values else None

    def per_op(self, row, candidate):
        """The median time of one operation: what sets of layers that show different trees can be compared by."""
        median = self.median(row, candidate)
        return None if median is None else median / self.ops[row]

    def spread(self, row, candidate):
        """Half the distance between the quartiles, as a part of the median."""
        values = self.samples.get((row, candidate), [])
        if len(values) < 2:
            return None
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        return (high - low) / 2 / statistics.median(values)

    def ratio(self, row, candidate):
        mine, reference = self.median(row, candidate), self.median(row, REFERENCE)
        return mine / reference if mine is not None and reference else None


def duration(seconds):
    for unit, scale in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


def cell(results, row, candidate, form):
    """What a table says: 'median' is a time, 'ratio' a number, both with their spread."""
    if (row, candidate) in results.failures:
        return "failed"
    value, spread = results.median(row, candidate), results.spread(row, candidate)
    if form == "ratio" and candidate != REFERENCE:
        value = results.ratio(row, candidate)
    if value is None:
        return "-"
    text = f"{value:.3g}" if form == "ratio" and candidate != REFERENCE else duration(value)
    return text + ("" if spread is None else f" ±{spread:.0%}")


def growth(runs, row, candidate):
    """(layers, time of one operation) of the runs that have this row."""
    found = [(run.layers, run.per_op(row, candidate)) for run in runs if row in run.rows]
    return sorted((layers, value) for layers, value in found if value is not None)


def growing_rows(runs):
    """The rows that were measured over more than one set of layers."""
    return [row for row in runs[0].rows if sum(row in run.rows for run in runs) > 1]


def _aligned(header, lines):
    widths = [max(len(line[column]) for line in [header] + lines) for column in range(len(header))]
    def form(line):
        return "  ".join([line[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])])
    return "\n".join([form(header), "  ".join("-" * width for width in widths)] + [form(line) for line in lines])


def shown(results, candidates):
    return [name for name in candidates if name not in results.absent]


def heading(results):
    facts = results.facts
    return (f"{facts['layers']} layers, {facts['entries']} entries, {facts['bytes'] >> 20} MiB; {facts['reps']} repetitions, "
            f"interleaved; kernel {facts['kernel']}, {facts['cpus']} CPUs")


def _table(results, candidates, form):
    names = shown(results, candidates)
    lines = [[row] + [cell(results, row, name, form) for name in names] for row in results.rows]
    return _aligned([""] + names, lines)


def _growth_table(runs, candidates, rows):
    """Time of one operation at the most layers a candidate can do, by that at the least: '1.02 (1-500)'."""
    names = [name for name in candidates if any(name not in run.absent for run in runs)]
    lines = []
    for row in rows:
        line = [row]
        for name in names:
            points = growth(runs, row, name)
            line.append("-" if len(points) < 2 else
                        f"{points[-1][1] / points[0][1]:.3g} ({points[0][0]}-{points[-1][0]})")
        lines.append(line)
    return _aligned([""] + names, lines)


def _notes(runs):
    notes = []
    for run in runs:
        notes += [f"absent at {run.layers} layers: {name}: {why}" for name, why in run.absent.items()]
        notes += [f"failed at {run.layers} layers: {row}: {name}: {why}" for (row, name), why in run.failures.items()]
    return notes


def text(runs, candidates):
    """The whole report."""
    parts = []
    for run in runs:
        parts += [heading(run), "median ± half the interquartile distance\n\n" + _table(run, candidates, "median")]
        if REFERENCE in shown(run, candidates):
            parts.append(f"ratio of the medians to {REFERENCE} (below 1 is faster)\n\n" + _table(run, candidates, "ratio"))
    if growing_rows(runs):
        parts.append(_growth_section(runs, candidates))
    return "\n\n".join(parts) + "\n" + "".join(f"\n{note}" for note in _notes(runs))


def _growth_section(runs, candidates):
    return ("time of one operation with the most layers by that with the fewest (1: layers cost nothing)\n\n"
            + _growth_table(runs, candidates, growing_rows(runs)))


def summary(runs, candidates):
    """What a README has room for: the reference's time and everybody's ratio to it; and how each grows."""
    form = "ratio" if REFERENCE in shown(runs[0], candidates) else "median"
    caption = f"{REFERENCE}: median; the others: ratio to it (below 1 is faster)" if form == "ratio" else "median"
    parts = [heading(runs[0]), f"{caption}; ± half the interquartile distance\n\n" + _table(runs[0], candidates, form)]
    if growing_rows(runs):
        parts.append(_growth_section(runs, candidates))
    return "\n\n".join(parts) + "\n" + "".join(f"\n{note}" for note in _notes(runs))


def _measured(run, candidates):
    for row in run.rows:
        for name in shown(run, candidates):
            entry = {"row": row, "candidate": name}
            if (row, name) in run.failures:
                entry["failure"] = run.failures[row, name]
            else:
                entry |= {"seconds": run.samples.get((row, name), []), "ops": run.ops.get(row),
                          "median": run.median(row, name), "spread": run.spread(row, name), "ratio": run.ratio(row, name)}
            yield entry


def to_json(runs, candidates):
    return json.dumps([{"facts": run.facts, "absent": run.absent, "measured": list(_measured(run, candidates))}
                       for run in runs], indent=1) + "\n"


def has_table(readme):
    """Whether there is one place for a table, and it ends after it begins."""
    return readme.count(BEGIN) == readme.count(END) == 1 and readme.index(BEGIN) < readme.index(END)


def into_readme(path, command, table):
    """Replaces the table in a README, and the command that made it."""
    before, rest = path.read_text().split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n```\n{shlex.join(command)}\n```\n\n```\n{table.rstrip()}\n```\n{END}{after}")
