"""ufs run and its relatives as an ordinary user: with a range of ids, and with
one."""
import os
import signal

import bundle
import box
import harness
from bundle import wait_until


class RootlessRunTest(box.UnionVerbs, box.UserBoxTest):
    def test_a_range_of_ids(self):
        text = self.out("id -u; touch /tmp/x; chown 5:6 /tmp/x; stat -c %u:%g /tmp/x;"
                        "cat /both; wc -l </proc/self/uid_map; mount | grep ' / '")
        self.assertRegex(text, r"^0\n5:6\napp2\n.*fuse.ufs")

    def test_one_id(self):
        self.one_id()
        done = self.box("id -u; cat /both; echo new >/tmp/x; cat /tmp/x; : >/dev/null")
        self.assertIn("only one id is mapped: no range", done.stderr)
        self.assertEqual((done.returncode, done.stdout), (0, "0\nappnew\n"), done.stderr)

    def test_life(self):
        found = self.start("echo out; touch /tmp/x; chown 5 /tmp/x; exec sleep 1000", "--keep")
        self.assertEqual(found["status"], "running")
        self.assertEqual(self.ok("exec", "box", "cat", "/etc/motd"), "from app")
        self.assertEqual(self.ok("exec", "-u", "www", "box", "id", "-u"), "33\n")
        self.assertIn("sleep 1000", self.ok("top", "box"))
        self.assertTrue(wait_until(lambda: self.ok("logs", "box") == "out\n"))
        self.ok("stop", "-t", "0", "box")
        self.assertEqual(self.ok("wait", "box"), "137\n")
        self.ok("rm", "box")  # with the file of another id in it

    def test_kept_upper_of_other_ids(self):
        self.out("mkdir -p /d/e; chown -R 5:6 /d", "--keep", "--name", "kept")
        self.assertEqual(self.records(), ["kept"])
        self.ok("rm", "kept")

    def test_limits_are_refused_with_the_reason(self):
        self.refused("--memory cannot be set.*", "-m", "64m")

    def test_networks(self):
        self.assertIn("UP", self.out("ip link show lo"))
        own = os.readlink("/proc/self/ns/net") + "\n"
        self.assertEqual(self.out("readlink /proc/self/ns/net", "--network", "host"), own)

    def test_devices(self):
        """Under their own names and others; a link leads to what it names."""
        os.symlink("zero", "/dev/ufs-link")
        self.addCleanup(os.unlink, "/dev/ufs-link")
        for device in ("/dev/zero:/dev/other", "/dev/zero:/made/here:r", "/dev/ufs-link:/dev/other",
                       "/dev/ufs-link"):
            place = device.split(":")[1] if ":" in device else device
            self.assertRegex(self.out(f"ls -l {place}; head -c 5 {place} | wc -c", "--device", device),
                             r"^c.* 1, +5 [^\n]*\n5\n$", device)

    def test_killed_supervisor(self):
        found = self.start()
        os.kill(found["supervisor"], signal.SIGKILL)
        self.assertTrue(wait_until(lambda: "exited (137)" in self.ok("ps", "--all")))
        self.assertTrue(wait_until(lambda: not os.path.exists(f"/proc/{found['pid']}")))
        self.ok("rm", "box")

    def test_the_host_sees_no_mount(self):
        self.start()
        self.assertEqual([m for m, (kind, _, _) in harness.mounts().items()
                          if kind == "fuse.ufs" and m not in self.before[1]], [])


if __name__ == "__main__":
    bundle.main()
