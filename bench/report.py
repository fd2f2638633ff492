"""Medians, spread and ratios of the samples, as a table for people and as JSON for programs."""

import json
import shlex
import statistics

REFERENCE = "overlayfs"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"  # what into_readme replaces lies between these lines


class Results:
    """Samples by row and candidate, and the reasons where there are none."""

    def __init__(self, facts):
        self.facts = facts
        self.samples = {}   # (row, candidate) -> seconds
        self.failures = {}  # (row, candidate) -> why there is no figure
        self.absent = {}    # candidate -> why it does not run here

    def add(self, row, candidate, seconds):
        self.samples.setdefault((row, candidate), []).append(seconds)

    def fail(self, row, candidate, why):
        self.failures[row, candidate] = why
        self.samples.pop((row, candidate), None)

    def median(self, row, candidate):
        values = self.samples.get((row, candidate))
        return statistics.median(values) if values else None

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


def _duration(seconds):
    for unit, scale in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


def _cell(results, row, candidate, form):
    if (row, candidate) in results.failures:
        return "failed"
    if form == "ratio":
        ratio = results.ratio(row, candidate)
        return "-" if ratio is None else f"{ratio:.3g}"
    median, spread = results.median(row, candidate), results.spread(row, candidate)
    if median is None:
        return "-"
    return _duration(median) + ("" if spread is None else f" ±{spread:.0%}")


def _aligned(header, lines):
    widths = [max(len(line[column]) for line in [header] + lines) for column in range(len(header))]
    def form(line):
        return "  ".join([line[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])])
    return "\n".join([form(header), "  ".join("-" * width for width in widths)] + [form(line) for line in lines])


def table(results, rows, candidates):
    """The whole report as text."""
    facts = results.facts
    parts = [f"{facts['layers']} layers, {facts['entries']} entries, {facts['bytes'] >> 20} MiB; {facts['reps']} repetitions, "
             f"interleaved; kernel {facts['kernel']}, {facts['cpus']} CPUs"]
    shown = [name for name in candidates if name not in results.absent]
    for form, caption in (("median", "median ± half the interquartile distance"),
                          ("ratio", f"ratio of the medians to {REFERENCE} (below 1 is faster)")):
        if form == "ratio" and REFERENCE not in shown:
            continue
        lines = [[row] + [_cell(results, row, name, form) for name in shown] for row in rows]
        parts.append(f"{caption}\n\n" + _aligned([""] + shown, lines))
    parts += [f"absent: {name}: {why}" for name, why in results.absent.items()]
    parts += [f"failed: {row}: {name}: {why}" for (row, name), why in results.failures.items()]
    return "\n\n".join(parts[:3]) + "\n" + "".join("\n" + part for part in parts[3:])


def to_json(results, rows, candidates):
    measured = []
    for row in rows:
        for name in candidates:
            if name in results.absent:
                continue
            entry = {"row": row, "candidate": name}
            if (row, name) in results.failures:
                entry["failure"] = results.failures[row, name]
            else:
                entry |= {"seconds": results.samples.get((row, name), []), "median": results.median(row, name),
                          "spread": results.spread(row, name), "ratio": results.ratio(row, name)}
            measured.append(entry)
    return json.dumps({"facts": results.facts, "absent": results.absent, "measured": measured}, indent=1) + "\n"


def has_table(text):
    """Whether there is one place for a table, and it ends after it begins."""
    return text.count(BEGIN) == text.count(END) == 1 and text.index(BEGIN) < text.index(END)


def into_readme(path, command, text):
    """Replaces the table in a README, and the command that made it."""
    before, rest = path.read_text().split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n```\n{shlex.join(command)}\n```\n\n```\n{text.rstrip()}\n```\n{END}{after}")
