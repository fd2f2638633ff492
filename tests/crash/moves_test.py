"""Kills the daemon between the two steps of a move where the upper is on the host's
overlayfs over several file systems, which lists other numbers of directories than
stat tells, and gives them new ones when it is mounted again."""
import errno
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "cli"))
import harness  # noqa: E402
from harness import CliTest, run, wait_until  # noqa: E402

DEAD = (errno.ENOTCONN, errno.ECONNABORTED, errno.ECANCELED, errno.EINTR)


class OnOverlayfs(CliTest):
    def setUp(self):
        super().setUp()
        for name in ("dir/from", "dir/to"):
            self.write("base/" + name, name)
        for name in ("lower", "upper"):
            run("mount", "-t", "tmpfs", "tmpfs", self.make_dir(name))
        for name in ("lower/host/up/dir", "upper/up", "upper/work", "host"):
            self.make_dir(name)
        self.mount_host()

    def mount_host(self):
        done = run("mount", "-t", "overlay", "overlay", "-o",
                   f"lowerdir={self.at('lower/host')},upperdir={self.at('upper/up')},"
                   f"workdir={self.at('upper/work')},xino=off", self.at("host"))
        if done.returncode != 0:
            self.skipTest(done.stderr)

    def mount_it(self, fault=""):
        return self.ufs(
            "mount",
            "--upper", self.at("host/up"), "--work", self.at("host/work"), "-o",
            "transport=classic,whiteout=xattr,userxattr", self.base, self.mnt,
            env={**os.environ, "UFS_FAULT": fault})  # it may warn

    def kill_in_between(self):
        self.mount_it("rename.replaced:kill")
        with open(self.at("mnt/dir/to"), "a") as file:
            file.write("+")
        with self.assertRaises(OSError) as raised:
            os.rename(self.at("mnt/dir/from"), self.at("mnt/dir/to"))
        self.assertIn(raised.exception.errno, DEAD)
        self.assertTrue(wait_until(lambda: not harness.daemons(self.dir)))
        self.umount()

    def test_numbers_are_those_of_stat(self):
        self.kill_in_between()
        listed = {entry.name: entry.inode() for entry in os.scandir(self.at("host/up"))}
        if listed["dir"] == os.stat(self.at("host/up/dir")).st_ino:
            self.skipTest("this host lists the numbers of stat")
        done = self.mount_it()
        self.assertEqual(done.stderr, "")
        self.assertEqual(os.listdir(self.at("mnt/dir")), ["to"])
        self.assertEqual(self.read("mnt/dir/to"), "dir/from")

    def test_new_numbers_are_told_of(self):
        self.kill_in_between()
        # The kernel still has to close what the daemon had open.
        self.assertTrue(wait_until(
            lambda: run("umount", self.at("host")).returncode == 0))
        self.mount_host()
        for number in range(10):  # it counts those that it comes by
            os.stat(self.make_dir(f"host/{number}"))
        done = self.mount_it()
        self.assertIn("as it renamed from to to: no directory has the number",
                      done.stderr)
        self.assertEqual(sorted(os.listdir(self.at("mnt/dir"))), ["from", "to"])
        self.umount()
        self.assertEqual(self.mount_it().stderr, "")


if __name__ == "__main__":
    harness.main()
