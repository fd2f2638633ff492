"""An upper under a real quota: the caller hears EDQUOT, nothing has changed, the
mount stays usable, and the same operation works once there is room.

    quota_test.py classic|io_uring
"""
import errno
import os

import union
from checks import Checks
from operations import USER, as_user, call, create, do, rename, write
from quota_disk import LIMIT, MEGABYTE, Disk
from union import SKIPPED, WHOLE_COPIES

STEP = 96 << 10  # by which the room grows until an operation finds enough


def fill(name):
    """Ends with the error that says there is no more room."""
    fd = os.open(name, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    while True:
        os.write(fd, os.urandom(STEP))


def append(name):
    fd = os.open(name, os.O_APPEND | os.O_WRONLY)
    os.write(fd, b"more")
    os.close(fd)


class QuotaTest(Checks):
    def __init__(self, fs, disk):
        super().__init__(fs)
        self.disk = disk

    def operations(self):
        """None of them may begin with what another one has changed."""
        yield "write to an own file", do(append, "own")
        yield "create", do(create, "new1")
        yield "create for a user", as_user(create, "public/new")
        yield "mkdir", do(os.mkdir, "new2")
        yield "symlink", do(os.symlink, "to", "new3")
        yield "mknod", do(os.mkfifo, "new4")
        yield "link of an own file", do(os.link, "own", "new5")
        yield "create in a lower directory", do(create, "deep/a/new")
        yield "chmod of a lower file", do(os.chmod, "small1", 0o600)
        yield "chown of a lower file", do(os.chown, "small2", USER, USER)
        yield "setxattr of a lower file", do(os.setxattr, "small3", "user.a", b"b")
        yield "write to a small lower file", do(write, "small4")
        yield "write to a large lower file", do(write, "big1")
        yield "truncation of a lower file", do(os.truncate, "big2", MEGABYTE)
        yield "link of a lower file", do(os.link, "small5", "new6")
        yield "rename of a lower file", do(rename, "small6", "new7")
        yield "rename of a lower directory", do(rename, "dir1", "new8")
        yield "unlink of a lower file", do(os.unlink, "small7")
        yield "rmdir of a lower directory", do(os.rmdir, "dir2")
        yield "exchange of lower files", do(rename, "small8", "small9", 2)

    def until_there_is_room(self, what, operation):
        used = self.disk.used()
        for room in range(0, LIMIT, STEP):
            self.disk.limit(used + room)
            before = union.snapshot(self.fs.mnt)
            code = self.fs.run(operation)
            if code == 0:
                self.expect(room > 0, f"{what} needed no room")
                return
            self.expect(code == errno.EDQUOT,
                        f"{what}: {errno.errorcode.get(code, code)} with {room} bytes")
            changes = union.difference(before, union.snapshot(self.fs.mnt))
            self.expect(not changes, f"{what} with {room} bytes changed\n{changes}")
        self.expect(False, f"{what} never found room")

    def run_with(self, options):
        self.fs.options = options
        self.fs.upper = f"{self.disk.home}/upper.{options or 'default'}"
        self.fs.work = self.fs.upper + ".work"
        os.mkdir(self.fs.upper)
        self.disk.limit(LIMIT + self.disk.used())
        self.fs.mount()
        self.fs.run(do(create, "own", b"own"))
        self.expect_code("the write that goes over it", do(fill, "large"), errno.EDQUOT)
        for what, operation in self.operations():
            self.until_there_is_room(what, operation)
        self.disk.limit(self.disk.used())
        self.refused("create in the end", do(create, "last"), errno.EDQUOT)
        self.expect_code("removal of an own file", do(os.unlink, "large"), 0)
        self.expect_soon("create after a removal", do(create, "last", b"last"))
        self.expect_soon("copy-up after a removal", do(write, "big3"))
        with open(self.fs.mnt + "/big3", "rb") as file:
            data = file.read()
        self.expect(data[1000:1007] == b"written" and len(data) == 3 * MEGABYTE,
                    "contents after the removal")
        self.expect(not self.fs.has_died(), "the daemon died")
        before = union.snapshot(self.fs.mnt)
        self.fs.umount()
        left = os.listdir(self.fs.work + "/ufs/tmp")
        self.expect(not left, f"{left} in the work directory")
        self.fs.mount()
        changes = union.difference(before, union.snapshot(self.fs.mnt))
        self.expect(not changes, f"a remount changed\n{changes}")
        self.fs.umount()
        print(f"{options or 'default options'}: done", flush=True)

    def make_layers(self):
        base, _ = self.fs.layers
        for number in range(1, 4):
            with open(f"{base}/big{number}", "wb") as file:
                file.write(os.urandom(3 * MEGABYTE))
        for number in range(1, 10):
            create(f"{base}/small{number}", os.urandom(5000))
        os.makedirs(base + "/deep/a")
        os.mkdir(base + "/dir1")
        os.mkdir(base + "/dir2")
        create(base + "/dir1/file")
        os.mkdir(base + "/public")
        os.chmod(base + "/public", 0o777)


def run_all(fs):
    disk = Disk(fs.dir)
    try:
        if not disk.make():
            print("skipped: no quotas of btrfs here")
            raise SystemExit(SKIPPED)
        test = QuotaTest(fs, disk)
        test.make_layers()
        for options in filter(lambda one: one is not None, ("", WHOLE_COPIES or None)):
            test.run_with(options)
        print(f"{test.failures} failures")
        return test.failures
    finally:
        fs.close()
        disk.remove()


union.main(run_all)
