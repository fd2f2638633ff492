"""What a process sees from inside: namespaces, mounts, devices, privileges,
system calls."""
import array
import ctypes
import fcntl
import json
import os
import platform
import resource
import socket
import struct
import subprocess
import threading
import unittest

import bundle
import harness
from bundle import own_cgroup, run


class NamespaceTest(bundle.ContainerTest):
    def test_all_are_new(self):
        inside = self.run_box("".join(f"readlink /proc/self/ns/{kind};"
                                      for kind in bundle.NAMESPACES)).split()
        for kind, link in zip(bundle.NAMESPACES, inside):
            self.assertNotEqual(link, os.readlink(f"/proc/self/ns/{kind}"), kind)
        self.assertEqual(self.run_box("echo $$; hostname"), "1\nufs\n")

    def test_joined_by_path(self):
        pid = self.start_box()
        kinds = {"network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid"}
        second = self.make_bundle("second")
        self.configure(bundle=second, **{
            "hostname": None,
            "linux.namespaces": [{"type": "mount"}, {"type": "cgroup"}] +
            [{"type": kind, "path": f"/proc/{pid}/ns/{name}"} for kind, name in kinds.items()],
            "process.args": ["/bin/sh", "-c", "".join(f"readlink /proc/self/ns/{name};"
                                                      for name in kinds.values())]})
        links = self.ok("run", "-b", second, "ufs-box2").split()
        self.assertEqual(links, [os.readlink(f"/proc/{pid}/ns/{name}")
                                 for name in kinds.values()])

    def test_wrong_kind_is_refused(self):
        self.configure(**{"linux.namespaces": lambda old: [
            {"type": "network", "path": "/proc/self/ns/uts"} if ns["type"] == "network" else ns
            for ns in old]})
        self.run_refused("is no network namespace")

    # --- a mount namespace that is joined -------------------------------------------

    def start_holder(self):
        """A process in a mount namespace of its own, with a tmpfs that is there alone."""
        hidden = self.dir + "/hidden"
        os.mkdir(hidden)
        holder = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c",
             f"mount -t tmpfs x {hidden} && echo secret >{hidden}/file && echo ready && exec sleep 1000"],
            stdout=subprocess.PIPE, text=True)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        self.assertEqual(holder.stdout.readline(), "ready\n")
        holder.stdout.close()
        self.join_mounts(f"/proc/{holder.pid}/ns/mnt")
        return holder.pid, hidden

    def join_mounts(self, path):
        self.configure(**{"linux.namespaces": lambda old: [
            {"type": "mount", "path": path} if ns["type"] == "mount" else ns for ns in old]})

    def test_mount_namespace_is_taken_over(self):
        pid, hidden = self.start_holder()
        self.add_mount("/etc", "bind", hidden, "bind", "ro")
        text = self.run_box("readlink /proc/self/ns/mnt; cat /etc/file; wc -l </proc/self/mountinfo;"
                            "ls /; touch /etc/x 2>&1; true")
        lines = text.splitlines()
        self.assertEqual(lines[:2], [os.readlink(f"/proc/{pid}/ns/mnt"), "secret"])
        self.assertLess(int(lines[2]), 60)
        self.assertIn("bin", lines)
        self.assertNotIn("var", lines)
        self.assertIn("Read-only", lines[-1])
        # As runc has it: who was in there has the container's root now.
        self.assertEqual(sorted(os.listdir(f"/proc/{pid}/root")),
                         sorted(os.listdir(self.bundle + "/rootfs")))

    def test_exec_in_a_mount_namespace_that_was_joined(self):
        self.start_holder()
        self.start_box()
        self.assertEqual(self.ok("exec", "ufs-box", "ls", "/bin/sh"), "/bin/sh\n")
        self.assertNotIn("var", self.ok("exec", "ufs-box", "ls", "/").split())

    def mount_points(self, pid):
        with open(f"/proc/{pid}/mountinfo") as file:
            return [line.split()[4] for line in file]

    def test_failure_leaves_a_joined_mount_namespace_as_it_was(self):
        pid, _ = self.start_holder()
        before = self.mount_points(pid)
        self.add_mount("/proc/sys", "tmpfs", "x")
        self.run_refused("only proc may be mounted")
        self.assertEqual(self.mount_points(pid), before)
        self.assertTrue(os.path.exists(f"/proc/{pid}/root{self.dir}"))

    def test_mount_namespaces_that_are_not_taken(self):
        for path in ("/proc/self/ns/mnt", "/proc/1/ns/mnt"):
            self.join_mounts(path)
            self.run_refused("would replace")
        self.join_mounts("/proc/self/ns/net")
        self.run_refused("is no mount namespace")

    def test_host_namespaces_are_kept(self):
        self.configure(**{"linux.namespaces": [{"type": "mount"}], "hostname": None,
                          "mounts": lambda old: [m for m in old if m["type"] != "cgroup"]})
        for kind in ("net", "uts", "ipc", "pid"):
            self.assertEqual(self.run_box(f"readlink /proc/self/ns/{kind}").strip(),
                             os.readlink(f"/proc/self/ns/{kind}"))

    @unittest.skipUnless(len(os.sched_getaffinity(0)) > 1, "needs two processors")
    def test_processors_are_not_the_callers(self):
        every = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(every)})
        self.addCleanup(os.sched_setaffinity, 0, every)
        self.start_box("grep Cpus_allowed_list /proc/self/status; exec sleep 1000")
        self.assertTrue(bundle.wait_until(self.output))
        inside = self.ok("exec", "ufs-box", "grep", "Cpus_allowed_list", "/proc/self/status")
        self.assertEqual(self.output(), inside)
        self.assertNotEqual(inside.split()[1], str(min(every)))

    @unittest.skipUnless(len(os.sched_getaffinity(0)) > 1, "needs two processors")
    def test_processors_of_what_is_executed(self):
        ours = sorted(os.sched_getaffinity(0))
        first, last = str(ours[0]), str(ours[-1])
        self.start_box()

        def where(**affinity):
            process = dict(self.config()["process"], args=["grep", "Cpus_allowed_list", "/proc/self/status"],
                           terminal=False, execCPUAffinity=affinity)
            with open(self.dir + "/process.json", "w") as file:
                json.dump(process, file)
            done = self.oci("exec", "--process", self.dir + "/process.json", "ufs-box")
            return done.stdout.split()[-1] if done.returncode == 0 else done.stderr

        self.assertEqual(where(final=last), last)
        self.assertEqual(where(initial=first, final=last), last)
        every = where()
        self.assertNotIn(every, (first, last))
        # Nobody but the kernel changes it then: before 6.2 a cpuset that is joined does.
        self.assertIn(where(initial=first), (first, every))
        self.assertIn("process.execCPUAffinity.final: Invalid argument", where(final="8000"))
        self.assertIn("process.execCPUAffinity.initial: Invalid argument", where(initial="8000"))

    def test_time_offsets(self):
        self.configure(**{"linux.namespaces": lambda old: old + [{"type": "time"}],
                          "linux.timeOffsets": {"boottime": {"secs": 1000000}}})
        self.assertGreater(float(self.run_box("cat /proc/uptime").split()[0]), 1000000)

    def test_user_namespace(self):
        self.configure(**{
            "linux.namespaces": lambda old: old + [{"type": "user"}],
            "linux.uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
            "linux.gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}]})
        text = self.run_box("cat /proc/self/uid_map; id -u; echo >/dev/null && ls -n /bin/sh")
        self.assertEqual(text.split()[:4], ["0", "100000", "65536", "0"])

    def test_user_namespace_with_a_network_of_the_hosts(self):
        """Joined before, with the caller's rights: inside there are none over it."""
        self.configure(hostname=None)
        host = self.start_box()
        maps = [{"containerID": 0, "hostID": 0, "size": 65536}]
        user = self.make_bundle("user")
        self.configure(bundle=user, **{
            "linux.namespaces": lambda old: old + [{"type": "user"}],
            "linux.uidMappings": maps, "linux.gidMappings": maps,
            "process.args": ["sleep", "1000"]})
        self.addCleanup(self.oci, "delete", "--force", "ufs-box2")
        self.detached("run", "--detach", "-b", user, "ufs-box2")
        owner = self.status("ufs-box2")["pid"]
        paths = {"network": f"/proc/{host}/ns/net", "user": f"/proc/{owner}/ns/user"}
        self.configure(**{
            "mounts": lambda old: [mount for mount in old if mount["type"] != "sysfs"],
            "linux.namespaces": [{"type": kind} for kind in ("mount", "pid", "ipc", "cgroup")] +
            [{"type": kind, "path": path} for kind, path in paths.items()],
            "process.args": ["sh", "-c", "readlink /proc/self/ns/net; readlink /proc/self/ns/user"]})
        self.assertEqual(self.ok("run", "-b", self.bundle, "ufs-box3").split(),
                         [os.readlink(path) for path in paths.values()])

    def test_hard_limit_above_the_callers(self):
        """The right to raise one is the host's, and not had in a user namespace."""
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1] + 7
        if run("sh", "-c", f"ulimit -Hn {hard}").returncode != 0:
            self.skipTest("may not raise a limit")
        maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        self.configure(**{
            "linux.namespaces": lambda old: old + [{"type": "user"}],
            "linux.uidMappings": maps, "linux.gidMappings": maps,
            "process.rlimits": [{"type": "RLIMIT_NOFILE", "soft": 50, "hard": hard}]})
        self.assertEqual(self.run_box("ulimit -Sn; ulimit -Hn"), f"50\n{hard}\n")
        self.start_box()
        self.assertEqual(self.ok("exec", "ufs-box", "sh", "-c", "ulimit -Sn; ulimit -Hn"),
                         f"50\n{hard}\n")

    def test_id_maps_that_the_kernel_refuses(self):
        """With a helper, too, which waits for them."""
        maps = [{"containerID": 0, "hostID": 100000, "size": 10},
                {"containerID": 5, "hostID": 200000, "size": 10}]
        self.configure(**{
            "linux.namespaces": lambda old: old + [{"type": "user"}, {"type": "time"}],
            "linux.uidMappings": maps, "linux.gidMappings": maps})
        self.run_refused("id_map|[Mm]apping|Invalid argument")

    def test_sysctl_and_names(self):
        self.configure(**{"linux.sysctl": {"net.ipv4.ip_forward": "1", "kernel.shmmni": "77"},
                          "hostname": "here", "domainname": "there"})
        self.assertEqual(self.run_box("cat /proc/sys/net/ipv4/ip_forward "
                                      "/proc/sys/kernel/shmmni /proc/sys/kernel/domainname;"
                                      "hostname"), "1\n77\nthere\nhere\n")


class KeyringTest(bundle.ContainerTest):
    """The caller's keys are not the container's. busybox has no keyctl, Python neither."""
    ADD_KEY, KEYCTL = (248, 250) if platform.machine() == "x86_64" else (217, 219)
    JOIN, SEARCH = 1, 10
    SESSION = -3
    libc = ctypes.CDLL(None, use_errno=True)

    def setUp(self):
        super().setUp()
        for path in ("/usr", "/lib", "/lib64"):
            self.add_mount(path, "bind", path, "bind", "ro")
        if self.libc.syscall(self.KEYCTL, self.JOIN, None) < 0:
            self.skipTest("no keys here")
        self.assertGreater(
            self.libc.syscall(self.ADD_KEY, b"user", b"of-the-host", b"x", 1, self.SESSION), 0)

    def python(self, call):
        return ["/usr/bin/python3", "-c", "import ctypes; print(ctypes.CDLL(None).syscall(" +
                call + ") > 0)"]

    def search(self, name):
        return self.python(f"{self.KEYCTL}, {self.SEARCH}, {self.SESSION}, b'user', b'{name}', 0")

    def test_of_the_caller(self):
        self.configure(**{"process.args": self.search("of-the-host")})
        self.assertEqual(self.ok("run", "-b", self.bundle, "ufs-box"), "False\n")
        self.assertEqual(self.ok("run", "--no-new-keyring", "-b", self.bundle, "ufs-box"),
                         "True\n")

    def exec(self, command):
        return self.ok("exec", "ufs-box", *command)

    def test_what_is_executed_has_that_of_the_container(self):
        maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        for changes in {}, {"linux.namespaces": lambda old: old + [{"type": "user"}],
                            "linux.uidMappings": maps, "linux.gidMappings": maps}:
            self.configure(**changes)
            self.start_box()
            self.assertEqual(self.exec(self.search("of-the-host")), "False\n")
            self.assertEqual(self.exec(self.python(
                f"{self.ADD_KEY}, b'user', b'of-the-box', b'x', 1, {self.SESSION}")), "True\n")
            self.assertEqual(self.exec(self.search("of-the-box")), "True\n")
            self.ok("delete", "--force", "ufs-box")

    def test_not_for_what_is_executed_either(self):
        self.script("sleep 1000")
        self.addCleanup(self.oci, "delete", "--force", "ufs-box")
        self.detached("create", "--no-new-keyring", "-b", self.bundle, "ufs-box")
        self.ok("start", "ufs-box")
        self.assertEqual(self.exec(self.search("of-the-host")), "True\n")


class MountTest(bundle.ContainerTest):
    def test_bind_options(self):
        source = self.dir + "/source"
        os.makedirs(source + "/sub")
        with open(source + "/file", "w") as file:
            file.write("data")
        self.add_mount("/deep/in/here", "bind", source, "rbind", "ro", "nosuid", "noexec")
        self.add_mount("/etc/one", "bind", source + "/file", "bind")
        text = self.run_box("cat /deep/in/here/file /etc/one; touch /deep/in/here/x; echo $?;"
                            "grep -E ' /(deep|etc)' /proc/self/mountinfo")
        self.assertTrue(text.startswith("datadata1\n"), text)
        options = text.split(" /deep/in/here ")[1].split()[0].split(",")
        self.assertLessEqual({"ro", "nosuid", "noexec"}, set(options))
        self.assertEqual(sorted(os.listdir(source)), ["file", "sub"])

    def test_one_option_for_all_below_is_enough(self):
        source = self.dir + "/source"
        os.makedirs(source + "/below")
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", source + "/below"], check=True)
        self.addCleanup(subprocess.run, ["umount", source + "/below"])
        self.before = (self.before[0], sorted(harness.mounts()))
        self.add_mount("/at", "bind", source, "rbind", "rprivate", "rw", "bind")
        self.assertIn(" /at/below ", self.run_box("cat /proc/self/mountinfo"))
        self.before = (self.before[0], [m for m in self.before[1] if "/source/below" not in str(m)])

    def test_what_earlier_mounts_put_there_can_be_bound(self):
        source = self.dir + "/source"
        os.makedirs(source + "/only")
        with open(source + "/file", "w") as file:
            file.write("data\n")
        root = self.bundle + "/rootfs"
        self.add_mount("/mnt", "bind", source, "rbind")
        self.add_mount("/all", "bind", root + "/mnt", "rbind")
        self.add_mount("/part", "bind", "rootfs/mnt/only/../only", "bind")
        self.add_mount("/etc/one", "bind", root + "/mnt/file", "bind", "ro")
        self.add_mount("/deep/er", "tmpfs", "tmpfs")
        self.add_mount("/copy", "bind", root + "/deep", "rbind")
        self.assertEqual(self.run_box("ls /all; ls -d /part; cat /etc/one; stat -f -c %T /copy/er"),
                         "file\nonly\n/part\ndata\ntmpfs\n")
        self.add_mount("/none", "bind", root + "/mnt/none", "bind")
        self.run_refused("source .*/mnt/none: No such file or directory")

    def test_own_propagation_is_not_the_roots(self):
        source = self.dir + "/source"
        os.mkdir(source)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", source], check=True)
        subprocess.run(["mount", "--make-shared", source], check=True)
        self.addCleanup(subprocess.run, ["umount", source])
        self.before = (self.before[0], sorted(harness.mounts()))
        for root, own, seen in (("rprivate", "rshared", "shared"), ("rslave", "rshared", "shared master"),
                                ("rshared", "rprivate", "")):
            self.configure(**{"linux.rootfsPropagation": root,
                              "mounts": lambda old: [m for m in old if m["destination"] != "/at"]})
            self.add_mount("/at", "bind", source, "rbind", own)
            [line] = [line.split() for line in self.run_box("cat /proc/self/mountinfo").splitlines()
                      if " /at " in line]
            self.assertEqual([word.split(":")[0] for word in line[6:line.index("-")]], seen.split(),
                             (root, own))
        self.before = (self.before[0], [m for m in self.before[1] if "/source" not in str(m)])

    def test_options_that_no_cgroup_has(self):
        self.configure(mounts=lambda old: [m for m in old if m["type"] != "cgroup"])
        self.add_mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro", "not_one")
        self.run_refused('mount option "not_one" is not accepted')

    def test_device_under_another_name_in_a_user_namespace(self):
        maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        zero = {"path": "/dev/nought", "type": "c", "major": 1, "minor": 5}
        self.configure(**{"linux.namespaces": lambda old: old + [{"type": "user"}],
                          "linux.uidMappings": maps, "linux.gidMappings": maps, "linux.devices": [zero]})
        link = "/dev/char/1:5"
        if not os.path.exists(link):
            self.run_refused("no node can be made here")
            made = not os.path.isdir("/dev/char")
            os.makedirs("/dev/char", exist_ok=True)
            os.symlink("../zero", link)
            self.addCleanup(lambda: (os.unlink(link), made and os.rmdir("/dev/char")))
        self.assertEqual(self.run_box("head -c 3 /dev/nought | od -An -tx1"), " 00 00 00\n")

    def test_groups_of_the_caller(self):
        """crun's annotation, which podman sets for --group-add keep-groups."""
        before = os.getgroups()
        self.addCleanup(os.setgroups, before)
        os.setgroups([7, 8])
        self.assertEqual(self.run_box("id -G"), "0\n")
        self.configure(annotations={"run.oci.keep_original_groups": "1"})
        self.assertEqual(self.run_box("id -G"), "0 7 8\n")
        self.start_box()
        self.assertEqual(self.ok("exec", "ufs-box", "id", "-G"), "0 7 8\n")

    def test_recursive_attributes(self):
        source = self.dir + "/source"
        os.makedirs(source + "/below")
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", source + "/below"], check=True)
        try:
            self.before = (self.before[0], sorted(harness.mounts()))
            for options, code in ((["rbind", "ro"], "0"), (["rbind", "rro"], "1")):
                self.configure(mounts=lambda old: [m for m in old if m["destination"] != "/at"])
                self.add_mount("/at", "bind", source, *options)
                self.assertEqual(self.run_box("touch /at/below/x 2>/dev/null; echo $?").strip(),
                                 code)
        finally:
            subprocess.run(["umount", source + "/below"], check=True)
            self.before = (self.before[0], sorted(harness.mounts()))

    def test_propagation_is_set_and_does_not_leak(self):
        self.add_mount("/at", "tmpfs", "tmpfs", "shared", "size=64k")
        text = self.run_box("grep ' /at ' /proc/self/mountinfo")
        self.assertIn("shared:", text)
        self.assertIn("size=64k", text)

    def test_tmpcopyup(self):
        os.makedirs(f"{self.bundle}/rootfs/data/sub")
        os.symlink("sub", f"{self.bundle}/rootfs/data/link")
        with open(f"{self.bundle}/rootfs/data/sub/file", "w") as file:
            file.write("below")
        os.chmod(f"{self.bundle}/rootfs/data/sub/file", 0o640)
        self.add_mount("/data", "tmpfs", "tmpfs", "tmpcopyup")
        text = self.run_box("cat /data/link/file; stat -c %a /data/sub/file; echo x >/data/new;"
                            "ls /data")
        self.assertEqual(text, "below640\nlink\nnew\nsub\n")
        self.assertFalse(os.path.exists(f"{self.bundle}/rootfs/data/new"))

    def test_tmpfs_has_the_mode_of_its_place(self):
        os.mkdir(self.bundle + "/rootfs/place")
        os.chmod(self.bundle + "/rootfs/place", 0o710)
        modes = "; stat -c %a /place /new"
        self.add_mount("/place", "tmpfs", "tmpfs")
        self.add_mount("/new", "tmpfs", "tmpfs")
        self.assertEqual(self.run_box("true" + modes), "710\n1777\n")
        self.configure(mounts=lambda old: old[:-2])
        for options in ([], ["tmpcopyup"]):
            self.add_mount("/place", "tmpfs", "tmpfs", "mode=1500", *options)
            self.add_mount("/new2", "tmpfs", "tmpfs", *options)
            self.assertEqual(self.run_box("stat -c %a /place /new2"), "1500\n1777\n")
            self.configure(mounts=lambda old: old[:-2])
            os.rmdir(self.bundle + "/rootfs/new2")

    def test_what_is_read_only_takes_mounts(self):
        """What podman makes of --read-only-tmpfs=false."""
        self.configure(mounts=lambda old: [
            {**mount, "options": mount["options"] + ["ro"]} if mount["destination"] == "/dev"
            else mount for mount in old])
        self.add_mount("/at", "tmpfs", "tmpfs", "ro")
        self.add_mount("/at/below", "tmpfs", "tmpfs")
        self.add_mount("/all", "tmpfs", "tmpfs", "rro", "tmpcopyup")
        self.add_mount("/all/below", "tmpfs", "tmpfs")
        self.add_mount("/not", "tmpfs", "tmpfs", "ro", "rrw")
        os.makedirs(self.bundle + "/rootfs/all/of")
        if own_cgroup("memory"):
            # As podman mounts it for systemd: over a tmpfs. One of v2 is no place for others.
            self.add_mount("/sys/fs/cgroup/mine", "bind", self.dir, "bind")
        self.assertEqual(self.run_box("touch /at/below/x /all/below/x /not/x;"
                                      "ls -d /dev/null /dev/pts/ptmx /all/of;"
                                      "for d in /dev /at /all; do touch $d/x 2>/dev/null || echo $d; done"),
                         "/all/of\n/dev/null\n/dev/pts/ptmx\n/dev\n/at\n/all\n")

    def test_root_is_read_only(self):
        self.assertEqual(self.run_box("touch /x 2>/dev/null; echo $?"), "1\n")
        self.configure(**{"root.readonly": False})
        self.assertEqual(self.run_box("touch /x; echo $?"), "0\n")

    def test_masked_and_read_only_paths(self):
        text = self.run_box("wc -c </proc/keys; ls /sys/firmware | wc -l;"
                            "echo 1 2>/dev/null >/proc/sys/kernel/domainname; echo $?;"
                            "echo h 2>/dev/null >/proc/sysrq-trigger; echo $?")
        self.assertEqual(text, "0\n0\n1\n1\n")

    def test_cgroup_mount_shows_own_view(self):
        text = self.run_box("cat /proc/self/cgroup; ls /sys/fs/cgroup; "
                            "touch /sys/fs/cgroup/*/x 2>/dev/null; echo $?")
        for line in text.split("\n"):
            if ":" in line:
                self.assertTrue(line.endswith(":/"), line)

    def test_what_is_refused_by_name(self):
        for mount, message in ((("/a", "bind", "/nowhere", "bind"), "source /nowhere"),
                               (("/a", "nofs", "x"), '"nofs" is unknown'),
                               (("/a", "tmpfs", "x", "frobnicate"), '"frobnicate"'),
                               (("/a", "tmpfs", "x", "remount"), '"remount" is not supported'),
                               (("/a", "bind", "/etc", "bind", "size=1"), '"size=1"'),
                               (("/proc/sys", "tmpfs", "x"), "only proc may be mounted")):
            old = self.config()["mounts"]
            self.add_mount(*mount)
            self.run_refused(message)
            self.configure(mounts=old)


class DeviceTest(bundle.ContainerTest):
    def test_defaults(self):
        self.assertEqual(
            self.run_box("for d in null zero full random urandom tty; do stat -c '%n %a %t:%T' "
                         "/dev/$d; done; readlink /dev/fd; readlink /dev/ptmx; head -c 3 /dev/zero | wc -c"),
            "/dev/null 666 1:3\n/dev/zero 666 1:5\n/dev/full 666 1:7\n/dev/random 666 1:8\n"
            "/dev/urandom 666 1:9\n/dev/tty 666 5:0\n/proc/self/fd\npts/ptmx\n3\n")

    def test_own_device(self):
        self.configure(**{"linux.devices": [{"path": "/dev/sub/mine", "type": "c", "major": 1,
                                             "minor": 3, "fileMode": 0o640, "uid": 5, "gid": 6},
                                            {"path": "/dev/podmans", "type": "c", "major": 1,
                                             "minor": 3, "fileMode": 0o20600},
                                            {"path": "/dev/pipe", "type": "p"}]})
        self.assertEqual(self.run_box("stat -c '%a %t:%T %u %g' /dev/sub/mine /dev/podmans;"
                                      "test -p /dev/pipe; echo $?"),
                         "640 1:3 5 6\n600 1:3 0 0\n0\n")

    def test_device_list_holds(self):
        """By v1's list, by a program of the kernel's under v2."""
        self.configure(**{"process.capabilities": {
            kind: ["CAP_MKNOD"] for kind in ("bounding", "effective", "permitted")},
            "root.readonly": False})
        # fuse: made, as any node may be, but not opened; null: opened.
        text = self.run_box("mknod /tmp/f c 10 229; (: </tmp/f) 2>&1; (: </dev/null) && echo ok")
        self.assertIn("Operation not permitted", text)
        self.assertTrue(text.endswith("ok\n"), text)


class PrivilegeTest(bundle.ContainerTest):
    def status(self, text="cat /proc/self/status"):
        lines = self.run_box(text).split("\n")
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)

    def test_capabilities(self):
        for kind in ("inheritable", "ambient"):
            self.configure(**{f"process.capabilities.{kind}": ["CAP_KILL"]})
        status = self.status()
        both = f"{1 << 29 | 1 << 10 | 1 << 5:016x}"
        self.assertEqual(status["CapBnd"], both)
        self.assertEqual(status["CapPrm"], both)
        self.assertEqual(status["CapEff"], both)
        self.assertEqual(status["CapInh"], f"{1 << 5:016x}")
        self.assertEqual(status["CapAmb"], f"{1 << 5:016x}")
        self.assertEqual(status["NoNewPrivs"], "1")

    def test_streams_can_be_opened_again(self):
        script = "echo out >/dev/stdout; echo more >/proc/self/fd/2"
        self.configure(**{"process.user.uid": 1000, "process.args": ["sh", "-c", script]})
        done = self.oci("run", "-b", self.bundle, "ufs-box")
        self.assertEqual((done.stdout, done.stderr), ("out\n", "more\n"))
        self.addCleanup(self.oci, "delete", "--force", "ufs-box")
        self.script("sleep 1000")
        self.detached("run", "--detach", "-b", self.bundle, "ufs-box")
        done = self.oci("exec", "-u", "7", "ufs-box", "sh", "-c", script)
        self.assertEqual((done.stdout, done.stderr), ("out\n", "more\n"))

    def test_files_of_the_caller_stay_his(self):
        path = self.dir + "/file"
        with open(path, "w") as file:
            file.write("in")
        os.chmod(path, 0o4755)
        self.configure(**{"process.user.uid": 1000, "process.args": ["cat"]})
        for name in (path, self.dir):
            before = os.stat(name)
            stream = os.open(name, os.O_RDONLY)
            self.addCleanup(os.close, stream)
            subprocess.run(self.command("run", "-b", self.bundle, "ufs-box"), stdin=stream, stdout=stream,
                           stderr=subprocess.DEVNULL, timeout=30)
            after = os.stat(name)
            self.assertEqual((after.st_uid, after.st_mode), (before.st_uid, before.st_mode), name)

    def test_one_that_does_not_exist(self):
        self.configure(**{"process.capabilities.bounding": ["CAP_KILL", "CAP_NEW"],
                          "process.args": ["grep", "CapBnd", "/proc/self/status"]})
        done = self.oci("run", "-b", self.bundle, "ufs-box")
        self.assertEqual(done.stdout, f"CapBnd:\t{1 << 5:016x}\n")
        self.assertIn('"CAP_NEW" is no capability', done.stderr)

    def test_none_unless_given(self):
        self.configure(**{"process.capabilities": None})
        status = self.status()
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[kind], 16), 0, kind)

    def test_user(self):
        self.configure(**{"process.user": {"uid": 1000, "gid": 1001, "additionalGids": [5, 6],
                                           "umask": 0o27}})
        status = self.status()
        self.assertEqual(status["Uid"].split(), ["1000"] * 4)
        self.assertEqual(status["Gid"].split(), ["1001"] * 4)
        self.assertEqual(status["Groups"].split(), ["5", "6"])
        self.assertEqual(status["Umask"], "0027")
        self.assertEqual(int(status["CapEff"], 16), 0)

    def test_limits(self):
        self.configure(**{"process.rlimits": [
            {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}], "process.oomScoreAdj": 500})
        self.assertEqual(self.run_box("ulimit -Sn; ulimit -Hn; ulimit -c;"
                                      "cat /proc/self/oom_score_adj"), "100\n200\n0\n500\n")

    def test_environment_and_directory(self):
        self.configure(**{"process.env": ["A=1", "PATH=/bin"], "process.cwd": "/made/for/it",
                          "root.readonly": False})
        self.assertEqual(self.run_box("pwd; env | sort"),
                         "/made/for/it\nA=1\nHOME=/\nPATH=/bin\nPWD=/made/for/it\nSHLVL=1\n")

    def test_home_of_the_user(self):
        with open(f"{self.bundle}/rootfs/etc/passwd", "w") as file:
            file.write("root:x:0:0::/root:/bin/sh\nme:x:7:7::/home/me:/bin/sh\n")
        self.assertEqual(self.run_box("echo $HOME"), "/root\n")
        self.configure(**{"process.user": {"uid": 7, "gid": 7}})
        self.assertEqual(self.run_box("echo $HOME"), "/home/me\n")

    def test_priority_and_personality(self):
        self.configure(**{"process.scheduler": {"policy": "SCHED_BATCH", "nice": 5},
                          "process.ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0},
                          "linux.personality": {"domain": "LINUX32"}})
        text = self.run_box("cat /proc/self/stat; cat /proc/self/personality")
        fields = text.split(") ")[1].split()
        self.assertEqual(fields[16], "5")  # nice
        self.assertEqual(fields[38], "3")  # SCHED_BATCH
        self.assertEqual(text.split("\n")[1], "00000008")


class SeccompTest(bundle.ContainerTest):
    def profile(self, *rules, default="SCMP_ACT_ALLOW", **more):
        self.configure(**{"linux.seccomp": {
            "defaultAction": default, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
            "syscalls": list(rules), **more}})

    def test_errno_and_arguments(self):
        self.profile({"names": ["mkdir", "mkdirat", "not_invented_yet"], "action": "SCMP_ACT_ALLOW"},
                     {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
                     {"names": ["kill"], "action": "SCMP_ACT_ERRNO",
                      "args": [{"index": 1, "value": 10, "op": "SCMP_CMP_EQ"}]})
        self.configure(**{"root.readonly": False})
        text = self.run_box("mkdir /tmp/x 2>&1; kill -10 $$ 2>&1; kill -0 $$ && echo fine;"
                            "grep -E '^Seccomp:' /proc/self/status")
        self.assertIn("Operation not supported", text)
        self.assertIn("Operation not permitted", text)
        self.assertIn("fine", text)
        self.assertIn("Seccomp:\t2", text)

    def test_kill_and_without_no_new_privileges(self):
        self.profile({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"})
        self.configure(**{"process.noNewPrivileges": False})
        self.assertEqual(self.run_box("mkdir /tmp/x; echo $?").strip(), "159")  # SIGSYS

    def test_exec_is_filtered_too(self):
        self.profile({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"})
        self.start_box()
        self.assertIn("Seccomp:\t2", self.ok("exec", "ufs-box", "cat", "/proc/self/status"))

    def test_what_is_unknown_is_refused(self):
        self.profile({"names": ["mkdir"], "action": "SCMP_ACT_DREAM"})
        self.run_refused("unknown action")
        self.profile({"names": ["not_invented_yet"], "action": "SCMP_ACT_ERRNO"})
        self.run_refused("would be allowed")
        self.profile({"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"})
        self.run_refused("needs a listenerPath")
        self.profile(flags=["SECCOMP_FILTER_FLAG_DREAM"])
        self.run_refused("unknown flag")

    def answer(self, number, calls=1):
        """An agent for one process, which answers EEXIST to that system call; what it was told."""
        path = f"{self.dir}/agent-{number}"
        agent = socket.socket(socket.AF_UNIX)
        agent.bind(path)
        agent.listen()
        agent.settimeout(30)
        told = {"calls": []}

        def work():
            peer, _ = agent.accept()
            data, control, _, _ = peer.recvmsg(1 << 16, socket.CMSG_SPACE(4))
            told["state"] = json.loads(data)
            listener = array.array("i", control[0][2][:4])[0]
            while len([call for call in told["calls"] if call == number]) < calls:
                request = bytearray(80)
                fcntl.ioctl(listener, 0xC0502100, request)  # SECCOMP_IOCTL_NOTIF_RECV
                call = struct.unpack_from("<i", request, 16)[0]
                told["calls"].append(call)
                end = (-17, 0) if call == number else (0, 1)  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
                reply = struct.pack("<QqiI", struct.unpack_from("<Q", request)[0], 0, *end)
                fcntl.ioctl(listener, 0xC0182101, reply)  # SECCOMP_IOCTL_NOTIF_SEND
            os.close(listener)
            peer.close()
            agent.close()

        thread = threading.Thread(target=work)
        thread.start()
        self.addCleanup(thread.join)
        return path, told, thread

    def test_listener(self):
        path, told, thread = self.answer(83)
        self.profile({"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}, listenerPath=path,
                     listenerMetadata="meta")
        text = self.run_box("mkdir /tmp/x 2>&1; true")
        thread.join()
        self.assertIn("File exists", text)
        self.assertEqual(told["calls"], [83])
        self.assertEqual(told["state"]["metadata"], "meta")
        self.assertEqual(told["state"]["fds"], ["seccompFd"])
        self.assertEqual(told["state"]["state"]["id"], "ufs-box")
        self.assertEqual(told["state"]["state"]["status"], "created")

    def test_listener_of_what_is_executed(self):
        """Each has its own; an agent that is gone would leave it waiting."""
        path, _, thread = self.answer(83)
        self.profile({"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}, listenerPath=path)
        pid = self.start_box("mkdir /tmp/x; exec sleep 1000")
        thread.join()
        for options in ((), ("--tty",)):
            os.unlink(path)
            _, told, thread = self.answer(83)
            self.assertIn("File exists", self.ok("exec", *options, "ufs-box", "sh", "-c",
                                                 "mkdir /tmp/x 2>&1; true"))
            thread.join()
            self.assertEqual(told["state"]["state"]["status"], "running")
            self.assertEqual(told["state"]["state"]["pid"], pid)
            self.assertNotIn(told["state"]["pid"], (0, pid))
        self.refused("linux.seccomp.listenerPath .*: Connection refused", "exec", "ufs-box", "true")

    def test_hooks_have_no_listener(self):
        """They may not wait for an agent that is not asked; what it would decide, fails."""
        path, told, thread = self.answer(83)
        self.profile({"names": ["close", "mkdir"], "action": "SCMP_ACT_NOTIFY"}, listenerPath=path)
        self.configure(**{"root.readonly": False, "process.args": ["mkdir", "/tmp/x"], "hooks": {
            "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "mkdir /tmp/y 2>/tmp/said; true"]}]}})
        done = self.oci("run", "-b", self.bundle, "ufs-box", timeout=30)
        thread.join()
        self.assertIn("File exists", done.stderr)
        self.assertEqual(told["calls"].count(83), 1)
        with open(self.bundle + "/rootfs/tmp/said") as file:
            self.assertIn("Function not implemented", file.read())

    def test_listener_of_reads(self):
        """With the call by which we wait for the agent to have it."""
        path, told, thread = self.answer(83)
        self.profile({"names": ["read", "mkdir"], "action": "SCMP_ACT_NOTIFY"}, listenerPath=path)
        self.configure(**{"process.args": ["mkdir", "/tmp/x"]})
        done = self.oci("run", "-b", self.bundle, "ufs-box", timeout=30)
        thread.join()
        self.assertIn("File exists", done.stderr)
        self.assertIn(0, told["calls"])
        self.profile({"names": ["write"], "action": "SCMP_ACT_NOTIFY"}, listenerPath=path)
        self.run_refused("write cannot have the action SCMP_ACT_NOTIFY")


if __name__ == "__main__":
    bundle.main()
