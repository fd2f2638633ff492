"""The unions that are raced and tested: how each is mounted, watched and taken down again.

A Candidate mounts bottom-to-top layers under a fresh upper directory and runs commands beside the mount. `Machine` holds
what is changed on the machine for that (fusectl, the io_uring switch, user namespaces) and puts all of it back.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

FUSECTL = pathlib.Path("/sys/fs/fuse/connections")
ENABLE_URING = pathlib.Path("/sys/module/fuse/parameters/enable_uring")
MOUNT_TIMEOUT = 120


class Refused(Exception):
    """This candidate cannot run here; the text says why."""


class Hung(Exception):
    """The mount did not answer in time and its connection was aborted."""


class Machine:
    """Everything that is set up for a run and undone after it. Use as a context manager."""

    def __init__(self, workload, ufs):
        self.workload = workload
        self.ufs = ufs
        self._undo = contextlib.ExitStack()
        self._namespace_pid = None

    def __enter__(self):
        if os.geteuid() != 0:
            raise Refused("mounting overlayfs and reaching /dev/fuse needs root; run with sudo")
        if FUSECTL.is_dir() and not os.path.ismount(FUSECTL):
            subprocess.run(["mount", "-t", "fusectl", "none", FUSECTL], check=True)
            self._undo.callback(subprocess.run, ["umount", FUSECTL], check=False)
        return self

    def __exit__(self, *_):
        self._undo.close()

    def enable_uring(self):
        """Lets FUSE use io_uring until the end of the run; raises Refused where the kernel has no such thing."""
        if not ENABLE_URING.exists():
            raise Refused("this kernel has no FUSE over io_uring (Linux 6.14 or newer has)")
        before = ENABLE_URING.read_text().strip()
        if before not in ("Y", "1"):
            ENABLE_URING.write_text("Y")
            self._undo.callback(ENABLE_URING.write_text, before)

    def user_namespace(self):
        """The process that holds the user namespace of this run open."""
        if self._namespace_pid is None:
            holder = subprocess.Popen([self.workload, "hold-userns", "/"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True)
            line = holder.stdout.readline()

            def release():
                holder.stdin.close()
                holder.wait()
                holder.stdout.close()

            self._undo.callback(release)
            if not line:
                raise Refused("no user namespace may be made here")
            self._namespace_pid = int(line)
        return self._namespace_pid


def mounts(pid="self"):
    """(mount point, device, file system type) of a process; read from /proc, so that no mount is touched."""
    found = []
    for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text(errors="surrogateescape").splitlines():
        fields = line.split()
        point = fields[4].encode(errors="surrogateescape").decode("unicode_escape")
        found.append((point, fields[2], fields[fields.index("-") + 1]))
    return found


class Candidate:
    """One union over one set of layers. Subclasses say how it is mounted."""

    name = title = ""
    program = None    # what has to be installed
    in_userns = False

    def __init__(self, machine, work):
        self.machine = machine
        self.work = pathlib.Path(work) / self.name
        self.root = self.work / "mnt"
        self.upper = self.work / "upper"
        self.workdir = self.work / "work"
        self.mounted_device = None
        self.mounted_type = None

    def prepare(self):
        """Raises Refused where this candidate cannot run on this machine."""
        if self.program and not shutil.which(str(self.program)):
            raise Refused(f"{self.program} is not installed")
        if self.in_userns:
            self.machine.user_namespace()

    def take_layers(self, layer_set):
        """What is done once with a set of layers, before the race."""

    def layers_of(self, layer_set):
        return layer_set.layers

    def mount_command(self, layers):
        raise NotImplementedError

    # Where the commands of this candidate run.

    def inside(self, command):
        command = [str(word) for word in command]
        if not self.in_userns:
            return command
        return ["nsenter", "-t", str(self.machine.user_namespace()), "-U", "-m", "--preserve-credentials", "--"] + command

    def _namespace(self):
        return self.machine.user_namespace() if self.in_userns else "self"

    def run(self, command, timeout):
        """Runs a command beside the mount and returns its output; a mount that hangs it is aborted and raises Hung."""
        process = subprocess.Popen(self.inside(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True)
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.abort()
            _kill_session(process)
            raise Hung(f"no answer in {timeout} s: {' '.join(map(str, command[:4]))}") from None
        except BaseException:
            self.abort()
            _kill_session(process)
            raise
        if process.returncode:
            text = (errors.strip() or output.strip()).splitlines()
            raise RuntimeError(" | ".join(text[-3:]) or f"{command[0]} ended with status {process.returncode}")
        return output

    # Mounting.

    def reset_upper(self):
        for directory in (self.upper, self.workdir, self.root):
            remove_tree(directory)
            directory.mkdir(parents=True)

    def mount(self, layer_set, timer=None):
        """Mounts over a fresh upper. `timer` runs a command and measures it; the default only runs it."""
        self.reset_upper()
        self.remount(layer_set, timer)

    def remount(self, layer_set, timer=None):
        """Mounts over the upper that is there."""
        command = self.mount_command(self.layers_of(layer_set))
        try:
            result = (timer or self._plain)(command)
        except RuntimeError as error:
            raise Refused(f"refused to mount: {error}") from None
        self._find_mount()
        if self.mounted_device is None:
            raise Refused("its mount command succeeded, but nothing is mounted")
        return result

    def _plain(self, command):
        # Through the workload's exec, so that a daemon left behind holds none of our pipes.
        return self.run([self.machine.workload, "exec", str(self.work), "--", *command], MOUNT_TIMEOUT)

    def _find_mount(self):
        self.mounted_device = None
        for point, device, kind in mounts(self._namespace()):
            if point == str(self.root):
                self.mounted_device, self.mounted_type = device, kind

    def abort(self):
        """Frees every caller that waits for a FUSE daemon that does not answer."""
        if self.mounted_device and (self.mounted_type or "").startswith("fuse"):
            connection = FUSECTL / self.mounted_device.split(":")[1] / "abort"
            with contextlib.suppress(OSError):
                connection.write_text("1")

    def umount(self, timer=None):
        """Unmounts and waits for the daemon to end; falls back to force, so that afterwards nothing is left."""
        result = None
        self._find_mount()
        try:
            if self.mounted_device is not None:
                result = (timer or self._plain)(["umount", str(self.root)])
        except (RuntimeError, Hung):
            if timer:
                raise
        finally:
            self._find_mount()
            while self.mounted_device is not None:
                self.abort()
                subprocess.run(self.inside(["umount", "-l", str(self.root)]), check=True)
                self._find_mount()
            self._end_daemons()
        return result

    def _end_daemons(self):
        deadline = time.monotonic() + 10
        while daemons := processes_naming(self.work):
            if time.monotonic() > deadline:
                for pid in daemons:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                deadline = time.monotonic() + 10
            time.sleep(0.01)

    def remove(self):
        """Takes everything of this candidate away."""
        self.umount()
        remove_tree(self.work)


def _kill_session(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def processes_naming(path):
    """Processes with `path` in their arguments, or something below it: the daemons of a mount there."""
    needle = os.fsencode(str(path))
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                arguments = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes()
                if needle + b"/" in arguments or needle + b"\0" in arguments:
                    found.append(int(entry))
    return found


def remove_tree(path):
    """rm -rf that never crosses into a mount."""
    below = [point for point, _, _ in mounts() if point == str(path) or point.startswith(str(path) + "/")]
    if below:
        raise RuntimeError(f"{below[0]} is still mounted; not removing {path}")
    if os.path.lexists(path):
        subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=True)


class Native(Candidate):
    """The union as a plain copy: no mount, the floor of every figure."""

    name, title = "native", "native"

    def mount(self, layer_set, timer=None):
        self.layer_set = layer_set
        if not self.root.is_dir():
            self.work.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", str(layer_set.merged), str(self.root)], check=True)
            _refresh_times(layer_set.merged, self.root)

    def remount(self, layer_set, timer=None):
        pass

    def restore(self, touched):
        """Takes back what a writing row did to the plain copy."""
        for path in touched:
            remove_tree(self.root / path)
            if os.path.lexists(self.layer_set.merged / path):
                subprocess.run(["cp", "-a", str(self.layer_set.merged / path), str(self.root / path)], check=True)
        parents = {os.path.dirname(path) for path in touched} - {""}
        for path in sorted(parents):
            _refresh_times(self.layer_set.merged / path, self.root / path)

    def umount(self, timer=None):
        return None

    def remove(self):
        remove_tree(self.work)


def _refresh_times(source, target):
    status = os.lstat(source)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


class Overlay(Candidate):
    name, title = "overlayfs", "overlayfs"
    options = ""

    def mount_command(self, layers):
        return [self.machine.workload, "mount-overlay", str(self.root), "--file", self.options, "--",
                *map(str, layers), str(self.upper), str(self.workdir)]


class OverlayMeta(Overlay):
    name, title = "overlayfs-meta", "overlayfs metacopy+redirect"
    options = "metacopy=on,redirect_dir=on"


class FuseOverlay(Candidate):
    name, title, program = "fuse-overlayfs", "fuse-overlayfs", "fuse-overlayfs"

    def mount_command(self, layers):
        lower = ":".join(str(layer) for layer in reversed(layers))
        return ["fuse-overlayfs", "-o", f"lowerdir={lower},upperdir={self.upper},workdir={self.workdir}", str(self.root)]


class UnionfsFuse(Candidate):
    name, title, program = "unionfs-fuse", "unionfs-fuse", "unionfs"

    def layers_of(self, layer_set):
        return layer_set.for_unionfs_fuse()

    def mount_command(self, layers):
        branches = [f"{self.upper}=RW"] + [f"{layer}=RO" for layer in reversed(layers)]
        options = "cow,hide_meta_files,allow_other,default_permissions,use_ino,suid,dev"
        return ["unionfs", "-o", options, ":".join(branches), str(self.root)]


class Ufs(Candidate):
    name, title = "ufs", "ufs (root, io_uring)"
    options = "transport=io_uring"

    def prepare(self):
        self.program = self.machine.ufs
        if self.program is None:
            raise Refused("ufs is not built; build the target `ufs` first")
        super().prepare()
        if "io_uring" in self.options:
            self.machine.enable_uring()

    def mount_command(self, layers):
        return [str(self.program), "mount", *(["-o", self.options] if self.options else []), "--upper", str(self.upper),
                *map(str, layers), str(self.root)]


class UfsHashed(Ufs):
    """The layers as a store of ufs has them: hashed, with one view of all; on the disk where the others' are."""

    name, title = "ufs-hashed", "ufs (root, io_uring, hashed layers)"
    store = None

    def take_layers(self, layer_set):
        self.store = tempfile.mkdtemp(prefix="store.", dir=layer_set.layers[0].parent.parent)
        for layer in layer_set.layers:
            self.run([self.program, "layer", "import", "--store", self.store, "--name", f"layer-{layer.name}", layer], 600)

    def remove(self):
        super().remove()
        if self.store:
            remove_tree(self.store)

    def layers_of(self, layer_set):
        return [f"layer-{layer.name}" for layer in layer_set.layers]

    def mount_command(self, layers):
        command = super().mount_command(layers)
        return command[:2] + ["--store", self.store] + command[2:]


class UfsWriteback(Ufs):
    name, title = "ufs-writeback", "ufs (root, io_uring, writeback=1)"
    options = "transport=io_uring,writeback=1"


class UfsPassthrough(Ufs):
    name, title = "ufs-passthrough", "ufs (root, io_uring, passthrough=1)"
    options = "transport=io_uring,passthrough=1"


class UfsClassic(Ufs):
    name, title = "ufs-classic", "ufs (root, classic)"
    options = "transport=classic"


class UfsUserns(Ufs):
    name, title, in_userns = "ufs-userns", "ufs (user namespace)", True
    options = "transport=io_uring"


CANDIDATES = [Native, Overlay, OverlayMeta, FuseOverlay, UnionfsFuse, Ufs, UfsHashed, UfsWriteback,
              UfsPassthrough, UfsClassic, UfsUserns]
