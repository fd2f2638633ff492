"""ufs as the mount program of buildah and podman: images built from scratch,
changed and committed, by root and by an ordinary user."""
import shutil
import unittest

import harness
from harness import CliTest, mounts, run

BUILD = r"""
set -eux
b="buildah --root $1/root --runroot $1/runroot --storage-driver overlay
   --storage-opt overlay.mount_program=$2 $3"
export BUILDAH_ISOLATION=chroot TMPDIR=$1

first=$($b from scratch)
mnt=$($b mount $first)
grep " $mnt fuse.fuse-overlayfs " /proc/self/mounts
mkdir $mnt/bin $mnt/etc
cp /bin/busybox $mnt/bin/
ln $mnt/bin/busybox $mnt/bin/sh
echo old >$mnt/etc/changed; echo gone >$mnt/gone; mkfifo $mnt/pipe
echo owned >$mnt/owned; chown 5:6 $mnt/owned; chmod 2750 $mnt/etc
$b umount $first
$b commit -q $first base

second=$($b from localhost/base)
mnt=$($b mount $second)
rm $mnt/gone; mv $mnt/bin $mnt/moved; echo new >>$mnt/etc/changed
chmod 600 $mnt/owned
echo copied >$1/file; $b copy -q $second $1/file /etc/copied
$b umount $second
mnt=$($b mount $second)    # a second time, as `buildah run` would
test "$(cat $mnt/etc/changed)" = "old
new"
$b umount $second
$b commit -q $second app

third=$($b from localhost/app)
mnt=$($b mount $third)
echo "-- $(cd $mnt; find . ! -name . -type d -printf '%p %M %U:%G;' -o \
  ! -name . -printf '%p %M %U:%G %n;' | tr ';' '\n' | LC_ALL=C sort | tr '\n' ';')"
cat $mnt/etc/changed $mnt/etc/copied
cmp /bin/busybox $mnt/moved/sh
$b umount $third
$b rm -a >/dev/null
$b rmi -a >/dev/null
for i in $(seq 100); do  # a daemon ends after its mount
  pgrep -f "^$2 " || break
  sleep 0.1
done
! pgrep -f "^$2 "
"""

TREE = ("./etc drwxr-s--- 0:0;./etc/changed -rw-r--r-- 0:0 1;"
        "./etc/copied -rw-r--r-- 0:0 1;./moved drwxr-xr-x 0:0;"
        "./moved/busybox -rwxr-xr-x 0:0 2;./moved/sh -rwxr-xr-x 0:0 2;"
        "./owned -rw------- 5:6 1;./pipe prw-r--r-- 0:0 1;")


@unittest.skipUnless(shutil.which("buildah") and shutil.which("busybox"),
                     "needs buildah and busybox-static")
class Buildah(CliTest):
    def setUp(self):
        super().setUp()
        # Where an ordinary user can run it, wherever it was built.
        self.program = self.at("fuse-overlayfs")
        shutil.copy(harness.UFS, self.program)
        self.write("build.sh", BUILD)
        self.write("policy.json", '{"default": [{"type": "insecureAcceptAnything"}]}')

    def check(self, *command):
        done = run(*command, timeout=240)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(TREE + "\nold\nnew\ncopied\n", done.stdout)
        self.assertFalse([point for point in mounts() if "/merged" in point])

    def test_by_root(self):
        home = self.make_dir("store")
        self.check("sh", self.at("build.sh"), home, self.program, "")

    def test_by_root_volatile(self):
        home = self.make_dir("store")
        self.check("sh", self.at("build.sh"), home, self.program,
                   "--storage-opt overlay.mountopt=volatile")

    def test_by_a_user(self):
        harness.open_fuse_to_all(self.dir)
        self.addCleanup(run, "umount", "/dev/fuse")
        user = harness.make_user(self)
        home = user.home
        self.check(*user.command("buildah", "unshare", "sh", self.at("build.sh"),
                                 home, self.program, ""))


if __name__ == "__main__":
    harness.main()
