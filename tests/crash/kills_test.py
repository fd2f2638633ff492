"""Kills the daemon at random moments under the load of several processes. What
was answered is there, and of what was not each operation is done or not done.

    kills_test.py classic|io_uring [root|user|user-one-id]

A user mounts in a user namespace, with a range of ids or with one. Each upper in
turn has other forms of what a layer says beside its files.

UFS_CRASH_KILLS=N  how many; UFS_CRASH_SEED=N  repeats the load of a failure (but
not the moments).
"""
import contextlib
import copy
import json
import os
import random
import stat
import time

import union
from operations import RENAME_EXCHANGE, rename
from union import DEAD, PATIENCE

PAGE = 4096
WORKERS = 4
MOST_ROUNDS_PER_UPPER = 15
NAMES = [f"f{i}" for i in range(8)]
SIZES = (0, 100, 5000, 400_000)
FORMS = ("", "whiteout=xattr", "xattr_permissions=2",
         "whiteout=xattr,xattr_permissions=2")
OVERRIDE = "user.containers.override_stat"
KINDS = ("write", "write", "append", "truncate", "create", "unlink", "rename",
         "rename", "chmod", "link", "mkdir", "rmdir", "exchange", "xattr", "sync",
         "symlink", "fifo", "chown",
         # As many as make names, or soon all are taken and no whiteout is left.
         "unlink", "unlink", "unlink")


class Model:
    """What one worker's names are: "DIRECTORY/NAME" -> object, and the objects.
    A directory is the object None."""

    def __init__(self, worker, ids):
        self.ids = ids  # whom it may give its files to
        self.roots = [f"w{worker}", "shared"]
        self.own = f"w{worker}."  # how its names in the shared directory begin
        self.names = {}
        self.objects = []

    def paths(self):
        """Every name it may use."""
        for directory in (self.roots[0], self.roots[0] + "/d", self.roots[0] + "/e"):
            if directory == self.roots[0] or self.is_dir(directory):
                yield from (f"{directory}/{name}" for name in NAMES)
        yield from (f"shared/{self.own}{name}" for name in NAMES)

    def is_dir(self, path):
        return path in self.names and self.names[path] is None

    def add(self, path, content, mode=0o644, kind="file"):
        self.names[path] = len(self.objects)
        self.objects.append({"kind": kind, "content": content, "mode": mode, "xattr": "",
                             "owner": 0})

    def object(self, path):
        return self.objects[self.names[path]]

    def files(self):
        return [path for path in self.names if not self.is_dir(path)
                and self.object(path)["kind"] == "file"]

    def below(self, path):
        return [name for name in self.names if name.startswith(path + "/")]

    def move(self, old, new):
        for name in [old, *self.below(old)]:
            self.names[new + name[len(old):]] = self.names.pop(name)


def fill(number, size):
    """Contents that tell which write they are of."""
    unit = f"<{number}>"
    return (unit * (size // len(unit) + 1))[:size]


def plan(model, rng, number):
    """A random operation that the model can do: a list of words."""
    for _ in range(50):
        kind = rng.choice(KINDS)
        files = model.files()
        free = [path for path in model.paths() if path not in model.names]
        taken = sorted(model.names)
        if not taken:
            kind = "create"
        if kind in ("write", "append", "truncate", "chmod", "xattr", "sync") and files:
            path = rng.choice(files)
            size = len(model.object(path)["content"])
            offset = {"write": rng.randrange(size + 1), "append": size}.get(kind, 0)
            return [kind, path, offset, rng.choice((10, 3000)), number]
        if kind == "chown" and files:
            return [kind, rng.choice(files), rng.choice(model.ids)]
        if kind in ("create", "symlink", "fifo") and free:
            return [kind, rng.choice(free), number]
        if kind == "unlink" and (path := rng.choice(taken)) and not model.is_dir(path):
            return [kind, path]
        if kind == "link" and files and free:
            return [kind, rng.choice(files), rng.choice(free)]
        if kind == "mkdir":
            path = f"{model.roots[0]}/{rng.choice('de')}"
            if path not in model.names:
                return [kind, path]
        if kind == "rmdir":
            path = f"{model.roots[0]}/{rng.choice('de')}"
            if model.is_dir(path) and not model.below(path):
                return [kind, path]
        if kind == "rename":
            directories = [f"{model.roots[0]}/{name}" for name in "de"]
            rng.shuffle(directories)
            old, new = directories
            if rng.random() < 0.2 and model.is_dir(old) and not model.below(new) and (
                    new not in model.names or model.is_dir(new)):
                return [kind, old, new]
            old = rng.choice(taken)
            new = rng.choice(list(model.paths()))
            if not model.is_dir(old) and old != new and \
                    model.names.get(old) != model.names.get(new):
                return [kind, old, new]
        if kind == "exchange" and len(files) > 1:
            one, other = rng.sample(files, 2)
            if model.names[one] != model.names[other]:
                return [kind, one, other]
    return None


def imagine(model, words):
    """Does it in the model."""
    kind, path, *rest = words
    if kind in ("write", "append", "tail"):
        offset, size, number, *skipped = rest
        data = fill(number, size)[sum(skipped):]
        offset += sum(skipped)
        old = model.object(path)["content"]
        model.object(path)["content"] = (
            old[:offset] + data + old[offset + len(data):])
    elif kind == "truncate":
        model.object(path)["content"] = model.object(path)["content"][:rest[1]]
        missing = rest[1] - len(model.object(path)["content"])
        model.object(path)["content"] += "\0" * missing
    elif kind == "create":
        model.add(path, "", 0o640)
    elif kind == "symlink":
        model.add(path, f"to {rest[0]}", 0o777, "link")
    elif kind == "fifo":
        model.add(path, "", 0o640, "fifo")
    elif kind == "chown":
        model.object(path)["owner"] = rest[0]
    elif kind in ("unlink", "rmdir"):
        del model.names[path]
    elif kind == "rename":
        model.move(path, rest[0])
    elif kind == "chmod":
        model.object(path)["mode"] = 0o600 + rest[2] % 64
    elif kind == "xattr":
        model.object(path)["xattr"] = str(rest[2])
    elif kind == "link":
        model.names[rest[0]] = model.names[path]
    elif kind == "mkdir":
        model.names[path] = None
    elif kind == "exchange":
        names = model.names
        names[path], names[rest[0]] = names[rest[0]], names[path]


def perform(words):
    """Does it, in one message that changes anything. Returns what was cut off by
    the daemon's death: the kernel may send the pages of a write one by one."""
    kind, path, *rest = words
    if kind in ("write", "append"):
        fd = os.open(path, os.O_WRONLY)
        try:
            written = os.pwrite(fd, fill(rest[2], rest[1]).encode(), rest[0])
            if written < rest[1]:
                words[3] = written
                return ["tail", path, *rest, written]
        finally:
            os.close(fd)
    elif kind == "truncate":
        os.truncate(path, rest[1])
    elif kind == "create":
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o640))
    elif kind == "symlink":
        os.symlink(f"to {rest[0]}", path)
    elif kind == "fifo":
        os.mkfifo(path, 0o640)
    elif kind == "chown":
        os.chown(path, rest[0], rest[0])
    elif kind == "unlink":
        os.unlink(path)
    elif kind == "rmdir":
        os.rmdir(path)
    elif kind == "mkdir":
        os.mkdir(path)
    elif kind == "rename":
        os.rename(path, rest[0])
    elif kind == "chmod":
        os.chmod(path, 0o600 + rest[2] % 64)
    elif kind == "xattr":
        os.setxattr(path, "user.test", str(rest[2]).encode())
    elif kind == "link":
        os.link(path, rest[0])
    elif kind == "exchange":
        rename(path, rest[0], RENAME_EXCHANGE)
    elif kind == "sync":
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    return None


def work(model, seed, tell):
    """Runs in the mount until the daemon is dead; tells what was answered, in what
    order, and what was not."""
    rng = random.Random(seed)
    answered, doubt = [], None
    number = rng.randrange(1 << 30)
    while doubt is None:
        number += 1
        words = plan(model, rng, number)
        if words is None:
            continue
        try:
            doubt = perform(words)
        except OSError as error:
            if error.errno not in DEAD:
                raise AssertionError(f"{words}: {error}") from error
            doubt = words
            break
        imagine(model, words)
        answered.append(words)
    with open(tell, "w") as file:
        json.dump([answered, doubt], file)


def look(mnt, model):
    """The same shape as `picture`, from the disk."""
    seen = {}
    first = {}
    for root in model.roots:
        for parent, directories, files in os.walk(os.path.join(mnt, root)):
            for name in directories + files:
                if root == "shared" and not name.startswith(model.own):
                    continue
                full = os.path.join(parent, name)
                path = os.path.relpath(full, mnt)
                info = os.lstat(full)
                if os.path.isdir(full) and not os.path.islink(full):
                    seen[path] = "directory"
                elif os.path.islink(full):
                    seen[path] = ("link", os.readlink(full))
                elif stat.S_ISFIFO(info.st_mode):
                    seen[path] = ("fifo", info.st_mode & 0o7777)
                else:
                    with open(full, "rb") as file:
                        content = file.read().decode("latin1")
                    xattr = (os.getxattr(full, "user.test").decode()
                             if "user.test" in os.listxattr(full) else "")
                    seen[path] = ("file", content, info.st_mode & 0o7777, xattr,
                                  (info.st_uid, info.st_gid),
                                  first.setdefault(info.st_ino, path))
    return seen


def picture(model, order):
    """What the model shows; `order` is that of a look, for the first names."""
    shown = {}
    first = {}
    for path in [*order, *sorted(model.names.keys() - set(order))]:
        if path not in model.names:
            continue
        if model.is_dir(path):
            shown[path] = "directory"
            continue
        thing = model.object(path)
        if thing["kind"] == "link":
            shown[path] = ("link", thing["content"])
        elif thing["kind"] == "fifo":
            shown[path] = ("fifo", thing["mode"])
        else:
            shown[path] = ("file", thing["content"], thing["mode"], thing["xattr"],
                           (thing["owner"], thing["owner"]),
                           first.setdefault(model.names[path], path))
    return shown


def torn(model, words):
    """What a write leaves that a kill ended between two pages of the host."""
    kind, path, *rest = words
    if kind not in ("write", "append", "tail"):
        return
    offset, size, number, *skipped = rest
    begin = offset + sum(skipped)
    for end in range((begin // PAGE + 1) * PAGE, offset + size, PAGE):
        part = copy.deepcopy(model)
        old = part.object(path)["content"]
        data = fill(number, size)[begin - offset:end - offset]
        part.object(path)["content"] = old[:begin] + data + old[begin + len(data):]
        yield part


def shorten(thing, other):
    """Contents by their length and where they begin to differ."""
    if not isinstance(thing, tuple) or thing[0] != "file":
        return str(thing)
    text = thing[1]
    same = other[1] if isinstance(other, tuple) and other[0] == "file" else ""
    at = next((i for i, (a, b) in enumerate(zip(text, same)) if a != b),
              min(len(text), len(same)))
    return f"{len(text)} bytes, from {at}: {text[at:at + 24]!r}, {thing[2:]}"


def describe(one, other):
    lines = []
    for path in sorted(one.keys() | other.keys()):
        was, now = one.get(path), other.get(path)
        if was != now:
            lines.append(f"  {path}: {shorten(was, now)}\n    is {shorten(now, was)}")
    return "\n".join(lines)


class KillsTest:
    def __init__(self, fs):
        self.fs = fs
        self.kills = int(os.environ.get("UFS_CRASH_KILLS", "40"))
        self.rounds_per_upper = min(MOST_ROUNDS_PER_UPPER,
                                    max(1, self.kills // len(FORMS)))
        self.seed = int(os.environ.get("UFS_CRASH_SEED", time.time_ns() % 1_000_000))
        self.rng = random.Random(self.seed)
        self.failures = 0
        self.operations = 0
        self.in_doubt = {True: 0, False: 0}
        self.torn = self.uppers = 0
        self.marks = {}  # form -> what its uppers had
        print(f"seed {self.seed}", flush=True)
        self.fresh = [self.make_lower(worker) for worker in range(WORKERS)]

    def make_lower(self, worker):
        model = Model(worker, (0,) if self.fs.subject == "user-one-id" else (0, 5, 1000))
        for layer in self.fs.layers:
            for directory in (f"w{worker}/d", "shared"):
                os.makedirs(f"{layer}/{directory}", exist_ok=True)
        model.names[f"w{worker}/d"] = None
        for i, name in enumerate(NAMES[:6]):
            layer = self.fs.layers[i % 2]
            for path in (f"w{worker}/{name}", f"w{worker}/d/{name}",
                         f"shared/w{worker}.{name}"):
                content = fill(i, SIZES[i % len(SIZES)])
                model.add(path, content)
                with open(f"{layer}/{path}", "w") as file:
                    file.write(content)
        app = self.fs.layers[1]
        os.link(f"{app}/w{worker}/f1", f"{app}/w{worker}/d/f7")
        model.names[f"w{worker}/d/f7"] = model.names[f"w{worker}/f1"]
        return model

    def start_worker(self, model, tell):
        seed = self.rng.randrange(1 << 30)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work(model, seed, tell)
                code = 0
            except BaseException as error:  # told, then ended at once
                print(f"FAILED: a worker: {error!r}", flush=True)
            finally:
                os._exit(code)
        return pid

    def load_and_kill(self, models):
        """The reports of the workers."""
        tells = [f"{self.fs.dir}/told.{worker}" for worker in range(WORKERS)]
        pids = []
        # They begin in the mount: on a busy machine the daemon may be dead before
        # one of them runs.
        with contextlib.chdir(self.fs.mnt):
            for model, tell in zip(models, tells):
                pids.append(self.start_worker(model, tell))
        time.sleep(self.rng.uniform(0.01, 0.25))
        self.fs.kill()
        end = time.monotonic() + PATIENCE
        for pid in pids:
            while True:
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    self.failures += status != 0
                    break
                if time.monotonic() > end:
                    raise AssertionError("a worker hangs after the daemon died")
                time.sleep(0.005)
        reports = []
        for tell in tells:
            with open(tell) as file:
                reports.append(json.load(file))
        return reports

    def check(self, worker, model, report):
        """The model as it turned out to be."""
        answered, doubt = report
        self.operations += len(answered)
        for words in answered:
            imagine(model, words)
        done = copy.deepcopy(model)
        imagine(done, doubt)
        seen = look(self.fs.mnt, model)
        order = list(seen)
        if seen == picture(done, order):
            self.in_doubt[True] += 1
            return done
        if seen == picture(model, order):
            self.in_doubt[False] += 1
            return model
        for part in torn(model, doubt):
            if seen == picture(part, order):
                self.torn += 1
                return part
        self.fail(f"worker {worker}, {self.fs.options or 'no options'}: neither before "
                  f"nor after {doubt}; last answered {answered[-3:]}; expected\n"
                  f"{describe(picture(model, order), seen)}")
        return None

    def new_upper(self):
        """A fresh one, of the next form."""
        fs = self.fs
        if fs.daemon:
            fs.umount()
            self.note_marks()
        fs.options = FORMS[self.uppers % len(FORMS)]
        self.uppers += 1
        fs.reset()
        fs.mount()

    def note_marks(self):
        """Which marks the upper has."""
        found = self.marks.setdefault(self.fs.options, set())
        for path in union.walk(self.fs.upper):
            if stat.S_ISCHR(os.lstat(path).st_mode):
                found.add("devices")
            if OVERRIDE in os.listxattr(path, follow_symlinks=False):
                found.add("overrides")

    def check_marks(self):
        """Each form had the marks it says, or the kills were of others."""
        for form, found in self.marks.items():
            expected = set()
            if "whiteout=xattr" not in form:
                expected.add("devices")
            if "xattr_permissions=2" in form:
                expected.add("overrides")
            if found != expected:
                self.fail(f"uppers with {form or 'no options'} have {found or 'no marks'}")

    def fail(self, message):
        self.failures += 1
        print(f"FAILED: {message}", flush=True)

    def run_all(self):
        models = None
        fs = self.fs
        for kill in range(self.kills):
            if models is None or kill % self.rounds_per_upper == 0:
                self.new_upper()
                models = copy.deepcopy(self.fresh)
            reports = self.load_and_kill(models)
            fs.umount(*["--lazy"][:kill % 2])
            fs.mount()  # the upper's lock is free
            if left := os.listdir(fs.work + "/ufs/tmp"):
                self.fail(f"{left} in the work directory")
            if self.failures:
                break
            models = [self.check(worker, model, report) for worker, (model, report)
                      in enumerate(zip(models, reports))]
            if self.failures:
                break
        if fs.daemon:
            fs.umount()
            self.note_marks()
            if not self.failures:  # else kills are missing
                self.check_marks()
        print(f"{kill + 1} kills, {self.operations} operations answered; in doubt: "
              f"{self.in_doubt[True]} done, {self.in_doubt[False]} not, {self.torn} torn; "
              f"{self.failures} failures (seed {self.seed})")
        return self.failures


union.main(lambda fs: KillsTest(fs).run_all(), union.SUBJECTS)
