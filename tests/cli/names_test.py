"""Other names and other ways: mount(8), fstab, fuse-overlayfs, and every way to
unmount."""
import json
import os
import re
import unittest

import harness
from harness import CliTest, mounts, run

MANUALS = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../tools/man")


class FuseOverlayfs(CliTest):
    def test_mounts_as_podman_calls_it(self):
        for name in ("up", "wk"):
            self.make_dir(name)
        done = run(self.called_as("fuse-overlayfs"), "-o",
                   f"lowerdir={self.app}:{self.base},upperdir={self.at('up')},"
                   f"workdir={self.at('wk')},,volatile", self.mnt)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.read("mnt/both"), "app")
        self.assertEqual(mounts()[self.mnt][2], "fuse-overlayfs")
        self.umount()
        self.assert_gone()

    def test_unknown_options_are_ignored_as_by_the_original(self):
        done = run(self.called_as("fuse-overlayfs"), "-o",
                   f"lowerdir={self.base},frobnicate", self.mnt)
        self.assertEqual(done.returncode, 0)
        self.assertIn("unknown option ignored: frobnicate", done.stderr)
        self.assert_mounted()

    def test_version_and_help(self):
        for word in ("--version", "-V", "--help"):
            done = run(self.called_as("fuse-overlayfs"), word)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("fuse-overlayfs", done.stdout)


class Mount8(CliTest):
    def in_namespace(self, script):
        """Runs a script where mount(8) finds the helper: in /sbin alone."""
        tmp = self.make_dir("sbin")
        run("mount", "-t", "tmpfs", "tmpfs", tmp)
        for name in ("upper", "work"):
            os.mkdir(f"{tmp}/{name}")
        os.symlink(harness.UFS, f"{tmp}/upper/mount.fuse.ufs")
        return run("unshare", "-m", "sh", "-ec",
                   f"mount -t overlay -o lowerdir=/usr/sbin,upperdir={tmp}/upper,"
                   f"workdir={tmp}/work overlay /usr/sbin; {script}")

    def test_mount_and_umount(self):
        done = self.in_namespace(
            f"mount -t fuse.ufs name {self.mnt} -o lowerdir={self.app}:{self.base}"
            f"; cat {self.mnt}/both; grep -c '^name {self.mnt} fuse.ufs '"
            f" /proc/mounts; umount {self.mnt}")
        self.assertEqual((done.returncode, done.stdout, done.stderr),
                         (0, "app1\n", ""))

    @unittest.skipUnless(os.path.exists("/usr/sbin/mount.fuse3"), "no mount.fuse3")
    def test_without_a_helper_of_our_own(self):
        """mount.fuse3 then calls what is on the PATH."""
        bin_dir = os.path.dirname(self.called_as("ufs"))
        done = run("unshare", "-m", "sh", "-ec",
                   f"mount --bind {bin_dir} /usr/local/bin;"
                   f"mount -t fuse.ufs name {self.mnt} -o lowerdir={self.app}:{self.base};"
                   f"cat {self.mnt}/both; grep -c '^name {self.mnt} fuse.ufs ' /proc/mounts;"
                   f"umount {self.mnt}")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "app1\n", ""))
        self.assert_gone()
        done = self.ufs("frobnicate", self.mnt, "-o")
        self.assertIn("unknown verb 'frobnicate'", done.stderr)

    def test_fstab_line(self):
        second = self.make_dir("second")
        self.write("fstab",
                   f"ufs {self.mnt} fuse.ufs lowerdir={self.base},"
                   "nofail,noauto,x-test 0 0\n"
                   f"other {second} fuse.ufs lowerdir={self.app}:{self.base},"
                   f"upperdir={self.make_dir('up')},defaults 0 0\n")
        done = self.in_namespace(
            f"mount --bind {self.at('fstab')} /etc/fstab; mount {self.mnt};"
            f"cat {self.mnt}/both; umount {self.mnt}; mount -a;"
            f"! mountpoint -q {self.mnt}; cat {second}/both; echo new >{second}/f;"
            f"mount -a; umount {second}; cat {self.at('up')}/f")
        self.assertEqual((done.returncode, done.stdout, done.stderr),
                         (0, "baseappnew\n", ""))
        self.assert_gone()

    def test_exit_codes_of_a_helper(self):
        helper = self.called_as("mount.fuse.ufs")
        for code, *arguments in (
                (1, "name"), (1, "name", self.mnt, "-o", "lowerdri=/a"),
                (32, "name", self.mnt, "-o", "lowerdir=" + self.at("none")),
                (0, "name", self.mnt, "-f", "-o", "lowerdir=" + self.base)):
            self.assertEqual(run(helper, *arguments).returncode, code, arguments)
            self.assertNotIn(self.mnt, mounts())


class Unmounting(CliTest):
    def test_every_way_ends_the_daemon(self):
        for words in (["umount"], ["umount", "-l"], ["fusermount3", "-u"],
                      [harness.UFS, "umount"], [harness.UFS, "umount", "--lazy"]):
            with self.subTest(words):
                self.mount("--upper", self.at("up"), self.base, self.mnt)
                self.assertEqual(run(*words, self.mnt).returncode, 0)
                self.assert_gone()

    def test_waits_for_the_daemon(self):
        for _ in range(5):
            self.mount("--upper", self.at("up"), self.base, self.mnt)
            self.write("mnt/new", "x" * 100_000)
            self.umount()
            self.assertEqual(harness.daemons(self.dir), [])

    def test_refusals(self):
        done = self.ufs("umount", self.mnt)
        self.assertEqual(done.returncode, 1)
        self.assertIn("nothing is mounted here", done.stderr)
        self.mount("--ro", self.base, self.mnt)
        with open(self.at("mnt/both")):
            done = self.ufs("umount", self.mnt)
            self.assertEqual(done.returncode, 1)
            self.assertIn("in use", done.stderr)


class StatAndDiff(CliTest):
    def test_stat(self):
        self.mount("--upper", self.at("up"), self.base, self.app, self.mnt)
        text = self.ufs("stat", self.mnt)
        self.assertEqual((text.returncode, text.stderr), (0, ""))
        for word in (self.base, self.app, self.at("up"), "transport",
                     "data path", "p99", "copy-ups", "inodes", "memory"):
            self.assertIn(word, text.stdout)
        report = json.loads(self.ufs("stat", "--json", self.mnt).stdout)
        self.assertEqual(report["union"]["layers"], [self.base, self.app])

    def test_manual_tells_every_field_of_stat(self):
        self.mount("--ro", self.base, self.mnt)
        with open(MANUALS + "/ufs.1") as file:
            told = set(re.findall(r"\w+", file.read().split(".SH JSON")[1]
                                  .split(".SH ")[0]))

        def fields(value):
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, dict):
                    for key, inner in part.items():
                        yield key
                        yield from fields(inner)

        report = json.loads(self.ufs("stat", "--json", self.mnt).stdout)
        self.assertEqual(set(fields(report)) - told, set())

    def test_the_manual_has_every_mount_option(self):
        with open(MANUALS + "/ufs-mount.8") as file:
            told = set(re.findall(r"[\w+]+", file.read().split(".SH MOUNT OPTIONS")[1]))
        listed = self.ufs("mount", "--help").stdout.split("Mount options (-o)")[1].split("\n\n")[0]
        names = set(re.findall(r"^  ([a-z]\w*\+?)", listed, re.M))
        self.assertGreater(len(names), 30)
        self.assertEqual(names - told, set())

    def test_diff(self):
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        self.write("mnt/new", "x")
        os.remove(self.at("mnt/both"))
        os.rename(self.at("mnt/only-base"), self.at("mnt/moved"))
        expected = "D /both\nR /only-base -> /moved\nA /new\n"
        self.assertEqual(self.ufs("diff", self.mnt).stdout, expected)
        self.umount()
        self.assertEqual(self.ufs("diff", "--layer", self.base,
                                  self.at("up")).stdout, expected)


if __name__ == "__main__":
    harness.main()
