"""--restart: a container that ends is started again over the same upper, until
somebody stops it."""
import os
import signal
import subprocess

import bundle
import box
from bundle import wait_until

COUNT = "echo run >>/runs; wc -l </runs; "


class RestartCases:
    def runs(self):
        return self.ok("logs", "box").split()

    def test_on_failure(self):
        self.start(COUNT + "exit 3", "--restart", "on-failure:2")
        self.assertEqual(self.ok("wait", "box"), "3\n")
        self.assertEqual(self.runs(), ["1", "2", "3"])
        found = self.inspect()
        self.assertEqual((found["restart"], found["restarts"], found["status"]),
                         ("on-failure:2", 2, "exited"))
        self.assertIn("exited (3)", self.ok("ps", "--all"))

    def test_no_failure(self):
        self.start(COUNT + "[ $(wc -l </runs) = 2 ]", "--restart", "on-failure")
        self.assertEqual(self.ok("wait", "box"), "0\n")
        self.assertEqual(self.runs(), ["1", "2"])

    def test_stopped_between_two_runs(self):
        self.start(COUNT, "--restart", "always")
        self.assertTrue(wait_until(lambda: len(self.runs()) > 2))
        self.assertTrue(wait_until(lambda: self.inspect()["status"] == "restarting"))
        self.assertEqual(self.ok("ps", "-q"), "box\n")
        self.ok("stop", "box")
        found = self.inspect()
        self.assertEqual((found["status"], found["restarting"], found["exit_code"]),
                         ("exited", False, 0))
        self.assertGreaterEqual(found["restarts"], 2)

    def test_stopped_while_it_runs(self):
        self.start("trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done",
                   "--restart", "unless-stopped")
        self.assertTrue(wait_until(lambda: self.runs() == ["ready"]))
        self.ok("stop", "box")
        self.assertEqual((self.ok("wait", "box"), self.inspect()["restarts"]), ("5\n", 0))

    def test_signals(self):
        """One that asks for the end is the end; another is what it makes of it."""
        self.start("trap 'exit 6' USR1; echo ready; while :; do sleep 0.05; done",
                   "--restart", "always")
        self.assertTrue(wait_until(lambda: self.runs() == ["ready"]))
        self.ok("kill", "--signal", "USR1", "box")
        self.assertTrue(wait_until(lambda: self.runs() == ["ready"] * 2))
        self.assertEqual(self.ok("exec", "box", "cat", "/etc/motd"), "from app")
        self.assertRegex(self.ok("ps"), r"box +up .*, restarted 1 time ")
        self.ok("kill", "box")
        self.assertEqual((self.ok("wait", "box"), self.inspect()["restarts"]), ("137\n", 1))

    def test_by_name(self):
        """Without a policy: the same upper, limits and log; nobody waits for an end."""
        trap = COUNT + "trap 'echo bye; exit 5' TERM; while :; do sleep 0.05; done"
        for policy in "no", "on-failure:1":
            self.start(trap, "-e", "A=1", "--restart", policy)
            waiter = subprocess.Popen(self.command("wait", "box"), stdout=subprocess.PIPE, text=True)
            self.assertTrue(wait_until(lambda: self.runs() == ["1"]))
            before = self.inspect()
            self.assertEqual(self.ok("restart", "box"), "box\n")
            self.assertTrue(wait_until(lambda: self.runs() == ["1", "bye", "2"]), self.runs())
            found = self.inspect()
            self.assertEqual((found["status"], found["restarts"], found["exit_code"]), ("running", 0, 0))
            self.assertNotEqual(found["pid"], before["pid"])
            self.assertEqual(found["supervisor"], before["supervisor"])
            self.assertIsNone(waiter.poll())
            self.ok("stop", "box")
            self.assertEqual((waiter.communicate()[0], self.inspect()["status"]), ("5\n", "exited"))
            done = self.ufs("restart", "box")
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("box has ended, and is not started again; make another: ufs run --replace", done.stderr)
            self.ok("rm", "box")

    def test_by_name_of_one_that_heeds_no_signal(self):
        self.start("echo ready; exec sleep 1000")
        self.start("echo ready; exec sleep 1000", name="other")
        self.assertTrue(wait_until(lambda: self.runs() == ["ready"]))
        done = self.ufs("restart", "--time", "1", "other", "none", "box")
        self.assertEqual((done.returncode, done.stdout), (1, "other\nbox\n"))
        self.assertIn("ufs restart: no container none", done.stderr)
        self.assertTrue(wait_until(lambda: self.runs() == ["ready"] * 2))
        self.ufs("pause", "box")  # where there is a freezer
        self.ok("restart", "-s", "KILL", "box")
        self.assertTrue(wait_until(lambda: self.runs() == ["ready"] * 3))

    def test_by_name_between_two_runs(self):
        """It does not wait any longer."""
        self.start(COUNT + "[ $(wc -l </runs) -gt 6 ] && exec sleep 1000", "--restart", "always")
        self.assertTrue(wait_until(lambda: self.inspect()["status"] == "restarting" and len(self.runs()) == 6))
        self.ok("restart", "box")
        self.assertEqual(self.inspect()["status"], "running")
        self.assertTrue(wait_until(lambda: len(self.runs()) == 7, 1))

    def test_by_name_and_stopped(self):
        """The stop counts, in whatever order they come."""
        self.start("echo ready; exec sleep 1000")
        self.assertTrue(wait_until(lambda: self.runs() == ["ready"]))
        both = [subprocess.Popen(self.command(verb, "-t", "2", "box"), stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True) for verb in ("restart", "stop")]
        self.assertEqual(both[1].communicate(timeout=30), ("box\n", ""))
        both[0].communicate(timeout=30)
        self.assertEqual(self.inspect()["status"], "exited")

    def test_removed_by_force(self):
        self.start(COUNT, "--restart", "always")
        self.ok("rm", "--force", "box")

    def test_killed_daemon(self):
        """The union is mounted again, with what the upper has."""
        found = self.start("cat /kept; echo kept >/kept; while :; do cat /both >/dev/null;"
                           "sleep 0.01; done", "--restart", "always")
        self.assertTrue(wait_until(
            lambda: self.ufs("exec", "box", "cat", "/kept").stdout == "kept\n"))
        os.kill(self.daemon_of(found), signal.SIGKILL)
        self.assertTrue(wait_until(lambda: "kept" in self.runs()))
        self.assertTrue(wait_until(lambda: self.inspect()["status"] == "running"))
        self.assertEqual(self.inspect()["error"], "")

    def test_killed_supervisor(self):
        found = self.start("sleep 1000", "--restart", "always")
        os.kill(found["supervisor"], signal.SIGKILL)
        self.assertTrue(wait_until(lambda: "exited (137)" in self.ok("ps", "--all")))
        self.assertEqual(self.ok("ps", "-q"), "")

    def test_in_the_foreground(self):
        done = self.box(COUNT + "exit 4", "--restart", "on-failure:1")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (4, "1\n2\n", ""))

    def test_a_program_that_is_gone(self):
        self.start("busybox rm /bin/sh", "--restart", "always")
        self.assertEqual(self.ok("wait", "box"), "127\n")
        self.assertRegex(self.inspect()["error"], "restarting it: .*not found")

    def test_refused(self):
        self.refused("--restart and --rm: choose one", "--restart", "always", "--rm")
        self.refused("no, on-failure, on-failure:N, always or", "--restart", "sometimes")
        self.out("true", "--restart", "no", "--rm")


class RootRestartTest(RestartCases, box.BoxTest):
    def test_input_that_has_ended_stays_so(self):
        done = subprocess.run(
            self.command(*self.words("cat; " + COUNT + "exit 1", "-i", "--restart",
                                     "on-failure:1")),
            input=b"in\n", stdout=subprocess.PIPE, timeout=30)
        self.assertEqual((done.returncode, done.stdout), (1, b"in\n1\n2\n"))


class UserRestartTest(RestartCases, box.UserBoxTest):
    pass


if __name__ == "__main__":
    bundle.main()
