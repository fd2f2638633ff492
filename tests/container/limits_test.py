"""Limits: what is asked for stands in the cgroups and holds; what cannot be set
is an error."""
import glob
import json
import os
import subprocess
import time

import bundle
import limits
from bundle import own_cgroup, wait_until
from limits import limit


class LimitTest(limits.Bombs, bundle.ContainerTest):
    def setUp(self):
        super().setUp()
        if not own_cgroup("memory") or not os.path.isdir("/sys/fs/cgroup/pids"):
            self.skipTest("needs cgroup v1 or hybrid")

    def cgroup(self, controller, name="ufs-box"):
        return f"{own_cgroup(controller)}/ufs-{name}"

    def unified(self):
        with open("/proc/self/cgroup") as file:
            own = [line[3:].strip() for line in file if line.startswith("0::")]
        return f"/sys/fs/cgroup/unified{''.join(own)}".rstrip("/") + "/ufs-ufs-box", "hugetlb"

    def test_limits_stand(self):
        self.resources(
            memory={"limit": 64 << 20, "swap": 64 << 20, "reservation": 32 << 20},
            cpu={"shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"},
            pids={"limit": 20},
            blockIO={"throttleReadBpsDevice": [{"major": 7, "minor": 0, "rate": 1048576}]})
        pid = self.start_box()
        for controller, file, value in (
                ("memory", "memory.limit_in_bytes", str(64 << 20)),
                ("memory", "memory.memsw.limit_in_bytes", str(64 << 20)),
                ("memory", "memory.soft_limit_in_bytes", str(32 << 20)),
                ("cpu", "cpu.shares", "512"), ("cpu", "cpu.cfs_quota_us", "50000"),
                ("cpuset", "cpuset.cpus", "0"), ("pids", "pids.max", "20")):
            self.assertEqual(limit(self.cgroup(controller), file), value, file)
            self.assertIn(str(pid), limit(self.cgroup(controller), "cgroup.procs").split())
        self.ok("update", "--memory", str(32 << 20), "--memory-swap", str(32 << 20),
                "--pids-limit", "30", "ufs-box")
        self.assertEqual(limit(self.cgroup("memory"), "memory.limit_in_bytes"), str(32 << 20))
        self.assertEqual(limit(self.cgroup("pids"), "pids.max"), "30")
        # Up again: the sum with swap has to be written first.
        done = subprocess.run(self.command("update", "--resources", "-", "ufs-box"), timeout=30,
                              input=json.dumps({"memory": {"limit": 96 << 20,
                                                           "swap": 96 << 20}}).encode())
        self.assertEqual(done.returncode, 0)
        self.assertEqual(limit(self.cgroup("memory"), "memory.limit_in_bytes"), str(96 << 20))
        stats = json.loads(self.ok("events", "--stats", "ufs-box"))
        self.assertEqual(stats["type"], "stats")
        self.assertEqual(stats["data"]["pids"], {"current": 1, "limit": 30})
        self.assertEqual(stats["data"]["memory"]["usage"]["limit"], 96 << 20)

    def test_exec_in_a_cgroup_below(self):
        """As runc's `exec --cgroup`, and in its words."""
        self.start_box()
        where = {}
        with open("/proc/self/cgroup") as file:
            for _, name, own in (line.rstrip("\n").split(":", 2) for line in file):
                path = "/sys/fs/cgroup/" + (name.removeprefix("name=") or "unified")
                if os.path.isdir(path):
                    where[name] = f"{path}{own}".rstrip("/") + "/ufs-ufs-box/sub"

        def inside(*words):
            lines = self.ok("exec", *words, "ufs-box", "cat", "/proc/self/cgroup").splitlines()
            return {line.split(":", 2)[1]: line.split(":", 2)[2] for line in lines}

        def refused(message, *paths):
            words = [word for path in paths for word in ("--cgroup", path)]
            self.refused(message, "exec", *words, "ufs-box", "touch", "/ran")

        refused("sub/(tasks|cgroup.procs): No such file", "sub")
        os.mkdir(where["memory"])
        refused("sub/(tasks|cgroup.procs): No such file", "sub")  # not in all of them
        only = inside("--cgroup", "memory:sub")
        self.assertEqual(only.pop("memory"), "/sub")
        self.assertEqual(set(only.values()), {"/"})
        for name, path in where.items():
            os.makedirs(path, exist_ok=True)
            if name == "cpuset":
                for file in "cpuset.cpus", "cpuset.mems":
                    limits.write(f"{path}/{file}", limit(os.path.dirname(path), file))
        self.assertEqual({name: path for name, path in inside("--cgroup", "sub").items()
                          if name in where}, dict.fromkeys(where, "/sub"))
        several = inside("--cgroup", "cpu,memory:sub", "--cgroup", "pids:/sub/.")
        self.assertEqual({name for name, path in several.items() if path == "/sub"},
                         {"cpu", "memory", "pids"})
        self.assertEqual(set(inside("--cgroup", "/").values()), {"/"})
        for path in "../x", "sub/../../ufs-ufs-boxes", "memory:..":
            refused("is not a sub cgroup path", path)
        refused("unknown controller nope", "nope:sub")
        refused("invalid --cgroup argument: a:b:c", "a:b:c")
        refused("invalid --cgroup argument: a .missing <controller>: prefix", "a", "b")
        refused("controller memory specified multiple times", "memory:sub", "memory:sub")
        for word in ":sub", "memory,:sub", ",memory:sub", "memory,,pids:sub":
            refused(f"invalid --cgroup argument: {word} .empty <controller> prefix", word)
        shared = [name.split(",") for name in where if "," in name]
        for one, other, *_ in shared:
            several = inside("--cgroup", one + ":sub", "--cgroup", other + ":/sub/.")
            self.assertEqual({path for name, path in several.items() if one in name}, {"/sub"})
            refused("shares a hierarchy with one that is to be elsewhere", one + ":sub", other + ":/")
        self.assertFalse(os.path.exists(self.bundle + "/rootfs/ran"))

    def test_real_time_scheduling_of_the_caller(self):
        """A new cgroup has no time for it: runc and crun say invalid argument."""
        own = own_cgroup("cpu") + "/cpu.rt_runtime_us"
        if not os.path.exists(own) or int(limit(os.path.dirname(own), "cpu.rt_runtime_us")) < 5000:
            self.skipTest("needs real-time scheduling by groups")

        def at(*scheduling):
            return subprocess.run(["chrt", *scheduling, *self.command("run", "-b", self.bundle,
                                                                      "ufs-box2")],
                                  capture_output=True, text=True, stdin=subprocess.DEVNULL,
                                  timeout=30)
        self.script("echo ran")
        for policy in "--fifo", "--rr":
            done = at(policy, "10")
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertRegex(done.stderr, "joining the container's cgroup: .*/ufs-ufs-box2 has no time "
                             "for real-time scheduling.*; start with another .chrt --other 0.")
        self.assertEqual(at("--other", "0").stdout, "ran\n")
        self.start_box()
        done = subprocess.run(["chrt", "--fifo", "10", *self.command("exec", "ufs-box", "true")],
                              capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 255)
        self.assertIn("has no time for real-time scheduling", done.stderr)
        self.resources(cpu={"realtimeRuntime": 1000, "realtimePeriod": 1000000})
        self.script("echo ran")
        self.assertEqual(at("--fifo", "10").stdout, "ran\n")

    def test_update_in_the_words_of_a_command_line(self):
        self.resources(cpu={"quota": 500000, "period": 1000000})
        self.start_box()
        self.ok("update", "--memory", "50M", "--memory-swap", "-1", "ufs-box")
        self.assertEqual(limit(self.cgroup("memory"), "memory.limit_in_bytes"), str(50 << 20))
        self.refused("--memory: '50X' is no size", "update", "--memory", "50X", "ufs-box")
        self.ok("update", "--memory-swap", "90M", "ufs-box")
        self.ok("update", "--memory", "-1", "ufs-box")
        for file in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"):
            self.assertGreater(int(limit(self.cgroup("memory"), file)), 1 << 62)
        # Under a limit above the quota must go first, as a part of the new period it is too much.
        above = self.cgroup("cpu", "above")
        os.mkdir(above)
        self.addCleanup(os.rmdir, above)
        limits.write(above + "/cpu.cfs_quota_us", "50000")
        self.configure(**{"linux.cgroupsPath": above[len("/sys/fs/cgroup/cpu"):] + "/box"})
        self.addCleanup(self.oci, "delete", "--force", "ufs-box2")
        self.detached("run", "--detach", "-b", self.bundle, "ufs-box2")
        self.ok("update", "--cpu-period", "10000", "--cpu-quota", "3000", "ufs-box2")
        self.assertEqual([limit(above + "/box", f"cpu.cfs_{name}_us")
                          for name in ("period", "quota")], ["10000", "3000"])

    def test_events_at_intervals(self):
        self.start_box()
        events = subprocess.Popen(self.command("events", "--interval", "150ms", "ufs-box"),
                                  stdout=subprocess.PIPE, text=True)
        self.addCleanup(events.stdout.close)
        begin = time.monotonic()
        for _ in range(4):
            self.assertEqual(json.loads(events.stdout.readline())["type"], "stats")
        self.assertLess(time.monotonic() - begin, 4)
        self.assertGreater(time.monotonic() - begin, 0.4)
        self.ok("kill", "ufs-box", "KILL")
        self.assertEqual(events.wait(timeout=20), 0)
        for wrong in ("0", "0s", "-1s", "soon", "1us"):
            self.refused("--interval", "events", "--interval", wrong, "ufs-box")
        self.ok("events", "--interval", "1", "ufs-box")  # seconds, and it has ended

    def test_weight_for_the_disk(self):
        if not own_cgroup("blkio"):
            self.skipTest("needs blkio of cgroup v1")
        self.resources(blockIO={"weight": 300})
        self.start_box()
        files = [file for file in ("blkio.weight", "blkio.bfq.weight")
                 if os.path.exists(f"{self.cgroup('blkio')}/{file}")]
        if not files:
            self.skipTest("needs a scheduler with weights")
        self.assertEqual(limit(self.cgroup("blkio"), files[0]), "300")

    def test_fork_bomb_is_held(self):
        self.resources(pids={"limit": 10})
        self.start_box("while :; do sleep 1000 & done 2>/dev/null; sleep 1000")
        current = self.cgroup("pids") + "/pids.current"
        self.assertTrue(wait_until(lambda: limit(os.path.dirname(current), "pids.events")
                                   != "max 0"))
        self.assertLessEqual(int(limit(os.path.dirname(current), "pids.current")), 10)
        begin = time.monotonic()
        self.ok("delete", "--force", "ufs-box")
        self.assertLess(time.monotonic() - begin, 10)

    def test_too_little_memory_to_start(self):
        self.resources(memory={"limit": 65536})
        done = self.run_refused("memory")
        self.assertIn("too low to start", done.stderr)

    def test_zero_is_no_limit(self):
        self.resources(memory={"limit": 0, "swap": 0, "reservation": 0, "kernelTCP": 0})
        self.start_box()
        self.assertGreater(int(limit(self.cgroup("memory"), "memory.limit_in_bytes")), 1 << 60)

    def test_what_cannot_be_set(self):
        for resources, message in (
                ({"network": {"classID": 7}}, "network.classID cannot be set: no cgroup"),
                ({"unified": {"memory.high": "max"}}, "unified.memory.high cannot be set"),
                ({"cpu": {"cpus": "999"}}, "cpu.cpus cannot be set.*cpuset.cpus"),
                ({"memory": {"limit": "1"}}, "memory.limit must be a whole number"),
                ({"hugepageLimits": [{"pageSize": "3XB", "limit": 0}]}, "hugepageLimits cannot")):
            self.resources(**resources)
            self.run_refused(message)

    def test_own_path_and_its_parents(self):
        self.configure(**{"linux.cgroupsPath": "/ufs-test-parent/ufs-inner"})
        self.start_box()
        self.assertTrue(os.path.isdir("/sys/fs/cgroup/pids/ufs-test-parent/ufs-inner"))
        # A second one in the same place would be emptied with the first.
        second = self.make_bundle("second")
        self.configure(bundle=second, **{"linux.cgroupsPath": "/ufs-test-parent/ufs-inner"})
        self.refused("cgroup is not empty", "run", "-b", second, "ufs-box2")
        self.ok("delete", "--force", "ufs-box")
        self.assertEqual(glob.glob("/sys/fs/cgroup/*/ufs-test-parent"), [])

    def test_paths_that_lead_elsewhere(self):
        for path, message in (("/a/../../b", "must not contain"), ("/", "must not be the root"),
                              ("system.slice:ufs:box", "give --systemd-cgroup")):
            self.configure(**{"linux.cgroupsPath": path})
            self.run_refused(message)

    def test_without_cgroups(self):
        self.script("cat /proc/self/cgroup")
        inside = self.oci("--cgroup-manager", "disabled", "run", "-b", self.bundle, "ufs-box")
        self.assertEqual(inside.returncode, 0, inside.stderr)

    def test_cgroups_of_the_container_itself(self):
        """A directory it has made below its own is removed with it."""
        self.start_box()
        os.mkdir(self.cgroup("pids") + "/ufs-below")
        self.ok("delete", "--force", "ufs-box")


@bundle.unittest.skipUnless(own_cgroup("freezer"), "needs a v1 freezer")
class FreezerTest(bundle.ContainerTest):
    """Beside v2's, which is ours to use, a hybrid host has that of v1; whoever freezes a
    container there must not make it one that cannot be ended."""

    def freezer(self, name="ufs-ufs-box"):
        return f"{own_cgroup('freezer')}/{name}"

    def freeze(self, path):
        limits.write(path + "/freezer.state", "FROZEN")
        self.addCleanup(self.thaw, path)

    def thaw(self, path):
        if os.path.isdir(path):
            limits.write(path + "/freezer.state", "THAWED")

    def assert_ends(self, pid):
        self.assertTrue(wait_until(lambda: self.status()["status"] == "stopped", 5))
        self.assertFalse(os.path.exists(f"/proc/{pid}/cgroup") and "Z" not in limit(
            f"/proc/{pid}", "stat"))

    def test_state_and_resume(self):
        self.start_box()
        self.freeze(self.freezer())
        self.assertEqual(self.status()["status"], "paused")
        self.ok("resume", "ufs-box")
        self.assertEqual(self.status()["status"], "running")
        self.assertEqual(limit(self.freezer(), "freezer.state"), "THAWED")

    def test_kill(self):
        pid = self.start_box()
        self.freeze(self.freezer())
        self.ok("kill", "ufs-box", "KILL")
        self.assert_ends(pid)

    def test_one_that_is_there_already(self):
        """Who joins it never says a word: the creation would wait for ever."""
        place = self.freezer("ufs-frozen")
        os.mkdir(place)
        self.addCleanup(os.rmdir, place)
        self.freeze(place)
        for path in (place, place + "/below"):
            self.configure(**{"linux.cgroupsPath": path[len("/sys/fs/cgroup/freezer"):]})
            self.run_refused("unexpectedly frozen")
            self.assertEqual([entry.name for entry in os.scandir(place) if entry.is_dir()], [])

    def test_kill_of_what_is_frozen_below(self):
        """As by a container that has cgroups of its own."""
        pid = self.start_box()
        below = self.freezer() + "/ufs-below"
        os.mkdir(below)
        limits.write(below + "/cgroup.procs", str(pid))
        self.freeze(below)
        self.ok("kill", "ufs-box", "KILL")
        self.assert_ends(pid)

    def test_delete_while_frozen_in_both(self):
        self.start_box()
        self.ok("pause", "ufs-box")
        self.freeze(self.freezer())
        self.ok("delete", "--force", "ufs-box")

    def test_frozen_from_above(self):
        self.configure(**{"linux.cgroupsPath": "/ufs-test-parent/ufs-inner"})
        pid = self.start_box()
        above = "/sys/fs/cgroup/freezer/ufs-test-parent"
        self.freeze(above)
        for words in ("kill", "ufs-box", "KILL"), ("resume", "ufs-box"):
            self.refused(f"write THAWED to {above}/freezer.state", *words)
        self.thaw(above)
        self.assert_ends(pid)


if __name__ == "__main__":
    bundle.main()
