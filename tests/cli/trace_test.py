"""ufs mount -o trace=FILE, ufs trace: what a start reads is recorded, and read ahead the next time."""
import ctypes
import json
import mmap
import os
import re
import signal
import subprocess

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

    def drop_all(self, *paths):
        for path in paths:
            drop(path)
            if cached(path):
                self.skipTest("this file system keeps its files in memory")

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
        self.drop_all(*read, unread)
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

    def mount_plainly(self, *options):
        done = self.ufs("mount", *options, "--store", self.store, "--upper", self.at("up"),
                        "hashed", self.base, self.mnt)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_records_a_mount_while_a_command_runs(self):
        self.mount_plainly()
        self.start_of("unread")
        done = self.ufs("trace", "record", self.mnt, self.trace, "--", "sh", "-c",
                        f"cat {self.mnt}/m {self.mnt}/z >/dev/null; exit 7")
        self.assertEqual((done.returncode, done.stdout), (7, ""), done.stderr)
        self.assertEqual(done.stderr, f"ufs trace record: 2 reads in {self.trace}\n")
        self.start_of("a\nb")
        with open(self.trace) as file:
            lines = file.read().splitlines()
        self.assertEqual(lines[0], "ufs-trace 1")
        self.assertRegex(lines[1], rf"^0 {SIZE} object:[0-9a-f]{{32}}$")
        self.assertRegex(lines[2], rf"^0 {SIZE} [0-9a-f]+:/z$")
        self.assertEqual(len(lines), 3)

    def start_of(self, name):
        with open(f"{self.mnt}/{name}", "rb") as file:
            file.read()

    def start_recording(self, *options):
        recording = subprocess.Popen([harness.UFS, "trace", "record", *options, self.mnt, self.trace],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(recording.stderr.readline(),
                         f"ufs trace record: recording {self.mnt}; Ctrl-C ends it\n")
        return recording

    def record_while(self, name):
        return self.ufs("trace", "record", self.mnt, self.at("other"), "--", "cat", f"{self.mnt}/{name}")

    def test_records_for_a_time_and_until_it_is_interrupted(self):
        self.mount_plainly()
        for options, read in ((("--for", "1s"), "z"), ((), "m")):
            recording = self.start_recording(*options)
            self.assertIn("another process traces the mount", self.record_while("unread").stderr)
            self.start_of(read)
            if not options:
                recording.send_signal(signal.SIGINT)
            out, err = recording.communicate(timeout=60)
            self.assertEqual((recording.returncode, out), (0, ""), err)
            with open(self.trace) as file:
                self.assertEqual(len(file.read().splitlines()), 2)
        self.assertFalse(os.path.exists(self.at("other")))

    def test_a_recorder_that_is_killed_records_no_more(self):
        self.mount_plainly()
        with self.start_recording() as recording:
            recording.kill()
        # Whoever is refused reads nothing.
        self.assertTrue(harness.wait_until(lambda: self.record_while("m").returncode == 0))
        with open(self.at("other")) as file:
            self.assertEqual(len(file.read().splitlines()), 2)
        self.assertFalse(os.path.exists(self.trace))

    def test_a_recorder_that_is_told_to_end_writes_what_it_has(self):
        self.mount_plainly()
        recording = subprocess.Popen([harness.UFS, "trace", "record", self.mnt, self.trace, "--", "sh", "-c",
                                      f"cat {self.mnt}/m >/dev/null; echo read; exec sleep 600"],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(recording.stdout.readline(), "read\n")
        recording.terminate()
        _, err = recording.communicate(timeout=60)
        self.assertEqual(recording.returncode, 128 + signal.SIGTERM, err)
        with open(self.trace) as file:
            self.assertEqual(len(file.read().splitlines()), 2)

    def test_an_unmount_waits_for_no_recorder(self):
        self.mount_plainly()
        recording = self.start_recording()
        self.umount()
        recording.send_signal(signal.SIGINT)
        _, err = recording.communicate(timeout=60)
        self.assertEqual(recording.returncode, 1)
        self.assertIn("the mount went away while it was traced", err)
        self.assertFalse(os.path.exists(self.trace))

    def test_refuses_what_it_cannot_record(self):
        done = self.ufs("trace", "record", self.mnt, self.trace, "--", "true")
        self.assertEqual(done.returncode, 1)
        self.assertIn("is it a mount of ufs?", done.stderr)
        self.mount_plainly()
        done = self.ufs("trace", "record", self.mnt, self.at("gone/trace"), "--", "touch", self.at("ran"))
        self.assertEqual(done.returncode, 1)
        self.assertIn(self.at("gone/trace"), done.stderr)
        self.assertFalse(os.path.exists(self.at("ran")), "what cannot be recorded need not be done")
        done = self.ufs("trace", "record", self.mnt, self.trace, "--", "true")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nothing was read of its layers", done.stderr)
        self.assertIn("mount it anew", done.stderr)
        for options, complaint in ((("--for", "0"), "above 0"), (("--for", "soon"), "soon"),
                                   (("--for", "1s", "--", "true"), "beside a COMMAND")):
            words = [word for word in options if word != "--" and word != "true"]
            tail = ["--", "true"] if "true" in options else []
            done = self.ufs("trace", "record", *words, self.mnt, self.trace, *tail)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(complaint, done.stderr)
        self.assertFalse(os.path.exists(self.trace))
        self.umount()
        self.assertEqual(self.mount_traced().returncode, 0)
        done = self.ufs("trace", "record", self.mnt, self.at("other"), "--", "true")
        self.assertEqual(done.returncode, 1)
        self.assertIn("is being recorded", done.stderr)

    def test_replays_for_layers_that_are_not_mounted(self):
        self.record()
        read = [self.at("base/z"), self.at("base/a\nb"), *self.objects]
        unread = self.at("base/unread")
        self.drop_all(*read, unread)
        done = self.ufs("trace", "replay", "--json", "--store", self.store, self.trace, "hashed", self.base)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(json.loads(done.stdout), {"entries": 4, "found": 4, "bytes": 3 * SIZE + 1})
        for path in read:
            self.assertTrue(harness.wait_until(lambda: cached(path)), path)
        self.assertFalse(cached(unread))
        # Of other layers: the object alone is in both.
        done = self.ufs("trace", "replay", "--store", self.store, self.trace, "hashed")
        self.assertEqual((done.returncode, done.stdout), (0, "1 of 4 read ahead, 293 KiB\n"), done.stderr)
        os.mkdir(self.at("empty"))
        done = self.ufs("trace", "replay", self.trace, self.at("empty"))
        self.assertEqual((done.returncode, done.stdout), (1, "0 of 4 read ahead, 0 B\n"))
        self.assertEqual(done.stderr, f"ufs trace replay: {self.trace} is of other layers\n")

    def test_replays_no_other_files(self):
        done = self.ufs("trace", "replay", self.at("base/z"), self.base)
        self.assertEqual(done.returncode, 1)
        self.assertIn("not a trace of ufs", done.stderr)
        done = self.ufs("trace", "replay", self.at("gone"), self.base)
        self.assertEqual(done.returncode, 1)
        self.assertIn(self.at("gone"), done.stderr)


if __name__ == "__main__":
    harness.main()
