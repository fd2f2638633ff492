"""Figures of programs that stand beside others': taken in turns, medians, one aligned table at the end."""

import argparse
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import debian_root
import race
import unions


class Wrong(Exception):
    """Something was measured that gave a wrong result."""


def run(*command, **options):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    if result.returncode:
        raise Wrong(f"{' '.join(map(str, command[:4]))}: {result.stderr.strip()[-500:]}")
    return result.stdout


def timed(action):
    started = time.monotonic()
    action()
    return time.monotonic() - started


class Figures:
    """What a run found. Its PARTS are methods by name; `work` is its folder."""

    PARTS = {}

    def __init__(self, arguments, work):
        self.ufs = pathlib.Path(arguments.ufs).resolve()
        self.reps = arguments.reps
        self.work = work
        self.lines = []

    def fresh(self, name):
        path = self.work / name
        unions.remove_tree(path)
        path.mkdir()
        return path

    def race(self, what, contenders):
        """contenders: name -> a function that returns seconds. They take turns; the first is what the others are compared with."""
        samples = {name: [] for name in contenders}
        for rep in range(self.reps):
            names = list(contenders)
            turn = rep % len(names)
            for name in names[turn:] + names[:turn]:
                os.sync()
                samples[name].append(contenders[name]())
                print(f"{what}: {name}: {samples[name][-1] * 1e3:.1f} ms", file=sys.stderr, flush=True)
        medians = {name: statistics.median(values) for name, values in samples.items()}
        first = next(iter(medians.values()))
        for name, values in samples.items():
            spread = (max(values) - min(values)) / 2 / medians[name]
            self.note(what, name, f"{medians[name] * 1e3:.1f} ms", f"±{spread:.0%}", f"{medians[name] / first:.3g}")

    def note(self, what, name, value, spread="", ratio=""):
        self.lines.append((what, name, value, spread, ratio))

    def table(self):
        widths = [max(len(line[column]) for line in self.lines) for column in range(5)]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in self.lines)


def main(name, description, kind, more_options=lambda parser: None):
    """The program around a kind of Figures: its options, a folder to work in, and nothing left of it."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help="of: " + ", ".join(kind.PARTS) + " (all)")
    parser.add_argument("--reps", type=int, default=5, metavar="N", help="repetitions of every figure (5)")
    parser.add_argument("--ufs", metavar="FILE", required=True, help="the ufs binary, of an optimized build")
    parser.add_argument("--work", metavar="DIR", default=os.environ.get("TMPDIR", "/var/tmp"), help="where it works (/var/tmp)")
    more_options(parser)
    arguments = parser.parse_args()
    for part in arguments.parts:
        if part not in kind.PARTS:
            parser.error(f"no part '{part}'; there are: {', '.join(kind.PARTS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what is mounted and made goes then too
    if os.geteuid() != 0:
        print(f"{name}: needs root, to mount and to drop caches", file=sys.stderr)
        sys.exit(77)
    work = pathlib.Path(tempfile.mkdtemp(prefix=f"ufs-{name}.", dir=arguments.work))
    figures = kind(arguments, work)
    try:
        with race.alone(lambda text: print(f"{name}: {text}", file=sys.stderr)):
            for part in arguments.parts or kind.PARTS:
                kind.PARTS[part](figures)
        print(figures.table())
    except (Wrong, debian_root.Unavailable) as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(1)
    finally:
        for point, _, _ in reversed(unions.mounts()):
            if point.startswith(str(work)):
                subprocess.run(["umount", "-l", point], check=False)
        unions.remove_tree(work)
