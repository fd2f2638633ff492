"""Commit of a mount that programs write to all the while: each layer is what
the mount was at one moment."""
import errno
import json
import mmap
import multiprocessing
import os
import re
import time
import unittest

import harness
from harness import UFS, CliTest, run

LARGE = "".join(f"line {number}\n" for number in range(300_000))  # some 3 MiB
WIDTH = 16


def number_at(path, offset):
    with open(path, "rb") as file:
        text = os.pread(file.fileno(), WIDTH, offset)
    return int(text) if re.fullmatch(rb" *\d+", text) else 0


# In a user namespace, where marks are others and sockets elsewhere.
BY_A_USER = """
set -e
ufs mount --upper up base mnt
( while [ ! -e stop ]; do
    number=$((number + 1))
    for name in first second; do echo $number > mnt/.$name; mv mnt/.$name mnt/$name; done
  done ) &
while [ ! -e mnt/second ]; do sleep 0.01; done
for moment in 1 2 3; do ufs commit --store store mnt --name moment$moment > /dev/null; done
> stop
wait
cat mnt/first mnt/second
ufs umount mnt
for moment in 1 2 3; do
  moments="$moments moment$moment"
  ufs mount --store store --ro base $moments mnt
  cat mnt/first mnt/second
  ufs umount mnt
done
"""

# There links and pipes carry no marks: regular files stand for them.
STAND_INS = """
set -e
mkdir sl; cd sl; ln -s target a; ln a b; mkfifo f; ln f f2; cd ..
ufs layer import sl --store store --name links > layer
ufs mount --store store --upper up links mnt
rm mnt/a mnt/f
ufs diff mnt
ufs commit --store store --keep-upper mnt --name live > layer
ufs umount mnt
ufs commit --store store --layer links up --name offline > layer
ufs squash --store store links live --name squashed > layer
for layer in live offline squashed; do
  ufs layer tree --store store $layer | cut -c 1-10,59-
done
"""


class Writers:
    """Four processes, each of which makes two changes in a known order, again and
    again; `counts` are the rounds that were answered."""

    def __init__(self, mnt):
        self.mnt = mnt
        context = multiprocessing.get_context("fork")
        self.stop = context.Event()
        self.counts = context.Array("Q", 4)
        self.processes = [
            context.Process(target=self.repeat, args=(which, step))
            for which, step in enumerate((self.twins, self.large, self.names, self.log))]

    def __enter__(self):
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *unused):
        self.stop.set()
        for process in self.processes:
            process.join(harness.PATIENCE)
            if process.is_alive():
                process.kill()

    def repeat(self, which, step):
        status = 0
        number = 0
        try:
            while not self.stop.is_set():
                number += 1
                step(number)
                self.counts[which] = number
        except OSError as error:
            print(f"writer {which}: {error}")
            status = 1
        os._exit(status)

    def put(self, name, offset, number):
        fd = os.open(os.path.join(self.mnt, name), os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(fd, b"%*d" % (WIDTH, number), offset)
        finally:
            os.close(fd)

    def twins(self, number):
        self.put("first", 0, number)
        self.put("second", 0, number)

    def large(self, number):  # far apart, in a file of the layer
        self.put("large", 2_000_000, number)
        self.put("large", 1000, number)

    def names(self, number):
        self.put(f"names/{number}", 0, number)
        os.rename(os.path.join(self.mnt, f"names/{number}"),
                  os.path.join(self.mnt, "names/last"))

    def log(self, number):
        fd = os.open(os.path.join(self.mnt, "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.write(fd, b"%d\n" % number)
        os.close(fd)


class LiveCommit(CliTest):
    def setUp(self):
        super().setUp()
        self.store = self.at("store")
        self.make_layer("base", {"large": LARGE, "names/keep": ""})

    def commit(self, *words):
        return run(UFS, "commit", "--store", self.store, *words, cwd=self.dir)

    def mount_layers(self, *layers):
        self.mount("--store", self.store, "--ro", self.base, *layers, self.mnt, cwd=self.dir)

    def check_moment(self, before, after):
        """What is mounted is one moment between two counts."""
        mnt = self.mnt
        pairs = [(number_at(f"{mnt}/first", 0), number_at(f"{mnt}/second", 0)),
                 (number_at(f"{mnt}/large", 2_000_000), number_at(f"{mnt}/large", 1000))]
        for which, (first, second) in enumerate(pairs):
            self.assertIn(first - second, (0, 1), (which, first, second))
            self.assertLessEqual(before[which], second)
            self.assertLessEqual(first, after[which] + 1)
        with open(f"{mnt}/large") as file:
            text = file.read()
        for at in (1000, 2_000_000):
            text = text[:at] + LARGE[at:at + WIDTH] + text[at + WIDTH:]
        self.assertEqual(text, LARGE)
        last = number_at(f"{mnt}/names/last", 0)
        names = set(os.listdir(f"{mnt}/names")) - {"keep", "last"}
        self.assertIn(names, (set(), {str(last + 1)}))
        self.assertTrue(before[2] <= last <= after[2] + 1, (before, last, after))
        log = self.read("mnt/log").splitlines()
        self.assertEqual(log, [str(number) for number in range(1, len(log) + 1)])
        self.assertTrue(before[3] <= len(log) <= after[3] + 1)

    def commit_while_written(self, *options):
        self.mount("--upper", self.at("up"), *options, self.base, self.mnt)
        moments = []
        with Writers(self.mnt) as writers:
            self.assertTrue(harness.wait_until(lambda: min(writers.counts) > 2))
            for number in range(5):
                before = list(writers.counts)
                done = self.commit("mnt", "--name", f"moment{number}")
                self.assertEqual(done.returncode, 0, done.stderr)
                moments.append((before, list(writers.counts)))
                # The writers go on.
                now = list(writers.counts)
                self.assertTrue(harness.wait_until(
                    lambda: all(a > b for a, b in zip(writers.counts, now))))
        self.assertEqual([process.exitcode for process in writers.processes], [0] * 4)
        self.umount()
        # Each has what was changed since the one before.
        layers = [f"moment{number}" for number in range(len(moments))]
        for number, (before, after) in enumerate(moments):
            self.mount_layers(*layers[:number + 1])
            self.check_moment(before, after)
            self.umount()
        # And the mount itself has everything.
        self.mount("--upper", self.at("up"), *options, self.base, self.mnt)
        self.check_moment(list(writers.counts), list(writers.counts))

    def test_each_layer_is_one_moment(self):
        self.commit_while_written()

    def test_over_the_classic_transport(self):
        self.commit_while_written("-o", "transport=classic")

    def test_without_files_in_parts(self):
        self.commit_while_written("-o", "partial=off")

    def test_what_is_open_stays_so(self):
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        deleted = os.open(f"{self.mnt}/deleted", os.O_RDWR | os.O_CREAT)
        os.write(deleted, b"still here")
        os.unlink(f"{self.mnt}/deleted")
        mapped = os.open(f"{self.mnt}/large", os.O_RDWR)
        view = mmap.mmap(mapped, 0)
        view[:4] = b"LINE"
        number = os.fstat(mapped).st_ino
        with Writers(self.mnt) as writers:
            self.assertTrue(harness.wait_until(lambda: min(writers.counts) > 2))
            done = self.commit("mnt", "--name", "moment")
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(os.pread(deleted, 100, 0), b"still here")
        view[:4] = b"more"
        self.assertEqual(os.pread(mapped, 4, 0), b"more")
        self.assertEqual(os.stat(f"{self.mnt}/large").st_ino, number)
        view.close()
        os.close(mapped)
        os.close(deleted)
        self.umount()
        self.mount_layers("moment")
        self.assertEqual(self.read("mnt/large")[:4], "LINE")
        self.assertFalse(os.path.exists(f"{self.mnt}/deleted"))

    def test_the_mount_goes_on_over_an_empty_upper(self):
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        self.write("mnt/names/keep", "one")
        kept = os.stat(f"{self.mnt}/names/keep")
        self.assertEqual(self.commit("mnt", "--name", "one").returncode, 0)
        self.assertEqual(os.listdir(self.at("up")), [])
        self.assertEqual(run(UFS, "diff", self.mnt).stdout, "")
        self.write("mnt/names/other", "two")
        done = self.commit("mnt", "--name", "two", "--json")
        self.assertEqual(json.loads(done.stdout)["entries"], 2)  # /names, /names/other
        again = os.stat(f"{self.mnt}/names/keep")
        self.assertEqual((again.st_ino, again.st_ctime_ns), (kept.st_ino, kept.st_ctime_ns))
        # One that keeps its upper has all of it in the next layer, too.
        self.write("mnt/third", "three")
        done = self.commit("mnt", "--keep-upper", "--name", "three")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(os.listdir(self.at("up")), ["third"])
        self.umount()
        for layers, names in ((["one"], ["keep"]), (["one", "two"], ["keep", "other"])):
            self.mount_layers(*layers)
            self.assertEqual(sorted(os.listdir(f"{self.mnt}/names")), names)
            self.assertEqual(self.read("mnt/names/keep"), "one")
            self.umount()
        # As it was mounted before, it shows the same; and the upper that is not
        # mounted is committed from where the last commit was.
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        self.assertEqual(self.read("mnt/names/keep") + self.read("mnt/names/other"), "onetwo")
        self.assertEqual(os.stat(f"{self.mnt}/names/keep").st_ino, kept.st_ino)
        self.umount()
        done = self.commit("--layer", self.base, "up", "--name", "upper", "--json")
        self.assertEqual(json.loads(done.stdout)["entries"], 1, done)
        # What came from a layer is known as that still.
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        os.rename(f"{self.mnt}/names/keep", f"{self.mnt}/names/moved")
        self.assertIn("R /names/keep -> /names/moved\n", run(UFS, "diff", self.mnt).stdout)

    def test_what_is_in_the_layers_by_now_goes(self):
        up, frozen = self.at("up"), self.at("up.work/ufs/frozen")
        store = ("--store", self.at("store"))
        self.mount("--upper", up, self.base, self.mnt)
        for text in ("one", "two"):
            self.write("mnt/names/keep", text)
            os.mkdir(f"{self.mnt}/{text}")
            self.assertEqual(self.commit("mnt", "--name", text).returncode, 0)
        self.umount()
        newer = self.make_layer("newer", {"names/keep": "newer"})
        # Not all of them are named; then, the upper is not empty.
        self.mount(*store, "--upper", up, self.base, "one", newer, self.mnt)
        self.assertEqual(self.read("mnt/names/keep"), "two")
        self.write("mnt/mine", "")
        self.umount()
        self.mount(*store, "--upper", up, self.base, "one", "two", newer, self.mnt)
        self.assertEqual(self.read("mnt/names/keep"), "two")
        os.unlink(f"{self.mnt}/mine")
        self.umount()
        self.assertEqual(sorted(os.listdir(frozen)), ["1", "2"])
        os.mkdir(f"{frozen}/1/tree/one/fast")
        run("chattr", "+i", f"{frozen}/1/tree/one/fast")
        self.addCleanup(run, "chattr", "-R", "-i", self.at("up.work"))
        for _ in range(2):
            done = run(UFS, "mount", *store, "--upper", up, self.base, "one", "two", newer, self.mnt)
            self.assertEqual(done.returncode, 0)
            self.assertRegex(done.stderr, "is in the layers stays: Operation not permitted$")
            self.assertEqual(self.read("mnt/names/keep"), "newer")
            self.assertTrue(os.path.isdir(f"{self.mnt}/one") and os.path.isdir(f"{self.mnt}/two"))
            self.assertEqual(run(UFS, "diff", self.mnt).stdout, "")
            self.umount()
            self.assertFalse(os.path.exists(frozen))
        run("chattr", "-R", "-i", self.at("up.work"))
        self.mount(*store, "--upper", up, self.base, self.mnt)
        self.assertEqual(os.listdir(self.at("up.work/ufs")).count("dropped"), 0)
        self.assertEqual(os.path.exists(f"{self.mnt}/one"), False)

    def test_one_that_cannot_begin_afresh_says_so(self):
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        self.write("mnt/fast", "f")
        run("chattr", "+i", f"{self.mnt}/fast")
        self.addCleanup(run, "chattr", "-i", self.at("up/fast"))
        done = self.commit("mnt", "--name", "one")
        self.assertEqual(done.returncode, 0)
        self.assertIn("the layer is made, but the mount keeps its upper", done.stderr)
        self.assertIn("fast: chattr +a or +i", done.stderr)
        self.assertEqual(os.listdir(self.at("up")), ["fast"])
        self.write("mnt/names/keep", "goes on")

    def test_by_an_ordinary_user(self):
        harness.open_fuse_to_all(self.dir)
        self.addCleanup(run, "umount", "-l", "/dev/fuse")
        self.called_as("ufs")
        os.chmod(self.dir, 0o777)
        for path in (self.base, f"{self.base}/names", f"{self.base}/large"):
            os.chown(path, harness.USER, harness.USER)
        path = f"PATH={self.at('bin')}:{os.environ['PATH']}"
        done = run(*harness.as_user("unshare", "-Urm", "sh", "-c", BY_A_USER, environment=[path]),
                   cwd=self.dir)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        numbers = [int(word) for word in done.stdout.split()]
        last, *moments = list(zip(numbers[::2], numbers[1::2]))
        self.assertEqual(len(moments), 3)
        for first, second in moments:
            self.assertIn(first - second, (0, 1))
        self.assertEqual(sorted(moments), moments)
        self.assertLessEqual(moments[-1], last)

    def test_links_and_pipes_of_an_ordinary_user(self):
        harness.open_fuse_to_all(self.dir)
        self.addCleanup(run, "umount", "-l", "/dev/fuse")
        self.called_as("ufs")
        os.chmod(self.dir, 0o777)
        path = f"PATH={self.at('bin')}:{os.environ['PATH']}"
        done = run(*harness.as_user("unshare", "-Urm", "sh", "-c", STAND_INS, environment=[path]),
                   cwd=self.dir)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        tree = ["drwxr-xr-x /", "deleted /a", "lrwxrwxrwx /b -> target", "deleted /f",
                "prw-r--r-- /f2"]
        self.assertEqual([" ".join(line.split()) for line in done.stdout.splitlines()],
                         ["D /a", "D /f", *tree * 3])

    def test_a_store_in_the_mount_is_refused(self):
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        with Writers(self.mnt) as writers:
            self.assertTrue(harness.wait_until(lambda: min(writers.counts) > 2))
            done = run(UFS, "commit", "--store", "mnt/store", "mnt", cwd=self.dir)
        self.assertEqual(done.returncode, 1)
        self.assertIn("is in the mount itself", done.stderr)
        self.assertNotIn(os.strerror(errno.EIO), done.stderr)


CHUNK = 64 << 10
PARTS = {  # how a file that the layer has is changed, with little of it copied
    "written": lambda path: put_at(path, CHUNK + 5, b"written"),
    "first/linked": lambda path: put_at(path, 5 * CHUNK, b"written"),
    "grown": lambda path: put_at(path, 3 << 20, b"and more"),
    "sparse": lambda path: put_at(path, 9 << 20, b"far away"),
    "cut": lambda path: (put_at(path, 0, b"written"), os.truncate(path, 40 * CHUNK + 7)),
    "cut-and-grown": lambda path: (put_at(path, 0, b"written"), os.truncate(path, CHUNK),
                                   os.truncate(path, 2 << 20)),
    "moved": lambda path: (put_at(path, 7, b"written"), os.rename(path, path + "-away")),
    "folder/within": lambda path: (put_at(path, 7, b"written"),
                                   os.rename(os.path.dirname(path), path[:-13] + "elsewhere")),
}


def put_at(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


class CommitOfAnUpper(CliTest):
    """Of one that is not mounted, in which files are there in part."""

    def setUp(self):
        super().setUp()
        self.store = self.at("store")
        for name in PARTS:
            os.makedirs(os.path.dirname(self.at(f"base/{name}")), exist_ok=True)
            with open(self.at(f"base/{name}"), "wb") as file:
                file.write(os.urandom(3 << 20))
        os.link(self.at("base/first/linked"), self.at("base/other-name"))

    def contents(self):
        found = {}
        for parent, _, names in os.walk(self.mnt):
            for name in names:
                path = os.path.join(parent, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, self.mnt)] = (file.read(), os.stat(path).st_mtime_ns)
        return found

    def change(self, *layers):
        self.mount("--store", self.store, "--upper", self.at("up"), *layers, self.mnt)
        for name, how in PARTS.items():
            how(f"{self.mnt}/{name}")
        before = self.contents()
        self.umount()
        return before

    def upper_sizes(self):
        return {path: os.stat(path).st_blocks for parent in ("up", "up.work/ufs/index")
                for path in (self.at(f"{parent}/{name}") for name in os.listdir(self.at(parent)))
                if os.path.isfile(path)}

    def check_commit(self, layer):
        before = self.change(layer)
        sizes = self.upper_sizes()
        done = self.ufs("commit", "--store", self.store, "--layer", layer, self.at("up"),
                        "--name", "parts")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.upper_sizes(), sizes)  # it is as it was
        self.mount("--store", self.store, "--ro", layer, "parts", self.mnt)
        self.assertEqual(self.contents(), before)

    def test_keeps_the_time_that_a_file_shows_while_it_is_copied(self):
        """As a daemon leaves it that is killed at that."""
        if os.geteuid() != 0:
            self.skipTest("the marks of root are trusted.*")
        self.change(self.at("base"))
        path = self.at("up/written")
        os.setxattr(path, "trusted.overlay.ufs.mtime", f"{os.stat(path).st_size}:1000.000000005".encode())
        done = self.ufs("commit", "--store", self.store, "--layer", self.at("base"), self.at("up"),
                        "--name", "held")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.mount("--store", self.store, "--ro", self.at("base"), "held", self.mnt)
        self.assertEqual(os.stat(f"{self.mnt}/written").st_mtime_ns, 1000 * 10**9 + 5)

    def test_over_a_directory(self):
        self.check_commit(self.base)

    def test_over_a_layer_of_the_store(self):
        self.assertEqual(self.ufs("layer", "import", "--store", self.store, "--name", "below",
                                  self.base).returncode, 0)
        self.check_commit("below")

    def test_over_what_is_committed(self):
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        put_at(f"{self.mnt}/written", 0, b"first of all")
        os.rename(f"{self.mnt}/grown", f"{self.mnt}/other")
        os.rename(f"{self.mnt}/other", f"{self.mnt}/grown")
        self.assertEqual(self.ufs("commit", "--store", self.store, self.mnt).returncode, 0)
        self.umount()
        self.change(self.base)
        before = self.contents_of_union()
        done = self.ufs("commit", "--store", self.store, "--layer", self.base, self.at("up"),
                        "--name", "second")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        first = json.loads(self.ufs("layer", "ls", "--store", self.store, "--json").stdout)
        digests = [layer["digest"] for layer in first if not layer["names"]]
        self.mount("--store", self.store, "--ro", self.base, *digests, "second", self.mnt)
        self.assertEqual(self.contents(), before)

    def test_the_difference_is_what_a_commit_has(self):
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        put_at(f"{self.mnt}/written", 0, b"first of all")
        self.write("mnt/born", "before")
        self.write("mnt/given-up", "before")
        self.assertEqual(self.ufs("commit", "--store", self.store, self.mnt).returncode, 0)
        os.chmod(f"{self.mnt}/written", 0o600)
        os.unlink(f"{self.mnt}/given-up")
        self.write("mnt/born", "after")
        told = "C /born\nD /given-up\nM /written\n"
        self.assertEqual(self.ufs("diff", self.mnt).stdout, told)
        self.umount()
        os.rename(self.at("up.work"), self.at("work"))
        done = self.ufs("diff", "--layer", self.base, "--work", self.at("work"), self.at("up"))
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, told, ""))
        done = self.ufs("commit", "--store", self.store, "--layer", self.base,
                        "--work", self.at("work"), self.at("up"), "--name", "second")
        self.assertEqual(done.returncode, 0, done.stderr)
        tree = self.ufs("layer", "tree", "--store", self.store, "second").stdout.split("\n")
        self.assertEqual(sorted(line.split()[-1] for line in tree if line),
                         ["/", "/born", "/given-up", "/written"])

    def test_a_mount_point_that_is_bare_has_no_difference(self):
        done = self.ufs("diff", self.make_dir("bare"))
        self.assert_refused(done, "bare: is empty and has no work directory beside it")

    def contents_of_union(self):
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        found = self.contents()
        self.umount()
        return found

    def test_other_layers_have_not_the_rest(self):
        self.change(self.base)
        done = self.ufs("commit", "--store", self.store, self.at("up"))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "only part of it was copied up; name the layers")
        with open(self.make_dir("wrong") + "/written", "wb") as file:
            file.write(b"short")
        for name in set(os.listdir(self.at("up"))) - {"written"}:
            os.rename(self.at(f"up/{name}"), self.at(f"aside-{name}"))
        done = self.ufs("commit", "--store", self.store, "--layer", self.at("wrong"), self.at("up"))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "/written: .*which is shorter; name the layers")


if __name__ == "__main__":
    harness.main()
