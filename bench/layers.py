"""The layers that every candidate mounts: a real root split into N directories, the later ones changing the earlier.

A set of layers is made once per (source, count) and cached.  Its parts:
  layers/000 ...   bottom to top; whiteouts are 0/0 character devices, opaque directories carry the overlay xattrs
  merged/          what the union of them must show, merged here without any union filesystem
  unionfs/         the layers that hold whiteouts once more, in the encoding that unionfs-fuse reads
"""

import contextlib
import hashlib
import json
import os
import pathlib
import random
import shutil
import stat
import subprocess

import debian_root

OPAQUE_XATTRS = ["trusted.overlay.opaque", "user.overlay.opaque", "user.fuseoverlayfs.opaque"]
BIG_FILE = "bench/big.bin"
_USR_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# Where the deltas of a Debian root may change files without breaking the programs in it.
_CHANGEABLE = tuple(f"usr/share/{name}/" for name in ("bash-completion", "doc", "locale", "man", "zoneinfo"))
_FORMAT = 5  # counted up when what is built here changes


class LayerSet:
    """The finished set in `path`."""

    def __init__(self, path):
        self.path = path
        self.merged = path / "merged"
        self.layers = sorted((path / "layers").iterdir())
        self.facts = json.loads((path / "facts.json").read_text())

    def for_unionfs_fuse(self):
        return [variant if (variant := self.path / "unionfs" / layer.name).is_dir() else layer for layer in self.layers]

    def files(self, under="", most_bytes=None, limit=None):
        """Regular files of the union below `under`, as paths relative to its root; the same ones in each run."""
        found = []
        for directory, _, names in os.walk(self.merged / under):
            for name in names:
                path = os.path.join(directory, name)
                status = os.lstat(path)
                if stat.S_ISREG(status.st_mode) and (most_bytes is None or status.st_size <= most_bytes):
                    found.append(os.path.relpath(path, self.merged))
        found = [path for path in found if path != BIG_FILE]
        found.sort(key=lambda path: hashlib.sha256(path.encode(errors="surrogateescape")).digest())
        return sorted(found[:limit])

    def directories(self):
        found = [os.path.relpath(directory, self.merged) for directory, _, _ in os.walk(self.merged)]
        return sorted(path for path in found if path != ".")

    def everything(self):
        found = []
        for directory, subdirectories, names in os.walk(self.merged):
            found += [os.path.relpath(os.path.join(directory, name), self.merged) for name in subdirectories + names]
        return sorted(found)


def entries(root):
    """All paths below root, parents before children, as (relative path, lstat)."""
    found = []
    for directory, subdirectories, names in os.walk(root):
        subdirectories.sort()
        for name in sorted(subdirectories + names):
            path = os.path.join(directory, name)
            found.append((os.path.relpath(path, root), os.lstat(path)))
    return sorted(found, key=lambda entry: entry[0].encode(errors="surrogateescape"))


def _packages(root):
    """Which Debian package owns a path; empty for a root that is not Debian's."""
    owners = {}
    for listing in sorted((root / "var/lib/dpkg/info").glob("*.list")):
        for line in listing.read_text(errors="surrogateescape").splitlines():
            path = line.strip("/")
            if path.split("/")[0] in _USR_MERGED:
                path = "usr/" + path
            owners[path] = listing.stem
    return owners


def _number(text, modulus):
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:6], "big") % modulus


def _assign(files, owners, count):
    """Spreads all but directories over `count` layers: a package and folder at a time, links together."""
    parts = [[] for _ in range(count)]
    home_of_inode = {}
    for path, status in files:
        if stat.S_ISDIR(status.st_mode):
            continue
        folder = os.path.dirname(path)
        if not owners:
            home = _number(folder, count)
        elif path in owners:
            home = _number(f"{owners[path]} {_number(folder, 8)}", count)
        else:
            home = 0
        parts[home_of_inode.setdefault((status.st_dev, status.st_ino), home)].append(path)
    return parts


def _copy(root, paths, target):
    """Copies the paths and the directories above them, with every attribute."""
    wanted = set(paths)
    for path in paths:
        while path := os.path.dirname(path):
            wanted.add(path)
    listing = b"".join(b"./" + os.fsencode(path) + b"\0" for path in [""] + sorted(wanted))
    flags = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls"]
    with subprocess.Popen(["tar", "-C", root, *flags, "--no-recursion", "--null", "-T", "-", "-cf", "-"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as pack:
        unpack = subprocess.Popen(["tar", "-C", target, *flags, "-xpf", "-"], stdin=pack.stdout)
        pack.stdin.write(listing)
        pack.stdin.close()
        pack.stdout.close()
        if unpack.wait() or pack.wait():
            raise RuntimeError(f"copying {len(paths)} files to {target} failed")


def _lay_parents(merged, layer, path):
    """Gives the layer the directories above `path`, as they are in the union."""
    done = ""
    for part in pathlib.PurePath(path).parent.parts:
        done = os.path.join(done, part)
        if not (layer / done).is_dir():
            (layer / done).mkdir()
            _copy_attributes(merged / done, layer / done)


def _copy_attributes(source, target):
    status = os.lstat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _whiteout(layer, path):
    os.mknod(layer / path, stat.S_IFCHR | 0o600, os.makedev(0, 0))


def _is_whiteout(path):
    status = os.lstat(path)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _write_delta(merged, layer, rng, candidates):
    """One layer of changes to what is below it: new versions, deletions, an opaque directory, new files."""
    stamp = 1_700_000_000 + _number(layer.name, 1_000_000)
    pick = [path for path in rng.sample(candidates, min(60, len(candidates))) if os.path.lexists(merged / path)]
    replaced, deleted = pick[:45], pick[45:]
    for path in replaced:
        _lay_parents(merged, layer, path)
        shutil.copy2(merged / path, layer / path)
        with open(layer / path, "ab") as file:
            file.write(f"changed by {layer.name}\n".encode())
        _copy_attributes(merged / path, layer / path)
        os.utime(layer / path, (stamp, stamp))
    for path in deleted:
        _lay_parents(merged, layer, path)
        _whiteout(layer, path)
    directories = sorted({os.path.dirname(path) for path in candidates if path.count("/") >= 3})
    for path in rng.sample(directories, min(2, len(directories))):
        if not (merged / path).is_dir() or (layer / path).exists():
            continue
        _lay_parents(merged, layer, path)
        if rng.random() < 0.5:
            _whiteout(layer, path)
            continue
        (layer / path).mkdir()
        (layer / path / f"only-{layer.name}").write_text("the rest is hidden\n")
        _copy_attributes(merged / path, layer / path)
        for xattr in OPAQUE_XATTRS:
            os.setxattr(layer / path, xattr, b"y")
    added = layer / "bench" / f"added-{layer.name}"
    added.mkdir(parents=True)
    for number in range(5):
        (added / f"new-{number}").write_text(f"{layer.name} {number}\n")


def _is_opaque(path):
    with contextlib.suppress(OSError):
        return os.getxattr(path, OPAQUE_XATTRS[0]) == b"y"
    return False


def _apply(layer, merged):
    """Lays one layer over the merged tree by overlayfs's rules."""
    refreshed = []
    for directory, subdirectories, names in os.walk(layer):
        relative = os.path.relpath(directory, layer)
        target = merged / relative
        if relative != "." and _is_opaque(directory):
            for child in os.listdir(target) if target.is_dir() else []:
                _remove(target / child)
        refreshed.append(relative)
        for name in subdirectories + names:
            above, below = os.path.join(directory, name), target / name
            if _is_whiteout(above) or (os.path.lexists(below) and not (os.path.isdir(above) and below.is_dir())):
                _remove(below)
    paths = [path for path, status in entries(layer) if not _is_whiteout(layer / path)]
    _copy(layer, paths, merged)
    for relative in refreshed:
        with contextlib.suppress(OSError):
            for xattr in OPAQUE_XATTRS:
                os.removexattr(merged / relative, xattr)
        if relative != ".":
            _copy_attributes(layer / relative, merged / relative)


def _remove(path):
    if os.path.islink(path) or not os.path.isdir(path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    else:
        shutil.rmtree(path)


def _hide_for_unionfs(layer, below, variant):
    """The layer again, its whiteouts written as unionfs-fuse has them; `below` is the union of the layers under it."""
    hidden = []
    for path, status in entries(layer):
        if _is_whiteout(layer / path):
            hidden.append(path)
        elif stat.S_ISDIR(status.st_mode) and _is_opaque(layer / path) and (below / path).is_dir():
            hidden += [os.path.join(path, child) for child in sorted(os.listdir(below / path))
                       if not os.path.lexists(layer / path / child)]
    if not hidden:
        return
    variant.mkdir(parents=True)
    _copy(layer, [path for path, _ in entries(layer) if not _is_whiteout(layer / path)], variant)
    for path in hidden:
        marker = variant / ".unionfs-fuse" / (path + "_HIDDEN~")
        marker.parent.mkdir(parents=True, exist_ok=True)
        if (below / path).is_dir():
            marker.mkdir()
        else:
            marker.touch()


def _build(source, count, big_bytes, workload, target):
    (target / "layers").mkdir(parents=True)
    merged = target / "merged"
    merged.mkdir()
    deltas = count // 4
    layers = [target / "layers" / f"{number:03d}" for number in range(count)]
    for layer in layers:
        layer.mkdir()
    source_entries = entries(source)
    parts = _assign(source_entries, _packages(source), count - deltas)
    # The bottom layer also has the directories that hold nothing.
    parts[0] += [path for path, status in source_entries if stat.S_ISDIR(status.st_mode)]
    for part, layer in zip(parts, layers):
        _copy(source, sorted(part), layer)
    (layers[0] / "bench").mkdir()
    subprocess.run([workload, "generate", layers[0], "--file", BIG_FILE, "--size", str(big_bytes)], check=True,
                   stdout=subprocess.DEVNULL)
    changeable = [path for path, status in source_entries if stat.S_ISREG(status.st_mode) and status.st_nlink == 1
                  and (path.startswith(_CHANGEABLE) or not (source / "usr/share").is_dir())]
    for number, layer in enumerate(layers):
        if number >= count - deltas:
            _write_delta(merged, layer, random.Random(number), changeable)
            _hide_for_unionfs(layer, merged, target / "unionfs" / layer.name)
        _apply(layer, merged)
    total = sum(status.st_size for _, status in entries(merged) if stat.S_ISREG(status.st_mode))
    facts = {"layers": count, "deltas": deltas, "entries": len(entries(merged)), "bytes": total, "big_bytes": big_bytes}
    (target / "facts.json").write_text(json.dumps(facts))


def ensure(source, name, count, big_bytes, workload, log):
    """Returns the LayerSet of `count` layers over the root `source`, building it first where it is missing."""
    entry = debian_root.cache_dir() / f"layers-{name}-{count}-{big_bytes >> 20}m-v{_FORMAT}"
    with debian_root.locked("layers"):
        if not entry.is_dir():
            log(f"making {count} layers in {entry} (once)")
            building = entry.with_name(entry.name + ".building")
            shutil.rmtree(building, ignore_errors=True)
            try:
                _build(source, count, big_bytes, workload, building)
            except BaseException:
                shutil.rmtree(building, ignore_errors=True)
                raise
            building.rename(entry)
    return LayerSet(entry)
