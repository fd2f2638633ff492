"""Kills the daemon at every fault point that an operation comes by, and makes
every step that can fail do so, by root over the classic transport at each point
with every errno of a disk or a process that has no more. The union then is as
before the operation or as after it, is usable, and nothing is left over.

    points_test.py classic|io_uring [root|user|user-one-id]

UFS_CRASH_ONLY=TEXT  the operations with TEXT in their names
UFS_CRASH_ALL=1      every visit; else those that repeat others are left out, and
                     over io_uring, and by a user, all but the first of each point
"""
import collections
import errno
import itertools
import os
import sys
import time

import union
from operations import CHANGED, make_layers, operations
from union import DEAD, UFS, difference, run, snapshot

ERRNOS = ("ENOSPC", "EDQUOT", "EIO", "EMFILE", "ENOMEM")
INDEX_OF_NLINK = 5
ADDED = 5  # bytes
# Others visit these: the tests of the layer store, which a mount only reads, those of
# commits, and lent_test.py.
ELSEWHERE = ("object.", "image.", "seal.", "repair.", "name.", "ingest.", "gc.",
             "remove.index", "remove.catalog", "remove.texts", "lent.", "freeze.dropped")
Visit = collections.namedtuple("Visit", "point nth")


def visits_of(lines, counts):
    """The visits in a trace after those already counted."""
    for line in lines:
        counts[line] += 1
        if not line.startswith(ELSEWHERE):
            yield Visit(line, counts[line])


class PointsTest:
    def __init__(self, fs):
        self.fs = fs
        self.failures = 0
        self.seen = set()
        self.visited = set()
        self.base = {}  # operation -> points it visits in the usual form
        self.counts = collections.Counter()
        self.errnos = itertools.cycle(ERRNOS)
        self.failed = set()  # points that have failed with each of them
        listed = run(UFS, "mount", "--list-fault-points").stdout.splitlines()
        self.points = {point: "ERRNO" in actions
                       for point, actions in map(str.split, listed)
                       if not point.startswith(ELSEWHERE)}
        self.is_brief = (fs.transport, fs.subject) != ("classic", "root")
        self.has_ids = fs.subject != "user-one-id"
        make_layers(*fs.layers, self.has_ids)

    def fail(self, where, message):
        self.failures += 1
        print(f"FAILED: {where}: {message}", flush=True)

    def trace(self, operation):
        """Visits during mount, during the operation; the union before, after."""
        path = self.fs.dir + "/trace"
        open(path, "w").close()
        self.fs.reset(self.template)
        self.fs.mount("trace:" + path)
        counts = collections.Counter()
        with open(path) as file:
            mounting = list(visits_of(file.read().split(), counts))
            before = snapshot(self.fs.mnt)
            code = self.fs.run(operation.run)
            assert code == 0, f"{operation.name}: {os.strerror(code)}"
            visits = list(visits_of(file.read().split(), counts))
        after = snapshot(self.fs.mnt)
        self.fs.umount()
        return mounting, visits, before, after

    def check_tree(self, where, expected):
        """The union is one of `expected`; returns which."""
        tree = snapshot(self.fs.mnt)
        for i, (name, want) in enumerate(expected):
            if tree == want or name.endswith("later") and timeless(tree) == timeless(want):
                return i
        name, want = min(expected, key=lambda e: len(difference(e[1], tree)))
        self.fail(where, f"is not as {name}:\n" + difference(want, tree))
        return -1

    def check_work(self, where):
        if left := self.fs.leftovers():
            self.fail(where, f"the work directory holds {left}")

    def kill_at(self, operation, visit, before, after):
        where = f"{operation.name}, killed at {visit.point} {visit.nth}"
        self.counts["kills"] += 1
        fs = self.fs
        fs.reset(self.template)
        fs.mount(f"{visit.point}:kill:{visit.nth}")
        code = fs.run(operation.run)
        if not fs.has_died(code in DEAD):
            self.fail(where, f"not reached; the operation ended with {code}")
            fs.umount()
            return
        if code not in DEAD:
            self.fail(where, f"the caller heard {errno.errorcode.get(code, code)}")
        # Either way of the two frees the mount point.
        fs.umount(*["--lazy"][:self.counts["kills"] % 2])
        fs.mount()
        expected = [("before", before), ("after", after),
                    *between(operation, visit, before, after)]
        state = self.check_tree(where, expected)
        if state == 0:
            code = fs.run(operation.run)
            if code != 0:
                self.fail(where, f"done again: {os.strerror(code)}")
            self.check_tree(where + ", done again", [("after", after)])
        elif operation.changes_contents:
            self.check_growth(where)
        fs.umount()
        self.check_work(where)

    def check_growth(self, where):
        """What a killed daemon left says nothing of what is added to it, nor after
        one more kill."""
        fs = self.fs
        grown = {}
        for name in filter(os.path.isfile, (f"{fs.mnt}/{name}" for name in CHANGED)):
            with open(name, "rb") as file:
                grown[name] = file.read() + bytes(ADDED)
        for name, contents in grown.items():  # those of one file are as long
            if code := fs.run(lambda: os.truncate(name, len(contents))):
                self.fail(where, f"{name} does not grow: {os.strerror(code)}")
        fs.kill()
        fs.umount()
        fs.mount()
        for name, contents in grown.items():
            with open(name, "rb") as file:
                if file.read() != contents:
                    self.fail(where, f"{name}: what was added reads otherwise")

    def errnos_at(self, point):
        """All at the first visit, one at each later one."""
        if self.is_brief or point in self.failed:
            return [next(self.errnos)]
        self.failed.add(point)
        return ERRNOS

    def fail_at(self, operation, visit, name, before, after):
        where = f"{operation.name}, {name} at {visit.point} {visit.nth}"
        self.counts["errors"] += 1
        fs = self.fs
        fs.reset(self.template)
        fs.mount(f"{visit.point}:{name}:{visit.nth}")
        code = fs.run(operation.run)
        expected = [("before", before), *without_set_uid(operation, before),
                    *time_moved(operation, visit, before)]
        if "and sync" in operation.name and visit.point in ("partial.synced",
                                                            "fsync.before"):
            expected.append(("after", after))  # written, and the sync failed
        if code == 0 and visit.point == "upper.draft":
            # A trial that may fail, of whether blocks can be shared.
            expected = [("after", after)]
        elif code != getattr(errno, name):
            self.fail(where, f"the caller heard {errno.errorcode.get(code, code)}")
        if self.check_tree(where, expected) == 0 and code == 0:
            fs.umount()
            return
        code = fs.run(operation.run)
        if code != 0:
            self.fail(where, f"done again: {os.strerror(code)}")
        self.check_tree(where + ", done again", [("after", after)])
        fs.umount()
        self.check_work(where)

    def fault_while_mounting(self, mounting):
        """A mount that fails leaves nothing, and nothing in the way."""
        for visit in mounting:
            actions = ["kill", *(ERRNOS if self.points[visit.point] else ())]
            for action in actions:
                where = f"mount, {action} at {visit.point} {visit.nth}"
                self.fs.reset()
                done = self.fs.try_mount(f"{visit.point}:{action}:{visit.nth}")
                if done.returncode == 0:
                    self.fail(where, "it mounted")
                    self.fs.umount()
                elif action != "kill" and visit.point not in done.stderr:
                    self.fail(where, f"it said {done.stderr!r}")
                self.fs.mount()
                self.fs.umount()
                self.check_work(where)

    def worth_a_visit(self, operation, visits):
        """Without those that repeat what was seen: of a point in one operation
        those between the first and the last, and in another form of whiteouts
        all that are the same in the first."""
        # Names of one file: how many it is known by is a matter of who looked.
        visits = [v for v in visits if v.point != "rename.named" or v.nth == 1]
        if os.environ.get("UFS_CRASH_ALL") == "1":
            return visits
        if self.is_brief:
            visits = [v for v in visits if v.point not in self.visited]
        base = self.base.setdefault(operation.base, {v.point for v in visits})
        last = {visit.point: visit for visit in visits}
        first = {visit.point: visit for visit in reversed(visits)}
        chosen = [v for v in visits if v in (first[v.point], last[v.point])
                  and (operation.name == operation.base or v.point not in base)]
        self.visited |= {visit.point for visit in chosen}
        return chosen

    def run_all(self):
        only = os.environ.get("UFS_CRASH_ONLY", "")
        for number, operation in enumerate(operations()):
            if only not in operation.name or operation.needs_ids and not self.has_ids:
                continue
            begin = time.monotonic()
            self.fs.options = operation.options
            self.fs.choose_upper(operation.is_plain)
            self.template = None
            if operation.setup:
                self.fs.reset()
                self.fs.options = operation.setup_options
                self.fs.mount()
                code = self.fs.run(operation.setup)
                assert code == 0, f"{operation.name}: setup: {os.strerror(code)}"
                self.fs.umount()
                self.fs.options = operation.options
                self.template = f"{self.fs.dir}/template.{number}"
                self.fs.keep(self.template)
            mounting, visits, before, after = self.trace(operation)
            if number == 0:
                self.fault_while_mounting(mounting)
            self.seen |= {visit.point for visit in mounting + visits}
            for visit in self.worth_a_visit(operation, visits):
                self.kill_at(operation, visit, before, after)
                if self.points[visit.point]:
                    for name in self.errnos_at(visit.point):
                        self.fail_at(operation, visit, name, before, after)
            print(f"{operation.name}: {' '.join(v.point for v in visits)} "
                  f"({time.monotonic() - begin:.1f} s)", flush=True)
        if not only and self.has_ids:  # some are of changes of owner alone
            for point in sorted(self.points.keys() - self.seen):
                self.fail(point, "no operation reaches it")
        print(f"{len(self.seen)} points, {self.counts['kills']} kills, "
              f"{self.counts['errors']} errors, {self.failures} failures")
        return self.failures


# What is between before and after, where no file system call takes an upper from
# one to the other at once; fs/DURABILITY.md tells why.

def one_more_link(tree):
    return {path: [*seen[:INDEX_OF_NLINK], seen[INDEX_OF_NLINK] + 1,
                   *seen[INDEX_OF_NLINK + 1:]]
            if len(seen) > INDEX_OF_NLINK and seen[INDEX_OF_NLINK] > 1 else seen
            for path, seen in tree.items()}


def timeless(tree):
    return {path: [one for one in seen if one not in ("old", "new")]
            for path, seen in tree.items()}


def between(operation, visit, before, after):
    yield from without_set_uid(operation, before)
    yield from time_moved(operation, visit, before)
    # Counted first, linked or unlinked then.
    yield "before, one link more", one_more_link(before)
    yield "after, one link more", one_more_link(after)
    # Moved, and RENAME_WHITEOUT's device comes next.
    if visit.point == "rename.moved" and "leaves whiteout" in operation.name:
        yield "moved", {path: seen for path, seen in after.items() if path != "file"}


def time_moved(operation, visit, before):
    """As a write that fails on any file system: chunks that came up moved it."""
    if visit.point.startswith("partial."):
        for name, tree in [("before", before), *without_set_uid(operation, before)]:
            yield name + ", later", tree


def without_set_uid(operation, before):
    """A change of contents drops set-id bits first."""
    if "set-uid" in operation.name:
        yield "before, without set-id bits", {
            path: [seen[0].replace("0o104", "0o100"), *seen[1:]]
            for path, seen in before.items()}


union.main(lambda fs: PointsTest(fs).run_all(), union.SUBJECTS)
