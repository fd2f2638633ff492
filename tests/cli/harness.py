"""What the tests of the command share.

Each test program runs as process 1 of a pid namespace with mounts of its own, so
that whatever a test leaves behind, daemons and mounts included, goes with it.
/run and /var/lib are empty there.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

SKIPPED = 77  # what CTest counts as skipped
UFS = os.path.realpath(os.environ.get("UFS", "build/tools/ufs"))
USER = 1000  # an ordinary user; it need not be in /etc/passwd
PATIENCE = 30


def run(*command, **options):
    """Runs a program to its end; never raises for its exit code."""
    options.setdefault("timeout", PATIENCE)
    return subprocess.run(
        [os.fspath(word) for word in command], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, errors="surrogateescape",
        **options)


def mounts():
    """Mount point -> (type, options, source), the topmost of each."""
    found = {}
    with open("/proc/self/mounts", errors="surrogateescape") as file:
        for line in file:
            source, point, kind, options = (
                re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), word)
                for word in line.split()[:4])
            found[point] = (kind, options.split(","), source)
    return found


def daemons(directory):
    """Command lines of the processes that name `directory`."""
    lines = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", errors="surrogateescape") as file:
                line = file.read().replace("\0", " ")
        except OSError:
            continue
        if directory in line and "_test.py" not in line:
            lines.append(f"{pid}: {line}")
    return lines


def wait_until(condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


class CliTest(unittest.TestCase):
    """A directory with two layers, `base` and `app`, and a mount point `mnt`."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="ufs-cli.",
                                    dir=os.environ.get("UFS_TEST_DIR", "/var/tmp"))
        os.chmod(self.dir, 0o755)
        self.addCleanup(self.clean)
        self.base = self.make_layer("base", {"both": "base", "only-base": "1"})
        self.app = self.make_layer("app", {"both": "app", "only-app": "2"})
        self.mnt = self.make_dir("mnt")

    def clean(self):
        for point in reversed(list(mounts())):
            if point == self.dir or point.startswith(self.dir + "/"):
                run("umount", "-l", point)
        wait_until(lambda: not daemons(self.dir), 10)
        shutil.rmtree(self.dir, ignore_errors=True)

    # --- trees ----------------------------------------------------------------

    def at(self, name):
        return os.path.join(self.dir, name)

    def make_dir(self, name):
        os.makedirs(self.at(name), exist_ok=True)
        return self.at(name)

    def make_layer(self, name, files):
        self.make_dir(name)
        for path, text in files.items():
            self.write(os.path.join(name, path), text)
        return self.at(name)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.at(name)), exist_ok=True)
        with open(self.at(name), "w") as file:
            file.write(text)

    def read(self, name):
        with open(self.at(name)) as file:
            return file.read()

    def tree(self):
        """Every path below the directory, to see that nothing has changed."""
        paths = []
        for parent, directories, files in os.walk(self.dir):
            for name in directories + files:
                path = os.path.join(parent, name)
                paths.append((path, os.lstat(path).st_mode))
        return sorted(paths)

    # --- the command ----------------------------------------------------------

    def ufs(self, *arguments, **options):
        return run(UFS, *arguments, **options)

    def mount(self, *arguments, **options):
        """ufs mount, which must succeed."""
        done = self.ufs("mount", *arguments, **options)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done

    def umount(self, point=None):
        done = self.ufs("umount", point or self.mnt)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def called_as(self, name):
        """The binary under another name."""
        link = self.at("bin/" + name)
        self.make_dir("bin")
        if not os.path.lexists(link):
            os.symlink(UFS, link)
        return link

    # --- assertions -----------------------------------------------------------

    def assert_mounted(self, point=None):
        self.assertIn(point or self.mnt, mounts())

    def assert_gone(self, point=None):
        """Unmounted, and no process and no socket is left."""
        self.assertNotIn(point or self.mnt, mounts())
        self.assertTrue(wait_until(lambda: not daemons(self.dir)),
                        daemons(self.dir))
        self.assertFalse(os.path.exists("/run/ufs"))

    def assert_refused(self, done, message, code=1):
        """Exit code and message; nothing is mounted and no daemon runs."""
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertRegex(done.stderr, message)
        self.assertEqual(done.stdout, "")
        self.assertNotIn(self.mnt, mounts())
        self.assertEqual(daemons(self.dir), [])


def as_user(*command, environment=()):
    """A command line that runs another one as an ordinary user."""
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups",
            "env", "-u", "XDG_RUNTIME_DIR", "-u", "XDG_DATA_HOME", *environment,
            *command]


def open_to_all(directory, path, major, minor):
    """Puts a node of a character device that everybody may open over the machine's."""
    node = os.path.join(directory, os.path.basename(path))
    if not os.path.exists(node):
        os.mknod(node, 0o20666, os.makedev(major, minor))
        os.chmod(node, 0o666)
    subprocess.run(["mount", "--bind", node, path], check=True)


def open_fuse_to_all(directory):
    open_to_all(directory, "/dev/fuse", 10, 229)


class User:
    """An account of this machine with subordinate ids and a home directory."""

    def __init__(self, name, home):
        self.name = name
        self.home = home

    def command(self, *command):
        """A command line that runs another one as this user."""
        return ["setpriv", f"--reuid={self.name}", f"--regid={self.name}",
                "--init-groups", "env", "-i", "-C", self.home,
                f"HOME={self.home}", f"PATH={os.environ['PATH']}",
                f"XDG_RUNTIME_DIR={self.home}/run", *command]


def make_user(test, name="ufs-test"):
    """A new user, in a copy of /etc that only this test sees."""
    layer = test.make_dir("etc")
    run("mount", "-t", "tmpfs", "tmpfs", layer)
    for part in ("upper", "work"):
        os.mkdir(f"{layer}/{part}")
    test.addCleanup(run, "umount", "-l", layer)
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                    f"lowerdir=/etc,upperdir={layer}/upper,workdir={layer}/work",
                    "/etc"], check=True)
    test.addCleanup(run, "umount", "-l", "/etc")
    home = test.at("home-" + name)
    subprocess.run(["useradd", "--create-home", "--home-dir", home, name],
                   check=True, stderr=subprocess.DEVNULL)
    os.mkdir(home + "/run", 0o700)
    shutil.chown(home + "/run", name, name)
    return User(name, home)


def let_a_user_mount(test):
    """test.user, with a copy of the program, test.program, and a mount point at
    home, test.mnt; /dev/fuse is everybody's."""
    open_fuse_to_all(test.dir)
    test.addCleanup(run, "umount", "-l", "/dev/fuse")
    test.user = make_user(test)
    test.program = test.at("ufs")
    shutil.copy(UFS, test.program)
    test.mnt = test.user.home + "/mnt"
    os.mkdir(test.mnt)
    shutil.chown(test.mnt, test.user.name, test.user.name)


def run_tests():
    """unittest's main, with CTest's code where every test was skipped."""
    result = unittest.main(exit=False, verbosity=2).result
    sys.exit(1 if not result.wasSuccessful() else
             SKIPPED if len(result.skipped) >= result.testsRun else 0)


def main():
    """Runs the tests of the calling program in namespaces of its own."""
    if os.geteuid() != 0:
        print("needs root: it makes namespaces and mounts")
        sys.exit(SKIPPED)
    if not os.access(UFS, os.X_OK):
        sys.exit(f"no ufs at {UFS}; name it in the environment variable UFS")
    if os.environ.get("UFS_CLI_TEST_INSIDE") != "1":
        os.environ["UFS_CLI_TEST_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--pid", "--fork",
                              "--mount-proc", "--kill-child", "--propagation",
                              "private", sys.executable, *sys.argv])
    for place in ("/run", "/var/lib"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", place],
                       check=True)
    # podman keeps its locks there, for all of the machine.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/dev/shm"],
                   check=True)
    os.umask(0o022)
    run_tests()
