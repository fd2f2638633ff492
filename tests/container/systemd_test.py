"""Containers in scopes of systemd's, whose place a stand-in takes: the messages,
what is waited for, what fails, and what is left."""
import glob
import json
import os
import signal
import subprocess
import time

import box
import bundle
import harness
from bundle import own_cgroup, run
from fake_systemd import Systemd
from limits import limit

UNIT = "libpod-ufs-box.scope"
SLICE = "/ufs.slice/ufs-test.slice"
UNIFIED = "/sys/fs/cgroup" + ("/unified" if own_cgroup("memory") else "")
V1 = bool(own_cgroup("memory"))


class ScopeTest(bundle.ContainerTest):
    def setUp(self):
        super().setUp()
        self.systemd = Systemd(self, self.dir + "/bus")
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = self.systemd.address
        self.addCleanup(os.environ.pop, "DBUS_SYSTEM_BUS_ADDRESS")
        self.configure(**{"linux.cgroupsPath": "ufs-test.slice:libpod:ufs-box"})

    def command(self, *words):
        return super().command("--systemd-cgroup", *words)

    def files(self, controller):
        """The container's directory."""
        return (f"/sys/fs/cgroup/{controller}" if V1 else UNIFIED) + f"{SLICE}/{UNIT}/container"

    def test_life(self):
        self.configure(**{"linux.resources": {
            "memory": {"limit": 64 << 20}, "pids": {"limit": 20},
            "cpu": {"quota": 50000, "period": 100000, "shares": 1024}}})
        pid = self.start_box()
        [(unit, mode, properties, aux)] = self.systemd.calls("StartTransientUnit")
        self.assertEqual((unit, mode, aux), (UNIT, "fail", []))
        self.assertIn("container ufs-box, ", properties.pop("Description"))
        self.assertEqual(properties, {
            "Slice": "ufs-test.slice", "Delegate": True, "DefaultDependencies": False,
            "CollectMode": "inactive-or-failed", "PIDs": [pid], "MemoryMax": 64 << 20,
            "TasksMax": 20, "CPUWeight": 39, "CPUQuotaPerSecUSec": 500000})
        # It is there in every hierarchy, with its limits; the scope is empty.
        with open(f"/proc/{pid}/cgroup") as file:
            for line in file:
                self.assertTrue(line.endswith(f"{SLICE}/{UNIT}/container\n"), line)
        self.assertEqual(limit(self.files("memory"),
                               "memory.limit_in_bytes" if V1 else "memory.max"), str(64 << 20))
        self.assertEqual(limit(self.files("pids"), "pids.max"), "20")
        self.assertEqual(limit(f"{UNIFIED}{SLICE}/{UNIT}", "cgroup.procs"), "")
        # Others come to it without systemd.
        self.assertIn("/container\n", self.ok("exec", "ufs-box", "cat", "/proc/self/cgroup") +
                      self.ok("exec", "ufs-box", "echo", "/container"))
        self.assertEqual(self.systemd.calls("AttachProcessesToUnit"), [])
        self.ok("pause", "ufs-box")
        self.assertEqual(self.status()["status"], "paused")
        self.ok("resume", "ufs-box")
        self.assertEqual(json.loads(self.ok("ps", "--format", "json", "ufs-box")), [pid])
        self.ok("delete", "--force", "ufs-box")
        self.assertEqual(self.systemd.calls("StopUnit"), [[UNIT, "replace"]])
        self.assertEqual(self.systemd.scopes(), [])

    def test_update_tells_the_scope_too(self):
        self.configure(**{"linux.resources": {
            "cpu": {"quota": 50000, "period": 100000}, "pids": {"limit": 20}}})
        self.start_box()
        self.ok("update", "--pids-limit", "30", "--cpu-quota", "20000", "ufs-box")
        self.assertEqual(self.systemd.calls("SetUnitProperties"), [
            [UNIT, True, {"TasksMax": 30, "CPUQuotaPerSecUSec": 200000}]])
        self.assertEqual(limit(self.files("pids"), "pids.max"), "30")
        # A period alone keeps the quota.
        self.ok("update", "--cpu-period", "40000", "ufs-box")
        self.assertEqual(self.systemd.calls("SetUnitProperties")[1],
                         [UNIT, True, {"CPUQuotaPerSecUSec": 500000}])

    def test_properties_of_the_caller(self):
        def annotate(**values):
            self.configure(annotations={"org.systemd.property." + name: value
                                        for name, value in values.items()})
        annotate(TimeoutStopUSec="uint64 1234567", RuntimeMaxSec="90", CollectMode="'inactive'",
                 IOAccounting="true", After="['a.service', 'b.service']", CPUWeight="uint64 7",
                 DeviceAllow="[('/dev/null', 'rw')]", AllowedCPUs="[byte 1]", SendSIGHUP="true",
                 DefaultDependencies="true")
        self.configure(**{"linux.resources": {"cpu": {"shares": 1024}}})
        self.start_box()
        [(_, _, properties, _)] = self.systemd.calls("StartTransientUnit")
        for name, value in (("TimeoutStopUSec", 1234567), ("RuntimeMaxUSec", 90000000),
                            ("CollectMode", "inactive"), ("IOAccounting", True), ("CPUWeight", 7),
                            ("After", ["a.service", "b.service"]),
                            ("DeviceAllow", [["/dev/null", "rw"]]),
                            ("AllowedCPUs", [1]), ("SendSIGHUP", True),
                            ("DefaultDependencies", True)):
            self.assertEqual(properties[name], value, name)
        self.ok("delete", "--force", "ufs-box")
        for name, value, message in (("KillMode", "none", "a string is in quotes"),
                                     ("Kill_Mode", "'none'", "is no name of a property"),
                                     ("TimeoutStopSec", "'soon'", "is no number of seconds"),
                                     ("PIDs", "[uint32 4294967295]", "may reach beyond the scope"),
                                     ("Conflicts", "['a.service']", "may reach beyond the scope"),
                                     ("FailureAction", "'reboot'", "may reach beyond the scope"),
                                     ("Description", "'mine'", "names the container")):
            annotate(**{name: value})
            self.run_refused(f"annotation org.systemd.property.{name}: .*{message}")

    def test_own_view(self):
        self.add_mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro")
        text = self.run_box("cat /proc/self/cgroup; ls -d /sys/fs/cgroup/*/cgroup.procs "
                            "/sys/fs/cgroup/cgroup.procs 2>/dev/null; :")
        self.assertIn("0::/\n", text)
        self.assertIn("/cgroup.procs\n", text)

    def test_waits_for_the_job(self):
        self.systemd.mode("late")
        begin = time.monotonic()
        self.start_box()
        self.assertGreater(time.monotonic() - begin, 0.5)

    def test_strangers_on_the_bus(self):
        """Who can send to us neither ends a job nor keeps us from asking."""
        self.systemd.mode("stranger")
        self.start_box()
        second = self.make_bundle("second")
        self.configure(bundle=second, **{"linux.cgroupsPath": "ufs-test.slice:libpod:ufs-box"})
        self.refused("another scope libpod-ufs-box.scope exists", "run", "-b", second, "ufs-box2")
        self.assertEqual(self.systemd.calls("StopUnit"), [])
        self.ok("delete", "--force", "ufs-box")
        self.assertEqual(self.systemd.calls("StopUnit"), [[UNIT, "replace"]])

    def test_a_manager_that_does_not_tell_whose_a_scope_is(self):
        """It may be another's: what is in it is not killed."""
        self.start_box()
        self.systemd.mode("mute")
        doubt = "may be another's by now; try again: .*GetUnit: not told"
        self.refused(doubt, "kill", "--all", "ufs-box", "KILL")
        self.assertEqual(self.status()["status"], "running")
        # The container's own process is its own in any case.
        self.refused(doubt, "delete", "--force", "ufs-box")
        self.assertEqual(self.status()["status"], "stopped")
        self.assertEqual(self.systemd.calls("StopUnit"), [])
        self.systemd.mode("")
        self.ok("delete", "ufs-box")
        self.assertEqual(os.listdir(self.state), [])

    def test_failures_leave_nothing(self):
        for mode, message in (("refuse", "StartTransientUnit: not today"),
                              ("fail", 'StartTransientUnit has ended as "failed"'),
                              ("elsewhere", "has not put the container's process into")):
            self.systemd.mode(mode)
            self.run_refused(message)
            self.assertEqual(os.listdir(self.state), [])
            self.assertEqual(self.systemd.scopes(), [])

    def test_a_manager_that_does_not_answer(self):
        self.systemd.mode("hang")
        done = self.oci("run", "--bundle", self.bundle, "ufs-box", timeout=120)
        self.assertEqual(done.returncode, 1)
        self.assertIn("StartTransientUnit is not done in time", done.stderr)
        self.assertIn("StopUnit is not done in time", done.stderr)
        self.assertEqual(os.listdir(self.state), [])

    def test_a_failed_unit_of_the_name(self):
        def fail():
            done = run("dbus-send", "--bus=" + self.systemd.address, "--print-reply",
                       "--dest=org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                       "org.freedesktop.systemd1.Manager.Fail", "string:" + UNIT)
            self.assertEqual(done.returncode, 0, done.stderr)
        fail()
        self.start_box()
        self.assertEqual(self.systemd.calls("ResetFailedUnit"), [[UNIT]])
        # One that runs is another matter.
        second = self.make_bundle("second")
        self.configure(bundle=second, **{"linux.cgroupsPath": "ufs-test.slice:libpod:ufs-box"})
        self.refused("another scope libpod-ufs-box.scope exists", "run", "-b", second, "ufs-box2")
        self.assertEqual(self.status()["status"], "running")

    def test_creation_that_is_killed(self):
        """The next of that id clears away what it left."""
        self.systemd.mode("hang")
        create = subprocess.Popen(self.command("create", "-b", self.bundle, "ufs-box"))
        self.assertTrue(bundle.wait_until(self.systemd.scopes))
        create.send_signal(signal.SIGKILL)
        create.wait()
        self.systemd.mode("")
        self.assertEqual(self.run_box("echo again"), "again\n")
        self.assertEqual(len(self.systemd.calls("StartTransientUnit")), 2)

    def test_creation_that_is_killed_before_its_scope(self):
        """What it leaves is cleared away, not the scope of that name of another."""
        self.start_box()
        second = self.make_bundle("second")
        self.configure(bundle=second, **{"linux.cgroupsPath": "ufs-test.slice:libpod:ufs-box"})
        self.systemd.manager.send_signal(signal.SIGSTOP)
        self.addCleanup(self.systemd.manager.send_signal, signal.SIGCONT)
        create = subprocess.Popen(self.command("create", "-b", second, "ufs-box2"))
        self.assertTrue(bundle.wait_until(
            lambda: os.path.exists(self.state + "/ufs-box2/state.json")))
        create.send_signal(signal.SIGKILL)
        create.wait()
        self.systemd.manager.send_signal(signal.SIGCONT)
        self.refused("another scope libpod-ufs-box.scope exists", "run", "-b", second, "ufs-box2")
        self.assertEqual(self.status()["status"], "running")
        self.assertEqual(self.systemd.calls("StopUnit"), [])

    def test_a_scope_that_another_has_by_now(self):
        """One that has ended gave its name away."""
        # Where systemd rules v1, empty directories stay in hierarchies that are not its.
        self.addCleanup(lambda: [os.rmdir(path) for top in glob.glob("/sys/fs/cgroup/*/ufs.slice")
                                 for path, _, _ in os.walk(top, topdown=False)])
        pid = self.start_box()
        os.kill(pid, signal.SIGKILL)
        self.assertTrue(bundle.wait_until(lambda: not os.path.exists(UNIFIED + SLICE + "/" + UNIT)))
        second = self.make_bundle("second")
        self.configure(bundle=second, **{"linux.cgroupsPath": "ufs-test.slice:libpod:ufs-box",
                                         "process.args": ["/bin/sleep", "1000"]})
        self.addCleanup(self.oci, "delete", "--force", "ufs-box2")
        self.detached("create", "--bundle", second, "ufs-box2")
        self.ok("start", "ufs-box2")
        self.ok("delete", "ufs-box")
        self.assertEqual(self.status("ufs-box2")["status"], "running")
        self.assertEqual(self.systemd.calls("StopUnit"), [])

    def test_what_is_no_scope(self):
        for path, message in (("/plain", "is not SLICE:PREFIX:NAME"),
                              ("nothing:libpod:ufs-box", "is no slice"),
                              ("a.slice:x:b.slice", "a slice in place of a scope")):
            self.configure(**{"linux.cgroupsPath": path})
            self.run_refused(message)
        self.assertEqual(self.systemd.calls(), [])

    def test_no_bus(self):
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = "unix:path=/nowhere"
        self.run_refused("the system's D-Bus cannot be reached.*leave --systemd-cgroup out")
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = self.systemd.address
        # An empty scope is no reason to keep a container for.
        self.start_box()
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = "unix:path=/nowhere"
        self.ok("delete", "--force", "ufs-box")
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = self.systemd.address
        run("dbus-send", "--bus=" + self.systemd.address, "--print-reply",
            "--dest=org.freedesktop.systemd1", "/org/freedesktop/systemd1",
            "org.freedesktop.systemd1.Manager.StopUnit", "string:" + UNIT, "string:replace")

    def test_without_the_flag_nobody_is_asked(self):
        self.configure(**{"linux.cgroupsPath": ""})
        self.command = super().command
        self.assertEqual(self.run_box("echo ran"), "ran\n")
        self.assertEqual(self.systemd.calls(), [])


class UserScopeTest(box.UserBoxTest):
    """`ufs run` of a user whose manager runs."""

    def setUp(self):
        super().setUp()
        run_directory = self.user.home + "/run"
        os.chmod(run_directory, 0o711)
        owner = os.stat(self.user.home).st_uid
        self.systemd = Systemd(self, run_directory, owner)
        os.chmod(run_directory + "/bus", 0o666)

    def test_its_container_is_in_a_scope(self):
        found = self.start("exec sleep 1000", "--pids-limit" if not V1 else "--hostname",
                           "30" if not V1 else "box")
        [(unit, _, properties, _)] = self.systemd.calls("StartTransientUnit")
        self.assertEqual((unit, properties["Slice"], properties["PIDs"]),
                         ("ufs-box.scope", "user.slice", [found["pid"]]))
        with open(f"/proc/{found['pid']}/cgroup") as file:
            self.assertIn("0::/user.slice/ufs-box.scope/container\n", file.read())
        self.ok("pause", "box")
        self.ok("unpause", "box")
        # Out of a session that is not the user's to leave.
        self.assertIn("0::/", self.ok("exec", "box", "cat", "/proc/self/cgroup"))
        [(unit, below, _)] = self.systemd.calls("AttachProcessesToUnit")
        self.assertEqual((unit, below), ("ufs-box.scope", "/container"))
        self.ok("rm", "--force", "box")
        self.assertEqual(self.systemd.calls("StopUnit"), [["ufs-box.scope", "replace"]])

    def test_a_manager_that_refuses_does_not_keep_it_from_running(self):
        self.systemd.mode("refuse")
        self.assertEqual(self.out("echo ran"), "ran\n")
        self.refused("--memory cannot be set: .*StartTransientUnit: not today", "-m", "64m")

    def test_properties_are_to_be_had_of_the_manager_alone(self):
        self.systemd.mode("refuse")
        self.refused("StartTransientUnit: not today",
                     "--annotation", "org.systemd.property.CPUWeight=uint64 7")

    def test_no_manager(self):
        os.remove(self.user.home + "/run/systemd/private")
        self.assertEqual(self.out("echo ran"), "ran\n")
        self.assertEqual(self.systemd.calls(), [])


if __name__ == "__main__":
    bundle.main()
