"""What is measured: one Row per line of the table."""

import dataclasses
import subprocess


@dataclasses.dataclass(frozen=True)
class Roles:
    """Which parts of the layers the writing rows work on, and how much of each thing is done."""

    append: str
    chmod: str
    unlink: str
    remove: str
    archive: str
    has_programs: bool
    create_count: int
    negative_count: int
    read_mib: int
    write_mib: int
    random_count: int
    fsync_count: int


DEBIAN = Roles("usr/share/doc", "usr/share/man", "usr/share/zoneinfo", "usr/lib/python3.11", "usr/include", True,
               create_count=2000, negative_count=20000, read_mib=256, write_mib=128, random_count=20000, fsync_count=50)
# A copy of /usr/include/linux: small, on every machine with a C compiler.
SMOKE = Roles("netfilter", "tc_act", "can", "netfilter", "netfilter", False,
              create_count=50, negative_count=500, read_mib=4, write_mib=2, random_count=200, fsync_count=3)


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    command: tuple                 # operation of the workload and its options; the root is put in after the operation
    cold: bool = False             # caches dropped and mounted anew just before
    warmup: tuple = ()             # done in the same mount before the measurement; () is nothing
    # How often. After the first read of anything its access time may have moved, and the kernel asks a FUSE daemon for
    # the attributes once more: only what comes after that is warm.
    warmups: int = 1
    touches: tuple = ()            # what has to be restored in a plain copy afterwards
    # What has to be there afterwards: (path, the subtree of the layers that it must equal; None: it must be gone).
    leaves: tuple = ()
    scales: bool = False           # measured at every number of layers: it may depend on it
    quick: bool = False            # part of --quick
    reads_only: bool = False       # its right answer is taken from the plain merged tree before the race
    needs_programs: bool = False   # runs programs out of the layers
    needs_host: str = ""           # a program of this machine
    timeout: int = 300


# What `python imports` runs: the whole standard library, without writing byte code.
_IMPORTS = """
import importlib, sys
done = 0
for name in sorted(sys.stdlib_module_names):
    if name.startswith('_') or name in ('antigravity', 'this'):
        continue
    try:
        importlib.import_module(name)
        done += 1
    except ImportError:
        pass
print(done)
"""

_COMPILE = """
cd /usr/src/lua5.4/src
make -s clean
make -s -j2 linux CFLAGS='-std=gnu99 -O1 -DLUA_COMPAT_5_3 -DLUA_USE_LINUX' >/dev/null
./lua -e 'print(6 * 7)'
sha256sum <lua
"""

_GIT = """
rm -rf /tmp/git && mkdir /tmp/git && cd /tmp/git
export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'
git config --global user.name bench && git config --global user.email bench@localhost
git config --global init.defaultBranch main
git init -q tree && cp -r /usr/include/linux tree/ && cd tree
git add -A && git commit -q -m one
for file in linux/[a-k]*.h; do echo '/* changed */' >>$file; done
git commit -q -a -m two && git -C /tmp/git clone -q tree copy
cd /tmp/git/copy && git gc -q && git status --porcelain && git fsck --no-progress && git rev-parse HEAD
"""

_SQLITE = """
rm -f /tmp/bench.db*
{ echo 'PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT);'
  i=0; while [ $i -lt 2000 ]; do echo "INSERT INTO t(x) VALUES(hex(zeroblob(100)));"; i=$((i + 1)); done
  echo 'SELECT count(*), sum(length(x)) FROM t; PRAGMA integrity_check;'; } | sqlite3 /tmp/bench.db
"""


# From the pool of .deb files that the warm-up copies in; no network.
_APT = """
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
printf 'deb [trusted=yes] file:/pool ./\\n' >/etc/apt/sources.list
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends bc cpio file jq less nano patch strace tree zip >/tmp/apt.log 2>&1 || {
  tail -20 /tmp/apt.log; exit 1; }
dpkg --audit
dpkg-query -W -f '${Package} ${Version} ${Status}\\n' bc cpio file jq less nano patch strace tree zip
jq -n '6 * 7'
"""

# Reads back and compares what it wrote.
_FIO = """
fio --name=mixed --directory=. --size=SIZE --rw=randrw --bs=4k --ioengine=psync --verify=crc32c --verify_fatal=1 \\
  --verify_state_save=0 --randseed=1 --output=fio.log || { cat fio.log; exit 1; }
rm mixed.0.0 fio.log
echo verified
"""


# Programs of the layers, started again and again: exec, its pages, its libraries. hyperfine says no number here, as the
# whole is timed. None opens /dev/null: not all unions have devices.
_STARTS = """
hyperfine --shell=none --style=none --warmup=2 --runs=20 'chroot . /bin/true' 'chroot . /usr/bin/perl -v' \\
  'chroot . /usr/bin/python3 -B -c 1' >/dev/null 2>&1
echo started
"""


def _shell(script):
    return ("exec", "--chroot", "--", "sh", "-ec", script)


def make_rows(roles, lists, archive, pool):
    """All rows, in the order of the table. `lists` maps a role to its list file; `pool` is a folder of .deb files."""
    big = ("--file", "bench/big.bin")
    read = (*big, "--size", str(roles.read_mib << 20))
    random_io = ("--block", "4096", "--count", str(roles.random_count))
    write = ("--size", str(roles.write_mib << 20))
    walk, listing = ("walk",), ("list",)
    stat = ("stat", "--list", lists["everything"])
    negative = ("negative", "--list", lists["directories"], "--count", str(roles.negative_count))
    small = ("open-read", "--list", lists["small"])
    create = ("--count", str(roles.create_count))
    python = ("exec", "--chroot", "--", "python3", "-B", "-c", _IMPORTS)
    compiled, git, sqlite = _shell(_COMPILE), _shell(_GIT), _shell(_SQLITE)
    tar = ("exec", "--", "sh", "-c", "tar --exclude=./bench -cf - . | wc -c")
    find = ("exec", "--", "sh", "-c", "find . -path ./bench -prune -o -ls | wc -l")
    moved = roles.remove + ".moved"
    fio = ("exec", "--", "sh", "-ec", _FIO.replace("SIZE", str(roles.write_mib << 17)))
    rows = [
        Row("walk cold", walk, cold=True, reads_only=True, scales=True, quick=True),
        Row("walk warm", walk, warmups=2, warmup=walk, reads_only=True, scales=True, quick=True),
        Row("find -ls cold", find, cold=True, reads_only=True, scales=True),
        Row("readdir warm", listing, warmups=2, warmup=listing, reads_only=True, scales=True),
        Row("stat cold", stat, cold=True, reads_only=True, scales=True),
        Row("stat warm", stat, warmups=2, warmup=stat, reads_only=True, scales=True, quick=True),
        Row("negative cold", negative, cold=True, scales=True, quick=True),
        Row("negative warm", negative, warmups=2, warmup=negative, scales=True),
        Row("read small cold", small, cold=True, reads_only=True, scales=True, quick=True),
        Row("read small warm", small, warmups=2, warmup=small, reads_only=True, scales=True, quick=True),
        Row("tar whole tree cold", tar, cold=True, reads_only=True),
        Row("seq read cold", ("seq-read", *read), cold=True, reads_only=True),
        Row("seq read warm", ("seq-read", *read), warmups=2, warmup=("seq-read", *read), reads_only=True, quick=True),
        Row("rand read warm", ("rand-read", *read, *random_io), warmups=2, warmup=("seq-read", *read), reads_only=True),
        Row("mmap read warm", ("mmap-read", *read), warmups=2, warmup=("seq-read", *read), reads_only=True),
        Row("seq write", ("seq-write", *write), quick=True),
        Row("rand write", ("rand-write", *write, *random_io)),
        Row("512 B writes", ("seq-write", "--size", str(roles.write_mib << 17), "--block", "512")),
        Row("fsync", ("fsync", "--size", "4096", "--count", str(roles.fsync_count))),
        Row("fio mixed verified", fio, needs_host="fio"),
        Row("create", ("create", *create), scales=True, quick=True),
        Row("unlink", ("unlink", *create)),
        Row("unlink lower", ("unlink-lower", "--list", lists["unlink"]), warmup=("stat", "--list", lists["unlink"]),
            touches=(roles.unlink,)),
        Row("append to lower", ("append", "--list", lists["append"]), warmup=("open-read", "--list", lists["append"]),
            touches=(roles.append,), scales=True, quick=True),
        Row("chmod lower", ("chmod", "--list", lists["chmod"]), warmup=("stat", "--list", lists["chmod"]),
            touches=(roles.chmod,), scales=True, quick=True),
        Row("1 byte into big", ("one-byte", *big), warmup=("seq-read", *big, "--size", str(1 << 40)),
            touches=("bench/big.bin",), quick=True),
        Row("mv lower dir", ("exec", "--", "mv", roles.remove, moved), warmup=walk, touches=(roles.remove, moved),
            leaves=((roles.remove, None), (moved, roles.remove)), quick=True),
        Row("untar", ("exec", "--", "sh", "-ec", f"mkdir untar; tar -C untar -xf {archive}"), touches=("untar",),
            leaves=((f"untar/{roles.archive}", roles.archive),), quick=True),
        Row("rm -rf lower", ("exec", "--", "rm", "-rf", roles.remove), warmup=walk, touches=(roles.remove,),
            leaves=((roles.remove, None),), quick=True),
        Row("compile", compiled, warmup=compiled, touches=("usr/src/lua5.4", "tmp"), needs_programs=True),
        Row("git", git, warmup=git, touches=("root", "tmp"), needs_programs=True),
        Row("sqlite", sqlite, warmup=sqlite, touches=("tmp",), needs_programs=True, quick=True),
        Row("program starts", ("exec", "--", "sh", "-ec", _STARTS), needs_programs=True, needs_host="hyperfine"),
        Row("python imports cold", python, cold=True, needs_programs=True),
        Row("python imports warm", python, warmups=2, warmup=python, needs_programs=True, quick=True),
        Row("apt-get install", _shell(_APT), warmup=("exec", "--", "cp", "-r", str(pool), "pool"),
            touches=("etc", "pool", "tmp", "usr", "var"), needs_programs=True),
        Row("apt-get install cold", _shell(_APT), warmup=("exec", "--", "cp", "-r", str(pool), "pool"), cold=True,
            touches=("etc", "pool", "tmp", "usr", "var"), needs_programs=True),
        Row("mount + umount", ("mount",), leaves=((roles.archive, roles.archive),), scales=True, quick=True),
    ]
    return rows


def write_lists(layer_set, roles, directory):
    """Writes the lists of paths that the rows work on; returns role -> file."""
    under = {role: layer_set.files(getattr(roles, role), most_bytes=1 << 20) for role in ("append", "chmod", "unlink")}
    contents = {
        "everything": layer_set.everything(),
        "directories": layer_set.directories(),
        "small": layer_set.files(most_bytes=64 << 10, limit=6000),
        **under,
    }
    files = {}
    for role, paths in contents.items():
        if not paths:
            raise RuntimeError(f"the layers hold nothing for the rows that work on '{role}'")
        files[role] = str(directory / f"{role}.list")
        with open(files[role], "wb") as file:
            file.write(b"\0".join(path.encode(errors="surrogateescape") for path in paths))
    return files


def make_archive(layer_set, roles, directory):
    """The archive that `untar` unpacks."""
    archive = directory / "tree.tar"
    subprocess.run(["tar", "-C", str(layer_set.merged), "-cf", str(archive), roles.archive], check=True)
    return archive
