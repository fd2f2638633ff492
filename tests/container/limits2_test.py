"""Limits under pure cgroup v2; what a hybrid host has is in limits_test."""
import glob
import json
import os

import box
import bundle
import limits
from bundle import wait_until
from limits import limit

ROOT = "/sys/fs/cgroup"


class UnifiedTest(limits.Bombs, bundle.ContainerTest):
    patience = 60  # emulated, as a rule

    def setUp(self):
        super().setUp()
        if not os.path.exists(ROOT + "/cgroup.controllers"):
            self.skipTest("needs pure cgroup v2")
        with open("/proc/self/cgroup") as file:
            own = file.read().strip().removeprefix("0::").rstrip("/")
        self.cgroup = f"{ROOT}{own}/ufs-ufs-box"

    def unified(self):
        return self.cgroup, "memory"

    def test_limits_stand(self):
        self.resources(
            memory={"limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20},
            cpu={"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"},
            pids={"limit": 20}, unified={"memory.high": str(48 << 20)})
        pid = self.start_box()
        for file, value in (
                ("memory.max", str(64 << 20)), ("memory.swap.max", str(32 << 20)),
                ("memory.low", str(32 << 20)), ("memory.high", str(48 << 20)),
                ("cpu.max", "50000 100000"), ("cpuset.cpus", "0"), ("pids.max", "20")):
            self.assertEqual(limit(self.cgroup, file), value, file)
        self.assertLess(int(limit(self.cgroup, "cpu.weight")), 100)
        self.assertIn(str(pid), limit(self.cgroup, "cgroup.procs").split())
        self.ok("update", "--memory", str(32 << 20), "--memory-swap", str(32 << 20),
                "--pids-limit", "30", "ufs-box")
        self.assertEqual(limit(self.cgroup, "memory.max"), str(32 << 20))
        self.assertEqual(limit(self.cgroup, "memory.swap.max"), "0")
        self.assertEqual(limit(self.cgroup, "pids.max"), "30")
        # One of the two numbers in cpu.max leaves the other alone.
        self.ok("update", "--cpu-period", "80000", "ufs-box")
        self.assertEqual(limit(self.cgroup, "cpu.max"), "50000 80000")
        self.ok("update", "--cpu-quota", "20000", "ufs-box")
        self.assertEqual(limit(self.cgroup, "cpu.max"), "20000 80000")
        stats = json.loads(self.ok("events", "--stats", "ufs-box"))
        self.assertEqual(stats["data"]["pids"], {"current": 1, "limit": 30})
        self.assertEqual(stats["data"]["memory"]["usage"]["limit"], 32 << 20)

    def test_exec_in_a_cgroup_below(self):
        self.start_box()
        os.mkdir(self.cgroup + "/sub")
        for path in "sub", "/sub/":
            self.assertEqual(self.ok("exec", "--cgroup", path, "ufs-box", "cat",
                                     "/proc/self/cgroup"), "0::/sub\n")
        self.refused("unknown controller memory", "exec", "--cgroup", "memory:sub", "ufs-box", "true")
        self.refused("No such file", "exec", "--cgroup", "other", "ufs-box", "true")

    def test_controllers_that_no_limit_asked_for(self):
        self.start_box()
        self.assertEqual(limit(self.cgroup, "cgroup.controllers"),
                         limit(ROOT, "cgroup.controllers"))
        self.ok("update", "--memory", str(64 << 20), "ufs-box")
        self.assertEqual(limit(self.cgroup, "memory.max"), str(64 << 20))

    def test_pause_and_resume(self):
        self.start_box()
        self.ok("pause", "ufs-box")
        self.assertEqual(limit(self.cgroup, "cgroup.freeze"), "1")
        self.assertEqual(self.status()["status"], "paused")
        self.ok("resume", "ufs-box")
        self.assertEqual(self.status()["status"], "running")

    def test_room_for_one(self):
        # What joins a namespace before init is none of the container's.
        self.resources(pids={"limit": 1})
        self.configure(**{"linux.namespaces": lambda old: [
            {**ns, "path": "/proc/1/ns/net"} if ns["type"] == "network" else ns for ns in old]})
        self.start_box("exec sleep 1000")
        self.assertEqual(limit(self.cgroup, "pids.current"), "1")

    def test_fork_bomb_is_held(self):
        self.resources(pids={"limit": 10})
        self.start_box("while :; do sleep 1000 & done 2>/dev/null; sleep 1000")
        self.assertTrue(wait_until(lambda: limit(self.cgroup, "pids.events") != "max 0", 30))
        self.assertLessEqual(int(limit(self.cgroup, "pids.current")), 10)
        self.ok("delete", "--force", "ufs-box")

    def test_what_cannot_be_set(self):
        for resources, message in (
                ({"network": {"classID": 7}}, "network.classID cannot be set"),
                ({"cpu": {"cpus": "999"}}, "cpu.cpus cannot be set"),
                ({"unified": {"memory.nothing": "1"}}, "unified.memory.nothing cannot be set"),
                ({"unified": {"../memory.max": "1"}}, "unified")):
            self.resources(**resources)
            self.run_refused(message)

    def test_own_path_and_its_parents(self):
        self.configure(**{"linux.cgroupsPath": "/ufs-test-parent/ufs-inner"})
        self.start_box()
        self.assertTrue(os.path.isdir(ROOT + "/ufs-test-parent/ufs-inner"))
        self.ok("delete", "--force", "ufs-box")
        self.assertEqual(glob.glob(ROOT + "/ufs-test-parent"), [])


class RunTest(box.BoxTest):
    def setUp(self):
        super().setUp()
        if not os.path.exists(ROOT + "/cgroup.controllers"):
            self.skipTest("needs pure cgroup v2")

    def test_a_memory_limit_is_one_of_swap_too(self):
        """As much again; and no error where the kernel does not count it."""
        found = self.start("sleep 1000", "-m", "64m")
        with open(f"/proc/{found['pid']}/cgroup") as file:
            cgroup = ROOT + file.read().strip().removeprefix("0::")
        self.assertEqual(limit(cgroup, "memory.max"), str(64 << 20))
        if os.path.exists(cgroup + "/memory.swap.max"):
            self.assertEqual(limit(cgroup, "memory.swap.max"), str(64 << 20))
        self.refused("--memory-swappiness: cgroup v2 has none; use --memory-swap",
                     "--memory-swappiness", "10")


if __name__ == "__main__":
    bundle.main()
