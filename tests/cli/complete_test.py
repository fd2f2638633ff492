"""ufs complete: files that are partly in the upper become ordinary ones."""
import errno
import os

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
