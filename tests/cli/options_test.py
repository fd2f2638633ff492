"""Options, each by what it does to a mount; and ufs stat, which shows it."""
import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import unittest

import harness
from harness import UFS, CliTest, as_user, mounts, run, wait_until


class OptionTest(CliTest):
    def mount_with(self, options, upper="up"):
        self.mount("--upper", self.at(upper), "-o", options, self.base, self.mnt)

    def report(self):
        return json.loads(self.ufs("stat", "--json", self.mnt).stdout)

    def owner(self, name):
        shown = os.lstat(self.at(name))
        return shown.st_uid, shown.st_gid

    def assert_errno(self, number, call, *arguments):
        with self.assertRaises(OSError) as raised:
            call(*arguments)
        self.assertEqual(raised.exception.errno, number)


class Owners(OptionTest):
    def test_mappings_go_both_ways(self):
        os.chown(self.at("base/both"), 5, 6)
        os.chmod(self.base, 0o777)
        self.mount_with("uidmapping=0:100000:1000,gidmapping=0:200000:1000")
        self.assertEqual(self.owner("mnt/both"), (100005, 200006))
        os.chown(self.at("mnt/both"), 100007, 200008)
        self.assertEqual(self.owner("up/both"), (7, 8), "on the host")
        done = run("setpriv", "--reuid=100009", "--regid=200010",
                   "--clear-groups", "touch", self.at("mnt/new"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.owner("mnt/new"), (100009, 200010))
        self.assertEqual(self.owner("up/new"), (9, 10), "on the host")
        self.umount()
        self.mount_with("uidmapping=0:100000:1000,gidmapping=0:200000:1000")
        self.assertEqual(self.owner("mnt/both"), (100007, 200008))
        self.assertEqual(self.owner("mnt/new"), (100009, 200010))

    def test_an_owner_outside_of_the_mapping_is_kept_in_an_xattr(self):
        self.mount_with("uidmapping=0:100000:1000")
        os.chown(self.at("mnt/both"), 55, 66)
        self.assertEqual(self.owner("mnt/both"), (55, 66))
        self.assertNotEqual(self.owner("up/both"), (55, 66))

    def test_squashed_owners_stay(self):
        self.mount_with("squash_to_uid=7,squash_to_gid=8")
        self.write("mnt/new", "x")
        os.chown(self.at("mnt/both"), 1, 2)
        for name in ("mnt/new", "mnt/both", "mnt/only-base", "mnt"):
            self.assertEqual(self.owner(name), (7, 8), name)

    def test_xattr_permissions(self):
        self.mount_with("xattr_permissions=2")
        os.chown(self.at("mnt/both"), 5, 6)
        os.chmod(self.at("mnt/both"), 0o4750)
        os.mkdir(self.at("mnt/dir"))
        os.chmod(self.at("mnt/dir"), 0o1777)

        def check():
            self.assertEqual(self.owner("mnt/both"), (5, 6))
            self.assertEqual(os.stat(self.at("mnt/both")).st_mode, 0o104750)
            self.assertEqual(os.stat(self.at("mnt/dir")).st_mode, 0o41777)

        check()
        self.umount()
        self.assertEqual(self.owner("up/both"), (0, 0), "the host's is ours")
        self.assertEqual(
            os.getxattr(self.at("up/both"), "user.containers.override_stat"),
            b"5:6:4750:file")
        self.mount_with("timeout=3")
        check()
        self.umount()
        self.mount("--ro", self.base, self.at("up"), self.mnt)
        check()

    def test_noacl(self):
        self.mount_with("noacl")
        self.assert_errno(errno.EOPNOTSUPP, os.setxattr, self.at("mnt/both"),
                          "system.posix_acl_access", b"\2\0\0\0")
        self.umount()
        self.mount_with("acl")
        done = run("setfacl", "-m", "u:1234:r", self.at("mnt/both"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_noxattrs(self):
        os.setxattr(self.at("base/both"), "user.k", b"v")
        self.mount_with("noxattrs=1")
        both = self.at("mnt/both")
        self.assert_errno(errno.EOPNOTSUPP, os.getxattr, both, "user.k")
        self.assert_errno(errno.EOPNOTSUPP, os.setxattr, both, "user.k", b"w")
        self.write("mnt/both", "copied up")
        os.rename(both, self.at("mnt/moved"))
        self.umount()
        self.mount_with("noxattrs=0")
        self.assertEqual(os.getxattr(self.at("mnt/moved"), "user.k"), b"v")


class Copying(OptionTest):
    def setUp(self):
        super().setUp()
        self.write("base/dir/file", "x")
        os.link(self.at("base/both"), self.at("base/twin"))

    def marks(self, name):
        return [mark for mark in os.listxattr(self.at(name))
                if mark.startswith("trusted.overlay.")]

    def test_metacopy(self):
        for value in ("on", "off"):
            with self.subTest(value):
                up = "up-" + value
                self.mount_with("metacopy=" + value, upper=up)
                os.chmod(self.at("mnt/only-base"), 0o600)
                self.assertEqual(self.read("mnt/only-base"), "1")
                self.umount()
                self.assertEqual("trusted.overlay.metacopy" in
                                 self.marks(up + "/only-base"), value == "on")
                if value == "off":
                    self.assertEqual(self.read(up + "/only-base"), "1")

    def test_redirect_dir(self):
        for value in ("off", "follow", "nofollow"):
            self.mount_with("redirect_dir=" + value, upper="up-" + value)
            self.assert_errno(errno.EXDEV, os.rename, self.at("mnt/dir"),
                              self.at("mnt/moved"))
            self.umount()
        self.mount_with("redirect_dir=on")
        os.rename(self.at("mnt/dir"), self.at("mnt/moved"))
        self.umount()
        for value, names in (("on", ["file"]), ("follow", ["file"]),
                             ("off", ["file"]), ("nofollow", [])):
            with self.subTest(value):
                self.mount_with("redirect_dir=" + value)
                self.assertEqual(os.listdir(self.at("mnt/moved")), names)
                self.umount()

    def test_hard_links_survive_whatever_the_index_option_says(self):
        for value in ("on", "off"):
            with self.subTest(value):
                self.mount_with("index=" + value, upper="up-" + value)
                with open(self.at("mnt/both"), "a") as file:
                    file.write("new")
                self.assertEqual(self.read("mnt/both"), "basenew")
                self.umount()
                self.mount_with("index=" + value, upper="up-" + value)
                self.assertEqual(self.read("mnt/both"), "basenew")
                self.assertEqual(self.read("mnt/twin"), "basenew")
                self.umount()

    @unittest.skipUnless(shutil.which("strace"), "needs strace")
    def test_strict_syncs_the_upper_at_the_unmount(self):
        for value, times in (("strict", 1), ("auto", 0)):
            with self.subTest(value):
                log = self.at("syncs-" + value)
                process = subprocess.Popen(
                    ["strace", "-f", "-qq", "-e", "trace=syncfs", "-o", log, UFS,
                     "mount", "-f", "--upper", self.at("up"), "-o",
                     "fsync=" + value, self.base, self.mnt])
                self.addCleanup(process.kill)
                self.assertTrue(wait_until(lambda: self.mnt in mounts()))
                self.write("mnt/new", "x")
                self.umount()
                self.assertEqual(process.wait(harness.PATIENCE), 0)
                self.assertEqual(self.read(log).count("syncfs("), times)


class Access(OptionTest):
    def read_as_user(self):
        return run(*as_user("cat", self.at("mnt/both"))).stdout

    def test_allow_other_is_roots_default(self):
        self.mount_with("rw")
        self.assertEqual(self.read_as_user(), "base")
        self.assertIn("allow_other", mounts()[self.mnt][1])

    def test_allow_root_keeps_others_out_of_roots_mount(self):
        self.mount_with("allow_root")
        self.assertEqual(self.read_as_user(), "")
        self.assertEqual(self.read("mnt/both"), "base")
        self.assertNotIn("allow_other", mounts()[self.mnt][1])

    def test_kernel_flags(self):
        os.symlink("both", self.at("base/link"))
        self.mount_with("nosymfollow,nodev,nosuid,noexec,sync,dirsync,nodiratime")
        for flag in ("nosymfollow", "nodev", "nosuid", "noexec", "sync",
                     "dirsync", "nodiratime"):
            self.assertIn(flag, mounts()[self.mnt][1])
        self.assert_errno(errno.ELOOP, open, self.at("mnt/link"))

    def test_type_and_source(self):
        self.mount_with("subtype=special,fsname=name")
        kind, _, source = mounts()[self.mnt]
        self.assertEqual((kind, source), ("fuse.special", "name"))
        self.umount()
        self.assert_gone()

    def test_labels_have_no_effect_where_there_is_no_selinux(self):
        """As with mount(8), which leaves them out, but not in silence."""
        if os.path.exists("/sys/fs/selinux/enforce"):
            self.skipTest("has SELinux; see tests/container/selinux_test.py")
        done = self.ufs("mount", "--upper", self.at("up"),
                        "-o", 'context="system_u:object_r:tmp_t:s0:c1,c2",'
                        "fscontext=x:y:z,rootcontext=x:y:z", self.base, self.mnt)
        self.assertEqual((done.returncode, done.stderr), (0, "".join(
            f"ufs mount: option '{name}' has no effect: SELinux is not enabled in this kernel\n"
            for name in ("context", "fscontext", "rootcontext"))))
        self.assertEqual(self.read("mnt/both"), "base")


class Daemon(OptionTest):
    def messages(self):
        return {kind["message"]: kind["count"]
                for kind in self.report()["messages"]}

    def test_timeout(self):
        for timeout, stays in ((1000, True), (0, False)):
            with self.subTest(timeout):
                self.mount_with(f"timeout={timeout}")
                os.stat(self.at("mnt/both"))
                before = self.messages()
                for _ in range(10):
                    os.stat(self.at("mnt/both"))
                self.assertEqual(self.messages() == before, stays)
                self.umount()

    def test_fsync(self):
        for given, shown in (("1", "auto"), ("auto", "auto"),
                             ("strict", "strict"), ("0", "volatile")):
            with self.subTest(given):
                self.mount_with("fsync=" + given, upper="up" + given)
                self.assertEqual(self.report()["union"]["durability"], shown)
                with open(self.at("mnt/new"), "w") as file:
                    for _ in range(10):
                        os.fsync(file.fileno())
                        os.fdatasync(file.fileno())
                # Of what syncs nothing the kernel hears once.
                self.assertEqual(self.messages()["FSYNC"], 1 if shown == "volatile" else 20)
                self.umount()

    def test_threads(self):
        for option, expected in (("threaded=0", 1), ("max_threads=3", 3)):
            with self.subTest(option):
                self.mount_with("transport=classic," + option)
                self.assertEqual(self.report()["threads"]["readers"], expected)
                self.assertEqual(self.read("mnt/both"), "base")
                self.umount()

    def data_path(self):
        path = self.report()["data_path"]
        return path["used"].split()[0], path["reason"]

    def test_passthrough(self):
        for option in ("passthrough=1", "passthrough=auto"):
            with self.subTest(option):
                self.mount_with(option)
                self.assertEqual(self.data_path(), ("passthrough", ""))
                self.write("mnt/new", "text")
                self.assertEqual(self.read("up/new"), "text")
                self.umount()
        for option, reason in (("passthrough=0", "not asked for"),
                               ("passthrough=auto,writeback=1", "writeback")):
            with self.subTest(option):
                self.mount_with(option)
                used, why = self.data_path()
                self.assertEqual(used, "page")
                self.assertIn(reason, why)
                self.umount()

    def test_passthrough_that_cannot_be_had(self):
        stacked = self.at("stacked")
        os.mkdir(stacked)
        for name in ("below", "over", "overwork"):
            os.mkdir(self.at(name))
        run("mount", "-t", "overlay", "overlay", "-o",
                    "lowerdir={},upperdir={},workdir={}".format(
                        *map(self.at, ("below", "over", "overwork"))), stacked)
        self.addCleanup(run, "umount", stacked)
        arguments = ["--upper", self.at("stacked/up"), self.base, self.mnt]
        done = run(UFS, "mount", "-o", "passthrough=1", *arguments)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("passthrough=1: the upper lies on", done.stderr)
        self.assertNotIn(self.mnt, mounts())
        self.mount("-o", "passthrough=auto", *arguments)
        self.assertIn("overlayfs", self.data_path()[1])

    def test_passthrough_without_an_upper_asks_for_nothing(self):
        self.mount("--ro", "-o", "passthrough=1", self.base, self.mnt)
        self.assertIn("no upper", self.data_path()[1])

    def test_auto_unmount_after_a_kill(self):
        self.mount_with("auto_unmount")
        pid = min(int(line.split(":")[0]) for line in harness.daemons(self.dir))
        os.kill(pid, signal.SIGKILL)
        self.assertTrue(wait_until(lambda: self.mnt not in mounts()))
        self.assert_gone()
        self.mount_with("auto_unmount")
        self.assertEqual(self.read("mnt/both"), "base")

    def test_auto_unmount_leaves_nothing_otherwise(self):
        for words in (["umount"], [UFS, "umount"]):
            self.mount_with("auto_unmount")
            self.assertEqual(run(*words, self.mnt).returncode, 0)
            self.assert_gone()
        done = self.ufs("mount", "-o", "auto_unmount", "--upper",
                        self.at("up"), "--work", "/run", self.base, self.mnt)
        self.assert_refused(done, "file system")


class Watching(OptionTest):
    def watch(self, *arguments):
        process = subprocess.Popen(
            [UFS, "stat", "--watch", "--interval", "0.05", *arguments, self.mnt],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_prints_until_it_is_unmounted(self):
        self.mount_with("rw")
        process = self.watch("--json")
        reports = [json.loads(process.stdout.readline()) for _ in range(3)]
        self.assertEqual([r["mountpoint"] for r in reports], [self.mnt] * 3)
        self.assertLess(reports[0]["uptime_s"], reports[2]["uptime_s"])
        self.umount()
        rest, errors = process.communicate(timeout=harness.PATIENCE)
        self.assertEqual((process.returncode, errors), (0, ""))
        for line in rest.splitlines():
            json.loads(line)

    def test_text_shows_what_happens(self):
        self.mount_with("rw")
        process = self.watch()
        self.write("mnt/both", "copied up")
        for _ in range(2000):  # lines
            line = process.stdout.readline()
            if "copy-ups" in line and "1 whole" in line:
                break
        else:
            self.fail("the copy-up did not show")

    def test_nothing_to_tell(self):
        done = self.ufs("stat", self.mnt)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn(self.mnt, done.stderr)

    def test_sees_special_files_too(self):
        self.mount_with("rw")
        os.mkfifo(self.at("mnt/pipe"))
        os.mknod(self.at("mnt/node"), 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        self.assertGreaterEqual(
            {kind["message"]: kind["count"]
             for kind in self.report()["messages"]}["MKNOD"], 2)


if __name__ == "__main__":
    harness.main()
