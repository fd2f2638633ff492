"""Kills the daemon while something of the upper is not its own: the mode of what an
ordinary user's daemon needs for one call, or a file flag (chattr) that forbids the
host what the union allows. The next mount sets it right."""
import errno
import fcntl
import os
import shutil
import struct
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "cli"))
import harness  # noqa: E402
from harness import CliTest, run, wait_until  # noqa: E402

FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602
IMMUTABLE, APPEND = 0x10, 0x20
DEAD = (errno.ENOTCONN, errno.ECONNABORTED, errno.ECANCELED, errno.EINTR)


def flags_of(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return struct.unpack("l", fcntl.ioctl(fd, FS_IOC_GETFLAGS, bytes(8)))[0]
    finally:
        os.close(fd)


def set_flags(path, wanted):
    fd = os.open(path, os.O_RDONLY)
    try:
        flags = flags_of(path) & ~(IMMUTABLE | APPEND) | wanted
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("l", flags))
    finally:
        os.close(fd)


def fixing(path):
    return flags_of(path) & (IMMUTABLE | APPEND)


class Lent(CliTest):
    def setUp(self):
        super().setUp()
        self.write("base/dir/low", "low")
        self.write("base/dir/gone", "gone")

    def notes(self):
        return os.listdir(self.at("up.work/ufs/lent"))

    def kill_in(self, operation):
        """The daemon has an order to die in it."""
        try:
            operation()
        except OSError as error:
            self.assertIn(error.errno, DEAD)
        self.assertTrue(wait_until(lambda: not harness.daemons(self.dir)))
        self.umount()


class Flags(Lent):
    def tearDown(self):
        for parent, directories, files in os.walk(self.at("up")):
            for name in directories + files:
                path = os.path.join(parent, name)
                if os.path.isdir(path) or os.path.isfile(path):
                    set_flags(path, 0)

    def mount_it(self, fault="", options="rw"):
        # Over io_uring the callers of a dead daemon hang.
        self.mount("--upper", self.at("up"), "-o",
                   "transport=classic," + options, self.base, self.mnt,
                   env={**os.environ, "UFS_FAULT": fault})

    def check(self, path, flag, operation, options="rw"):
        """`operation` needs `flag` of `path` lifted."""
        for point, lifted in (("lent.noted", False), ("lent.flags", True),
                              ("lent.back", False)):
            with self.subTest(point):
                self.mount_it(point + ":kill", options)
                self.kill_in(operation)
                self.assertEqual(fixing(self.at("up/" + path)),
                                 0 if lifted else flag, "that is the point of it")
                self.assertNotEqual(self.notes(), [])
                self.mount_it()
                self.assertEqual(fixing(self.at("mnt/" + path)), flag)
                self.assertEqual(fixing(self.at("up/" + path)), flag)
                self.assertEqual(self.notes(), [])
                self.umount()
        self.mount_it(options=options)
        operation()
        self.assertEqual(fixing(self.at("mnt/" + path)), flag)
        self.umount()
        self.assertEqual(self.notes(), [])

    def test_of_a_directory_that_a_file_comes_up_into(self):
        for flag in (IMMUTABLE, APPEND):
            with self.subTest(flag):
                self.mount_it()
                set_flags(self.at("mnt/dir"), flag)
                self.umount()
                name = self.make_low()
                self.check("dir", flag,
                           lambda: os.chmod(self.at("mnt/dir/" + name), 0o600))
                set_flags(self.at("up/dir"), 0)

    def make_low(self):
        """A file of the layer that is not in the upper yet."""
        return next(name for name in ("low", "gone")
                    if not os.path.lexists(self.at("up/dir/" + name)))

    def test_of_a_directory_above_others(self):
        self.write("base/a/b/c/low", "low")
        self.mount_it()
        set_flags(self.at("mnt/a/b/c"), IMMUTABLE)
        self.umount()
        self.check("a/b/c", IMMUTABLE,
                   lambda: os.chmod(self.at("mnt/a/b/c/low"), 0o600))

    def test_of_a_directory_in_which_a_whiteout_is_replaced(self):
        self.mount_it()
        os.remove(self.at("mnt/dir/gone"))
        set_flags(self.at("mnt/dir"), APPEND)
        self.umount()
        self.check("dir", APPEND, lambda: os.close(os.open(
            self.at("mnt/dir/gone"), os.O_CREAT | os.O_WRONLY)))

    def test_of_the_upper_itself(self):
        self.mount_it()
        set_flags(self.mnt, APPEND)  # one with +i is no place for changes
        self.umount()
        self.addCleanup(lambda: set_flags(self.at("up"), 0))
        self.check(".", APPEND, lambda: os.chmod(self.at("mnt/both"), 0o600))

    def test_of_a_file_that_the_kernel_sends_an_append_to(self):
        self.mount_it()
        self.write("mnt/log", "begin\n")
        set_flags(self.at("mnt/log"), APPEND)
        self.umount()

        def append():
            fd = os.open(self.at("mnt/log"), os.O_WRONLY | os.O_APPEND)
            try:
                os.write(fd, b"more\n")
                os.fsync(fd)
            finally:
                os.close(fd)

        self.check("log", APPEND, append, "writeback=1")
        self.assertTrue(self.read("up/log").startswith("begin\n"))

    def test_killed_again_while_it_is_set_right(self):
        self.mount_it()
        set_flags(self.at("mnt/dir"), IMMUTABLE)
        self.umount()
        self.mount_it("lent.flags:kill")
        self.kill_in(lambda: os.chmod(self.at("mnt/dir/low"), 0o600))
        done = self.ufs("mount", "--upper", self.at("up"), self.base, self.mnt,
                        env={**os.environ, "UFS_FAULT": "lent.set_right:kill"})
        self.assertNotEqual(done.returncode, 0)
        self.mount_it()
        self.assertEqual(fixing(self.at("mnt/dir")), IMMUTABLE)
        self.assertEqual(self.notes(), [])

    def test_a_note_that_means_nothing(self):
        self.mount_it()
        os.chmod(self.at("mnt/dir/low"), 0o600)
        self.umount()
        for name, target in (("mode-", "0"), ("mode-xyz", "600"), ("flags-1", "x"),
                             ("other", "7"), ("mode-ffffffffffff", "180"),
                             # The number is that of a file that is older.
                             (f"mode-{os.stat(self.at('up/dir/low')).st_ino:x}",
                              "1ff/7")):
            os.symlink(target, self.at("up.work/ufs/lent/" + name))
        self.write("up.work/ufs/lent/mode-2", "no link")
        done = self.ufs("mount", "--upper", self.at("up"), self.base, self.mnt)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"ufs: warning: .* number 281474976710655, "
                         r"which is not found; .* have mode 0600\n")
        self.assertIn("have mode 0777\n", done.stderr)
        self.assertEqual(done.stderr.count("warning"), 2, done.stderr)
        self.assertEqual(os.stat(self.at("mnt/dir/low")).st_mode, 0o100600)
        self.assertEqual(self.notes(), [])


@unittest.skipUnless(shutil.which("fusermount3"), "needs fuse3")
class Modes(Lent):
    """Of an ordinary user, whom the mode of his own file binds."""

    def setUp(self):
        super().setUp()
        harness.let_a_user_mount(self)
        for path in (self.dir, self.base, self.at("base/dir"),
                     self.at("base/dir/low")):
            shutil.chown(path, self.user.name, self.user.name)

    def as_him(self, *command):
        return run(*self.user.command(*command))

    def ufs(self, *arguments, **_):
        return self.as_him(self.program, *arguments)

    def mount_it(self, fault=""):
        done = self.as_him("env", "UFS_FAULT=" + fault, self.program, "mount",
                           "-o", "transport=classic", "--upper", self.at("up"),
                           self.base, self.mnt)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_of_a_directory_that_a_file_comes_up_into(self):
        os.chmod(self.at("base/dir"), 0o555)
        self.mount_it()
        done = self.as_him("touch", self.mnt + "/dir")  # copies it up
        self.assertEqual(done.stderr, "")
        self.umount()
        for point, lent in (("lent.noted", False), ("lent.mode", True),
                            ("lent.back", False)):
            with self.subTest(point):
                self.mount_it(point + ":kill")
                self.kill_in(lambda: self.as_him("chmod", "600",
                                                 self.mnt + "/dir/low"))
                mode = os.stat(self.at("up/dir")).st_mode & 0o777
                self.assertEqual(mode, 0o755 if lent else 0o555,
                                 "that is the point of it")
                self.assertNotEqual(self.notes(), [])
                self.mount_it()
                mode = os.stat(self.at("up/dir")).st_mode & 0o777
                self.assertEqual(mode, 0o555)
                self.assertEqual(self.notes(), [])
                self.umount()
        self.mount_it()
        self.assertEqual(self.as_him("chmod", "600", self.mnt + "/dir/low").stderr, "")
        self.umount()
        self.assertEqual(self.notes(), [])


if __name__ == "__main__":
    harness.main()
