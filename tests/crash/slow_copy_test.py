"""While contents are copied up, everybody but who changes them goes on: stat,
lookup, read, listing, and everything about other files.

    slow_copy_test.py classic|io_uring
"""
import os
import sys
import time

import union
from operations import PATTERN, make_layers, write
from union import OLD, WHOLE_COPIES

COPY_SECONDS = 3
OTHERS = 200
PROMPT_SECONDS = COPY_SECONDS / 2  # leaves room for a loaded machine


def expect(condition, message):
    if not condition:
        print(f"FAILED: {message}", flush=True)
    return 0 if condition else 1


def looks(mnt, known):
    """What must be answered while `file` is copied up; `known` was opened."""
    path = mnt + "/file"
    yield "fstat", lambda: os.fstat(known), lambda info: (
        info.st_mtime == OLD and info.st_size == len(PATTERN))
    yield "stat", lambda: os.stat(path), lambda info: info.st_mtime == OLD
    yield "xattr", lambda: os.getxattr(path, "user.old"), lambda value: value == b"1"
    # Not of the page that is being written: the kernel holds that one.
    yield "read", lambda: os.pread(known, 100, 200000), lambda data: (
        data == PATTERN[200000:200100])
    yield "list", lambda: os.listdir(mnt), lambda names: "file" in names
    yield "create", lambda: write_new(mnt + "/new"), lambda _: True
    yield "chmod of another", lambda: os.chmod(mnt + "/other", 0o600), lambda _: True
    # Copied up as well: whatever is kept for several inodes is kept for some of these.
    yield "writes to others", lambda: write_others(mnt), lambda _: True


def write_new(path):
    with open(path, "wb") as file:
        file.write(b"new")


def write_others(mnt):
    for number in range(OTHERS):
        write(f"{mnt}/others/{number}", offset=0)
        if number == OTHERS // 2:
            write_new(f"{mnt}/others/new")  # else all numbers may be even


def slow_copy(fs, name, prepare):
    fs.reset()
    fs.mount(f"copy_up.contents:sleep={COPY_SECONDS * 1000}")
    prepare(fs.mnt + "/file")
    known = os.open(fs.mnt + "/file", os.O_RDONLY)
    begin = time.monotonic()
    writer = os.fork()
    if writer == 0:
        try:
            write(fs.mnt + "/file")
            os._exit(0)
        finally:
            os._exit(1)
    time.sleep(0.5)
    failures = 0
    for what, look, is_right in looks(fs.mnt, known):
        # What the kernel knows it answers itself; the daemon shall be asked.
        with open("/proc/sys/vm/drop_caches", "w") as drop:
            drop.write("2")
        asked = time.monotonic()
        failures += expect(is_right(look()), f"{name}: {what} is wrong")
        took = time.monotonic() - asked
        failures += expect(took < PROMPT_SECONDS, f"{name}: {what} took {took:.1f} s")
    over = os.waitpid(writer, os.WNOHANG)[0] != 0
    failures += expect(not over, f"{name}: the copy was over too soon to tell")
    if not over:
        failures += expect(os.waitpid(writer, 0)[1] == 0, f"{name}: the write failed")
    took = time.monotonic() - begin
    failures += expect(took >= COPY_SECONDS, f"{name}: the write took {took:.1f} s")
    with open(fs.mnt + "/file", "rb") as file:
        want = PATTERN[:1000] + b"written" + PATTERN[1007:]
        failures += expect(file.read() == want, f"{name}: contents are wrong")
    os.close(known)
    fs.umount()
    print(f"{name}: {failures} failures", flush=True)
    return failures


def test(fs):
    make_layers(*fs.layers)
    os.mkdir(fs.layers[0] + "/others")
    for number in range(OTHERS):
        with open(f"{fs.layers[0]}/others/{number}", "wb") as file:
            file.write(b"other contents")
    fs.options = WHOLE_COPIES  # or there would be no slow copy

    def keep_mode(path):
        os.chmod(path, 0o600)  # a metacopy
    return (slow_copy(fs, "lower file", lambda path: None) +
            slow_copy(fs, "metacopy", keep_mode))


union.main(test)
