"""A virtual machine with Debian's own kernel and pure cgroup v2, emulated: it
needs qemu-system-x86_64, nothing of the processor, and minutes.

The kernel comes from the machine's apt and the root from the benchmarks' cache;
both are made once. What a test adds lies over the root in the image's copy.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(SOURCE / "bench"), str(SOURCE / "tests/cli")]
import debian_root  # noqa: E402
import harness  # noqa: E402
from debian_root import Unavailable  # noqa: E402,F401

UFS = os.environ.get("UFS", str(SOURCE / "build/release/tools/ufs"))
KERNEL = "linux-image-cloud-amd64"
# In this order: each needs those before it.
MODULES = ["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk",
           "fuse", "overlay"]
DONE = "== machine: exit code "

# Loads what the root needs, and gives it the machine.
INIT = """
    #!/bin/busybox sh
    export PATH=/bin
    mount -t devtmpfs dev /dev
    for module in MODULES; do insmod /$module.ko; done
    for try in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/vda ] && break; sleep 1; done
    mount -t ext4 /dev/vda /root && mount -t proc proc /proc || poweroff -f
    if grep -qw stay /proc/cmdline; then
      # The image's programs find their libraries below /root.
      ln -s root/lib root/lib64 /; export PATH=$PATH:/root/usr/bin
      mount -t sysfs sys /sys; mount -t cgroup2 cgroup2 /sys/fs/cgroup
      tr -d '\\0' </dev/vdb >/script; setsid sh /script </dev/null >/dev/ttyS0 2>&1
      echo "DONE$?" >/dev/ttyS0; poweroff -f
    fi
    umount /proc
    mount --move /dev /root/dev && exec switch_root /root /init
    echo "== machine: no root"; poweroff -f
"""

# Process 1: mounts what systemd would, runs the test's script, says how it went.
ROOT_INIT = """
    #!/bin/busybox sh
    export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
    busybox mount -t proc proc /proc; busybox mount -t sysfs sys /sys
    busybox mount -t cgroup2 cgroup2 /sys/fs/cgroup
    busybox mount -t tmpfs -o mode=1777 tmpfs /tmp; busybox mount -t tmpfs tmpfs /run
    mkdir -p /dev/pts /dev/shm; busybox mount -t devpts -o ptmxmode=666 devpts /dev/pts
    busybox mount -t tmpfs tmpfs /dev/shm
    ln -sf /proc/self/fd /dev/fd; busybox ifconfig lo up; busybox hostname machine
    tr -d '\\0' </dev/vdb >/run/script
    busybox setsid sh /run/script </dev/null >/dev/ttyS0 2>&1
    echo "DONE$?" >/dev/ttyS0
    sync; busybox poweroff -f
"""


# Where systemd is process 1: the same, as a service of it.
SERVICE = """
    [Unit]
    Requires=dbus.socket systemd-logind.service
    After=basic.target dbus.socket systemd-logind.service
    [Service]
    Type=oneshot
    Environment=HOME=/root LANG=C.UTF-8
    StandardOutput=tty
    StandardError=tty
    TTYPath=/dev/ttyS0
    ExecStart=/bin/sh -c "tr -d '\\\\0' </dev/vdb >/run/script; sh /run/script </dev/null; echo DONE$$?; sync; busybox poweroff -f"
    TimeoutStartSec=infinity
"""
SERVICE_NAME = "ufs-test.service"


def run(*command, **options):
    """The output; an error with the output's end where it fails."""
    done = subprocess.run([os.fspath(word) for word in command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        raise Unavailable(f"{command[0]} failed: {done.stdout[-500:]}")
    return done.stdout


def script_text(text, **names):
    text = textwrap.dedent(text).lstrip()
    for name, value in names.items():
        text = text.replace(name, value)
    return text


def kernel():
    """The folder of the unpacked kernel package."""
    [package] = re.findall(r"Depends: (linux-image-\S+)", run("apt-cache", "depends", KERNEL))[:1] or [None]
    if not package:
        raise Unavailable(f"apt knows no {KERNEL}")
    target = debian_root.cache_dir() / package
    with debian_root.locked("kernel"):
        if not target.exists():
            scratch = target.with_suffix(".new")
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            run("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", package, cwd=scratch)
            [deb] = scratch.glob("*.deb")
            run("dpkg", "-x", deb, scratch)
            deb.unlink()
            scratch.rename(target)
    return target


def executable(path, text):
    path.write_text(text)
    path.chmod(0o755)


class Machine:
    """One image in `folder`; boots any number of times, the image keeps what was
    written."""

    def __init__(self, folder):
        for program, package in (("qemu-system-x86_64", "qemu-system-x86"), ("cpio", "cpio"),
                                 ("busybox", "busybox-static"), ("mke2fs", "e2fsprogs")):
            if not shutil.which(program):
                raise Unavailable(f"needs {program}; run: apt-get install {package}")
        self.folder = pathlib.Path(folder)
        self.kernel = kernel()
        self.image = self.folder / "root.img"
        self.options = ""  # of the kernel
        self.make_initramfs()

    def make_initramfs(self):
        tree = self.folder / "initramfs"
        for name in ("bin", "dev", "root", "proc", "sys"):
            (tree / name).mkdir(parents=True)
        shutil.copy(shutil.which("busybox"), tree / "bin/busybox")
        for applet in ("sh", "mount", "umount", "insmod", "sleep", "switch_root", "echo", "poweroff", "grep", "ln",
                       "tr", "setsid", "mkdir", "cp", "sed", "cat", "ls", "readlink"):
            (tree / "bin" / applet).symlink_to("busybox")
        for module in MODULES:
            [found] = self.kernel.rglob(module + ".ko")
            shutil.copy(found, tree)
        executable(tree / "init", script_text(INIT, MODULES=" ".join(MODULES), DONE=DONE))
        run("sh", "-c", "find . | cpio -o -H newc --quiet | gzip -1 >../initramfs.gz", cwd=tree)

    def make_image(self, program, root=None):
        """A Debian root with `program`, the libraries it may have, and this source's tests; `root`, where
        another than the usual is to be used, boots systemd."""
        upper, work, merged = (self.folder / name for name in ("upper", "work", "merged"))
        for path in (upper, work, merged):
            path.mkdir()
        booting, root = root is not None, root or debian_root.ensure() / "root"
        run("mount", "-t", "overlay", "overlay", "-o",
            f"lowerdir={root},upperdir={upper},workdir={work}", merged)
        try:
            libraries = re.findall(r"=> (/\S+)", run("ldd", program))
            for library in libraries:
                target = merged / library.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(os.path.realpath(library), target)
            tools = [program, os.path.join(os.path.dirname(program), "ufs-oci"), shutil.which("busybox")]
            if shutil.which("apparmor_parser"):
                tools.append(shutil.which("apparmor_parser"))
            for tool in tools:
                shutil.copy(tool, merged / "usr/bin")
            shutil.copytree(SOURCE / "tests", merged / "tests")
            if booting:
                (merged / "init").symlink_to("/lib/systemd/systemd")
                (merged / "etc/systemd/system" / SERVICE_NAME).write_text(script_text(SERVICE, DONE=DONE))
                self.options = f" systemd.unit={SERVICE_NAME} systemd.show_status=0"
            else:
                executable(merged / "init", script_text(ROOT_INIT, DONE=DONE))
            shutil.rmtree(merged / "usr/src", ignore_errors=True)
            run("mke2fs", "-q", "-t", "ext4", "-d", merged, self.image, "2G")
        finally:
            run("umount", "-l", merged)

    def boot(self, script, seconds, cut_at=None, parameters=""):
        """Runs a shell script: (its exit code, what the console said). No exit code
        if the time was up, or if the power was cut: as soon as the console has said
        `cut_at`. With the kernel parameter "stay" it runs in the initramfs, with the
        image at /root."""
        text = script_text(script).encode()
        (self.folder / "script.img").write_bytes(text.ljust(-(-len(text) // 512) * 512, b"\0"))
        drive = "file={},format=raw,if=virtio,cache=unsafe"
        command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048",
                   "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
                   "-kernel", next((self.kernel / "boot").glob("vmlinuz-*")),
                   "-initrd", self.folder / "initramfs.gz",
                   "-append", f"console=ttyS0 quiet panic=-1 no_timer_check cgroup_no_v1=all {parameters}" + self.options,
                   "-drive", drive.format(self.image), "-drive", drive.format(self.folder / "script.img")]
        console = self.folder / "console"
        with open(console, "w") as output:
            machine = subprocess.Popen([os.fspath(word) for word in command], stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=output)
        end = time.monotonic() + seconds
        try:
            while machine.poll() is None and time.monotonic() < end:
                if cut_at and re.search(cut_at, console.read_text(errors="replace")):
                    break
                time.sleep(0.05)
        finally:
            machine.kill()
            machine.wait()
        said = console.read_text(errors="replace")
        code = re.search(DONE + r"(\d+)", said)
        return int(code[1]) if code else None, said


class MachineTest(unittest.TestCase):
    """`self.machine`, with a fresh image; skips where there can be none."""

    def root(self):
        return None  # the usual

    def setUp(self):
        folder = tempfile.mkdtemp(prefix="ufs-vm.", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        try:
            self.machine = Machine(folder)
            self.machine.make_image(UFS, self.root())
        except Unavailable as error:
            self.skipTest(str(error))

    def run_script(self, script, seconds=600):
        code, said = self.machine.boot(script, seconds)
        self.assertEqual(code, 0, said[-3000:])
        return said


def main():
    if os.geteuid() != 0:
        print("needs root, for the image")
        sys.exit(harness.SKIPPED)
    harness.run_tests()
