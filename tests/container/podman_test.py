"""podman with this runtime, on a union of this file system: its containers do
what they do with runc."""
import os
import re
import shutil
import subprocess
import unittest

import bundle
import fake_systemd
from harness import UFS

# A new container may not ask for more than the machine's root has.
LIMITS = ("--ulimit", "nofile=512:1024", "--ulimit", "nproc=500:500", "--network", "none",
          "--cgroup-parent")


class PodmanTest(bundle.ContainerTest):
    manager, parent = "cgroupfs", "/ufs-podman"

    def setUp(self):
        super().setUp()
        self.runtime = self.dir + "/ufs-oci"
        self.program = self.dir + "/fuse-overlayfs"
        os.symlink(bundle.RUNTIME, self.runtime)
        os.symlink(UFS, self.program)
        self.import_image()

    def import_image(self):
        archive = self.dir + "/image.tar"
        subprocess.run(["tar", "-C", self.bundle + "/rootfs", "-cf", archive, "."], check=True)
        self.assertEqual(self.podman("import", archive, "box")[0], 0)
        self.addCleanup(self.remove_cgroups)
        self.addCleanup(self.podman, "rmi", "--all", "--force")
        self.addCleanup(self.podman, "rm", "--all", "--force", "--time", "0")

    def remove_cgroups(self):
        """podman keeps the parent of its containers."""
        for group in sorted(bundle.cgroups(), reverse=True):
            if f"{self.parent}/" in group:
                os.rmdir(group)

    def podman(self, *words, runtime=None):
        """(exit code, what was printed)."""
        command = ["podman", "--root", self.dir + "/root", "--runroot", self.dir + "/runroot",
                   "--cgroup-manager", self.manager, "--events-backend", "file",
                   "--log-level", "error", "--storage-driver", "overlay",
                   "--storage-opt", "overlay.mount_program=" + self.program,
                   "--runtime", runtime or self.runtime, *words]
        # A file: conmon keeps what it is given.
        with open(self.dir + "/podman", "w+") as output:
            code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output,
                                  stderr=output, timeout=60).returncode
            output.seek(0)
            return code, output.read()

    def run_box(self, *words):
        return self.podman("run", "--rm", *LIMITS, self.parent, *words)


@unittest.skipUnless(shutil.which("podman"), "needs podman")
class Podman(PodmanTest):
    def test_life(self):
        code, text = self.podman("run", "-d", "--name", "one", *LIMITS, self.parent,
                                 "box", "sh", "-c", "echo said; echo data >/made; exec sleep 1000")
        self.assertEqual(code, 0, text)
        self.assertEqual(self.podman("exec", "one", "sh", "-c", "cat /made; grep ' / ' "
                                     "/proc/mounts | cut -d' ' -f3; exit 4"),
                         (4, "data\nfuse.fuse-overlayfs\n"))
        self.assertIn("sleep 1000", self.podman("top", "one")[1])
        self.assertEqual(self.podman("pause", "one")[0], 0)
        self.assertIn("aused", self.podman("ps", "--all")[1])
        self.assertEqual(self.podman("unpause", "one")[0], 0)
        self.assertEqual(self.podman("stats", "--no-stream", "one")[0], 0)
        self.assertEqual(self.podman("kill", "--signal", "TERM", "one")[0], 0)
        self.assertEqual(self.podman("stop", "--time", "1", "one")[0], 0)
        self.assertEqual(self.podman("logs", "one"), (0, "said\n"))
        self.assertEqual(self.podman("start", "one")[0], 0)
        self.assertEqual(self.podman("exec", "one", "cat", "/made"), (0, "data\n"))
        self.assertEqual(self.podman("rm", "--force", "--time", "0", "one")[0], 0)
        self.assertEqual(self.podman("ps", "--all", "--quiet"), (0, ""))

    def test_codes(self):
        self.assertEqual(self.run_box("box", "sh", "-c", "exit 3")[0], 3)
        self.assertEqual(self.run_box("box", "/nowhere")[0], 127)
        self.assertEqual(self.run_box("box", "/etc")[0], 126)

    def test_options(self):
        self.assertEqual(self.run_box("--memory", "64m", "--pids-limit", "20", "--cpus", "0.5",
                                      "box", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                                      "/sys/fs/cgroup/pids/pids.max",
                                      "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
                         (0, f"{64 << 20}\n20\n50000\n"))
        code, text = self.run_box("--read-only", "--user", "1000:1000", "--cap-drop", "all",
                                  "box", "sh", "-c", "id -u; grep CapEff /proc/self/status; "
                                  "echo >/x")
        self.assertEqual((code, text.splitlines()[:2]),
                         (1, ["1000", "CapEff:\t0000000000000000"]))
        self.assertIn("Read-only file system", text)
        code, text = self.run_box("--tty", "box", "sh", "-c", "tty; stty size")
        self.assertEqual((code, text.split()[0]), (0, "/dev/pts/0"))
        self.assertEqual(self.run_box("--device", "/dev/full:/dev/given", "--tmpfs", "/new",
                                      "--mount", "type=tmpfs,dst=/own,tmpfs-mode=700", "box",
                                      "stat", "-c", "%a", "/dev/given", "/new", "/own"),
                         (0, "666\n1777\n700\n"))
        shared = self.dir + "/shared"
        os.mkdir(shared)
        self.assertEqual(self.run_box("--volume", shared + ":/shared", "--hostname", "here",
                                      "--env", "A=b c", "--workdir", "/shared", "box", "sh", "-c",
                                      "hostname; echo $A >made; pwd"), (0, "here\n/shared\n"))
        with open(shared + "/made") as file:
            self.assertEqual(file.read(), "b c\n")

    @unittest.skipUnless(shutil.which("runc"), "needs runc")
    def test_sees_what_it_sees_with_runc(self):
        script = ("grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups)' /proc/self/status; env | sort;"
                  "cat /proc/self/oom_score_adj /proc/self/limits; ls /dev; ls /proc/self/fd;"
                  "awk '{print $5}' /proc/self/mountinfo | sort; mount -t tmpfs x /tmp; id; pwd")
        os.symlink("busybox", self.bundle + "/rootfs/bin/awk")
        self.import_image()
        seen = []
        for runtime in (shutil.which("runc"), self.runtime):
            code, text = self.podman("run", "--rm", "--hostname", "h", *LIMITS, self.parent,
                                     "box", "sh", "-c", script, runtime=runtime)
            self.assertEqual(code, 0, text)
            seen.append(re.sub("/sys/fs/cgroup/unified\n", "", text))
        self.assertIn("Seccomp:\t2", seen[0])
        self.assertEqual(seen[1], seen[0])


@unittest.skipUnless(shutil.which("podman"), "needs podman")
class PodmanOnSystemd(PodmanTest):
    """What podman does by itself where systemd runs."""
    manager, parent = "systemd", "ufs-podman.slice"

    def setUp(self):
        super().setUp()
        self.systemd = fake_systemd.Systemd(self, self.dir + "/bus")
        # Where everybody looks for it: conmon hands no environment on. /run is ours.
        os.makedirs("/run/dbus", exist_ok=True)
        os.symlink(self.systemd.directory + "/bus", "/run/dbus/system_bus_socket")
        self.addCleanup(os.remove, "/run/dbus/system_bus_socket")
        self.addCleanup(self.podman, "rm", "--all", "--force", "--time", "0")

    def test_life(self):
        code, text = self.podman("run", "-d", "--name", "one", "--memory", "64m", *LIMITS,
                                 self.parent, "box", "sleep", "1000")
        self.assertEqual(code, 0, text)
        scope = "libpod-" + text.split()[-1] + ".scope"
        [properties] = [properties for unit, _, properties, _ in
                        self.systemd.calls("StartTransientUnit") if unit == scope]
        self.assertEqual((properties["Slice"], properties["MemoryMax"]),
                         (self.parent, 64 << 20))
        # podman looks for the container where its process is.
        self.assertEqual(self.podman("stats", "--no-stream", "one")[0], 0)
        self.assertEqual(self.podman("exec", "one", "echo", "here"), (0, "here\n"))
        self.assertEqual(self.podman("stop", "--time", "0", "one")[0], 0)
        self.assertEqual(self.podman("rm", "one")[0], 0)
        self.assertIn([scope, "replace"], self.systemd.calls("StopUnit"))


if __name__ == "__main__":
    bundle.main()
