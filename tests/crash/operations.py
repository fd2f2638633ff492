"""The layers of the crash tests, and operations that between them reach every
step an upper takes from one state to another."""
import ctypes
import errno
import fcntl
import os
import socket
import struct
import subprocess

from union import OLD, WHOLE_COPIES, libc

RENAME_EXCHANGE, RENAME_WHITEOUT = 2, 4
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602
FS_NODUMP_FL = 0x40
AT_FDCWD, AT_SYMLINK_FOLLOW = -100, 0x400
USER = 1000
PATTERN = bytes(range(251)) * 1000


def make_layers(base, app, has_ids=True):
    """`has_ids`: there is another user than who makes them."""
    def write(path, content=PATTERN):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)

    for name in ("file", "other", "deep/a/b/file", "dir/x", "dir/y", "dir2/z",
                 "hard1", "holds/hard4"):
        write(f"{base}/{name}")
    write(f"{app}/dir/extra", b"extra")
    for name in ("hard2", "hard3"):
        os.link(f"{base}/hard1", f"{base}/{name}")
    os.symlink("file", base + "/symlink")
    os.mkdir(base + "/empty")
    os.mkdir(base + "/public")
    os.chmod(base + "/public", 0o1777)
    os.setxattr(base + "/file", "user.old", b"1")
    write(base + "/public/suid", b"program")
    if has_ids:
        os.chown(base + "/public/suid", USER, USER)
    os.chmod(base + "/public/suid", 0o4755)
    for root in (base, app):
        subprocess.run(["find", root, "-exec", "touch", "-hd", f"@{OLD}", "{}", "+"],
                       check=True)


def call(name, *arguments):
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def rename(old, new, flags=0):
    call("renameat2", AT_FDCWD, old.encode(), AT_FDCWD, new.encode(), flags)


def create(name, content=b""):
    fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
    if content:
        os.write(fd, content)
    os.close(fd)


def write(name, content=b"written", offset=1000):
    fd = os.open(name, os.O_RDWR)
    os.pwrite(fd, content, offset)
    os.close(fd)


def sync(name):
    fd = os.open(name, os.O_RDWR)
    os.fsync(fd)
    os.close(fd)


def as_user(operation, *arguments):
    def run():
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)
        operation(*arguments)
    return run


def tmpfile(directory, name):
    fd = os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, b"tmp")
    call("linkat", AT_FDCWD, f"/proc/self/fd/{fd}".encode(), AT_FDCWD, name.encode(),
         AT_SYMLINK_FOLLOW)


def set_nodump(name):
    fd = os.open(name, os.O_RDONLY)
    flags, = struct.unpack("l", fcntl.ioctl(fd, FS_IOC_GETFLAGS, bytes(8)))
    fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("l", flags | FS_NODUMP_FL))


def fallocate(name):
    fd = os.open(name, os.O_RDWR)
    os.posix_fallocate(fd, 0, len(PATTERN) + 5000)


def copy_range(source, target):
    from_fd, to_fd = os.open(source, os.O_RDONLY), os.open(target, os.O_RDWR)
    os.copy_file_range(from_fd, to_fd, 5000, 0, 100)


def begin_afresh():
    """The upper, as `ufs commit` has it done; fs/control.h has the words."""
    device = os.stat(".").st_dev
    places = ["/run/ufs", os.environ.get("XDG_RUNTIME_DIR", "") + "/ufs",
              f"/tmp/ufs-{os.geteuid()}"]
    for place in places:
        path = f"{place}/{os.major(device)}:{os.minor(device)}"
        if os.path.exists(path):
            break
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as daemon:
        daemon.connect(path)
        for say, hear in (b"hold\n", b"held\n"), (b"freeze\n", b"frozen\n"):
            daemon.sendall(say)
            try:
                answer = daemon.recv(4096)
            except ConnectionError:
                answer = b""
            if not answer:
                raise OSError(errno.ENOTCONN, "the daemon died")
            if answer != hear:
                raise OSError(int(answer.split()[1]), answer)


def each(operation, *argument_lists):
    def run():
        for arguments in argument_lists:
            operation(*arguments)
    return run


def both(*operations):
    def run():
        for operation in operations:
            operation()
    return run


def do(operation, *arguments):
    return lambda: operation(*arguments)


class Operation:
    """`setup` has run, and the union was mounted anew, before `run`; with the same
    options, unless it has its own."""

    def __init__(self, name, run, setup=None, options="", is_plain=False,
                 setup_options=None):
        self.name, self.run, self.setup, self.options = name, run, setup, options
        self.is_plain = is_plain  # without extended attributes in the upper
        self.setup_options = options if setup_options is None else setup_options
        self.base = name.split(",")[0]  # the same in the usual form
        self.changes_contents = name.startswith(("write", "truncate", "fallocate", "copy"))
        self.needs_ids = any(words in name for words in ("by user", "set-uid", "chown"))


# By those that change contents.
CHANGED = ("file", "deep/a/b/file", "hard1", "public/suid")


def data_operations():
    chmodded = do(os.chmod, "file", 0o600)
    yield "write", do(write, "deep/a/b/file")
    yield "write metacopy", do(write, "file"), chmodded
    yield "write upper", do(write, "file"), do(write, "file", b"first")
    yield "sync", do(sync, "file"), do(write, "file")
    yield "write all and sync", both(do(write, "file", PATTERN[::-1], 0), do(sync, "file"))
    yield "write set-uid", as_user(write, "public/suid")
    yield "write hard link", do(write, "hard1")
    yield "write hard link metacopy", do(write, "hard1"), do(os.chmod, "hard2", 0o600)
    yield "truncate", do(os.truncate, "file", 100)
    yield "truncate metacopy", do(os.truncate, "file", 100), chmodded
    yield "truncate metacopy up", do(os.truncate, "file", 300000), chmodded
    yield "truncate set-uid", as_user(os.truncate, "public/suid", 2)
    yield "fallocate", do(fallocate, "file")
    yield "copy range", do(copy_range, "other", "file")


def attribute_operations():
    yield "chmod", do(os.chmod, "deep/a/b/file", 0o600)
    yield "chmod directory", do(os.chmod, "deep/a", 0o700)
    yield "chown", do(os.chown, "public/suid", 5, 6)
    yield "chown link", do(os.lchown, "symlink", 5, 6)
    yield "times", do(os.utime, "file", (5, 6))
    yield "set xattr", do(os.setxattr, "file", "user.new", b"1")
    yield "remove xattr", do(os.removexattr, "file", "user.old")
    yield "set flags", do(set_nodump, "file")


def name_operations():
    """Those whose steps depend on how whiteouts are written."""
    gone = do(os.unlink, "file")
    yield "create", do(create, "new")
    yield "create over whiteout", do(create, "file"), gone
    yield "create over whiteout by user", as_user(create, "public/suid"), \
        do(os.unlink, "public/suid")
    yield "mkdir over whiteout", do(os.mkdir, "empty"), do(os.rmdir, "empty")
    yield "link over whiteout", do(os.link, "other", "file"), gone
    yield "unlink", do(os.unlink, "deep/a/b/file")
    yield "unlink copied", do(os.unlink, "file"), do(write, "file")
    yield "unlink upper", do(os.unlink, "new"), do(create, "new")
    yield "unlink hard link", do(os.unlink, "hard1")
    yield "unlink last hard link", do(os.unlink, "hard3"), \
        each(os.unlink, ["hard1"], ["hard2"])
    emptied = both(each(os.unlink, ["dir/x"], ["dir/y"], ["dir/extra"]),
                   do(os.setxattr, "dir", "user.kept", b"1"), do(os.chmod, "dir", 0o750))
    yield "rmdir", do(os.rmdir, "empty")
    yield "rmdir of whiteouts", do(os.rmdir, "dir"), emptied
    yield "rmdir moved", do(os.rmdir, "moved"), both(emptied, do(rename, "dir", "moved"))
    yield "rename", do(rename, "file", "new")
    yield "rename over lower", do(rename, "file", "other")
    yield "rename over copied", do(rename, "file", "other"), do(write, "other")
    yield "rename written over lower", do(rename, "file", "other"), do(write, "file")
    yield "rename over whiteout", do(rename, "other", "file"), gone
    opaque = both(do(os.rmdir, "empty"), do(os.mkdir, "empty"),
                  do(create, "empty/new", b"new"))
    yield "rename into opaque", do(rename, "file", "empty/file"), opaque
    yield "rename directory into opaque", do(rename, "dir", "empty/dir"), opaque
    yield "rename in opaque", do(rename, "empty/new", "empty/newer"), opaque
    yield "rename out of opaque", do(rename, "empty/new", "other"), opaque
    yield "rename upper", do(rename, "new", "newer"), do(create, "new", b"new")
    yield "rename upper over lower", do(rename, "new", "file"), do(create, "new", b"new")
    yield "rename upper over whiteout", do(rename, "new", "file"), \
        both(gone, do(create, "new", b"new"))
    yield "rename directory", do(rename, "dir", "moved")
    yield "rename directory over whiteout", do(rename, "dir", "empty"), \
        do(os.rmdir, "empty")
    yield "rename moved directory over whiteout", do(rename, "moved", "empty"), \
        both(do(os.rmdir, "empty"), do(rename, "dir", "moved"))
    yield "rename upper directory over whiteout", do(rename, "new", "empty"), \
        both(do(os.rmdir, "empty"), do(os.mkdir, "new"))
    yield "rename directory over emptied", do(rename, "dir2", "dir"), emptied
    yield "rename changed directory over emptied", do(rename, "dir2", "dir"), \
        both(emptied, do(create, "dir2/new", b"new"), do(os.unlink, "dir2/z"))
    yield "rename hard link", do(rename, "hard1", "dir2/hard")
    yield "rename over hard link", do(rename, "file", "hard2")
    yield "rename leaves whiteout", do(rename, "file", "new", RENAME_WHITEOUT)
    yield "exchange", do(rename, "file", "dir", RENAME_EXCHANGE)
    yield "exchange hard link", do(rename, "hard2", "deep/a/b/file", RENAME_EXCHANGE)


def plain_operations():
    """Where the marks of directories are files in them."""
    moved = do(rename, "dir", "moved")
    emptied = each(os.unlink, ["dir/x"], ["dir/y"], ["dir/extra"])
    gone = do(os.rmdir, "empty")
    yield "mkdir over whiteout", do(os.mkdir, "dir"), moved
    yield "rename directory", moved
    yield "rename directory over whiteout", do(rename, "dir", "empty"), gone
    yield "rename directory over emptied", do(rename, "dir2", "dir"), emptied
    yield "rename moved directory", do(rename, "moved", "newer"), moved
    yield "rename moved directory back", do(rename, "moved", "dir"), moved
    yield "rename moved directory into another", do(rename, "moved", "dir2/in"), moved
    yield "rename moved directory over whiteout", do(rename, "moved", "empty"), \
        both(gone, moved)
    yield "rename over moved directory", do(rename, "dir2", "moved"), both(emptied, moved)
    yield "rename upper directory", do(rename, "new", "dir"), \
        both(moved, do(os.mkdir, "new"), do(create, "new/file", b"new"))
    yield "rmdir moved", do(os.rmdir, "moved"), both(emptied, moved)
    yield "exchange directories", do(rename, "dir", "dir2", RENAME_EXCHANGE)
    yield "begin afresh", begin_afresh, \
        both(moved, do(create, "dir", b"new"), do(rename, "moved", "deep/moved"))


def other_operations():
    yield "create deep", do(create, "deep/a/b/new")
    yield "create by user", as_user(create, "public/new")
    yield "mkdir", do(os.mkdir, "new")
    yield "mkdir by user", as_user(os.mkdir, "public/new")
    yield "symlink", do(os.symlink, "to", "dir/new")
    yield "fifo", do(os.mkfifo, "dir/new")
    yield "device like a whiteout", do(os.mknod, "dir/new", 0o20600, 0)
    yield "tmpfile", do(tmpfile, "dir", "dir/new")
    yield "begin afresh", begin_afresh, \
        both(do(write, "file"), do(write, "hard1"), do(rename, "dir", "moved"),
             do(create, "dir", b"new"), do(os.unlink, "other"))
    yield "link", do(os.link, "file", "dir/new")
    yield "link hard link", do(os.link, "hard1", "dir/new")


def operations():
    for group in (data_operations, attribute_operations, other_operations,
                  name_operations):
        for words in group():
            yield Operation(*words)
    if WHOLE_COPIES:
        for name, run, *setup in data_operations():
            yield Operation(f"{name}, {WHOLE_COPIES}", run, *setup, options=WHOLE_COPIES)
    for form in ("whiteout=xattr", "whiteout=aufs"):
        for name, run, *setup in name_operations():
            yield Operation(f"{name}, {form}", run, *setup, options=form)
    for form in ("", "whiteout=aufs"):
        for name, run, *setup in plain_operations():
            yield Operation(", ".join(filter(None, ["plain " + name, form])), run, *setup,
                            options=form, is_plain=True)
    for form in ("", "whiteout=xattr"):
        for name, run, setup in (
                ("rename", do(rename, "other", "file"), do(os.unlink, "file")),
                ("rename directory", do(rename, "dir", "empty"), do(os.rmdir, "empty"))):
            name += " over AUFS whiteout"
            yield Operation(f"{name}, {form}" if form else name, run, setup, form,
                            setup_options="whiteout=aufs")
    for name, run, *setup in (("write", do(write, "dir/x")),
                              ("create", do(create, "dir/new")),
                              ("rename", do(rename, "file", "dir/new"))):
        yield Operation(f"{name}, fsync=strict", run, *setup, options="fsync=strict")
    yield Operation("chown link, userxattr", do(os.lchown, "symlink", 5, 6),
                    options="userxattr")
