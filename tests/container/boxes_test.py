"""ufs ps, exec, logs, attach, stop, kill, pause, wait, rm, inspect, top, stats:
containers that run in the background; and what killed supervisors leave."""
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import bundle
import box
from bundle import wait_until


class VerbTest(box.UnionVerbs, box.BoxTest):
    def test_life(self):
        found = self.start("echo out; echo err >&2; exec sleep 1000")
        self.assertEqual((found["status"], found["ended"]), ("running", False))
        text = self.ok("ps")
        self.assertRegex(text, rf"box +up .*{found['pid']}.*{self.base} .*sh -c")
        self.assertEqual(self.ok("ps", "-q"), "box\n")
        self.assertEqual(json.loads(self.ok("ps", "--json"))[0]["pid"], found["pid"])
        self.assertTrue(wait_until(lambda: "out" in self.ok("logs", "box")))
        done = self.ufs("rm", "box")
        self.assertIn("is running; stop it first, or use --force", done.stderr)
        started = time.monotonic()
        self.assertEqual(self.ok("stop", "--time", "1", "box"), "box\n")
        self.assertLess(time.monotonic() - started, 20)
        self.assertEqual(self.ok("wait", "box"), "137\n")  # process 1 heeds no TERM
        self.assertEqual(self.ok("ps", "-q"), "")
        self.assertIn("exited (137)", self.ok("ps", "--all"))
        done = self.ufs("logs", "box")
        self.assertEqual((done.stdout, done.stderr), ("out\n", "err\n"))
        self.assertRegex(self.ok("logs", "-t", "box"), r"^\d{4}-.*Z out\n$")
        self.assertEqual(self.ok("rm", "box"), "box\n")
        done = self.ufs("inspect", "box")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no container box; see 'ufs ps --all'", done.stderr)

    def test_several_are_stopped_at_once(self):
        """Each in its own time; told in the order in which they are named."""
        names = ["c", "a", "b"]
        for name in names:
            self.start("sleep 1000", "--stop-timeout", "3", name=name)  # heeds no TERM
        started = time.monotonic()
        done = self.ufs("stop", "c", "none", "a", "b")
        self.assertLess(time.monotonic() - started, 7)
        self.assertEqual((done.returncode, done.stdout.split()), (1, names))
        self.assertIn("ufs stop: no container none", done.stderr)
        self.assertEqual(self.ok("wait", *names), "137\n" * 3)

    def test_what_its_layers_were(self):
        """By other names, in another store, from another directory."""
        self.make_mount_points()
        own = ("--store", self.at("store"))
        self.ok("layer", "import", *own, self.base, "--name", "low:1")
        os.symlink(self.make_dir("deep/er"), self.at("link"))
        os.rename(self.app, self.at("deep/app"))
        self.ok("run", "--keep", "--name", "box", *own, "low:1", "link/../app", "--", "sh", "-c",
                "rm /plain; echo more >>/etc/motd", cwd=self.dir)
        self.addCleanup(self.ufs, "rm", "--force", "box")
        self.write("base/other", "1")
        self.ok("layer", "import", *own, self.base, "--name", "low:1")
        self.assertEqual(self.ok("diff", "box", cwd="/"), "C /etc/motd\nD /plain\n")
        self.ok("commit", "box", "--name", "new:1")
        self.assertIn("new:1", self.ok("layer", "ls"))

    def test_stop_with_another_signal(self):
        """Which ends it for good, too."""
        for options in [], ["--restart", "always"]:
            self.start("trap 'exit 7' USR1; echo ready; while :; do sleep 0.05; done", *options)
            self.assertTrue(wait_until(lambda: self.ok("logs", "box") == "ready\n"))
            self.ok("stop", "--signal", "USR1", "--timeout", "60", "box")
            found = self.inspect()
            self.assertEqual((found["exit_code"], found["restarts"], found["status"]), (7, 0, "exited"))
            self.ok("rm", "box")
        done = self.ufs("stop", "-s", "FLY", "box")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--signal 'FLY': is no signal", done.stderr)

    def test_the_last_that_were_made(self):
        for name in "b", "c", "a":
            self.start("exit 0", name=name)
        self.start(name="box")
        self.ok("wait", "a", "b", "c")
        self.assertEqual(self.ok("ps", "-q", "-l"), "box\n")
        self.assertEqual(self.ok("ps", "-q", "--last=3", "--no-trunc"), "box\na\nc\n")
        self.assertEqual(self.ok("ps", "-qn", "9", "-f", "status=exited"), "a\nc\nb\n")
        self.assertEqual(self.ufs("ps", "-n", "0").returncode, 2)

    def test_formats(self):
        self.start()
        for verb in (["ps"], ["inspect", "box"], ["stats", "--no-stream", "box"], ["volume", "ls"]):
            self.assertIsInstance(json.loads(self.ok(*verb, "--format", "json")), list)
            done = self.ufs(*verb, "--format", "{{.Names}}")
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn("there are no templates; use --format json and jq(1)", done.stderr)
        self.assertEqual(json.loads(self.ok("inspect", "-f=json", "box"))[0]["name"], "box")

    def test_what_to_use_instead(self):
        for words, code, remedy in ((["ps", "--size"], 2, "names as upper"),
                                    (["stop", "--all"], 2, "$(ufs ps --all --quiet)"),
                                    (["volume", "--driver", "x"], 2, "give it by 'ufs run -v'"),
                                    (["update", "--restart=no", "box"], 2, "'ufs run --restart'"),
                                    (["exec", "--privileged", "box", "ls"], 125, "--cap-add")):
            done = self.ufs(*words)
            self.assertEqual((done.returncode, done.stdout), (code, ""), words)
            self.assertIn(f"ufs {words[0]}: {words[1].split('=')[0]} is not supported; ", done.stderr)
            self.assertIn(remedy, done.stderr)
        self.start()
        self.assertEqual(self.ok("exec", "box", "echo", "--privileged"), "--privileged\n")

    def test_what_a_container_is_not(self):
        self.start()
        os.mkdir("box")
        self.addCleanup(os.rmdir, "box")
        for verb in ("commit", "diff"):
            done = self.ufs(verb, "box")
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("box: is both a container and a directory here; say './box'", done.stderr)
            done = self.ufs(verb, "--layer", self.base, "box", cwd="/")
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("box: a container knows its layers and its work directory", done.stderr)

    def test_labels_and_filters(self):
        self.start("sleep 1000", "--label", "tier=web", "-l", "mine", name="one")
        self.start("sleep 1000", "--label", "tier=db", "--label", "mine=", name="two")
        self.start("exit 3", "--label", "tier=web", "--label", "a=b=c", name="done")
        self.assertEqual(self.ok("wait", "done"), "3\n")
        self.assertEqual(self.inspect("one")["labels"], {"mine": "", "tier": "web"})

        def listed(*filters):
            words = [word for text in filters for word in ("--filter", text)]
            return self.ok("ps", "-q", *words).split()
        self.assertEqual(listed("label=mine"), ["one", "two"])
        self.assertEqual(listed("label=tier=web"), ["one"])
        self.assertEqual(self.ok("ps", "-aq", "-f", "label=tier=web"), "done\none\n")
        self.assertEqual(self.ok("ps", "-aq", "-f", "label=a=b=c"), "done\n")
        self.assertEqual(listed("label=mine", "label=tier=db"), ["two"])
        self.assertEqual(listed("name=on", "name=tw", "label=tier=web"), ["one"])
        self.assertEqual(listed("status=exited"), ["done"])
        self.assertEqual(listed("status=exited", "status=running", "label=tier=web"),
                         ["done", "one"])
        for wrong in ("label", "label=", "size=3"):
            done = self.ufs("ps", "--filter", wrong)
            self.assertEqual(done.returncode, 2)
            self.assertIn(f"--filter '{wrong}': label=KEY", done.stderr)
        for wrong, known in (("status=bogus", "creating, created, running, paused, restarting, exited"),
                             ("health=bogus", "starting, healthy, unhealthy, none")):
            done = self.ufs("ps", "--filter", wrong)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(f"--filter '{wrong}': there are {known}\n", done.stderr)
        self.refused("--label '=x': not KEY", "--label", "=x")

    def test_one_that_was_created_only(self):
        """As it is for a moment, with hooks of the runtime's for longer."""
        self.start()
        place = f"{self.store}/box/"
        with open(place + "record.json") as file:
            record = json.load(file)
        with open(place + "record.json", "w") as file:
            json.dump({**record, "started": ""}, file)
        open(place + "oci/box/start", "w").close()  # what waits for the start
        self.assertRegex(self.ok("ps"), r"box +created +\d")
        os.unlink(place + "oci/box/start")
        self.ok("rm", "--force", "box")

    def test_exec(self):
        found = self.start()
        self.assertEqual(self.ok("exec", "box", "cat", "/etc/motd"), "from app")
        self.assertEqual(self.ok("exec", "-u", "www", "-w", "/tmp", "-e", "A=1", "box", "sh", "-c",
                                 "id -u; readlink /proc/self/cwd; echo $A; umask"),
                         "33\n/tmp\n1\n0022\n")
        self.assertEqual(self.ok("exec", "-u", ":www", "box", "id"), "uid=0(root) gid=44(www)\n")
        self.assertEqual(self.ok("exec", "box", "readlink", "/proc/self/ns/mnt"),
                         os.readlink(f"/proc/{found['pid']}/ns/mnt") + "\n")
        self.assertEqual(self.ufs("exec", "box", "sh", "-c", "exit 9").returncode, 9)
        self.assertEqual(self.ufs("exec", "box", "none").returncode, 127)
        self.assertEqual(self.ufs("exec", "box", "/plain").returncode, 126)
        for word, code in (("none", 127), ("/plain", 126)):
            done = self.ufs("exec", "-d", "box", word)
            self.assertEqual((done.returncode, done.stdout), (code, ""))
            self.assertIn(word, done.stderr)
        done = subprocess.run(self.command("exec", "-i", "box", "cat"), input=b"in",
                              stdout=subprocess.PIPE, timeout=30)
        self.assertEqual(done.stdout, b"in")
        self.ok("exec", "-d", "box", "touch", "/done")
        self.assertTrue(wait_until(lambda: self.ufs("exec", "box", "ls", "/done").returncode == 0))
        self.ok("kill", "box")
        self.ok("wait", "box")
        done = self.ufs("exec", "box", "true")
        self.assertEqual(done.returncode, 125)
        self.assertIn("box is not running", done.stderr)

    def test_removed_by_itself(self):
        self.start("sleep 1000", "--rm")
        self.ok("stop", "-t", "0", "box")
        self.assertTrue(wait_until(lambda: self.records() == []))

    def test_stop_signal_and_wait(self):
        self.start("trap 'exit 5' USR1; echo ready; while :; do sleep 0.05; done",
                   "--stop-signal", "USR1")
        self.assertTrue(wait_until(lambda: self.ok("logs", "box") == "ready\n"))
        waiting = subprocess.Popen(self.command("wait", "box"), stdout=subprocess.PIPE, text=True)
        time.sleep(0.2)
        self.ok("stop", "box")
        self.assertEqual(waiting.communicate(timeout=30)[0], "5\n")

    def test_a_namespace_that_somebody_keeps(self):
        """Who has entered it, to watch, has the union mounted; it ends all the same."""
        found = self.start("echo one >/tmp/one; exec sleep 1000")
        watch = subprocess.Popen(["nsenter", "--target", str(found["pid"]), "--mount", "sleep", "1000"])
        self.addCleanup(watch.wait)
        self.addCleanup(watch.kill)
        theirs = os.readlink(f"/proc/{found['pid']}/ns/mnt")
        self.assertTrue(wait_until(lambda: os.readlink(f"/proc/{watch.pid}/ns/mnt") == theirs))
        started = time.monotonic()
        self.ok("stop", "--time", "0", "box")
        self.assertEqual(self.ok("wait", "box"), "137\n")
        self.assertLess(time.monotonic() - started, 30)
        self.assertEqual(self.ok("diff", "box").split()[-2:], ["A", "/tmp/one"])
        self.ok("rm", "box")
        self.assertIsNone(watch.poll())

    def test_update(self):
        """Also of what is started again; what was not named stays."""
        found = self.start("sleep 1000", "-m", "256m", "--pids-limit", "50", "--restart", "always")

        def inside():
            return self.ok("exec", "box", "sh", "-c", "cd /sys/fs/cgroup; "
                           "cat memory/memory.limit_in_bytes memory.max pids/pids.max pids.max 2>/dev/null || true").split()
        self.assertEqual(inside(), [str(256 << 20), "50"])
        self.assertEqual(self.ok("update", "--memory", "64m", "box"), "box\n")
        self.assertEqual(inside(), [str(64 << 20), "50"])
        self.ok("update", "--pids-limit", "40", "box")
        self.assertEqual(inside(), [str(64 << 20), "40"])
        os.kill(found["pid"], signal.SIGKILL)
        self.assertTrue(wait_until(lambda: self.inspect()["restarts"] == 1 and self.inspect()["status"] == "running"))
        self.assertEqual(inside(), [str(64 << 20), "40"])
        for words, code, message in ((["box"], 2, "no limits given"),
                                     (["--cpus", "0.001", "box"], 2, "--cpus '0.001': not a number of at least 0.01"),
                                     (["--memory-swap", "32m", "box"], 1,
                                      "box: --memory-swap is the sum of memory and swap, so not below --memory, which is 67108864"),
                                     (["-m", "-1", "--memory-swap", "32m", "box"], 2, "no limit of memory: choose"),
                                     (["-m", "64m"], 2, "no container given"),
                                     (["--shm-size", "1m", "box"], 2, "--shm-size"),
                                     (["-m", "64m", "none"], 1, "no container none")):
            done = self.ufs("update", *words)
            self.assertEqual((done.returncode, done.stdout), (code, ""), words)
            self.assertIn(message, done.stderr)
        self.ok("stop", "--time", "0", "box")
        done = self.ufs("update", "-m", "64m", "box")
        self.assertEqual(done.returncode, 1)
        self.assertIn("box is not running", done.stderr)

    def test_update_of_memory_and_swap(self):
        """One without the other, and neither; by the kernel's own order on v1."""
        memory = bundle.own_cgroup("memory") + "/ufs-box/memory."
        if not os.path.exists(bundle.own_cgroup("memory") + "/memory.memsw.limit_in_bytes"):
            self.skipTest("needs a v1 memory controller that counts swap")
        mib, none = 1 << 20, 1 << 60

        def limits():
            return tuple(min(int(self.read(memory + name + "limit_in_bytes")), none) for name in ("", "memsw."))

        def update(*words):
            self.ok("update", *words, "box")
            return limits()
        self.start("sleep 1000", "-m", "64m", "--restart", "always")
        self.assertEqual(limits(), (64 * mib, 128 * mib))
        self.assertEqual(update("--memory-swap", "96m"), (64 * mib, 96 * mib))
        self.assertEqual(update("-m", "80m"), (80 * mib, 96 * mib), "what was said of swap stays")
        done = self.ufs("update", "-m", "100m", "box")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--memory is more than memory and swap may be, 100663296; give --memory-swap as well", done.stderr)
        self.assertEqual(update("-m", "200m", "--memory-swap", "300m"), (200 * mib, 300 * mib))
        self.assertEqual(update("--memory-swap", "-1"), (200 * mib, none))
        self.assertEqual(update("-m", "300m"), (300 * mib, none))
        self.assertEqual(update("-m", "64m", "--memory-swap", "64m"), (64 * mib, 64 * mib))
        self.assertEqual(update("-m", "0"), (none, none))
        os.kill(self.inspect()["pid"], signal.SIGKILL)
        self.assertTrue(wait_until(lambda: self.inspect()["restarts"] == 1 and self.inspect()["status"] == "running"))
        self.assertEqual(limits(), (none, none), "kept")
        done = self.ufs("update", "--memory-swap", "1g", "box")
        self.assertIn("--memory-swap needs a limit of memory", done.stderr)
        self.assertEqual(update("-m", "64m", "--memory-swap", "96m"), (64 * mib, 96 * mib))
        self.assertEqual(update("-m=-1"), (none, none))
        os.remove(self.store + "/box/config.json")  # as an older ufs leaves it
        self.assertEqual(update("-m", "64m", "--memory-swap", "96m"), (64 * mib, 96 * mib))

    def test_update_lifts_the_limit_of_processor_time(self):
        quota = bundle.own_cgroup("cpu") + "/ufs-box/cpu.cfs_quota_us"
        if not os.path.exists(bundle.own_cgroup("cpu") + "/cpu.cfs_quota_us"):
            self.skipTest("needs a v1 cpu controller")
        self.start("sleep 1000", "--cpus", "0.5")
        self.assertEqual(self.read(quota), "50000\n")
        self.ok("update", "--cpus", "0", "box")
        self.assertEqual(self.read(quota), "-1\n")
        self.assertEqual(self.out("echo ran", "--cpus", "0", "-m", "0"), "ran\n")

    def test_rename(self):
        self.make_mount_points()
        self.start("echo said; echo 1 >/new")
        self.start(name="other")
        self.ok("wait", "box")
        for words, code, message in ((["box", "other"], 1, "there is a container other already; choose another name"),
                                     (["other", "new"], 1, "other is running, and keeps its name as long; stop it"),
                                     (["none", "new"], 1, "no container none"),
                                     (["box", "-x"], 2, "-x"), (["box", "_x"], 1, "begins with a letter or a digit"),
                                     (["box"], 2, "say which container, and its new name")):
            done = self.ufs("rename", *words)
            self.assertEqual((done.returncode, done.stdout), (code, ""), words)
            self.assertIn(message, done.stderr)
        self.addCleanup(self.ufs, "rm", "new", "newer")
        self.ok("rename", "box", "new")
        self.assertEqual(sorted(self.records()), ["new", "other"])
        self.assertEqual((self.inspect("new")["name"], self.ok("logs", "new")), ("new", "said\n"))
        self.assertEqual(self.ok("diff", "new"), "A /new\n")
        # By one that was killed in between.
        os.rename(self.store + "/new", self.store + "/newer")
        self.assertEqual(self.inspect("newer")["upper"], self.store + "/newer/upper")
        self.assertEqual(self.ok("diff", "newer"), "A /new\n")
        self.assertEqual(self.ok("rm", "newer"), "newer\n")

    def test_what_it_was_run_with(self):
        """While it runs, and after."""
        place = self.make_dir("place")
        self.start("sleep 1000", "-e", "A=1", "-u", "www", "-w", "/tmp", "-v", place + ":/x:ro",
                   "-v", "data:/data", "-m", "64m", "--cap-drop", "ALL", "--cap-add", "CHOWN",
                   "--tmpfs", "/t", "--ulimit", "nofile=9", "--hostname", "here", "--read-only",
                   "--security-opt", "no-new-privileges")
        self.addCleanup(self.ufs, "volume", "rm", "data")
        for _ in range(2):
            found = self.inspect()
            self.assertIn("A=1", found["env"])
            self.assertEqual((found["user"]["uid"], found["user"]["gid"]), (33, 44))
            self.assertEqual(found["workdir"], "/tmp")
            self.assertEqual(found["hostname"], "here")
            self.assertEqual(found["limits"], {"memory": {"limit": 64 << 20}})
            self.assertEqual(found["capabilities"], ["CAP_CHOWN"])
            self.assertEqual(found["ulimits"], [{"type": "RLIMIT_NOFILE", "soft": 9, "hard": 9}])
            self.assertEqual((found["read_only"], found["no_new_privileges"], found["seccomp"]), (True, True, True))
            mounts = {mount["destination"]: mount for mount in found["mounts"]}
            self.assertEqual(set(mounts), {"/x", "/data", "/t", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"})
            self.assertEqual(mounts["/x"]["source"], place)
            self.assertIn("ro", mounts["/x"]["options"])
            self.assertTrue(mounts["/data"]["source"].endswith("/volumes/data/_data"))
            self.ok("stop", "-t", "0", "box")
        self.ok("rm", "box")

    def test_pause(self):
        self.start("while :; do echo tick; sleep 0.01; done")
        self.ok("pause", "box")
        self.assertEqual(self.inspect()["status"], "paused")
        lines = len(self.ok("logs", "box"))
        time.sleep(0.3)
        self.assertEqual(len(self.ok("logs", "box")), lines)
        self.assertIn("but paused", self.ufs("pause", "box").stderr)
        self.ok("unpause", "box")
        self.assertTrue(wait_until(lambda: len(self.ok("logs", "box")) > lines))
        self.ok("pause", "box")
        self.ok("stop", "-t", "0", "box")  # also when it is frozen

    def test_what_others_froze_can_be_ended(self):
        """In v1's freezer, which is beside the one that is ours on a hybrid host."""
        if not bundle.own_cgroup("freezer"):
            self.skipTest("needs a v1 freezer")
        state = bundle.own_cgroup("freezer") + "/ufs-box/freezer.state"
        for ending in (("stop", "-t", "0"), ("stop", "-t", "1"), ("rm", "--force"), ("kill",)):
            self.start()
            with open(state, "w") as file:
                file.write("FROZEN")
            self.assertEqual(self.inspect()["status"], "paused")
            self.ok(*ending, "box")
            self.assertTrue(wait_until(lambda: self.inspect()["status"] == "exited", 5)
                            if ending[0] != "rm" else not self.records(), ending)
            self.ufs("rm", "--force", "box")

    def test_top_and_stats(self):
        found = self.start("sleep 1001 & exec sleep 1002")
        self.assertTrue(wait_until(lambda: "exec" not in self.ok("top", "box")))  # of the shell
        self.assertTrue(wait_until(lambda: self.ok("top", "box").count("sleep 100") == 2))
        processes = json.loads(self.ok("top", "--json", "box"))
        self.assertEqual({p["command"] for p in processes}, {"sleep 1001", "sleep 1002"})
        self.assertIn(found["pid"], [p["pid"] for p in processes])
        [stats] = json.loads(self.ok("stats", "--json"))
        self.assertEqual((stats["name"], stats["processes"]), ("box", 2))
        self.assertGreater(stats["memory_bytes"], 0)
        self.assertIn("box", self.ok("stats", "box"))

    def test_logs_follow_and_tail(self):
        self.start("for i in 1 2 3; do echo line $i; sleep 0.2; done")
        self.assertEqual(self.ok("logs", "--follow", "box"), "line 1\nline 2\nline 3\n")
        self.assertEqual(self.ok("logs", "--tail", "1", "box"), "line 3\n")
        self.assertEqual(self.ok("logs", "--tail=all", "box"), "line 1\nline 2\nline 3\n")
        self.assertEqual(self.ok("logs", "-n", "0", "box"), "")
        for wrong in "some", "1x", "-2", "":
            done = self.ufs("logs", f"--tail={wrong}", "box")
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(f"--tail '{wrong}': not a number of lines, or all", done.stderr)

    def test_logs_into_one_file(self):
        """In the order in which it was written."""
        self.start("for i in 1 2 3; do echo out $i; sleep 0.1; echo err $i >&2; sleep 0.1; done")
        self.ok("wait", "box")
        done = subprocess.run(self.command("logs", "box"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=60)
        self.assertEqual(done.stdout, "".join(f"out {i}\nerr {i}\n" for i in (1, 2, 3)))

    def test_logs_by_time(self):
        self.start("for i in 1 2 3; do echo line $i; sleep 0.1; done")
        self.ok("wait", "box")
        first, second, third = [line.split()[0] for line in self.ok("logs", "-t", "box").splitlines()]
        for words, lines in ((["--since", second], "23"), (["--until", second], "12"),
                             (["--since", second, "--until", second], "2"),
                             (["--since", second, "--tail", "1"], "3"), (["--until", second, "-n", "1"], "2"),
                             (["--since", "1h"], "123"), (["--until", "1h"], ""), (["--since", "0"], "123"),
                             (["--follow", "--since", third], "3")):
            self.assertEqual(self.ok("logs", *words, "box"), "".join(f"line {i}\n" for i in lines), words)
        done = self.ufs("logs", "--since", "yesterday", "box")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("--since: 'yesterday' is no time, as 10m (ago)", done.stderr)

    def test_logs_followed_up_to_a_time(self):
        self.start("while :; do echo tick; sleep 0.05; done")
        in_a_second = str(time.time() + 1)
        started = time.monotonic()
        self.assertIn("tick\n", self.ok("logs", "--follow", "--until", in_a_second, "box"))
        self.assertLess(time.monotonic() - started, 20)

    def test_input_of_one_in_the_background(self):
        """From whoever attaches, one after the other; it does not end with theirs."""
        self.start("while read line; do echo got $line; done; echo over", "-i")
        for word, lines in (("one", "got one\n"), ("two", "got one\ngot two\n")):
            attached = subprocess.Popen(self.command("attach", "--sig-proxy=false", "box"), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
            attached.stdin.write(word + "\n")
            attached.stdin.close()
            self.assertEqual(attached.stdout.readline(), f"got {word}\n")
            attached.terminate()
            self.assertEqual(attached.wait(timeout=20), -signal.SIGTERM)
            attached.stdout.close()
            self.assertTrue(wait_until(lambda: self.ok("logs", "box") == lines))
        self.assertEqual(self.inspect()["status"], "running")

    def test_attach(self):
        self.start("trap 'exit 3' TERM; while :; do echo tick; sleep 0.05; done")
        attached = subprocess.Popen(self.command("attach", "--no-stdin", "box"),
                                    stdout=subprocess.PIPE, text=True)
        self.assertEqual(attached.stdout.readline(), "tick\n")
        attached.send_signal(signal.SIGTERM)
        attached.communicate(timeout=30)
        self.assertEqual(attached.returncode, 3)


class TerminalTest(box.BoxTest):
    def open(self, *words):
        pid, master = pty.fork()
        if pid == 0:
            os.execv(self.command()[0], self.command(*words))
        self.addCleanup(os.close, master)
        self.master = master
        return pid

    def expect(self, text):
        """Reads until `text` has come."""
        seen = ""
        end = time.monotonic() + 30
        while text not in seen and time.monotonic() < end:
            if select.select([self.master], [], [], 0.5)[0]:
                try:
                    seen += os.read(self.master, 4096).decode(errors="replace")
                except OSError:
                    break
        self.assertIn(text, seen)
        return seen

    def code_of(self, pid):
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def type(self, text):
        os.write(self.master, text.encode())

    def test_terminal_of_its_own(self):
        for options in ([], ["--sig-proxy=false"]):
            pid = self.open("run", "-it", "--name", "box", *options, *self.layers, "--", "sh")
            self.type("tty; test -t 0 && echo is-$((1+1))\n")
            self.assertIn("/dev/pts/0", self.expect("is-2"))
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
            os.kill(pid, signal.SIGWINCH)
            time.sleep(0.5)
            self.type("stty size\n")
            self.expect("33 77")
            self.type("exit 6\n")
            self.expect("exit 6")
            self.assertEqual(self.code_of(pid), 6)

    def test_detach_and_attach(self):
        self.addCleanup(self.ufs, "rm", "-f", "box")
        pid = self.open("run", "-it", "--keep", "--name", "box", *self.layers, "--", "sh")
        self.type("echo one-$((1+1))\n")
        self.expect("one-2")
        self.type("\x10\x11")  # ctrl-p ctrl-q
        self.assertEqual(self.code_of(pid), 0)
        self.assertEqual(self.inspect()["status"], "running")
        pid = self.open("attach", "box")
        self.type("echo two-$((1+1))\n")
        self.expect("two-2")
        self.type("exit 4\n")
        self.expect("exit 4")
        self.assertEqual(self.code_of(pid), 4)
        self.assertIn("one-2", self.ok("logs", "box"))

    def test_terminal_that_is_closed(self):
        """The client ends, having passed SIGHUP on; who does not mind lives on."""
        def close():
            os.close(self.master)
            self.master = os.open("/dev/null", os.O_RDONLY)

        def terminal(*words):
            self.master, slave = pty.openpty()
            client = subprocess.Popen(self.command(*words), stdin=slave, stdout=slave, stderr=slave,
                                      start_new_session=True)  # nobody sends it a signal
            os.close(slave)
            return client
        self.addCleanup(self.ufs, "rm", "-f", "box")
        words = ("run", "-it", "--keep", "--name", "box", *self.layers, "--", "sh")
        client = terminal(*words)
        self.type("echo one-$((1+1))\n")
        self.expect("one-2")
        close()
        self.assertEqual(client.wait(timeout=20), 129)
        self.assertEqual(self.inspect()["status"], "running")
        client = terminal("attach", "box")
        self.type("trap 'exit 7' HUP; echo two-$((1+1)); while :; do sleep 0.1; done\n")
        self.expect("two-2")
        close()
        self.assertEqual(client.wait(timeout=20), 129)
        self.assertEqual(self.ok("wait", "box"), "7\n")
        self.ok("rm", "box")
        self.start()
        client = terminal("exec", "-it", "box", "sh", "-c", "echo four-$((2+2)); exec sleep 1001")
        self.expect("four-4")
        close()
        self.assertEqual(client.wait(timeout=20), 129)
        self.assertEqual(self.inspect()["status"], "running")
        self.ok("rm", "--force", "box")
        for options in (["-it"], ["-t"]):
            pid, self.master = pty.fork()  # a session leader: it gets a SIGHUP
            if pid == 0:
                os.execv(self.command()[0], self.command(
                    "run", *options, *self.layers, "--", "sh", "-c",
                    "trap 'exit 7' HUP; echo three-$((1+2)); while :; do sleep 0.1; done"))
            self.expect("three-3")
            close()
            self.assertEqual(self.code_of(pid), 129, options)
            self.assertTrue(wait_until(lambda: self.records() == []), options)

    def test_exec_with_a_terminal(self):
        self.start()
        pid = self.open("exec", "-it", "box", "sh")
        self.type("tty; echo is-$((1+1))\n")
        self.assertIn("/dev/pts/0", self.expect("is-2"))
        self.type("exit 2\n")
        self.expect("exit 2")
        self.assertEqual(self.code_of(pid), 2)


class KilledTest(box.BoxTest):
    """Whatever is killed, the next command finds and cleans it."""

    def is_gone(self, pid):
        return not os.path.exists(f"/proc/{pid}")

    def test_supervisor(self):
        found = self.start()
        daemon = self.daemon_of(found)
        os.kill(found["supervisor"], signal.SIGKILL)
        self.assertTrue(wait_until(lambda: "exited (137)" in self.ok("ps", "--all")))
        now = self.inspect()
        self.assertEqual((now["ended"], now["error"]), (True, "its supervisor was killed"))
        self.assertTrue(wait_until(lambda: self.is_gone(found["pid"]) and self.is_gone(daemon)))
        self.ok("rm", "box")

    def test_supervisor_of_one_to_be_removed(self):
        found = self.start("sleep 1000", "--rm")
        os.kill(found["supervisor"], signal.SIGKILL)
        self.assertTrue(wait_until(lambda: self.is_gone(found["supervisor"])))
        self.out("true")
        self.assertEqual(self.records(), [])

    def test_daemon(self):
        found = self.start("while :; do cat /both; sleep 0.01; done")
        os.kill(self.daemon_of(found), signal.SIGKILL)
        self.assertEqual(self.ok("wait", "box"), "125\n")
        self.assertEqual(self.inspect()["error"], "the daemon of its file system was killed")
        self.ok("rm", "box")

    def test_daemon_of_one_in_the_foreground(self):
        words = self.words("echo ready; while :; do cat /both; sleep 0.01; done", "--name", "box")
        client = subprocess.Popen(self.command(*words), stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        self.assertEqual(client.stdout.readline(), "ready\n")
        watching = subprocess.Popen(self.command("attach", "box"), stdin=subprocess.DEVNULL,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(0.3)
        os.kill(self.daemon_of(self.inspect()), signal.SIGKILL)
        why = "box: the daemon of its file system was killed\n"
        for one, who in ((client, "ufs run"), (watching, "ufs attach")):
            said = one.communicate(timeout=60)[1]
            self.assertEqual((one.returncode, said.splitlines(True)[-1]), (125, f"{who}: {why}"))
        self.assertEqual(self.records(), [])

    def test_supervisor_and_daemon(self):
        found = self.start("while :; do cat /both; sleep 0.01; done")
        daemon = self.daemon_of(found)
        os.kill(found["supervisor"], signal.SIGKILL)
        os.kill(daemon, signal.SIGKILL)
        self.assertTrue(wait_until(lambda: self.is_gone(found["supervisor"])))
        self.assertEqual(self.ok("rm", "box"), "box\n")
        self.assertTrue(wait_until(lambda: self.is_gone(found["pid"])))

    def test_client(self):
        words = self.words("echo ready; sleep 1000", "--name", "box", "--keep")
        self.addCleanup(self.ufs, "rm", "-f", "box")
        client = subprocess.Popen(self.command(*words), stdout=subprocess.PIPE, text=True)
        self.assertEqual(client.stdout.readline(), "ready\n")
        client.kill()
        client.wait()
        client.stdout.close()
        self.assertEqual(self.inspect()["status"], "running")


if __name__ == "__main__":
    bundle.main()
