"""ufs complete: files that are partly in the upper become ordinary ones."""
import errno
import json
import os
import time

import harness
from harness import CliTest

CHUNK = 64 << 10


class Complete(CliTest):
    def setUp(self):
        super().setUp()
        self.content = bytearray(os.urandom(3 << 20))
        with open(self.at("base/large"), "wb") as file:
            file.write(self.content)
        os.link(self.at("base/large"), self.at("base/other-name"))
        with open(self.at("base/whole"), "wb") as file:
            file.write(self.content)
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        for name in ("large", "whole"):
            with open(f"{self.mnt}/{name}", "r+b") as file:
                file.seek(CHUNK + 5)
                file.write(b"written")
        self.content[CHUNK + 5:CHUNK + 12] = b"written"

    def chunks_of(self, path):
        try:
            return os.getxattr(path, "trusted.overlay.ufs.chunks")
        except OSError:
            return None

    def upper_files(self):
        index = self.at("up.work/ufs/index")
        return [self.at("up/whole")] + [f"{index}/{name}" for name in os.listdir(index)]

    def test_brings_up_the_rest(self):
        for path in self.upper_files():
            self.assertIsNotNone(self.chunks_of(path), path)
        done = self.ufs("complete", self.mnt)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("2 files completed", done.stdout)
        for path in self.upper_files():
            self.assertIsNone(self.chunks_of(path), path)
            with open(path, "rb") as file:
                self.assertEqual(file.read(), bytes(self.content))
        with open(f"{self.mnt}/other-name", "rb") as file:
            self.assertEqual(file.read(), bytes(self.content))
        again = self.ufs("complete", self.mnt)
        self.assertIn("0 files completed", again.stdout)

    def test_one_file(self):
        self.assertEqual(self.ufs("complete", f"{self.mnt}/whole").returncode, 0)
        left = [self.chunks_of(path) is not None for path in self.upper_files()]
        self.assertEqual(left, [False, True])

    def missing(self):
        done = self.ufs("stat", "--json", self.mnt)
        stats = json.loads(done.stdout)["stats"]
        return stats["partial_files"], stats["partial_bytes_missing"]

    def mount_again(self, *options):
        if self.mnt in harness.mounts():
            self.umount()
        self.mount(*options, "--upper", self.at("up"), self.base, self.mnt)
        os.stat(f"{self.mnt}/large")
        os.stat(f"{self.mnt}/whole")

    def test_nobody_completes_unasked(self):
        self.mount_again()
        time.sleep(7)
        self.assertEqual(self.missing(), (2, 2 * (len(self.content) - CHUNK)))
        self.assertIn("2 files, 5.88 MiB of it in layers",
                      self.ufs("stat", self.mnt).stdout)

    def test_in_the_background(self):
        self.mount_again("-o", "complete_rate=1g")
        for path in self.upper_files():
            self.assertTrue(harness.wait_until(lambda: self.chunks_of(path) is None), path)
            with open(path, "rb") as file:
                self.assertEqual(file.read(), bytes(self.content))
        self.assertEqual(self.missing(), (0, 0))

    def test_the_mount_ends_in_the_middle(self):
        self.mount_again("-o", "complete_rate=64k")
        all_of_it = 2 * (len(self.content) - CHUNK)
        self.assertTrue(harness.wait_until(lambda: self.missing()[1] < all_of_it))
        # One step, which the rate gives four seconds.
        self.assertGreaterEqual(self.missing()[1], all_of_it - 2 * 4 * CHUNK)
        start = time.monotonic()
        self.umount()
        self.assertTrue(harness.wait_until(lambda: not harness.daemons(self.dir)))
        self.assertLess(time.monotonic() - start, 3)
        self.mount_again()
        for name in ("large", "whole"):
            with open(f"{self.mnt}/{name}", "rb") as file:
                self.assertEqual(file.read(), bytes(self.content))

    def test_refuses_what_is_not_ours(self):
        done = self.ufs("complete", self.at("base/large"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("not of a ufs mount", done.stderr)
        done = self.ufs("complete", self.at("nothing"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("No such file", done.stderr)

    def test_a_layer_that_has_a_part_is_no_layer(self):
        self.umount()
        self.mount("--ro", self.base, self.at("up"), self.mnt)
        with self.assertRaises(OSError) as caught:
            with open(f"{self.mnt}/whole", "rb") as file:
                file.read()
        self.assertEqual(caught.exception.errno, errno.EIO)


if __name__ == "__main__":
    harness.main()
