"""Uppers that others wrote, and what others see in one of ours."""
import os
import shutil
import unittest

import harness
from harness import CliTest, run

# What a user may do; in the mount.
CHANGE = r"""
set -e
rm gone dir/x; rm -r cut; mkdir cut; echo new >cut/new; echo more >>both
chmod 4750 dir/y; chown 5:6 owned; mv dir/y moved; mv dir/sub dir/sub2
touch made; mkdir dir/made; setfattr -n user.k -v v made
"""
SPECIAL = "ln -s both link; mkfifo pipe\n"


class Foreign(CliTest):
    def setUp(self):
        super().setUp()
        for name in ("gone", "dir/x", "dir/y", "dir/sub/deep", "cut/old", "owned"):
            self.write("base/" + name, name)
        for name in ("up", "wk"):
            self.make_dir(name)
        self.options = (f"lowerdir={self.app}:{self.base},upperdir={self.at('up')},"
                        f"workdir={self.at('wk')}")

    def change(self, words=CHANGE + SPECIAL):
        done = run("sh", "-c", words, cwd=self.mnt)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def seen(self):
        """All of the union but its times."""
        tree = {}
        for parent, directories, files in os.walk(self.mnt):
            for name in directories + files:
                path = os.path.join(parent, name)
                info = os.lstat(path)
                tree[os.path.relpath(path, self.mnt)] = (
                    oct(info.st_mode), info.st_uid, info.st_gid,
                    self.read(path) if os.path.isfile(path) else "",
                    os.listxattr(path, follow_symlinks=False))
        return tree

    def release(self):
        self.assertEqual(run("umount", self.mnt).returncode, 0)
        self.assertTrue(harness.wait_until(lambda: not harness.daemons(self.dir)))

    def shown_by_ufs(self):
        self.mount("--upper", self.at("up"), "--work", self.at("ufs-work"),
                   self.base, self.app, self.mnt)
        return self.seen()


@unittest.skipUnless(shutil.which("fuse-overlayfs"), "needs fuse-overlayfs")
class OfFuseOverlayfs(Foreign):
    def mount_it(self, options=""):
        done = run("fuse-overlayfs", "-o", self.options + options, self.mnt)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_is_read(self):
        self.mount_it()
        self.change()
        theirs = self.seen()
        self.release()
        self.assertEqual(self.shown_by_ufs(), theirs)
        os.remove(self.at("mnt/moved"))
        self.write("mnt/cut/new", "written here")
        self.umount()
        self.mount_it()
        self.assertFalse(os.path.exists(self.at("mnt/moved")))
        self.assertEqual(self.read("mnt/cut/new"), "written here")
        self.release()

    def test_with_owners_and_modes_in_xattrs(self):
        """xattr_permissions=2, under the name that 1.10 has for it."""
        self.check_owners_and_modes("2", "user.fuseoverlayfs.override_stat")

    def test_with_owners_and_modes_in_xattrs_of_root(self):
        # 1.10 makes no links there.
        self.check_owners_and_modes("1", "security.fuseoverlayfs.override_stat", CHANGE)

    def check_owners_and_modes(self, kind, xattr, words=CHANGE + SPECIAL):
        self.mount_it(",xattr_permissions=" + kind)
        self.change(words)
        theirs = self.seen()
        self.release()
        if xattr not in os.listxattr(self.at("up/moved")):
            self.skipTest("this fuse-overlayfs has another name for it")
        # 1.10 shows a mode that it does not keep; what it keeps is what counts.
        for name in ("pipe", "link"):
            theirs.pop(name, None)
        for *_, shown in theirs.values():  # that of root it shows as well
            shown[:] = [name for name in shown if name != xattr]
        ours = self.shown_by_ufs()
        self.assertEqual({name: ours[name] for name in theirs}, theirs)

        os.chown(self.at("mnt/moved"), 7, 8)
        os.chmod(self.at("mnt/dir"), 0o1777)
        with open(self.at("mnt/owned"), "a") as file:
            file.write("+")
        for _ in range(2):
            moved, owned = (os.stat(self.at("mnt/" + name)) for name in
                            ("moved", "owned"))
            self.assertEqual((moved.st_uid, moved.st_gid), (7, 8))
            self.assertEqual((owned.st_uid, owned.st_gid), (5, 6))
            self.assertEqual(os.stat(self.at("mnt/dir")).st_mode, 0o41777)
            self.umount()
            self.assertEqual(os.stat(self.at("up/moved")).st_uid, 0, "as it was kept")
            self.shown_by_ufs()


class ByOverlayfs(Foreign):
    def test_an_upper_of_ours_is_read(self):
        self.write("base/linked", "linked")
        for name in ("one", "two"):
            os.link(self.at("base/linked"), self.at("base/dir/" + name))
        self.mount("-o", "partial=off", "--upper", self.at("up"), "--work",
                   self.at("ufs-work"), self.base, self.app, self.mnt)
        self.change()
        with open(self.at("mnt/dir/one"), "a") as file:
            file.write(" through one")
        os.chmod(self.at("mnt/linked"), 0o600)
        ours = self.seen()
        self.umount()
        done = run("mount", "-t", "overlay", "overlay", "-o",
                   self.options + ",metacopy=on,redirect_dir=on", self.mnt)
        self.assertEqual(done.returncode, 0, done.stderr)
        theirs = self.seen()
        # A name of the layer's that was not used.
        self.assertEqual(ours.pop("dir/two")[3], "linked through one")
        self.assertEqual(theirs.pop("dir/two")[3], "linked")
        self.assertEqual(theirs, ours)
        self.release()

    def test_a_file_called_like_a_redirect_leads_nowhere(self):
        """Where marks are attributes, any user of another union may have made it."""
        self.write("up/home/d/.wh..wh.ufs.redirect", "/dir")
        listed = self.ufs("diff", "--layer", self.base, self.at("up"))
        self.assertEqual(listed.returncode, 0, listed.stderr)
        self.assertNotIn("dir", listed.stdout)
        store = ("--store", self.at("store"))
        done = self.ufs("commit", *store, "--layer", self.base, "--work", self.at("wk"),
                        self.at("up"), "--name", "one")
        self.assertEqual(done.returncode, 0, done.stderr)
        tree = self.ufs("layer", "tree", *store, "one")
        self.assertIn("home/d", tree.stdout)
        self.assertNotIn("deep", tree.stdout)

    def test_hard_links_of_a_layer_are_in_the_difference(self):
        os.link(self.at("base/owned"), self.at("base/dir/one"))
        self.mount("--upper", self.at("up"), self.base, self.app, self.mnt)
        with open(self.at("mnt/dir/one"), "a") as file:
            file.write("through one")
        self.assertEqual(self.ufs("diff", self.mnt).stdout, "C /dir/one\n")
        os.chmod(self.at("mnt/owned"), 0o600)
        expected = "C /dir/one\nC /owned\n"
        self.assertEqual(self.ufs("diff", self.mnt).stdout, expected)
        self.umount()
        self.assertEqual(self.ufs("diff", "--layer", self.base, "--layer", self.app,
                                  self.at("up")).stdout, expected)


if __name__ == "__main__":
    harness.main()
