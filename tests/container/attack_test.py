"""Attacks on the runtime, each of which has worked on another one. runtime/README.md
lists them with the test that shows each fail."""
import ctypes
import os
import socket
import stat
import subprocess
import threading
import time

import bundle
from bundle import wait_until

RENAME_EXCHANGE = 2
libc = ctypes.CDLL(None, use_errno=True)


class HostileImageTest(bundle.ContainerTest):
    """The root file system is the enemy's."""

    def replace(self, path, target):
        place = f"{self.bundle}/rootfs{path}"
        if os.path.isdir(place) and not os.path.islink(place):
            os.rmdir(place)
        elif os.path.lexists(place):
            os.remove(place)
        os.symlink(target, place)

    def test_proc_sys_and_dev_as_links(self):
        """CVE-2019-19921, 2023-27561, 2023-28642, 2026-41579, 2026-47766"""
        outside = self.dir + "/outside"
        os.mkdir(outside)
        for path in ("/proc", "/sys", "/dev"):
            for target in (outside, "/etc", "../../outside", "nowhere"):
                self.replace(path, target)
                self.run_refused("[Tt]oo many levels of symbolic links")
                self.assertEqual(os.listdir(outside), [])
                self.assertEqual(os.listdir(self.bundle + "/rootfs/etc"), [])
            os.remove(self.bundle + "/rootfs" + path)
            os.mkdir(self.bundle + "/rootfs" + path)

    def test_dev_in_the_image_without_a_mount(self):
        """CVE-2026-88264, 88265, 2025-31133: /dev is the image's own."""
        outside = self.dir + "/outside"
        with open(outside, "w") as file:
            file.write("precious")
        before = os.stat(outside)
        self.configure(**{"root.readonly": False, "mounts": lambda old: [
            m for m in old if not m["destination"].startswith("/dev")]})
        for name in ("null", "console", "tty", "ptmx", "stdin"):
            self.replace("/dev/" + name, outside)
            self.oci("run", "-b", self.bundle, "ufs-box")
            os.remove(f"{self.bundle}/rootfs/dev/{name}")
        after = os.stat(outside)
        self.assertEqual((after.st_mode, after.st_uid, after.st_size, after.st_mtime_ns),
                         (before.st_mode, before.st_uid, before.st_size, before.st_mtime_ns))

    def test_null_of_the_image_is_not_used_for_masks(self):
        """CVE-2025-31133"""
        secret = self.bundle + "/rootfs/etc/secret"
        with open(secret, "w") as file:
            file.write("secret")
        self.configure(**{"mounts": lambda old: [m for m in old
                                                 if not m["destination"].startswith("/dev")],
                          "root.readonly": False,
                          "linux.maskedPaths": ["/etc/secret", "/etc/link"]})
        self.replace("/etc/link", "/etc/secret")
        self.replace("/dev/null", "/etc/shadow")
        self.refused("something else there", "run", "-b", self.bundle, "ufs-box")
        os.remove(self.bundle + "/rootfs/dev/null")
        self.assertEqual(self.run_box("cat /etc/secret /etc/link | wc -c"), "0\n")

    def test_nodes_of_the_image_in_a_user_namespace(self):
        """Its mount is the host's, which opens them: the device list stands before it."""
        node = self.bundle + "/rootfs/etc/node"
        os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 11))  # kmsg
        os.chmod(node, 0o666)
        maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        self.configure(**{"linux.namespaces": lambda old: old + [{"type": "user"}],
                          "linux.uidMappings": maps, "linux.gidMappings": maps})
        self.script("echo -n >/etc/node && echo opened; true")
        free = self.oci("--cgroup-manager", "disabled", "run", "-b", self.bundle, "ufs-box")
        self.assertEqual(free.stdout, "opened\n", free.stderr)
        held = self.oci("run", "-b", self.bundle, "ufs-box")
        self.assertEqual((held.returncode, held.stdout), (0, ""), held.stderr)
        self.assertIn("Operation not permitted", held.stderr)

    def test_console_link(self):
        """CVE-2025-52565: /dev/pts of the image, no devpts over it."""
        os.mkdir(self.bundle + "/rootfs/dev/pts")
        self.replace("/dev/pts/ptmx", "/etc/x")
        self.configure(**{"process.terminal": True, "mounts": lambda old: [
            m for m in old if not m["destination"].startswith("/dev")]})
        self.run_refused("needs a devpts mount")

    def test_proc_cannot_be_faked(self):
        """CVE-2019-16884"""
        source = self.dir + "/fake"
        os.mkdir(source)
        for mount in (("/proc", "tmpfs", "tmpfs"), ("/proc", "bind", source, "bind"),
                      ("/proc/self/attr", "tmpfs", "tmpfs"), ("/etc/../proc", "tmpfs", "x")):
            old = self.config()["mounts"]
            self.add_mount(*mount)
            self.run_refused("only proc may be mounted|symbolic links")
            self.configure(mounts=old)

    def test_a_link_into_proc_is_no_mount_point(self):
        self.replace("/etc/hosts", "/proc/sys/kernel")
        self.add_mount("/etc/hosts", "tmpfs", "tmpfs")
        self.run_refused("only proc may be mounted")

    def test_hostile_passwd(self):
        """Endless, binary, a fifo, a device, and entries that claim to be root."""
        path = self.bundle + "/rootfs/etc/passwd"
        self.configure(**{"process.user": {"uid": 7, "gid": 7}})
        contents = (b"\0\xff" * 1000, b"x:" * 300000, b"a:b:7:7:c:../../x:y\n",
                    b"7:x:0:0::/root:\n", b":::::::\n" * 10000)
        for content in contents:
            with open(path, "wb") as file:
                file.write(content)
            self.assertEqual(self.run_box("id -u; echo $HOME"), "7\n/\n")
        os.remove(path)
        os.mkfifo(path)
        self.assertEqual(self.run_box("echo $HOME"), "/\n")
        os.remove(path)
        os.symlink("/dev/zero", path)
        self.assertEqual(self.run_box("echo $HOME"), "/\n")

    def test_links_are_followed_inside_only(self):
        """CVE-2021-30465 without the race: a mount below a link out of the root."""
        outside = self.dir + "/outside"
        os.mkdir(outside)
        self.replace("/etc/out", outside)
        self.add_mount("/etc/out/made/here", "tmpfs", "tmpfs")
        self.configure(**{"root.readonly": False})
        self.run_box("grep ' /var/tmp' /proc/self/mountinfo")
        self.assertEqual(os.listdir(outside), [])

    def test_race_of_links_during_the_mounts(self):
        """CVE-2021-30465, 2024-45310: a directory that a link takes turns with."""
        root = self.bundle + "/rootfs/tmp"
        outside = self.dir + "/outside"
        os.mkdir(outside)
        os.mkdir(root + "/a")
        os.symlink(outside, root + "/b")
        for i in range(20):
            self.add_mount(f"/tmp/a/{i}/x", "tmpfs", "tmpfs")
        self.configure(**{"process.args": ["/bin/true"]})
        stop = threading.Event()

        def swap():
            while not stop.is_set():
                libc.renameat2(-100, os.fsencode(root + "/a"), -100, os.fsencode(root + "/b"),
                               RENAME_EXCHANGE)

        thread = threading.Thread(target=swap)
        thread.start()
        try:
            end = time.monotonic() + float(os.environ.get("UFS_RACE_SECONDS", "5"))
            starts = 0
            while time.monotonic() < end:
                self.oci("run", "-b", self.bundle, "ufs-box")
                starts += 1
        finally:
            stop.set()
            thread.join()
        self.assertEqual(os.listdir(outside), [])
        self.assertGreater(starts, 0)

    def test_root_that_is_a_link(self):
        os.rename(self.bundle + "/rootfs", self.bundle + "/real")
        os.symlink("real", self.bundle + "/rootfs")
        # The bundle is the caller's: it is followed, and is no way out.
        self.assertEqual(self.run_box("echo in"), "in\n")


class HostNodeTest(bundle.ContainerTest):
    """Masks, and in a user namespace devices, are nodes of the host's own /dev: what is
    written to them goes nowhere, but their owner, mode and times are the host's."""
    KEPT = ["CAP_FOWNER", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID"]

    def setUp(self):
        super().setUp()
        self.configure(**{
            "process.capabilities": {kind: self.KEPT for kind in
                                     ("bounding", "effective", "permitted", "inheritable")},
            "linux.maskedPaths": lambda old: old + ["/etc/masked"]})
        with open(self.bundle + "/rootfs/etc/masked", "w") as file:
            file.write("secret")

    def in_roots_user_namespace(self):
        maps = [{"containerID": 0, "hostID": 0, "size": 65536}]
        self.configure(**{"linux.namespaces": lambda old: old + [{"type": "user"}],
                          "linux.uidMappings": maps, "linux.gidMappings": maps})

    def assert_untouchable(self, paths, host):
        """None of the paths, that are there as files, can be changed, and no node of `host`."""
        # What they are already, so that a host that is reached is not harmed.
        before = [os.stat(node) for node in host]
        text = self.run_box(f"""
for p in {" ".join(paths)}; do
  [ -e $p ] && [ ! -d $p ] || continue
  echo tried
  chmod 666 $p && echo chmod $p; chown 0:0 $p && echo chown $p; touch $p && echo touch $p
  (echo x >$p) || echo no write to $p
done; exec 3</etc/masked; chmod 666 /proc/self/fd/3 && echo chmod by descriptor; true""")
        self.assertGreater(text.count("tried"), 1)
        self.assertEqual(set(text.split("\n")), {"tried", ""})
        self.assertEqual(
            [(s.st_mode, s.st_uid, s.st_gid, s.st_ctime_ns) for s in before],
            [(s.st_mode, s.st_uid, s.st_gid, s.st_ctime_ns) for s in map(os.stat, host)])

    def masked(self):
        return self.config()["linux"]["maskedPaths"]

    def test_masked_paths(self):
        self.assert_untouchable(self.masked(), ["/dev/null"])

    def test_masked_paths_in_a_user_namespace(self):
        self.in_roots_user_namespace()
        self.assert_untouchable(self.masked(), ["/dev/null"])

    def test_devices_in_a_user_namespace(self):
        self.in_roots_user_namespace()
        devices = ["/dev/" + name for name in ("null", "zero", "random", "urandom")]
        self.assert_untouchable(devices, devices)


class LeakTest(bundle.ContainerTest):
    def test_descriptors_of_the_caller(self):
        """CVE-2016-9962, 2024-21626: a directory of the host left open."""
        host = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        os.set_inheritable(host, True)
        self.addCleanup(os.close, host)
        self.script("ls -l /proc/self/fd | grep -c -- '-> /'; ls /proc/self/fd | wc -l")
        done = subprocess.run(self.command("run", "-b", self.bundle, "ufs-box"), close_fds=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=30)
        lines = done.stdout.decode().split()
        self.assertEqual(lines[1], "4")  # three streams and the directory itself
        self.start_box()
        for number in range(3, 25):
            self.assertNotEqual(
                subprocess.run(self.command("exec", "--cwd", f"/proc/self/fd/{number}", "ufs-box",
                                            "pwd"), close_fds=False, timeout=30,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE).returncode, 0, number)

    def test_descriptors_before_the_start(self):
        """One that is created may wait for long, with nothing of the host's open, sockets
        neither: but for the one by which it will be started."""
        host = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        os.set_inheritable(host, True)
        self.addCleanup(os.close, host)
        console, manager = self.dir + "/console", self.dir + "/manager"
        sockets = [*socket.socketpair(), socket.socket(), socket.socket(socket.AF_UNIX),
                   socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)]
        for one in sockets:
            self.addCleanup(one.close)
            one.set_inheritable(True)
        sockets[2].bind(("127.0.0.1", 0))
        sockets[3].bind(console)
        sockets[4].bind(manager)
        for listener in sockets[2:4]:
            listener.listen()
        self.configure(**{"process.terminal": True})
        self.addCleanup(self.oci, "delete", "--force", "ufs-box")
        with open(self.dir + "/output", "w") as output:
            subprocess.run(self.command("create", "-b", self.bundle, "--console-socket", console,
                                        "--pidfd-socket", console, "ufs-box"), close_fds=False,
                           env={**os.environ, "NOTIFY_SOCKET": manager},
                           stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True,
                           timeout=30)
        place = f"/proc/{self.status()['pid']}/fd"

        def held():
            return [os.readlink(f"{place}/{name}") for name in os.listdir(place) if int(name) > 2]
        # It lets go of the runtime a moment after that was told that it is ready.
        self.assertTrue(wait_until(lambda: len(held()) == 1, 5), held())
        number = held()[0].removeprefix("socket:[").removesuffix("]")
        with open("/proc/net/unix") as file:
            [(_, _, _, flags, kind, _, _, *path)] = [line.split() for line in file
                                                     if line.split()[6] == number]
        self.assertEqual((int(flags, 16), int(kind)), (1 << 16, socket.SOCK_SEQPACKET))  # it listens
        self.assertTrue(path[0].endswith("/start"), path)

    def test_working_directory_through_a_descriptor(self):
        """CVE-2024-21626"""
        host = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        os.set_inheritable(host, True)
        self.addCleanup(os.close, host)
        for number in range(3, 25):
            self.configure(**{"process.cwd": f"/proc/self/fd/{number}",
                              "process.args": ["/bin/ls"]})
            done = subprocess.run(self.command("run", "-b", self.bundle, "ufs-box"),
                                  close_fds=False, timeout=30, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertNotEqual(done.returncode, 0, number)

    def test_environment_of_the_caller(self):
        os.environ["UFS_SECRET"] = "x"
        self.addCleanup(os.environ.pop, "UFS_SECRET")
        self.assertNotIn("UFS_SECRET", self.run_box("env"))

    def test_inheritable_capabilities(self):
        """CVE-2022-24769, 29162"""
        self.start_box()
        self.assertIn("CapInh:\t0000000000000000",
                      self.ok("exec", "ufs-box", "cat", "/proc/self/status"))


class OwnProgramTest(bundle.ContainerTest):
    def test_cannot_be_written_from_inside(self):
        """CVE-2019-5736: the program is the runtime itself, by /proc/self/exe."""
        self.configure(**{
            "process.capabilities": {kind: ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"]
                                     for kind in ("bounding", "effective", "permitted")},
            "process.noNewPrivileges": False, "root.readonly": False})
        evil = self.bundle + "/rootfs/bin/evil"
        with open(evil, "w") as file:
            file.write("#!/proc/self/exe\n")
        os.chmod(evil, 0o755)
        self.start_box("while :; do for p in /proc/[0-9]*; do "
                       "[ $p = /proc/$$ ] || (echo >>$p/exe && echo hit >/tmp/hit); done; done "
                       "2>/dev/null")
        before = (os.stat(bundle.RUNTIME).st_size, os.stat(bundle.RUNTIME).st_mtime_ns)
        for _ in range(10):
            self.oci("exec", "ufs-box", "/bin/evil")
            self.oci("exec", "ufs-box", "true")
        self.assertEqual((os.stat(bundle.RUNTIME).st_size, os.stat(bundle.RUNTIME).st_mtime_ns), before)
        hits = self.bundle + "/rootfs/tmp/hit"
        self.assertFalse(os.path.exists(hits))

    def test_init_before_its_program(self):
        """What joins a created container cannot look into its init."""
        self.detached("create", "-b", self.bundle, "ufs-box")
        self.addCleanup(self.oci, "delete", "--force", "ufs-box")
        text = self.oci("exec", "ufs-box", "sh", "-c",
                        "readlink /proc/1/exe; cat /proc/1/environ; readlink /proc/1/fd/*").stdout
        self.assertEqual(text, "")


class TerminalTest(bundle.ContainerTest):
    def test_no_terminal_of_the_caller(self):
        """CVE-2017-5226: a container without a terminal has none to push to."""
        master, slave = os.openpty()
        self.script("(: </dev/tty) 2>&1; echo $?")
        box = subprocess.run(["setsid", "--ctty", *self.command("run", "-b", self.bundle,
                                                                "ufs-box")],
                             stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             timeout=30)
        os.close(slave)
        os.close(master)
        self.assertIn(b"No such device or address", box.stdout)


class NoPivotTest(bundle.ContainerTest):
    """The host's root stays below the container's; what is mounted on it does not."""

    def run_it(self, text=None, **options):
        if text is not None:
            self.script(text)
        return self.ok("run", "--no-pivot", "-b", self.bundle, "ufs-box", **options)

    def test_what_it_sees_is_its_own(self):
        text = self.run_it("ls /; readlink /proc/self/cwd; ls /proc/1/root/; cd /..; ls;"
                           "wc -l </proc/self/mountinfo")
        self.assertNotIn("var", text.split())
        self.assertNotIn("usr", text.split())
        self.assertEqual(int(text.split()[-1]),
                         int(self.run_box("wc -l </proc/self/mountinfo")))

    def test_what_is_executed_is_where_init_is(self):
        self.script("sleep 1000")
        self.addCleanup(self.oci, "delete", "--force", "ufs-box")
        self.detached("create", "--no-pivot", "-b", self.bundle, "ufs-box")
        self.ok("start", "ufs-box")
        self.assertEqual(self.ok("exec", "ufs-box", "ls", "/").split(),
                         sorted(os.listdir(self.bundle + "/rootfs")))

    def test_below_it_nothing_is_mounted(self):
        for path in ("/usr", "/lib", "/lib64"):
            self.add_mount(path, "bind", path, "bind", "ro")
        self.configure(**{
            "process.capabilities": {kind: ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT"]
                                     for kind in ("bounding", "effective", "permitted")},
            "process.args": ["/usr/bin/python3", "-c", """
import ctypes, os
libc = ctypes.CDLL(None)
mounts = os.open('/proc/self/ns/mnt', os.O_RDONLY)
print(libc.umount2(b'/', 2), libc.setns(mounts, 0x20000))
print(sorted(os.listdir('/proc')), sorted(os.listdir('/sys')), os.path.isdir('/var/tmp'))
"""]})
        # The last is what a pivot_root would have spared us.
        self.assertEqual(self.run_it(), "0 0\n[] [] True\n")

    def test_in_a_user_namespace(self):
        maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        self.configure(**{"linux.namespaces": lambda old: old + [{"type": "user"}],
                          "linux.uidMappings": maps, "linux.gidMappings": maps})
        self.assertEqual(self.run_it("id -u; ls /proc/1/comm"), "0\n/proc/1/comm\n")

    def test_refused_where_an_exec_would_be_elsewhere(self):
        os.mkdir(self.dir + "/jail")
        subprocess.run(["mount", "--bind", self.dir + "/jail", self.dir + "/jail"], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.dir + "/jail"])
        self.assertIn("not of a chroot", self.refused_in_jail("run", "--no-pivot"))

    def test_without_it_where_the_root_is_no_mount(self):
        os.mkdir(self.dir + "/jail")
        self.assertIn("bind it over itself", self.refused_in_jail("run"))

    def refused_in_jail(self, *words):
        for path in ("/usr", "/lib", "/lib64", "/proc", "/sys", "/dev", "/var", "/run",
                     os.path.dirname(os.path.realpath(bundle.RUNTIME))):
            if os.path.isdir(path):
                os.makedirs(self.dir + "/jail" + path, exist_ok=True)
                subprocess.run(["mount", "--rbind", path, self.dir + "/jail" + path], check=True)
                self.addCleanup(subprocess.run, ["umount", "-l", self.dir + "/jail" + path])
        self.before = (self.before[0], sorted(bundle.harness.mounts()))
        self.addCleanup(self.forget_jail)
        done = bundle.run("chroot", self.dir + "/jail",
                          *self.command(*words, "-b", self.bundle, "ufs-box"))
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stderr

    def forget_jail(self):
        self.before = (self.before[0], [m for m in self.before[1] if self.dir + "/jail" not in m])

    def test_refused_where_it_would_reach_the_host(self):
        self.configure(**{"linux.rootfsPropagation": "rshared"})
        self.refused("rootfsPropagation", "run", "--no-pivot", "-b", self.bundle, "ufs-box")


class CgroupTest(bundle.ContainerTest):
    def test_release_agent(self):
        """CVE-2022-0492: no write to the hierarchy's root, and none to ours."""
        text = self.run_box("for f in /sys/fs/cgroup/*/release_agent; do echo x >$f && "
                            "echo wrote; done; mkdir /tmp/c && mount -t cgroup -o pids c /tmp/c "
                            "&& echo mounted; true")
        self.assertNotIn("wrote", text)
        self.assertNotIn("mounted", text)


class HookTest(bundle.ContainerTest):
    def test_environment(self):
        """A hook has what its configuration gives it: LD_PRELOAD is not the caller's to pass on."""
        told = self.dir + "/environment"
        os.environ["LD_DEBUG_OUTPUT"] = "/nowhere"
        self.addCleanup(os.environ.pop, "LD_DEBUG_OUTPUT")
        for env, seen in ((["A=b"], "A=b\n"),
                          ([], "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n")):
            self.configure(hooks={"createRuntime": [
                {"path": "/usr/bin/python3", "env": env, "args": [
                    "python3", "-ISc", "import sys; text = open('/proc/self/environ').read();"
                    f"open({told!r}, 'w').write(text.replace(chr(0), chr(10)))"]}]})
            self.run_box("true")
            with open(told) as file:
                self.assertEqual(file.read(), seen)

    def test_what_starts_in_the_container_may_no_more_than_its_program(self):
        """It is the image's own: /bin/sh in there is what whoever made it wants."""
        self.configure(**{
            "root.readonly": False, "process.user": {"uid": 1000, "gid": 1000},
            "linux.seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}})
        os.chmod(self.bundle + "/rootfs/tmp", 0o1777)
        look = "(id -u; grep -E '^(Cap...|NoNewPrivs|Seccomp):' /proc/self/status; mkdir /tmp/x 2>&1; true) >"
        for no_new_privileges in (True, False):
            self.configure(**{
                "process.noNewPrivileges": no_new_privileges,
                "hooks": {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", look + "/tmp/hook"]}]}})
            self.run_box(look + "/tmp/program")
            seen = []
            for name in ("hook", "program"):
                with open(f"{self.bundle}/rootfs/tmp/{name}") as file:
                    seen.append(file.read())
                os.unlink(file.name)
            self.assertEqual(*seen)
            self.assertIn("1000\n", seen[0])
            self.assertIn("Seccomp:\t2\n", seen[0])
            self.assertIn("Operation not supported", seen[0])


if __name__ == "__main__":
    bundle.main()
