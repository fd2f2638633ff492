"""What the tests of the container runtime share: a bundle around busybox, the
runtime's command line, and a look at whether anything is left behind.

Runs as process 1 of a pid namespace with mounts of its own, as tests/cli does.
The cgroups are the machine's: each test must leave them as they were.
"""
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
import harness  # noqa: E402  tests/cli/harness.py
from harness import UFS, USER, as_user, run, wait_until  # noqa: E402,F401

# Another runtime can be tested in its place, for comparison.
RUNTIME = os.environ.get("UFS_TEST_RUNTIME") or os.path.join(os.path.dirname(UFS), "ufs-oci")
BUSYBOX = shutil.which("busybox")
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "uts")


def cgroups():
    """Every cgroup directory of the machine that a test may have made."""
    return sorted(path for path in glob.glob("/sys/fs/cgroup/*/**/", recursive=True)
                  if "ufs-" in path)


def own_cgroup(controller):
    """Where this process is in a v1 hierarchy, as a directory; None without."""
    for line in open("/proc/self/cgroup"):
        _, controllers, path = line.rstrip("\n").split(":", 2)
        if controller in controllers.split(","):
            return f"/sys/fs/cgroup/{controller}{path}".rstrip("/")
    return None


class ContainerTest(unittest.TestCase):
    """`self.bundle` has a root file system with busybox, and a config.json that
    `self.configure` changes."""

    @classmethod
    def setUpClass(cls):
        if not BUSYBOX:
            raise unittest.SkipTest("needs busybox-static")

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="ufs-box.", dir="/var/tmp")
        os.chmod(self.dir, 0o755)
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.state = self.dir + "/state"
        self.bundle = self.make_bundle("bundle")
        self.before = (cgroups(), sorted(harness.mounts()))
        self.addCleanup(self.check_nothing_left)

    def make_bundle(self, name):
        bundle = f"{self.dir}/{name}"
        for directory in ("bin", "etc", "tmp", "proc", "sys", "dev", "root"):
            os.makedirs(f"{bundle}/rootfs/{directory}")
        shutil.copy(BUSYBOX, f"{bundle}/rootfs/bin/busybox")
        for applet in ("sh", "cat", "ls", "id", "true", "false", "sleep", "stat", "mount",
                       "hostname", "kill", "readlink", "touch", "echo", "mkdir", "rm", "head",
                       "grep", "tail", "dd", "tty", "stty", "mknod", "umount", "env", "wc", "sort", "ps",
                       "chmod", "chown"):
            os.symlink("busybox", f"{bundle}/rootfs/bin/{applet}")
        done = run(UFS, "oci", "spec", "--bundle", bundle)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.configure(bundle=bundle, **{"process.terminal": False})
        return bundle

    def configure(self, bundle=None, **changes):
        """Sets fields by their dotted path; a value may be a function of the old."""
        path = (bundle or self.bundle) + "/config.json"
        with open(path) as file:
            config = json.load(file)
        for where, value in changes.items():
            *parents, last = where.split(".")
            holder = config
            for key in parents:
                holder = holder.setdefault(key, {})
            holder[last] = value(holder.get(last)) if callable(value) else value
        with open(path, "w") as file:
            json.dump(config, file)

    def config(self):
        with open(self.bundle + "/config.json") as file:
            return json.load(file)

    def script(self, text):
        self.configure(**{"process.args": ["/bin/sh", "-c", text]})

    def add_mount(self, destination, kind, source, *options):
        mount = {"destination": destination, "type": kind, "source": source,
                 "options": list(options)}
        self.configure(mounts=lambda old: old + [mount])

    # --- the runtime ------------------------------------------------------------

    def command(self, *words):
        return [RUNTIME, "--root", self.state, *words]

    def oci(self, *words, **options):
        return run(*self.command(*words), **options)

    def ok(self, *words, **options):
        done = self.oci(*words, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def run_box(self, text=None, name="ufs-box", **options):
        """Runs a shell script in the container; what it prints."""
        if text is not None:
            self.script(text)
        return self.ok("run", "--bundle", self.bundle, name, **options)

    def refused(self, message, *words):
        code = 255 if words[0] == "exec" else 1  # what is executed has its own
        done = self.oci(*words)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertRegex(done.stderr, message)
        return done

    def run_refused(self, message, name="ufs-box"):
        return self.refused(message, "run", "--bundle", self.bundle, name)

    def start_box(self, text="sleep 1000", name="ufs-box"):
        """Creates and starts; a clean-up deletes it."""
        self.script(text)
        self.addCleanup(self.oci, "delete", "--force", name)
        self.detached("create", "--bundle", self.bundle, name)
        self.ok("start", name)
        return self.status(name)["pid"]

    def detached(self, *words):
        """As ok, for what leaves a process behind that holds our pipes."""
        with open(self.dir + "/output", "w") as output:
            code = subprocess.run(self.command(*words), stdin=subprocess.DEVNULL,
                                  stdout=output, stderr=output, timeout=30).returncode
        self.assertEqual(code, 0, self.output())

    def output(self):
        with open(self.dir + "/output") as file:
            return file.read()

    def status(self, name="ufs-box"):
        return json.loads(self.ok("state", name))

    # --- what must hold after every test -----------------------------------------

    def check_nothing_left(self):
        if os.path.isdir(self.state):
            self.assertEqual(os.listdir(self.state), [])
        self.assertTrue(wait_until(lambda: cgroups() == self.before[0], 5),
                        [path for path in cgroups() if path not in self.before[0]])
        # One of another test's may have gone with its mount point.
        self.assertEqual(set(harness.mounts()) - set(self.before[1]), set())
        left = [line for line in processes() if self.dir in line or "ufs-box" in line]
        self.assertEqual(left, [])


def processes():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", errors="surrogateescape") as file:
                line = file.read().replace("\0", " ")
        except OSError:
            continue
        if line and "_test.py" not in line:
            found.append(f"{pid}: {line}")
    return found


def main():
    """As harness.main, under a process 1 that reaps: what a runtime leaves to its
    parent's parent must not stay a zombie, or its pid namespace does not end."""
    if os.environ.get("UFS_CLI_TEST_INSIDE") == "1" and os.getpid() == 1:
        child = os.fork()
        while child:
            pid, status = os.wait()
            if pid == child:
                sys.stdout.flush()
                os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    harness.main()
