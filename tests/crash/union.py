"""A union whose daemon a test may kill, and what a look at it tells.

The programs that use it run as process 1 of a pid namespace (see main), so that
a daemon is a child of theirs and its end is seen at once.
"""
import ctypes
import errno
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "cli"))
import user_namespace  # noqa: E402
from harness import SKIPPED, UFS, mounts, open_fuse_to_all, run  # noqa: E402

CONNECTIONS = "/sys/fs/fuse/connections"
URING = "/sys/module/fuse/parameters/enable_uring"
PATIENCE = 60
# What callers hear when the daemon dies; the last two from a dying ring.
DEAD = (errno.ENOTCONN, errno.ECONNABORTED, errno.ECANCELED, errno.EINTR)
# Who mounts: root, or a user in a user namespace with a range of ids or with one.
SUBJECTS = ("root", "user", "user-one-id")
OLD = 1_000_000_000  # mtime of everything in the layers

# Makes a write copy all of a lower file, where it would copy what it touches.
WHOLE_COPIES = "partial=off" if "partial" in run(UFS, "mount", "--help").stdout else ""

libc = ctypes.CDLL(None, use_errno=True)


class Union:
    """base/ and app/ below upper/ with work/, mounted at mnt/, in a directory."""

    def __init__(self, directory, transport, subject="root"):
        self.dir = directory
        self.transport = transport
        self.subject = subject
        self.layers = [os.path.join(directory, name) for name in ("base", "app")]
        self.mnt = os.path.join(directory, "mnt")
        self.ram = os.path.join(directory, "ram")
        self.put_upper(directory)
        self.options = ""
        self.daemon = 0
        for path in (*self.layers, self.mnt):
            os.makedirs(path, exist_ok=True)

    def put_upper(self, place):
        self.upper, self.work = (os.path.join(place, name) for name in ("upper", "work"))

    def choose_upper(self, is_plain):
        """`is_plain`: on a file system without extended attributes."""
        if is_plain and self.ram not in mounts():
            os.makedirs(self.ram, exist_ok=True)
            subprocess.run(["mount", "-t", "ramfs", "ramfs", self.ram], check=True)
        self.put_upper(self.ram if is_plain else self.dir)

    def reset(self, template=None):
        """A fresh upper, or what `template` (a directory) holds of one."""
        for path in (self.upper, self.work):
            shutil.rmtree(path, ignore_errors=True)
        if template:
            # One command, so that files in both stay one.
            subprocess.run(["cp", "-a", template + "/upper", template + "/work",
                            os.path.dirname(self.upper)], check=True)
        else:
            os.mkdir(self.upper)

    def keep(self, template):
        """Makes `template` of the upper as it is now."""
        os.makedirs(template)
        subprocess.run(["cp", "-a", self.upper, self.work, template], check=True)

    def try_mount(self, fault=""):
        """The finished command; self.daemon is its daemon if it mounted."""
        before = children()
        environment = dict(os.environ)
        if fault:
            environment["UFS_FAULT"] = fault
        options = ",".join(filter(None, [self.options, f"transport={self.transport}"]))
        done = run(UFS, "mount", "-o", options, "--upper", self.upper, "--work",
                   self.work, *self.layers, self.mnt, env=environment,
                   timeout=PATIENCE)
        if done.returncode == 0:
            [self.daemon] = children() - before
        return done

    def mount(self, fault=""):
        done = self.try_mount(fault)
        if done.returncode != 0:
            raise AssertionError(f"mount with {fault or 'no fault'}: {done.stderr}")

    def umount(self, *options):
        done = run(UFS, "umount", *options, self.mnt, timeout=PATIENCE)
        if done.returncode != 0:
            raise AssertionError(f"umount: {done.stderr}")
        if self.daemon:
            os.waitpid(self.daemon, 0)
            self.daemon = 0

    def has_died(self, surely=False):
        """`surely`: it is on its way, wait for its end."""
        if self.daemon:
            ended, _ = os.waitpid(self.daemon, 0 if surely else os.WNOHANG)
            if ended:
                self.daemon = 0
                self.abort()
        return self.daemon == 0

    def kill(self):
        os.kill(self.daemon, signal.SIGKILL)
        os.waitpid(self.daemon, 0)
        self.daemon = 0
        self.abort()

    def abort(self):
        """Frees who waits for a dead daemon; over io_uring nobody else does."""
        with open("/proc/self/mountinfo") as file:
            for line in file:
                fields = line.split()
                if fields[4] != self.mnt:
                    continue
                number = fields[2].split(":")[1]
                try:
                    with open(f"{CONNECTIONS}/{number}/abort", "w") as abort:
                        abort.write("1")
                except FileNotFoundError:
                    pass  # the kernel has seen its end already

    def run(self, operation):
        """0, or the errno with which `operation` failed; ends when the daemon
        dies. It runs in another process, as this one must not hang."""
        pid = os.fork()
        if pid == 0:
            code = 255
            try:
                os.chdir(self.mnt)
                operation()
                code = 0
            except OSError as error:
                code = error.errno
            finally:
                os._exit(code)
        end = time.monotonic() + PATIENCE
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            self.has_died()
            if time.monotonic() > end:
                self.abort()
                raise AssertionError("an operation hangs")
            time.sleep(0.002)

    def leftovers(self):
        """What the work directory holds that no object of the upper needs."""
        found = [f"{place}/{name}" for place in ("tmp", "lent", "moves")
                 for name in os.listdir(f"{self.work}/ufs/{place}")]
        known = {entry_id(path) for path in walk(self.upper)}
        for name in os.listdir(self.work + "/ufs/origin"):
            if name.split("-")[0] not in {f"{ino:x}" for _, ino in known}:
                found.append(f"origin/{name}")
        return found

    def close(self):
        for place in (self.mnt, self.ram):
            while place in mounts():
                subprocess.run(["umount", "-l", place], check=False)
        if self.daemon:
            os.kill(self.daemon, signal.SIGKILL)
            os.waitpid(self.daemon, 0)
            self.daemon = 0


def children():
    pids = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != b"Z":
            pids.add(int(pid))
    return pids


def entry_id(path):
    info = os.lstat(path)
    return info.st_dev, info.st_ino


def walk(root):
    for parent, directories, files in os.walk(root):
        for name in directories + files:
            yield os.path.join(parent, name)


def snapshot(root):
    """Everything a program could learn of a tree, but what two equal ones need
    not share: inode numbers, and times that are not a layer's."""
    names = {}  # inode number -> its first name
    tree = {}
    for path in [root, *sorted(walk(root))]:
        info = os.lstat(path)
        name = os.path.relpath(path, root)
        kind = stat.S_IFMT(info.st_mode)
        seen = [oct(info.st_mode), info.st_uid, info.st_gid,
                sorted((key, os.getxattr(path, key, follow_symlinks=False))
                       for key in os.listxattr(path, follow_symlinks=False))]
        if kind != stat.S_IFDIR:
            seen += [info.st_size, info.st_nlink, info.st_rdev,
                     "old" if info.st_mtime == OLD else "new",
                     names.setdefault(info.st_ino, name)]
        if kind == stat.S_IFREG:
            with open(path, "rb") as file:
                seen.append(hashlib.sha1(file.read()).hexdigest())
        if kind == stat.S_IFLNK:
            seen.append(os.readlink(path))
        tree[name] = seen
    return tree


def difference(one, other):
    lines = [f"  {name}: {one.get(name, 'not there')}\n    and: "
             f"{other.get(name, 'not there')}"
             for name in sorted(one.keys() | other.keys())
             if one.get(name) != other.get(name)]
    return "\n".join(lines)


def main(test, subjects=("root",)):
    """Calls test(union) for the transport and the subject (who mounts it) that the
    command line names, in namespaces of its own."""
    transport, subject = [*sys.argv[1:], "root"][:2]
    if len(sys.argv) not in (2, 3) or transport not in ("classic", "io_uring") or \
            subject not in subjects:
        sys.exit(f"usage: {sys.argv[0]} classic|io_uring [{'|'.join(subjects)}]")
    if os.geteuid() != 0:
        print("needs root: it makes namespaces and mounts")
        sys.exit(SKIPPED)
    if transport == "io_uring":
        try:
            with open(URING) as file:
                on = file.read(1) == "Y"
        except FileNotFoundError:
            on = False
        if not on:
            print(f"skipped: {URING} is off")
            sys.exit(SKIPPED)
    if os.environ.get("UFS_CRASH_TEST_INSIDE") != "1":
        os.environ["UFS_CRASH_TEST_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--pid", "--fork",
                              "--mount-proc", "--kill-child", "--propagation",
                              "private", sys.executable, "-B", *sys.argv])
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    if not os.path.ismount(CONNECTIONS):
        subprocess.run(["mount", "-t", "fusectl", "fusectl", CONNECTIONS], check=True)
    os.umask(0o022)
    directory = tempfile.mkdtemp(prefix="ufs-crash.",
                                 dir=os.environ.get("UFS_TEST_DIR", "/var/tmp"))
    os.chmod(directory, 0o755)

    def run_test():
        union = Union(directory, transport, subject)
        try:
            return 1 if test(union) else 0
        finally:
            union.close()

    try:
        if subject == "root":
            code = run_test()
        else:
            open_fuse_to_all("/run")
            code = user_namespace.run_inside(subject == "user-one-id", directory,
                                             run_test)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    sys.exit(code)
