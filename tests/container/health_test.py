"""Health checks: what is asked, what follows from the answers, and what is seen of it,
for root and for an ordinary user."""
import os
import signal
import time

import bundle
import box
from bundle import wait_until

FAST = ("--health-interval", "100ms")


class HealthCases:
    def health(self, name="box"):
        return self.inspect(name)["health"]

    def becomes(self, status, name="box"):
        self.assertTrue(wait_until(lambda: self.health(name)["status"] == status, 20),
                        self.health(name))
        return self.health(name)

    def test_from_starting_to_unhealthy_and_back(self):
        found = self.start("sleep 1; touch /tmp/well; sleep 1000", *FAST, "--health-retries", "2",
                           "--health-start-period", "20s", "--health-start-interval", "50ms",
                           "--health-cmd", "echo asked; echo why >&2; test -e /tmp/well")
        self.assertEqual(found["health"]["status"], "starting")
        self.assertEqual(found["health_check"],
                         {"command": ["/bin/sh", "-c",
                                      "echo asked; echo why >&2; test -e /tmp/well"],
                          "interval_ms": 100, "timeout_ms": 30000, "start_period_ms": 20000,
                          "start_interval_ms": 50, "retries": 2})
        self.assertRegex(self.ok("ps"), r"up \d+ s \(health: starting\) ")
        self.assertEqual(self.ok("ps", "-q", "--filter", "health=starting"), "box\n")
        self.becomes("healthy")
        self.assertRegex(self.ok("ps"), r"up \d+ s \(healthy\) ")
        self.ok("exec", "box", "rm", "/tmp/well")
        found = self.becomes("unhealthy")
        self.assertGreaterEqual(found["failing_streak"], 2)
        self.assertLessEqual(len(found["log"]), 5)
        self.assertEqual({(p["exit_code"], p["output"]) for p in found["log"][-2:]},
                         {(1, "asked\nwhy\n")})
        self.assertLess(found["log"][-2]["end"], found["log"][-1]["start"])
        self.assertIn("(unhealthy)", self.ok("ps"))
        self.assertEqual(self.ok("ps", "-q", "--filter", "health=healthy"), "")
        self.assertEqual(self.ok("ps", "-q", "--filter", "health=unhealthy"), "box\n")
        self.ok("exec", "box", "touch", "/tmp/well")
        self.assertEqual(self.becomes("healthy")["failing_streak"], 0)
        self.ok("stop", "-t", "0", "box")
        self.assertNotIn("healthy", self.ok("ps", "-a"))  # of those that run

    def test_as_what_it_asks(self):
        self.start("sleep 1000", *FAST, "-u", "www", "-w", "/tmp", "-e", "A=b c",
                   "--health-cmd", "id -u; pwd; echo $A; cat; exit 0")
        log = self.becomes("healthy")["log"]
        self.assertEqual(log[-1]["output"], "33\n/tmp\nb c\n")

    def test_bounds(self):
        self.start("sleep 1000", *FAST, "--health-cmd", "yes | head -c 300000; sleep 100 & exit 0")
        output = self.becomes("healthy")["log"][-1]["output"]
        self.assertEqual((len(output), output[-5:]), (4096 + 3, "\ny\n..."[-5:]))

    def test_takes_too_long(self):
        self.start("sleep 1000", *FAST, "--health-timeout", "300ms", "--health-retries", "1",
                   "--health-cmd", "echo slow; sleep 77; true")
        begun = time.monotonic()
        log = self.becomes("unhealthy")["log"]
        self.assertLess(time.monotonic() - begun, 10)
        self.assertEqual((log[0]["exit_code"], log[0]["output"]),
                         (-1, "Health check exceeded timeout (300 ms): slow\n"))
        # One may have just begun; those before are gone with what they have started.
        self.assertLessEqual(self.ok("top", "box").count("sleep 77"), 2)

    def test_cannot_be_run(self):
        self.start("sleep 1000; true", *FAST, "--health-retries", "1",
                   "--health-cmd", "true", "--health-start-period", "0")
        self.becomes("healthy")
        self.ok("exec", "box", "rm", "/bin/sh")
        log = self.becomes("unhealthy")["log"]
        self.assertEqual(log[-1]["exit_code"], -1)
        self.assertIn("/bin/sh", log[-1]["output"])

    def test_paused(self):
        self.start("sleep 1000", *FAST, "--health-retries", "1", "--health-timeout", "1s",
                   "--health-cmd", "true")
        self.becomes("healthy")
        try:
            paused = self.ufs("pause", "box")
            if paused.returncode != 0:
                self.skipTest(paused.stderr)
            time.sleep(1.5)
            before = self.health()
            time.sleep(1)
            self.assertEqual(self.health(), before)  # nobody is asked
            self.assertEqual(before["status"], "healthy")
            self.assertRegex(self.ok("ps"), r"paused \(healthy\)")
        finally:
            self.ufs("unpause", "box")
        self.assertTrue(wait_until(lambda: self.health()["log"] != before["log"]))

    def test_begins_again_with_a_restart(self):
        found = self.start("sleep 1000", "--restart", "always", "--health-interval", "300ms",
                           "--health-cmd", "true")
        self.becomes("healthy")
        os.kill(found["pid"], signal.SIGKILL)
        self.assertTrue(wait_until(lambda: self.inspect()["restarts"] == 1))
        self.assertTrue(wait_until(lambda: self.inspect()["status"] == "running"))
        self.assertEqual(self.becomes("healthy")["failing_streak"], 0)

    def test_ends_with_its_container(self):
        found = self.start("sleep 1000", *FAST, "--rm", "--health-cmd", "sleep 99")
        self.assertTrue(wait_until(lambda: "sleep 99" in self.ok("top", "box")))
        begun = time.monotonic()
        self.ok("stop", "-t", "0", "box")
        self.assertLess(time.monotonic() - begun, 5)
        self.assertFalse(os.path.exists(f"/proc/{found['supervisor']}"))

    def test_killed_supervisor(self):
        found = self.start("sleep 1000", *FAST, "--health-cmd", "true")
        self.becomes("healthy")
        os.kill(found["supervisor"], signal.SIGKILL)
        self.assertTrue(wait_until(lambda: not os.path.exists(f"/proc/{found['supervisor']}")))
        self.assertEqual(self.inspect()["health"]["status"], "healthy")  # as last heard
        self.ok("rm", "box")

    def test_words(self):
        self.start("sleep 1000", "--no-healthcheck")
        found = self.inspect()
        self.assertEqual((found["health"], found["health_check"]), (None, None))
        self.assertEqual(self.ok("ps", "-q", "--filter", "health=none"), "box\n")
        for message, *options in (
                ("need --health-cmd", "--health-retries", "2"),
                ("choose one", "--no-healthcheck", "--health-cmd", "true"),
                ("no length of time", "--health-cmd", "true", "--health-interval", "5"),
                ("less than a millisecond", "--health-cmd", "true", "--health-timeout", "1us"),
                ("less than none", "--health-cmd", "true", "--health-retries=-1")):
            self.refused(message, *options)


class RootHealthTest(HealthCases, box.ImageMaker, box.BoxTest):
    def test_what_the_image_says(self):
        self.make_image(Cmd=["sleep", "1000"], Healthcheck={
            "Test": ["CMD", "echo", "of the image"], "Interval": 100_000_000, "Retries": 9})
        self.addCleanup(self.ufs, "rm", "-f", "box")
        self.ok("run", "-d", "--name", "box", "img:1")
        self.assertEqual(self.becomes("healthy")["log"][-1]["output"], "of the image\n")
        self.assertEqual(self.inspect()["health_check"]["retries"], 9)
        self.ok("rm", "-f", "box")
        self.ok("run", "-d", "--name", "box", "--no-healthcheck", "img:1")
        self.assertIsNone(self.health())
        self.ok("rm", "-f", "box")
        self.ok("run", "-d", "--name", "box", "--health-cmd", "echo own", "img:1")
        self.assertEqual(self.becomes("healthy")["log"][-1]["output"], "own\n")


class UserHealthTest(HealthCases, box.UserBoxTest):
    pass


if __name__ == "__main__":
    bundle.main()
