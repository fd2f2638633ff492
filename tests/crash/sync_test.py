"""What each fsync= puts on disk, and when: counted by the points before the syncs.

    sync_test.py classic|io_uring
"""
import collections
import os

import union
from operations import Operation, create, do, make_layers, rename, sync, write
from union import WHOLE_COPIES, run

# Operation -> syncs of data, of drafts, of names: in auto, in strict.
EXPECTED = [
    (Operation("write a lower file", do(write, "file")), "data", "data draft"),
    (Operation("chmod a lower file", do(os.chmod, "file", 0o600)), "", "draft"),
    (Operation("chmod a lower directory", do(os.chmod, "dir", 0o700)), "", "draft"),
    (Operation("create", do(create, "new")), "", "names"),
    (Operation("create deep", do(create, "deep/a/new")), "", "draft draft names"),
    (Operation("mkdir", do(os.mkdir, "new")), "", "names"),
    (Operation("symlink", do(os.symlink, "to", "new")), "", "names"),
    (Operation("link", do(os.link, "file", "new")), "", "draft names"),
    (Operation("unlink", do(os.unlink, "file")), "", "names"),
    (Operation("rmdir", do(os.rmdir, "empty")), "", "names"),
    (Operation("rename", do(rename, "file", "new")), "", "draft names"),
    (Operation("rename elsewhere", do(rename, "file", "dir/new")), "",
     "draft draft names names"),
    (Operation("exchange", do(rename, "file", "other", 2)), "", "draft draft names"),
    # What the caller syncs is synced, whatever else is.
    (Operation("fsync", do(sync, "file"), do(write, "file")), "before", "before"),
]


def syncs(fs, operation):
    fs.reset()
    if operation.setup:
        fs.mount()
        assert fs.run(operation.setup) == 0
        fs.umount()
    trace = fs.dir + "/trace"
    open(trace, "w").close()
    if "volatile" in fs.options and operation.setup:
        run("rm", "-rf", fs.work + "/work/incompat/volatile")
    fs.mount("trace:" + trace)
    code = fs.run(operation.run)
    assert code == 0, f"{operation.name}: {os.strerror(code)}"
    fs.umount()
    with open(trace) as file:
        return collections.Counter(
            point.split(".")[1] for point in file.read().split()
            if point.startswith("fsync."))


def refused_after_volatile(fs):
    """The upper may have lost what it said it had."""
    done = fs.try_mount()
    if done.returncode != 0 and "incompat/volatile" in done.stderr:
        return 0
    print(f"FAILED: mounted again: {done.returncode} {done.stderr}")
    return 1


def test(fs):
    make_layers(*fs.layers)
    failures = 0
    for operation, auto, strict in EXPECTED:
        for mode, expected in (("auto", auto), ("strict", strict), ("volatile", "")):
            fs.options = ",".join(filter(None, [WHOLE_COPIES, "fsync=" + mode]))
            found = syncs(fs, operation)
            if found != collections.Counter(expected.split()):
                failures += 1
                print(f"FAILED: {operation.name}, fsync={mode}: {dict(found)}, "
                      f"expected '{expected}'", flush=True)
    failures += refused_after_volatile(fs)
    print(f"{len(EXPECTED)} operations, {failures} failures")
    return failures


union.main(test)
