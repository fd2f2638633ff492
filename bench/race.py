"""One race: the candidates over one set of layers, every row in turn, each answer checked."""

import contextlib
import fcntl
import json
import os
import pathlib
import time

import debian_root
import unions


@contextlib.contextmanager
def alone(log):
    """Two races at once would measure each other."""
    debian_root.cache_dir().mkdir(parents=True, exist_ok=True)
    with open(debian_root.cache_dir() / ".race.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log("another race is running; waiting for it to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def drop_caches():
    os.sync()
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")


def prepare(names, machine, work, layer_set, results, log, cleanup):
    """The candidates that can run over these layers, each mounted once already; why the others cannot is noted. All
    that they make goes with `cleanup`, an ExitStack."""
    ready = []
    for kind in unions.CANDIDATES:
        if kind.name not in names:
            continue
        candidate = kind(machine, work)
        try:
            candidate.prepare()
            cleanup.callback(candidate.remove)
            candidate.take_layers(layer_set)
            candidate.mount(layer_set)
            candidate.umount()
            ready.append(candidate)
        except (unions.Refused, unions.Hung) as error:
            results.absent[candidate.name] = str(error)
            log(f"absent at {len(layer_set.layers)} layers: {candidate.name}: {error}")
    return ready


class Race:
    """All rows of one set of layers."""

    def __init__(self, machine, layer_set, candidates, rows, results, log, gives_up, prefix=()):
        self.machine = machine
        self.prefix = prefix      # of the command that runs the workload
        self.gives_up = gives_up  # who does not answer once is not waited for again
        self.layer_set = layer_set
        self.candidates = candidates
        self.rows = rows
        self.results = results
        self.log = log
        self.gave_up = {}   # candidate -> why it runs no more rows
        self.answers = {}   # row -> the check of the first right answer
        self.expected = {}  # subtree -> what the row's verification must say

    def workload(self, candidate, command, timeout):
        operation, *options = command
        return json.loads(candidate.run([*self.prefix, self.machine.workload, operation, candidate.root, *options], timeout))

    def reference_answers(self):
        """What must be read, and what must be there afterwards, taken from the tree that was merged without a union."""
        native = unions.Native(self.machine, "/nonexistent")
        native.root = self.layer_set.merged
        for row in self.rows:
            if row.reads_only:
                self.answers[row.name] = self.answer(self.workload(native, row.command, row.timeout))
            elif row.command[0] in ("append", "chmod"):
                read = ("open-read", *row.command[1:])  # both read back what was there before
                self.answers[row.name] = self.answer(self.workload(native, read, row.timeout))[1:]
            for _, original in row.leaves:
                if original is not None and original not in self.expected:
                    self.expected[original] = self.sum_of(native, original)

    def sum_of(self, candidate, subtree):
        """Names, types, modes, contents and link targets below a path, as one number; None where there is nothing."""
        measured = self.workload(candidate, ("sum", "--file", subtree), 300)
        return self.answer(measured) if measured["ops"] else None

    @staticmethod
    def answer(measured):
        return measured["ops"], measured["check"]

    def check(self, row, candidate, measured):
        answer = self.answer(measured)
        expected = self.answers.setdefault(row.name, answer)
        if expected[-1:] != answer[-1:] or (len(expected) == 2 and expected != answer):
            raise RuntimeError(f"wrong answer: {answer} is not {expected}; it said: {measured['output'][-200:]!r}")
        self.check_leaves(row, candidate)

    def check_leaves(self, row, candidate):
        for path, original in row.leaves:
            left = self.sum_of(candidate, path)
            if left != (None if original is None else self.expected[original]):
                raise RuntimeError(f"wrong afterwards: {path} is not "
                                   + ("gone" if original is None else f"what {original} is in the layers"))

    def measure_mount(self, row, candidate):
        seconds = []

        def timer(command):
            command = [self.machine.workload, "exec", str(candidate.work), "--", *command]
            seconds.append(json.loads(candidate.run(command, unions.MOUNT_TIMEOUT))["seconds"])

        candidate.mount(self.layer_set, timer)
        try:
            self.check_leaves(row, candidate)
        finally:
            candidate.umount(timer)
        return {"seconds": sum(seconds), "ops": 1}

    def measure(self, row, candidate):
        if row.command == ("mount",):
            return self.measure_mount(row, candidate)
        candidate.mount(self.layer_set)
        try:
            for _ in range(row.warmups if row.warmup else 0):
                self.workload(candidate, row.warmup, row.timeout)
            if row.cold:
                candidate.umount()
                drop_caches()
                candidate.remount(self.layer_set)
            measured = self.workload(candidate, row.command, row.timeout)
            self.check(row, candidate, measured)
            return measured
        finally:
            if isinstance(candidate, unions.Native):
                candidate.restore(row.touches)
            else:
                candidate.umount()

    def run(self, reps):
        for rep in range(reps):
            for number, row in enumerate(self.rows):
                turn = (rep + number) % len(self.candidates)
                for candidate in self.candidates[turn:] + self.candidates[:turn]:
                    self.one(f"{len(self.layer_set.layers)} layers, {rep + 1}/{reps}", row, candidate)

    def one(self, where, row, candidate):
        key = (row.name, candidate.name)
        if candidate.name in self.gave_up:
            self.results.failures.setdefault(key, f"not tried again after {self.gave_up[candidate.name]}")
        if key in self.results.failures or (row.command == ("mount",) and isinstance(candidate, unions.Native)):
            return
        started = time.monotonic()
        try:
            measured = self.measure(row, candidate)
            self.results.add(*key, measured["seconds"], measured["ops"])
            outcome = f"{measured['seconds'] * 1e3:.3f} ms"
        except (unions.Refused, unions.Hung, RuntimeError) as error:
            self.results.fail(*key, str(error))
            if isinstance(error, unions.Hung) and self.gives_up:
                self.gave_up[candidate.name] = row.name
            outcome = f"FAILED: {error}"
        self.log(f"[{where}] {row.name:20} {candidate.name:15} {outcome}  ({time.monotonic() - started:.1f} s)")
