"""A real Debian root and a pool of .deb files, made once and kept in the cache.

The root holds the programs that the benchmark and the program tests run inside a mount; the pool lets
`apt-get install` run there with no network.  Both come from the mirror the machine's own apt uses.  They
live outside any build tree, under ${XDG_CACHE_HOME:-/var/cache}/ufs-bench, and are never written after.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

# What the workloads call inside the mount.
ROOT_PACKAGES = ["acl", "attr", "gcc", "git", "libc6-dev", "make", "python3", "python3-venv", "rsync", "sqlite3"]

# What the program tests install inside the mount, from the pool.
POOL_PACKAGES = ["bc", "bzip2", "cpio", "file", "jq", "less", "nano", "patch", "postgresql", "redis-server", "strace",
                 "tree", "unzip", "zip"]

# The C tree that is compiled inside the mount.
SOURCE_PACKAGE = "lua5.4"

# Settings of the machine's apt without which its mirror may not be reachable.
_APT_SETTINGS = ["Acquire::Check-Date", "Acquire::Check-Valid-Until", "Acquire::http::Proxy", "Acquire::https::Proxy"]


class Unavailable(Exception):
    """The root cannot be made here; the text says why and what to do."""


def cache_dir():
    """The folder of everything that is made once."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "/var/cache") / "ufs-bench"


@contextlib.contextmanager
def locked(name):
    """Holds the cache entry `name`, so that two runs never build it at once."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with open(cache_dir() / f".{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _codename():
    for line in pathlib.Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.split("=", 1)[1].strip('"')
    raise Unavailable("/etc/os-release names no VERSION_CODENAME; the Debian root needs a Debian machine")


def _sources(codename):
    """The machine's own Debian sources as one-line entries, with their sources enabled."""
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    listed = subprocess.run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"],
                            capture_output=True, text=True, check=True).stdout.splitlines()
    lines = []
    for line in listed:
        uri, release, component = line.split()
        if component == "main" and release in (codename, codename + "-updates", codename + "-security"):
            lines += [f"{kind} {uri} {release} {component}" for kind in ("deb", "deb-src")]
    if not lines:
        raise Unavailable(f"apt on this machine has no source for {codename} main; add one and run again")
    return lines


def _apt_options():
    options = []
    for key in _APT_SETTINGS:
        value = subprocess.run(["apt-config", "shell", "V", key], capture_output=True, text=True, check=True).stdout
        if value.startswith("V='"):
            options.append(f'{key} "{value.strip()[3:-1]}";')
    return options


def _debootstrap(root, options, hooks):
    """Makes a minimal root and runs `hooks`, lines of shell, on it; $1 is the root."""
    if os.geteuid() != 0:
        raise Unavailable("making the Debian root needs root; run once with sudo")
    if not shutil.which("mmdebstrap"):
        raise Unavailable("mmdebstrap is not installed; run: apt-get install mmdebstrap")
    codename = _codename()
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"] + options
    command += [f"--aptopt={option}" for option in _apt_options()]
    command += [f"--customize-hook={hook}" for hook in hooks]
    result = subprocess.run(command + [codename, str(root)] + _sources(codename), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        raise Unavailable("mmdebstrap failed; its last lines:\n" + "\n".join(result.stdout.splitlines()[-12:]))


def _build(target):
    root = target / "root"
    source = (f'mkdir -p "$1/usr/src" && chroot "$1" sh -ec "cd /usr/src; apt-get -q source --download-only {SOURCE_PACKAGE}; '
              'for t in *.orig.tar.*; do case \\$t in *.asc) ;; *) tar -xf \\$t --no-same-owner;; esac; done; '
              f'rm -f *.dsc *.tar.*; mv -- * {SOURCE_PACKAGE}"')
    pool = ('mkdir -p "$1/pool/partial" && chroot "$1" apt-get -q -y install --no-install-recommends --download-only '
            "-o Dir::Cache::Archives=/pool " + " ".join(POOL_PACKAGES) + f' && mkdir "{target}/pool" && '
            f'mv "$1"/pool/*.deb "{target}/pool/" && rm -r "$1/pool"')
    forget = 'rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"'
    _debootstrap(root, ["--include=" + ",".join(ROOT_PACKAGES)], [source, pool, forget])
    _index(target / "pool")


def _index(pool):
    """Writes Packages, so that apt takes the folder as a repository: deb [trusted=yes] file:/pool ./"""
    records = []
    for deb in sorted(pool.glob("*.deb")):
        control = subprocess.run(["dpkg-deb", "-f", str(deb)], capture_output=True, text=True, check=True).stdout
        digest = hashlib.sha256(deb.read_bytes()).hexdigest()
        records.append(f"{control.strip()}\nFilename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n")
    (pool / "Packages").write_text("\n".join(records))


def _build_bare(target, packages):
    # The lists stay, and the packages wait in the cache: apt installs them with no network.
    download = ('chroot "$1" apt-get clean && chroot "$1" apt-get -q -y install --no-install-recommends --download-only '
                + " ".join(packages))
    _debootstrap(target / "root", ["--skip=cleanup/apt"], [download])


def _build_booting(target, packages):
    _debootstrap(target / "root", ["--include=" + ",".join(packages)], ['rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"'])


def _log(text):
    print(text, file=sys.stderr)


def ensure(log=_log):
    """Returns the cache entry, a folder with root/ and pool/, building it first where it is missing."""
    return _ensure("debian", ROOT_PACKAGES + POOL_PACKAGES + [SOURCE_PACKAGE], _build, log)


def ensure_bare(packages, log=_log):
    """A root with nothing that Debian does not insist on; `packages` and what they need are in apt's cache there."""
    packages = sorted(packages)
    return _ensure("bare", packages, lambda target: _build_bare(target, packages), log) / "root"


def ensure_booting(packages, log=_log):
    """A root that boots: with `packages`, systemd among them, installed."""
    packages = sorted(packages)
    return _ensure("booting", packages, lambda target: _build_booting(target, packages), log) / "root"


def _ensure(kind, contents, build, log):
    entry = cache_dir() / (f"{kind}-" + hashlib.sha256(" ".join(contents).encode()).hexdigest()[:12])
    with locked(kind):
        if entry.is_dir():
            return entry
        building = entry.with_suffix(".building")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        log(f"making a Debian root in {entry} (once; a few minutes, needs the network)")
        try:
            build(building)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        building.rename(entry)
    return entry


if __name__ == "__main__":
    try:
        print(ensure())
    except Unavailable as error:
        sys.exit(f"debian_root: {error}")
