"""tools/quickstart and tools/setup/build --test on a tree that is built: they need
no network and build nothing. In a network namespace without interfaces."""
import hashlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import unittest

SKIPPED = 77  # what CTest counts as skipped
SOURCE = os.environ["UFS_SOURCE"]
BUILD = os.environ["UFS_BUILD"]
DEPS = os.environ["UFS_DEPS_PREFIX"]  # the scripts read it, too
NOTHING = "ninja: no work to do."


def run(*command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **options)


def mount_points():
    with open("/proc/self/mountinfo") as file:
        return {line.split()[4] for line in file}


def products():
    """What a compiler or linker made, and what they were made from."""
    found = {}
    for top, made in ((SOURCE, False), (BUILD, True), (DEPS, True)):
        for parent, directories, files in os.walk(top):
            if not made:
                directories[:] = [d for d in directories if d not in ("build", ".git")]
            for name in files:
                path = os.path.join(parent, name)
                info = os.lstat(path)
                if not made or name.endswith((".o", ".a")) or (
                        stat.S_ISREG(info.st_mode) and info.st_mode & 0o111):
                    found[path] = (info.st_ino, info.st_size, info.st_mtime_ns)
    return found


def host():
    """The packages of this machine and where they come from."""
    found = {}
    for top in ("/var/lib/dpkg/status", "/etc/apt", "/var/lib/apt/lists"):
        for parent, _, files in os.walk(top) if os.path.isdir(top) else [("", [], [top])]:
            for name in files:
                path = os.path.join(parent, name)
                with open(path, "rb") as file:
                    found[path] = hashlib.sha1(file.read()).hexdigest()
    return found


class AgainTest(unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        self.assertEqual([name for _, name in socket.if_nameindex()], ["lo"])
        self.before = products(), host()

    def need_built(self, *targets):
        # By another name, or it would stop at what cmake might make of build.ninja.
        with tempfile.NamedTemporaryFile(suffix=".ninja") as plan:
            shutil.copy(BUILD + "/build.ninja", plan.name)
            done = run("ninja", "-C", BUILD, "-f", plan.name, "-n", *targets)
        self.assertEqual(done.returncode, 0, done.stdout)
        if NOTHING not in done.stdout:
            self.skipTest(f"{targets or 'something'} is not built, or older than its "
                          f"source")

    def succeed(self, *command, **environment):
        done = run(*command, env={**os.environ, **environment}, timeout=300)
        self.assertEqual(done.returncode, 0, done.stdout)
        with open(BUILD + "/compile.log") as file:
            self.assertEqual(file.read().strip().splitlines()[-1], NOTHING)
        self.assertEqual((products(), host()), self.before)
        return done.stdout

    def test_build(self):
        self.need_built(*os.environ.get("UFS_TARGETS", "").split())
        said = self.succeed(SOURCE + "/tools/setup/build", "--test", BUILD)
        self.assertNotIn("installing", said)
        self.assertIn("is already in", said)

    def test_quickstart(self):
        self.need_built("ufs")
        demo = tempfile.mkdtemp(prefix="ufs-quickstart.",
                                dir=os.environ.get("UFS_TEST_DIR", "/var/tmp"))
        mnt = demo + "/mnt"
        self.addCleanup(shutil.rmtree, demo)
        self.addCleanup(lambda: mnt in mount_points() and run("umount", "-l", mnt))
        # The second finds the first one's mount in its way.
        for _ in range(2):
            said = self.succeed(SOURCE + "/tools/quickstart", demo)
            self.assertIn("hello from the app layer", said)
            self.assertIn(mnt, mount_points())
            with open(mnt + "/etc/app.conf") as file:
                self.assertEqual(file.read(), "greeting = hello\ngreeting = good morning\n")
            self.assertEqual(sorted(os.listdir(demo + "/upper")), ["etc", "usr"])
            self.assertFalse(os.path.lexists(mnt + "/etc/debian_version"))
        done = run(BUILD + "/tools/ufs", "umount", mnt)
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertNotIn(mnt, mount_points())


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root: it makes namespaces and mounts")
        sys.exit(SKIPPED)
    if os.environ.get("UFS_AGAIN_TEST_INSIDE") != "1":
        os.environ["UFS_AGAIN_TEST_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--net", "--mount", "--pid", "--fork",
                              "--mount-proc", "--kill-child", "--propagation",
                              "private", sys.executable, "-B", *sys.argv])
    # Where ufs keeps what it knows of its mounts.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"], check=True)
    result = unittest.main(exit=False, verbosity=2).result
    sys.exit(1 if not result.wasSuccessful() else
             SKIPPED if len(result.skipped) >= result.testsRun else 0)
