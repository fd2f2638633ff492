"""ufs mount refuses: each cause has its own message, names the path and the
remedy, and nothing has changed."""
import os

import harness
from harness import UFS, CliTest, as_user, mounts, run


class Refusals(CliTest):
    def refuse(self, message, *arguments, code=1, command=(UFS, "mount")):
        before = self.tree()
        done = run(*command, *arguments)
        self.assert_refused(done, message, code)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertEqual(self.tree(), before, "nothing is left behind")
        self.assertFalse(os.path.exists("/var/lib/ufs"))

    # --- usage: exit code 2 ---------------------------------------------------

    def test_usage(self):
        for message, *arguments in (
                ("no mount point given",),
                ("no layer given", self.mnt),
                ("--bogus", "--bogus", self.base, self.mnt),
                ("unknown option 'lowerdri'; did you mean 'lowerdir'",
                 "-o", "lowerdri=/a", self.mnt),
                ("unknown option 'frobnicate'; 'ufs help mount' lists",
                 "-o", "frobnicate=1", self.base, self.mnt),
                ("'metacopy=maybe': expected one of on, off",
                 "-o", "metacopy=maybe", self.base, self.mnt),
                ("'nfs_export=on': ", "-o", "nfs_export=on", self.base, self.mnt),
                ("both as arguments and as -o lowerdir=",
                 "-o", f"lowerdir={self.app}", self.base, self.mnt),
                ("both as --upper and as -o upperdir=", "--upper", self.at("up"),
                 "-o", f"upperdir={self.app}", self.base, self.mnt),
                ("--work without an upper", "--work", self.at("wk"), self.base,
                 self.mnt)):
            with self.subTest(message):
                self.refuse("^ufs mount: .*" + message, *arguments, code=2)

    def test_unknown_verb(self):
        for message, *words in (
                ("ufs: unknown verb 'mont'; did you mean 'mount'?", "mont"),
                ("ufs: unknown verb 'unmount'; did you mean 'umount'?",
                 "help", "unmount"),
                ("ufs: unknown verb 'frobnicate'; see 'ufs --help'",
                 "frobnicate"),
                ("ufs: there is no verb 'images'; 'ufs layer ls' lists images and layers",
                 "images"),
                ("ufs layer: unknown verb 'imprt'; did you mean 'import'?",
                 "layer", "imprt")):
            done = run(UFS, *words)
            self.assertEqual((done.returncode, done.stdout, done.stderr),
                             (2, "", message + "\n"))

    # --- paths ----------------------------------------------------------------

    def test_missing_layer(self):
        self.refuse(f"^ufs mount: {self.at('none')}: no such layer; ",
                    self.base, self.at("none"), self.mnt)
        self.refuse(f"{self.at('none')}: no such layer; ",
                    "-o", f"lowerdir={self.base}:{self.at('none')}", self.mnt)

    def test_layer_that_is_a_file(self):
        self.refuse(f"{self.at('base/both')}: layer is not a directory",
                    self.at("base/both"), self.mnt)

    def test_layer_without_permission(self):
        harness.open_fuse_to_all(self.dir)
        self.addCleanup(run, "umount", "/dev/fuse")
        os.chmod(self.base, 0o700)
        os.chmod(self.dir, 0o777)
        self.refuse(f"{self.base}: no permission to use this layer; .* user 1000",
                    "--ro", self.base, self.mnt,
                    command=as_user(UFS, "mount"))

    def test_missing_mount_point(self):
        self.refuse(f"{self.at('none')}: no such mount point; make it first",
                    self.base, self.at("none"))

    def test_mount_point_that_is_a_file(self):
        self.refuse("both: mount point is not a directory",
                    self.base, self.at("app/both"))

    def test_missing_upperdir(self):
        self.refuse(f"{self.at('none')}: no such upper directory; make it first",
                    "-o", f"lowerdir={self.base},upperdir={self.at('none')}",
                    self.mnt)

    def test_upper_in_a_missing_directory(self):
        self.refuse(f"{self.at('none')}: no such parent directory",
                    "--upper", self.at("none/up"), self.base, self.mnt)

    def test_work_directory_on_another_file_system(self):
        other = self.make_dir("other")
        run("mount", "-t", "tmpfs", "tmpfs", other)
        self.refuse(f"{other}/wk: the work directory is not on the file system "
                    "of the upper .*; choose one beside it",
                    "--upper", self.make_dir("up"), "--work", other + "/wk",
                    self.base, self.mnt)

    def test_upper_that_is_its_work_directory(self):
        up = self.make_dir("up")
        self.refuse("upper and work directory are the same",
                    "--upper", up, "--work", up, self.base, self.mnt)

    def test_work_directory_inside_the_upper(self):
        self.make_dir("up")
        self.refuse("work directory lies inside the upper",
                    "--upper", self.at("up"), "--work", self.at("up/wk"),
                    self.base, self.mnt)

    def test_layer_inside_the_upper(self):
        self.make_dir("up/layer")
        self.refuse("this layer lies inside the upper",
                    "--upper", self.at("up"), self.at("up/layer"), self.mnt)

    def test_upper_inside_a_layer(self):
        self.refuse("the upper lies inside the layer",
                    "--upper", self.at("base/up"), self.base, self.mnt)

    def test_upper_that_is_a_layer(self):
        self.refuse("is both a layer and the upper",
                    "--upper", self.base, self.base, self.mnt)

    def test_loop(self):
        self.make_dir("up/mnt")
        self.refuse("the mount point lies inside the upper .*, a loop",
                    "--upper", self.at("up"), self.base, self.at("up/mnt"))
        self.refuse("the mount point lies inside the upper .*, a loop",
                    "--upper", self.at("up"), self.base, self.at("up"))

    def test_upper_on_a_read_only_file_system(self):
        place = self.make_dir("readonly")
        run("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", place)
        self.refuse(f"{place}/up: upper directory is on a read-only file system",
                    "--upper", place + "/up", self.base, self.mnt)

    def test_damaged_mark(self):
        for what, directory, arguments in (
                ("upper directory", self.make_dir("up"),
                 ("--upper", self.at("up"), self.base)),
                ("layer", self.app, ("--ro", self.base, self.app))):
            os.setxattr(directory, "trusted.overlay.opaque", b"perhaps")
            self.refuse(f"^ufs mount: {what} {directory}: damaged "
                        r"trusted.overlay.opaque mark \(neither y nor x\)",
                        *arguments, self.mnt)

    def test_upper_without_permission(self):
        harness.open_fuse_to_all(self.dir)
        self.addCleanup(run, "umount", "/dev/fuse")
        os.chown(self.mnt, harness.USER, harness.USER)
        self.refuse("no permission to write to this upper directory",
                    "--upper", self.make_dir("up"), self.base, self.mnt,
                    command=as_user(UFS, "mount"))

    def test_upper_in_use(self):
        second = self.make_dir("second")
        self.mount("--upper", self.at("up"), self.base, second)
        before = self.tree()
        done = self.ufs("mount", "--upper", self.at("up"), self.base, self.mnt)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, f"^ufs mount: .*{self.at('up')}.*in use")
        self.assertNotIn(self.mnt, mounts())
        self.assertEqual(self.tree(), before)
        self.write("second/new", "the first goes on")
        self.assertEqual(self.read("up/new"), "the first goes on")

        other = self.ufs("mount", "--upper", self.at("up2"), "--work",
                         self.at("up.work"), self.base, self.mnt)
        self.assertEqual(other.returncode, 1)
        self.assertRegex(other.stderr, f"{self.at('up.work')}.*in use")
        self.assertFalse(os.path.exists(self.at("up2")))

    # --- the machine ----------------------------------------------------------

    def test_no_fuse_device(self):
        """A machine without the module, or a container without the device."""
        script = ("mount -t tmpfs -o mode=755 tmpfs /dev && "
                  "mknod -m 666 /dev/null c 1 3 && exec \"$@\"")
        self.refuse("^ufs mount: /dev/fuse: no such device; .*modprobe fuse",
                    "--upper", self.at("up"), self.base, self.mnt,
                    command=("unshare", "-m", "sh", "-c", script, "sh", UFS,
                             "mount"))

    def test_no_permission_for_the_device(self):
        os.chmod(self.dir, 0o777)
        os.chown(self.mnt, harness.USER, harness.USER)
        node = self.at("fuse")
        os.mknod(node, 0o20600, os.makedev(10, 229))
        run("mount", "--bind", node, "/dev/fuse")
        self.addCleanup(run, "umount", "/dev/fuse")
        self.refuse("^ufs mount: /dev/fuse: no permission to open it; ",
                    "--upper", self.at("up"), self.base, self.mnt,
                    command=as_user(UFS, "mount"))

    def test_no_fusermount3(self):
        harness.open_fuse_to_all(self.dir)
        self.addCleanup(run, "umount", "/dev/fuse")
        os.chmod(self.dir, 0o777)
        os.chown(self.mnt, harness.USER, harness.USER)
        helper = os.path.realpath(run("sh", "-c", "command -v fusermount3")
                                  .stdout.strip())
        run("mount", "--bind", "/dev/null", helper)
        self.addCleanup(run, "umount", helper)
        self.refuse("^ufs mount: fusermount3: not found.* install the package "
                    "fuse3", "--upper", self.at("up"), self.base, self.mnt,
                    command=as_user(UFS, "mount"))

    def test_mount_point_of_somebody_else(self):
        """What the checks cannot know, the mount itself finds out: then too all
        that was made is taken away."""
        harness.open_fuse_to_all(self.dir)
        self.addCleanup(run, "umount", "/dev/fuse")
        os.chmod(self.dir, 0o777)
        before = self.tree()
        done = run(*as_user(UFS, "mount", "--upper", self.at("up"), self.base,
                            self.mnt))
        self.assert_refused(done, f"ufs mount: .*{self.mnt}")
        self.assertEqual(self.tree(), before)

    def test_transport_that_cannot_be_had(self):
        switch = "/sys/module/fuse/parameters/enable_uring"
        if os.path.exists(switch):
            with open(switch) as file:
                if file.read().strip() in "1Y":
                    self.skipTest("io_uring is switched on here")
        self.refuse("^ufs mount: .*io_uring",
                    "--upper", self.at("up"), "-o", "transport=io_uring",
                    self.base, self.mnt)


if __name__ == "__main__":
    harness.main()
