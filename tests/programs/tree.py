"""Snapshots of a whole tree in every attribute, and what differs between two of them.

Run as `tree.py ROOT [KNOWN]` it prints the snapshot of ROOT as JSON, so that it can be taken inside the namespace of a
mount. KNOWN is a file that keeps what was read of contents, by inode and times, from one snapshot to the next: for a tree
whose inodes and times can be believed, which is the plain one.
"""

import base64
import ctypes
import errno
import fnmatch
import hashlib
import json
import os
import stat
import sys
import time

# Overlay's own marks on a directory or file are the union's business, not the program's.
_FOREIGN_XATTRS = ("trusted.overlay.", "user.overlay.", "user.fuseoverlayfs.")


# How late the clock of a kernel's time stamps may be.
TICK_NS = 20_000_000

AT_FDCWD, AT_SYMLINK_NOFOLLOW, STATX_BTIME = -100, 0x100, 0x800
_libc = ctypes.CDLL(None, use_errno=True)


class _Statx(ctypes.Structure):
    """As far as the time of birth."""

    _fields_ = [("mask", ctypes.c_uint32), ("before", ctypes.c_uint8 * 76), ("btime_s", ctypes.c_int64),
                ("btime_ns", ctypes.c_uint32), ("behind", ctypes.c_uint8 * 164)]


def _birth(path):
    """In nanoseconds; None where the file system does not know it."""
    buffer = _Statx()
    if _libc.statx(AT_FDCWD, os.fsencode(path), AT_SYMLINK_NOFOLLOW, STATX_BTIME, ctypes.byref(buffer)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    return buffer.btime_s * 10**9 + buffer.btime_ns if buffer.mask & STATX_BTIME else None


def _contents(path, status, known):
    """Hash of a regular file, and where it has data if it has holes."""
    if known is None:
        return _read_contents(path, status.st_size)
    stamp = f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
    if stamp not in known:
        known[stamp] = _read_contents(path, status.st_size)
    return known[stamp]


def _read_contents(path, size):
    digest = hashlib.blake2b(digest_size=16)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        pieces = _data(descriptor, size)
        os.lseek(descriptor, 0, os.SEEK_SET)
        while piece := os.read(descriptor, 1 << 20):
            digest.update(piece)
    finally:
        os.close(descriptor)
    return {"hash": digest.hexdigest()} | ({"data": pieces} if pieces != [[0, size]] else {})


def _data(descriptor, size):
    """The pieces that are no holes, as [begin, end]."""
    pieces, end = [], 0
    while end < size:
        try:
            begin = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break
        end = os.lseek(descriptor, begin, os.SEEK_HOLE)
        pieces.append([begin, end])
    return pieces or ([[0, 0]] if size == 0 else [])


def _xattrs(path):
    found = {}
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        if not name.startswith(_FOREIGN_XATTRS):
            found[name] = base64.b64encode(os.getxattr(path, name, follow_symlinks=False)).decode()
    return found


def _entry(path, status, known):
    kind = stat.S_IFMT(status.st_mode)
    entry = {"type": kind, "mode": stat.S_IMODE(status.st_mode), "uid": status.st_uid, "gid": status.st_gid,
             "mtime": status.st_mtime_ns, "ctime": status.st_ctime_ns, "btime": _birth(path), "ino": status.st_ino,
             "xattrs": _xattrs(path)}
    if kind != stat.S_IFDIR:  # the links and the size of a directory are the filesystem's own
        entry["nlink"] = status.st_nlink
        entry["size"] = status.st_size
    if kind == stat.S_IFREG:
        entry |= _contents(path, status, known)
    elif kind == stat.S_IFLNK:
        entry["target"] = os.readlink(path)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        entry["device"] = [os.major(status.st_rdev), os.minor(status.st_rdev)]
    return entry


def snapshot(root, known=None):
    """Everything below root: path -> attributes. `links` names the first path of a hard link group."""
    found = {}
    first_of_inode = {}

    def visit(relative):
        with os.scandir(os.path.join(root, relative)) as listing:
            names = sorted(entry.name for entry in listing)
        for name in names:
            path = os.path.join(relative, name)
            full = os.path.join(root, path)
            status = os.lstat(full)
            found[path] = _entry(full, status, known)
            if not stat.S_ISDIR(status.st_mode):
                found[path]["links"] = first_of_inode.setdefault((status.st_dev, status.st_ino), path)
            else:
                visit(path)

    visit("")
    return found


def _matches(path, patterns):
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


# Those of which two runs cannot have the same; see `impossible` and `changed`.
_OF_ONE_RUN = ("ctime", "btime", "ino")


def differences(expected, actual, started_ns, unstable, scrambled, absent):
    """What differs, as lines of text.

    Where a path matches `unstable`, contents and sizes may differ; where it matches `scrambled`, contents may; where it
    matches `absent`, it may even be missing.
    Times of what was written since `started_ns` are those of two different runs: it is enough that both are that young.
    """
    found = []
    for path in sorted(expected.keys() | actual.keys()):
        if _matches(path, absent):
            continue
        if path not in expected or path not in actual:
            found.append(f"{path}: only in the {'union' if path in actual else 'plain tree'}")
            continue
        want, got = expected[path], actual[path]
        for key in sorted(want.keys() | got.keys()):
            if want.get(key) == got.get(key) or key in _OF_ONE_RUN:
                continue
            if key == "mtime" and want[key] >= started_ns and got[key] >= started_ns:
                continue
            if key in ("hash", "size", "target", "data") and _matches(path, unstable):
                continue
            if key in ("hash", "data") and _matches(path, scrambled):
                continue
            if key == "links" and (_matches(want[key], absent) or _matches(got[key], absent)):
                continue
            found.append(f"{path}: {key} is {got.get(key)}, should be {want.get(key)}")
    return found


def impossible(plain, union, started_ns, plain_ended_ns, absent):
    """Times in the union that no run can leave, as lines of text. Between `started_ns` and `plain_ended_ns` the program
    ran in the plain tree, after that in the union.

    The other way round need not hold: a copy-up gives a directory a new ctime, a plain tree has no such thing.
    """
    found = []
    now = time.time_ns()
    for path in sorted(union.keys() & plain.keys()):
        want, got = plain[path], union[path]
        if got["ctime"] > now:
            found.append(f"{path}: ctime {got['ctime']} is to come, it is {now}")
        if plain_ended_ns <= got["mtime"] <= now and got["ctime"] < got["mtime"]:
            found.append(f"{path}: written at {got['mtime']}, but changed last at {got['ctime']}")
        if want["ctime"] >= started_ns and got["ctime"] < plain_ended_ns - TICK_NS and not _matches(path, absent):
            found.append(f"{path}: changed in the plain tree, but last changed at {got['ctime']}, before the program ran")
        if (got["btime"] is None) != (want["btime"] is None):
            found.append(f"{path}: time of birth is {got['btime']}, and {want['btime']} in the plain tree")
        elif got["btime"] is not None and got["btime"] > got["ctime"]:
            found.append(f"{path}: born at {got['btime']}, but changed last at {got['ctime']}")
    return found


def changed(before, after):
    """What a remount changed of what only one run has, as lines of text.

    A directory's ctime follows marks that tell of copy-ups in it, a file's the rest of its contents that came up in the
    background; nobody tells the kernel, which may have shown the older one. Nothing else may change it.
    """
    found = []
    for path in sorted(before.keys() & after.keys()):
        was, now = before[path], after[path]
        for key in _OF_ONE_RUN:
            grows = key == "ctime" and was["type"] in (stat.S_IFREG, stat.S_IFDIR)
            if now[key] != was[key] and not (grows and now[key] > was[key]):
                found.append(f"{path}: {key} is {now[key]}, was {was[key]}")
    return found


def _main(root, known_file=None):
    known = None
    if known_file is not None:
        known = {}
        if os.path.exists(known_file):
            with open(known_file, encoding="utf-8") as file:
                known = json.load(file)
    json.dump(snapshot(root, known), sys.stdout)
    if known_file is not None:
        with open(known_file, "w", encoding="utf-8") as file:
            json.dump(known, file)


if __name__ == "__main__":
    _main(*sys.argv[1:])
