"""Real disks that are full, read-only, or gone: the caller hears why, nothing has
changed, the mount stays usable, and a second try works once there is room.

    disk_test.py classic|io_uring
"""
import errno
import os
import shutil
import subprocess

import union
from checks import Checks
from operations import create, do, rename, write
from union import WHOLE_COPIES

MEGABYTE = 1 << 20


class DiskTest(Checks):
    def on_small_disk(self, options):
        """An upper on a file system of its own."""
        disk = self.fs.dir + "/disk"
        os.makedirs(disk, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk],
                       check=True)
        self.fs.upper, self.fs.work = disk + "/upper", disk + "/work"
        os.mkdir(self.fs.upper)
        self.fs.mount()

    def off_disk(self):
        self.fs.umount()
        left = os.listdir(self.fs.work + "/ufs/tmp")
        self.expect(not left, f"{left} in the work directory")
        subprocess.run(["umount", self.fs.dir + "/disk"], check=True)

    def full_of_data(self):
        self.fs.options = WHOLE_COPIES
        self.on_small_disk("size=4m")
        self.expect_code("a copy that fits", do(write, "big1"), 0)
        # Opening is no change, so that it is the write that fails.
        for number in range(3):
            self.refused(f"a copy that does not, {number}", do(write, "big2"),
                         errno.ENOSPC)
        self.expect_code("metadata", do(os.chmod, "big2", 0o600), 0)
        self.refused("contents for a metacopy", do(write, "big2"), errno.ENOSPC)
        self.expect_code("truncation", do(os.truncate, "big2", 1000), 0)
        self.expect_code("removal", do(os.unlink, "big1"), 0)
        self.expect_soon("a second try", do(write, "big3"))
        with open(self.fs.mnt + "/big3", "rb") as file:
            data = file.read()
        self.expect(data[1000:1007] == b"written" and len(data) == 3 * MEGABYTE,
                    "contents after the second try")
        self.off_disk()
        self.fs.options = ""

    def full_behind_the_writer(self):
        """With writeback a write that has no room is told at fsync or close."""
        self.fs.options = "writeback=1"
        self.on_small_disk("size=4m")

        def fill(path, end):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.write(fd, bytes(6 * MEGABYTE))
                if end == "fsync":
                    os.fsync(fd)
            finally:
                os.close(fd)

        for end in ("fsync", "close"):
            self.expect_code(f"a write too many, told at {end}", do(fill, "new", end),
                             errno.ENOSPC)
            self.expect_code("removal", do(os.unlink, "new"), 0)
        self.expect_soon("a second try", do(write, "small"))
        self.off_disk()
        self.fs.options = ""

    def full_of_files(self):
        self.on_small_disk("size=4m,nr_inodes=40")
        os.mkdir(self.fs.mnt + "/own")
        names = []
        try:
            while True:
                names.append(f"own/{len(names)}")
                create(f"{self.fs.mnt}/{names[-1]}")
        except OSError as error:
            self.expect(error.errno == errno.ENOSPC, f"the last creation: {error}")
            names.pop()
        for what, operation in (
                ("create", do(create, "new")), ("mkdir", do(os.mkdir, "new")),
                ("symlink", do(os.symlink, "to", "new")),
                ("chmod", do(os.chmod, "small", 0o600)),
                ("write", do(write, "small")),
                ("create deep", do(create, "deep/a/new")),
                ("unlink of a lower file", do(os.unlink, "small")),
                ("rename", do(rename, "small", "new"))):
            self.refused(what + " without inodes", operation, errno.ENOSPC)
        # What is the upper's own needs no room to go.
        for name in names[:8]:
            self.expect_code("unlink of an own file", do(os.unlink, name), 0)
        self.expect_soon("create again", do(create, "deep/a/new"))
        self.expect_soon("chmod again", do(os.chmod, "small", 0o600))
        self.expect_soon("unlink again", do(os.unlink, "small"))
        self.off_disk()

    def read_only_disk(self):
        self.on_small_disk("size=16m")
        remount = ["mount", "-o", "remount,ro", self.fs.dir + "/disk"]
        # Descriptors that are open for writing keep a disk from it.
        self.expect_code("write", do(write, "small"), 0)
        self.fs.umount()
        self.fs.mount()
        if subprocess.run(remount, stderr=subprocess.DEVNULL, check=False).returncode:
            print("the disk could not be made read-only; left out")
        else:
            for what, operation in (
                    ("create", do(create, "new")), ("write", do(write, "big2")),
                    ("chmod", do(os.chmod, "small", 0o600)),
                    ("unlink", do(os.unlink, "small")),
                    ("rename", do(rename, "small", "new"))):
                self.refused(what + " on a read-only disk", operation, errno.EROFS)
            remount[2] = "remount,rw"
            subprocess.run(remount, check=True)
            self.expect_code("write once it is not", do(write, "big2"), 0)
        self.off_disk()

    def vanished_layer(self):
        """Somebody removes a layer under the mount."""
        self.on_small_disk("size=16m")
        known = os.open(self.fs.mnt + "/small", os.O_RDONLY)
        os.listdir(self.fs.mnt + "/deep")
        shutil.rmtree(self.fs.layers[0])
        os.mkdir(self.fs.layers[0])
        os.symlink("/etc", self.fs.layers[0] + "/deep")  # must not lead anywhere
        gone = (errno.ENOENT, errno.ESTALE, errno.EIO)
        self.expect_code("read of what is gone", do(os.listdir, "deep/a"), *gone)
        self.expect_code("copy-up of what is gone", do(write, "big1"), *gone)
        self.expect_code("a name of the host", do(os.stat, "deep/passwd"), *gone)
        self.expect_code("the other layer", do(os.stat, "app"), 0)
        self.expect_code("the upper", do(create, "new"), 0)
        os.close(known)
        self.expect(not self.fs.has_died(), "the daemon died")
        self.off_disk()

    def make_layers(self):
        base, app = self.fs.layers
        for name in ("big1", "big2", "big3"):
            with open(f"{base}/{name}", "wb") as file:
                file.write(os.urandom(3 * MEGABYTE))
        with open(base + "/small", "w") as file:
            file.write("small")
        os.makedirs(base + "/deep/a")
        create(base + "/deep/a/file")
        create(app + "/app")

    def run_all(self):
        self.make_layers()
        for case in (self.full_of_data, self.full_behind_the_writer, self.full_of_files,
                     self.read_only_disk, self.vanished_layer):
            case()
            print(f"{case.__name__}: done", flush=True)
        print(f"{self.failures} failures")
        return self.failures


union.main(lambda fs: DiskTest(fs).run_all())
