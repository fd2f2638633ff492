"""Copying up where the host can share blocks, and between file systems that
cannot: the contents are the same, and only the second costs room."""
import fcntl
import json
import os
import struct
import subprocess
import unittest

import harness
from harness import CliTest, run

SIZE = 8 << 20
CHUNK = 64 << 10
FS_IOC_FIEMAP = 0xC020660B
EXTENT_SHARED = 0x2000


def shared_bytes(path):
    """How much of a file lies in blocks that another file has, too."""
    header, extent = struct.Struct("QQIIII"), struct.Struct("QQQQQIIII")
    room = 256
    answer = bytearray(header.pack(0, 2**64 - 1, 0, 0, room, 0)
                       + bytes(room * extent.size))
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        fcntl.ioctl(file, FS_IOC_FIEMAP, answer)
    extents = [extent.unpack_from(answer, header.size + i * extent.size)
               for i in range(header.unpack_from(answer)[3])]
    return sum(one[2] for one in extents if one[5] & EXTENT_SHARED)


class OnBtrfs(CliTest):
    MKFS = ("mkfs.btrfs", "-q")

    def setUp(self):
        super().setUp()
        image, self.disk = self.at("image"), self.make_dir("disk")
        with open(image, "wb") as file:
            file.truncate(400 << 20)
        try:
            subprocess.run([*self.MKFS, image], check=True,
                           stdin=subprocess.DEVNULL)
            subprocess.run(["mount", "-o", "loop", image, self.disk], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.skipTest(f"no file system that shares blocks: {error}")
        self.addCleanup(run, "umount", "-l", self.disk)
        self.content = bytearray(os.urandom(SIZE))
        for layer in (self.make_dir("disk/layer"), self.base):
            for name in ("written", "cut", "set-uid"):
                with open(f"{layer}/{name}", "wb") as file:
                    file.write(self.content)
            os.chmod(f"{layer}/set-uid", 0o4755)

    def copies(self):
        stats = json.loads(self.ufs("stat", "--json", self.mnt).stdout)["stats"]
        return stats["copy_ups_data"], stats["copy_up_bytes"]

    def change(self):
        for name in ("written", "set-uid"):
            with open(f"{self.mnt}/{name}", "r+b") as file:
                file.seek(CHUNK + 5)
                file.write(b"changed")
        os.truncate(self.mnt + "/cut", SIZE // 2)
        expected = bytes(self.content[:CHUNK + 5] + b"changed"
                         + self.content[CHUNK + 12:])
        half = bytes(self.content[:SIZE // 2])

        def check():
            for name, want in (("written", expected), ("set-uid", expected),
                               ("cut", half)):
                with open(f"{self.mnt}/{name}", "rb") as file:
                    self.assertTrue(file.read() == want, name)
            self.assertEqual(os.stat(self.mnt + "/set-uid").st_mode & 0o7777,
                             0o4755)

        check()
        return check

    def test_a_write_shares_the_rest_with_the_layer(self):
        self.mount("--upper", self.at("disk/up"), self.at("disk/layer"), self.mnt)
        check = self.change()
        files, moved = self.copies()
        self.assertGreaterEqual(files, 2)
        # What is cut short is copied as far as it goes.
        self.assertLessEqual(moved, SIZE // 2)
        for name in ("written", "set-uid"):
            path = self.at("disk/up/" + name)
            self.assertNotIn("trusted.overlay.ufs.chunks", os.listxattr(path))
            self.assertGreater(shared_bytes(path), SIZE - 4 * CHUNK, name)
        self.umount()
        self.mount("--upper", self.at("disk/up"), self.at("disk/layer"), self.mnt)
        check()

    def test_between_two_file_systems_data_is_copied(self):
        self.mount("--upper", self.at("disk/up"), "-o", "partial=off", self.base,
                   self.mnt)
        check = self.change()
        files, moved = self.copies()
        self.assertGreaterEqual(files, 3)
        self.assertGreater(moved, 2 * SIZE)
        self.assertEqual(shared_bytes(self.at("disk/up/written")), 0)
        self.umount()
        self.mount("--upper", self.at("disk/up"), self.base, self.mnt)
        check()


class OnXfs(OnBtrfs):
    MKFS = ("mkfs.xfs", "-q", "-m", "reflink=1")


if __name__ == "__main__":
    harness.main()
