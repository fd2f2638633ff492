"""An ordinary user on the host, without a user namespace: fusermount3 mounts,
and what the host does not let the user set is kept in xattrs."""
import os
import shutil
import stat
import unittest

import harness
from harness import CliTest, mounts, run

# In a user namespace, with the layer $3 below $4.upper: what a file's ACL says,
# that it can be entered, changed and copied up.
ACLS = r"""
set -e
$1 mount --upper $2/up-$4 $3 $2/mnt
getfacl -ncpE $2/mnt/both; cat $2/mnt/both; echo; test -r $2/mnt/both
getfacl -ncpE $2/mnt/dir; ls $2/mnt/dir
chmod 640 $2/mnt/both; echo more >>$2/mnt/both; touch $2/mnt/dir/new
getfacl -ncpE $2/mnt/both
$1 umount $2/mnt
"""

KNOWN_ACLS = """
user::rw- group::r-- mask::rwx other::r-- base
user::rwx group::r-x mask::r-x other::r-x
default:user::rwx default:group::r-x default:mask::rwx default:other::r-x file
user::rw- group::r-- mask::r-- other::---
""".split()

# In a user namespace. In between "dir" of the upper gets an ACL.
EMPTY = r"""
set -e
$1 mount --upper $2/up-acl $3 $2/mnt
rm $2/mnt/dir/file; mkdir $2/mnt/new; touch $2/mnt/new/new
$1 umount $2/mnt
"""
RENAME_OVER = r"""
set -e
$1 mount --upper $2/up-acl $3 $2/mnt
mv -T $2/mnt/new $2/mnt/dir; ls $2/mnt/dir
$1 umount $2/mnt
"""

# What a user may do with files of his in a union over layers of root's.
WORK = r"""
import os, stat, sys
os.chdir(sys.argv[1])
assert open("both").read() == "base"
with open("both", "a") as file: file.write("+")        # copies up
os.chmod("only-base", 0o600)
os.rename("dir", "moved")
os.remove("gone")
os.symlink("both", "link"); os.mkfifo("pipe")
os.link("both", "hard"); os.setxattr("both", "user.k", b"v")
open("new", "w").close()
"""

# What their owner may do with files of 0444 and directories of 0555.
FORBIDDEN = r"""
import os, sys
os.chdir(sys.argv[1])
os.chmod("changed", 0o644)
os.rename("moved", "g")
os.utime("touched")
os.chmod("dir", 0o755)
os.chmod("fixed/file", 0o600)
half = os.open("half", os.O_RDWR)
os.pwrite(half, b"x", 0)
os.fchmod(half, 0o444)
os.pwrite(half, b"y", 1)
os.fsync(half)
"""


@unittest.skipUnless(shutil.which("fusermount3"), "needs fuse3")
class OrdinaryUser(CliTest):
    def setUp(self):
        super().setUp()
        harness.let_a_user_mount(self)
        self.up = self.user.home + "/up"
        self.write("base/dir/file", "in a directory")
        self.write("base/gone", "")
        # Layers the user may change: then the union lets him, too.
        for parent, directories, files in os.walk(self.base):
            for name in [".", *directories, *files]:
                shutil.chown(os.path.join(parent, name), self.user.name)

    def fuse_conf(self, text):
        with open("/etc/fuse.conf", "w") as file:
            file.write(text)

    def as_him(self, *command):
        return run(*self.user.command(*command))

    def ufs(self, *arguments, **_):
        return self.as_him(self.program, *arguments)

    def mount_it(self, *options):
        self.mount("--upper", self.up, *options, self.base, self.mnt)

    def python(self, script, *arguments):
        done = self.as_him("/usr/bin/python3", "-c", script, self.mnt, *arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def see(self, *command):
        """What he sees, as text."""
        done = self.as_him(*command)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.strip()

    def test_works_in_it_and_finds_it_again(self):
        self.mount_it()
        kind, options, _ = mounts()[self.mnt]
        self.assertEqual(kind, "fuse.ufs")
        self.python(WORK)

        def check():
            self.assertEqual(self.see("ls", self.mnt), "both\nhard\nlink\nmoved\n"
                             "new\nonly-base\npipe")
            self.assertEqual(self.see("cat", self.mnt + "/both"), "base+")
            self.assertEqual(self.see("cat", self.mnt + "/moved/file"),
                             "in a directory")
            self.assertEqual(self.see("stat", "-c", "%h", self.mnt + "/hard"), "2")
            self.assertEqual(self.see("stat", "-c", "%a", self.mnt + "/only-base"),
                             "600")

        check()
        self.umount()
        self.assert_gone()
        self.assertEqual(self.read("base/both"), "base")
        self.mount_it()
        check()
        self.assertIn(self.base, self.see(self.program, "stat", self.mnt))
        self.assertIn("D /gone", self.see(self.program, "diff", self.mnt))

    def test_changes_what_forbids_writing(self):
        """The mode of his own file or directory binds him, not the union."""
        own = lambda name: shutil.chown(self.at("base/" + name), self.user.name,
                                        self.user.name)
        for name in ("changed", "moved", "touched", "half"):
            self.write("base/" + name, "0123456789" * 1000)
            own(name)  # with the group: nothing is kept in an override
            if name != "half":
                os.chmod(self.at("base/" + name), 0o444)
        self.write("base/fixed/file", "")
        for name, mode in (("fixed/file", 0o444), ("fixed", 0o555), ("dir", 0o555)):
            own(name)
            os.chmod(self.at("base/" + name), mode)
        self.mount_it()
        self.python(FORBIDDEN)
        for _ in range(2):
            self.assertEqual(
                self.see("sh", "-c", "cd $1; stat -c '%a %n' changed dir fixed "
                         "fixed/file g half touched", "sh", self.mnt).split("\n"),
                ["644 changed", "755 dir", "555 fixed", "600 fixed/file", "444 g",
                 "444 half", "444 touched"])
            self.assertEqual(self.see("head", "-c", "3", self.mnt + "/half"), "xy2")
            self.umount()
            self.assert_gone()
            for name in ("fixed", "g", "half", "touched"):
                self.assertFalse(os.stat(f"{self.up}/{name}").st_mode & 0o222, name)
            self.mount_it()

    def test_the_kernel_keeps_nosuid_and_nodev(self):
        for options, words in (([], []), (["-o", "suid,dev"], ["suid", "dev"])):
            done = self.ufs("mount", "--upper", self.up, *options, self.base,
                            self.mnt)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stderr, "".join(
                f"fusermount3: unsafe option {word} ignored\n" for word in words))
            for flag in ("nosuid", "nodev"):
                self.assertIn(flag, mounts()[self.mnt][1])
            self.umount()

    def test_nobody_else_may_enter_unless_allowed(self):
        self.mount_it()
        with self.assertRaises(PermissionError):  # not even root
            os.listdir(self.mnt)
        self.umount()
        done = self.ufs("mount", "--upper", self.up, "-o", "allow_other",
                        self.base, self.mnt)
        self.assertEqual(done.returncode, 1)
        self.assertIn("user_allow_other", done.stderr)
        self.assertNotIn(self.mnt, mounts())

        self.fuse_conf("user_allow_other\n")
        self.mount_it("-o", "allow_other")
        os.chmod(self.user.home, 0o755)
        self.assertEqual(self.read(self.mnt + "/both"), "base")
        done = run(*harness.as_user("cat", self.mnt + "/both"))
        self.assertEqual((done.stdout, done.stderr), ("base", ""))

    def test_what_only_root_could_set_is_kept_and_shown_back(self):
        """Root works in a user's mount: what it sets there the user's daemon
        cannot set on the host."""
        self.fuse_conf("user_allow_other\n")
        os.chmod(self.user.home, 0o755)
        self.mount_it("-o", "allow_other")
        at = lambda name: os.path.join(self.mnt, name)
        os.chown(at("both"), 5, 6)
        os.chmod(at("both"), 0o4711)
        os.mknod(at("null"), 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        os.setxattr(at("both"), "trusted.mine", b"kept")
        os.mkdir(at("sticky"))
        os.chown(at("sticky"), 7, 8)

        def check():
            both, null = os.lstat(at("both")), os.lstat(at("null"))
            self.assertEqual((both.st_uid, both.st_gid, both.st_mode & 0o7777),
                             (5, 6, 0o4711))
            self.assertEqual((null.st_mode, null.st_rdev),
                             (stat.S_IFCHR | 0o600, os.makedev(1, 3)))
            self.assertEqual(os.getxattr(at("both"), "trusted.mine"), b"kept")
            self.assertIn("trusted.mine", os.listxattr(at("both")))
            sticky = os.lstat(at("sticky"))
            self.assertEqual((sticky.st_uid, sticky.st_gid), (7, 8))

        check()
        self.umount()
        he = os.stat(self.user.home).st_uid
        for name in ("both", "null", "sticky"):
            kept = os.lstat(os.path.join(self.up, name))
            self.assertEqual(kept.st_uid, he)
            self.assertFalse(stat.S_ISCHR(kept.st_mode))
            self.assertFalse(kept.st_mode & stat.S_ISUID)
        self.mount_it("-o", "allow_other")
        check()

    def test_every_way_to_unmount(self):
        for words in ([self.program, "umount"], ["fusermount3", "-u"],
                      ["fusermount3", "-u", "-z"]):
            with self.subTest(words):
                self.mount_it()
                self.see(*words, self.mnt)
                self.assert_gone()

    def test_auto_unmount(self):
        self.mount_it("-o", "auto_unmount")
        pid = min(int(line.split(":")[0]) for line in harness.daemons(self.up))
        os.kill(pid, 9)
        self.assertTrue(harness.wait_until(lambda: self.mnt not in mounts()))

    @unittest.skipUnless(shutil.which("setfacl"), "needs acl")
    def test_an_acl_for_ids_that_his_namespace_has_not(self):
        layer = self.user.home + "/layer"
        self.see("cp", "-r", self.base, layer)
        self.see("setfacl", "-m", "u:5:rwx,g:6:r", layer + "/both")
        self.see("setfacl", "-m", "u:5:rx,d:u:5:rwx", layer + "/dir")
        self.see("tar", "--xattrs", "--xattrs-include=*", "--owner=:0", "--group=:0",
                 "-C", layer, "-cf", layer + ".tar", ".")
        self.see(self.program, "layer", "import", layer + ".tar", "--name", "acls")
        for number, words in enumerate((layer, "acls")):
            with self.subTest(words):
                done = self.as_him("unshare", "--user", "--map-root-user", "--mount",
                                   "sh", "-c", ACLS, "sh", self.program,
                                   self.user.home, words, str(number))
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertEqual(done.stdout.split(), KNOWN_ACLS)

    @unittest.skipUnless(shutil.which("setfacl"), "needs acl")
    def test_rename_over_a_directory_with_such_an_acl(self):
        layer = self.user.home + "/layer"
        self.see("cp", "-r", self.base, layer)

        def inside(script):
            done = self.as_him("unshare", "--user", "--map-root-user", "--mount", "sh",
                               "-c", script, "sh", self.program, self.user.home,
                               layer)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            return done.stdout

        inside(EMPTY)
        self.see("setfacl", "-m", "u:5:rwx", self.user.home + "/up-acl/dir")
        self.assertEqual(inside(RENAME_OVER), "new\n")

    def test_a_fresh_upper_is_in_his_home(self):
        done = self.mount(self.base, self.mnt)
        self.assertRegex(done.stdout, f"^upper: {self.user.home}"
                         r"/.local/share/ufs/uppers/mnt\.\w+/upper\n\Z")

    def test_messages(self):
        """Each cause has its own; nothing is left behind."""
        self.make_dir("other")

        def refused(message, *arguments):
            before = self.tree()
            done = self.ufs("mount", *arguments)
            self.assert_refused(done, message)
            self.assertEqual(self.tree(), before)

        done = self.ufs("mount", "-o", "allow_root", "--upper", self.up,
                        self.base, self.mnt)
        self.assert_refused(done, "'allow_root': .*use allow_other", code=2)
        refused(f"no write access to mountpoint {self.at('other')}", "--upper",
                self.up, self.base, self.at("other"))
        os.chmod("/dev/fuse", 0o600)
        refused("/dev/fuse: no permission to open it; as root, 'chmod 666",
                "--upper", self.up, self.base, self.mnt)
        os.chmod("/dev/fuse", 0o666)
        helper = os.path.realpath(shutil.which("fusermount3"))
        run("mount", "--bind", "/dev/null", helper)
        self.addCleanup(run, "umount", helper)
        refused("fusermount3: not found.* install the package fuse3",
                "--upper", self.up, self.base, self.mnt)

    def test_another_user_cannot_unmount_it(self):
        self.mount_it()
        done = run(*harness.as_user(self.program, "umount", self.mnt))
        self.assertEqual(done.returncode, 1)
        self.assert_mounted()


if __name__ == "__main__":
    harness.main()
