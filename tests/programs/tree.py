"""Snapshots of a whole tree in every attribute, and what differs between two of them.

Run as `tree.py ROOT [HASHES]` it prints the snapshot of ROOT as JSON, so that it can be taken inside the namespace of a
mount. HASHES is a file that keeps content hashes by inode and times from one snapshot to the next: for a tree whose inodes
and times can be believed, which is the plain one.
"""

import base64
import fnmatch
import hashlib
import json
import os
import stat
import sys

# Overlay's own marks on a directory or file are the union's business, not the program's.
_FOREIGN_XATTRS = ("trusted.overlay.", "user.overlay.", "user.fuseoverlayfs.")


def _hash(path, status, hashes):
    stamp = f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
    if stamp not in hashes:
        hashes[stamp] = _hash_contents(path)
    return hashes[stamp]


def _hash_contents(path):
    digest = hashlib.blake2b(digest_size=16)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        while piece := os.read(descriptor, 1 << 20):
            digest.update(piece)
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def _xattrs(path):
    found = {}
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        if not name.startswith(_FOREIGN_XATTRS):
            found[name] = base64.b64encode(os.getxattr(path, name, follow_symlinks=False)).decode()
    return found


def _entry(path, status, hashes):
    kind = stat.S_IFMT(status.st_mode)
    entry = {"type": kind, "mode": stat.S_IMODE(status.st_mode), "uid": status.st_uid, "gid": status.st_gid,
             "mtime": status.st_mtime_ns, "xattrs": _xattrs(path)}
    if kind != stat.S_IFDIR:  # the links and the size of a directory are the filesystem's own
        entry["nlink"] = status.st_nlink
        entry["size"] = status.st_size
    if kind == stat.S_IFREG:
        entry["hash"] = _hash_contents(path) if hashes is None else _hash(path, status, hashes)
    elif kind == stat.S_IFLNK:
        entry["target"] = os.readlink(path)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        entry["device"] = [os.major(status.st_rdev), os.minor(status.st_rdev)]
    return entry


def snapshot(root, hashes=None):
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
            found[path] = _entry(full, status, hashes)
            if not stat.S_ISDIR(status.st_mode):
                found[path]["links"] = first_of_inode.setdefault((status.st_dev, status.st_ino), path)
            else:
                visit(path)

    visit("")
    return found


def _matches(path, patterns):
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def differences(expected, actual, started_ns, unstable, absent):
    """What differs, as lines of text.

    Where a path matches `unstable`, contents and sizes may differ; where it matches `absent`, it may even be missing.
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
            if want.get(key) == got.get(key):
                continue
            if key == "mtime" and want[key] >= started_ns and got[key] >= started_ns:
                continue
            if key in ("hash", "size", "target") and _matches(path, unstable):
                continue
            if key == "links" and (_matches(want[key], absent) or _matches(got[key], absent)):
                continue
            found.append(f"{path}: {key} is {got.get(key)}, should be {want.get(key)}")
    return found


def _main(root, hashes_file=None):
    hashes = None
    if hashes_file is not None:
        hashes = {}
        if os.path.exists(hashes_file):
            with open(hashes_file, encoding="utf-8") as file:
                hashes = json.load(file)
    json.dump(snapshot(root, hashes), sys.stdout)
    if hashes_file is not None:
        with open(hashes_file, "w", encoding="utf-8") as file:
            json.dump(hashes, file)


if __name__ == "__main__":
    _main(*sys.argv[1:])
