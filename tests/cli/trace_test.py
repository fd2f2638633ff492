"""ufs mount -o trace=FILE: what a start reads is recorded, and read ahead the next time."""
import ctypes
import mmap
import os
import re

import harness
from harness import CliTest

SIZE = 300_000
libc = ctypes.CDLL(None, use_errno=True)


def cached(path):
    """Whether the host has the start of a file in memory. A read that does not wait would bring it there."""
    with open(path, "r+b") as file:
        view = mmap.mmap(file.fileno(), 1, flags=mmap.MAP_PRIVATE)
    first = ctypes.c_char.from_buffer(view)
    state = ctypes.c_ubyte()
    if libc.mincore(ctypes.c_void_p(ctypes.addressof(first)), 1, ctypes.byref(state)) != 0:
        raise OSError(ctypes.get_errno(), "mincore")
    del first
    view.close()
    return bool(state.value & 1)


def drop(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


class Trace(CliTest):
    def setUp(self):
        super().setUp()
        self.trace = self.at("start.trace")
        self.store = self.at("store")
        for layer, name in (("base", "z"), ("base", "a\nb"), ("hashed", "m"), ("base", "unread")):
            os.makedirs(self.at(layer), exist_ok=True)
            with open(self.at(f"{layer}/{name}"), "wb") as file:
                file.write(os.urandom(SIZE))
        done = self.ufs("layer", "import", "--store", self.store, "--name", "hashed",
                        self.at("hashed"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.objects = [os.path.join(folder, name)
                        for folder, _, names in os.walk(self.store + "/objects")
                        for name in names]
        self.assertEqual(len(self.objects), 1)

    def mount_traced(self, *options):
        return self.ufs("mount", "-o", ",".join(("trace=" + self.trace, *options)), "--store",
                        self.store, "--upper", self.at("up"), "hashed", self.base, self.mnt)

    def start(self):
        for name in ("z", "m", "a\nb", "z", "only-base"):
            with open(f"{self.mnt}/{name}", "rb") as file:
                file.read()

    def record(self):
        done = self.mount_traced()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.start()
        self.umount()
        self.assertTrue(harness.wait_until(lambda: os.path.exists(self.trace)))
        with open(self.trace) as file:
            return file.read()

    def test_records_in_order(self):
        lines = self.record().splitlines()
        self.assertEqual(lines[0], "ufs-trace 1")
        self.assertRegex(lines[1], rf"^0 {SIZE} [0-9a-f]+:/z$")
        self.assertRegex(lines[2], rf"^0 {SIZE} object:[0-9a-f]{{32}}$")
        self.assertRegex(lines[3], rf"^0 {SIZE} [0-9a-f]+:/a\\nb$")
        self.assertRegex(lines[4], r"^0 1 [0-9a-f]+:/only-base$")
        self.assertEqual(len(lines), 5)

    def test_reads_ahead_what_it_recorded(self):
        text = self.record()
        read = [self.at("base/z"), self.at("base/a\nb"), *self.objects]
        unread = self.at("base/unread")
        for path in (*read, unread):
            drop(path)
            if cached(path):
                self.skipTest("this file system keeps its files in memory")
        self.assertEqual(self.mount_traced().stderr, "")
        for path in read:
            self.assertTrue(harness.wait_until(lambda: cached(path)), path)
        self.assertFalse(cached(unread))
        self.umount()
        with open(self.trace) as file:
            self.assertEqual(file.read(), text, "recorded once")

    def test_what_is_no_trace_does_no_harm(self):
        for text, complaint in (("root:x:0:0\n", "not a trace of ufs"),
                                ("ufs-trace 2\n", "a version this ufs does not know"),
                                ("ufs-trace 1\n0 5 x\n5 0 x\n", "line 3: no range of bytes")):
            with open(self.trace, "w") as file:
                file.write(text)
            done = self.mount_traced()
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(complaint, done.stderr)
            self.assertIn("remove it to record anew", done.stderr)
            self.start()
            self.umount()
            with open(self.trace) as file:
                self.assertEqual(file.read(), text)

    def test_leads_to_no_file_outside_a_layer(self):
        tag = re.search(r" ([0-9a-f]+:)/z", self.record())[1]
        outside = self.at("outside")
        with open(outside, "wb") as file:
            file.write(os.urandom(SIZE))
        os.symlink("../outside", self.at("base/link"))
        os.mkfifo(self.at("base/fifo"))
        drop(outside)
        if cached(outside):
            self.skipTest("this file system keeps its files in memory")
        last = self.at("base/z")
        drop(last)
        with open(self.trace, "w") as file:
            file.write("ufs-trace 1\n")
            for name in ("/../outside", "/link", "/fifo", "/gone", "/../../etc/passwd"):
                file.write(f"0 {SIZE} {tag}{name}\n")
            file.write("0 5 object:00112233445566778899aabbccddeeff\n0 5 object:../../outside\n")
            file.write(f"0 {SIZE} {tag}/z\n")
        self.assertEqual(self.mount_traced().returncode, 0)
        self.assertTrue(harness.wait_until(lambda: cached(last)))
        self.umount()
        self.assertFalse(cached(outside))


if __name__ == "__main__":
    harness.main()
