"""ufs run: a program in a container over layers, from mount to nothing left."""
import os
import shutil
import signal
import subprocess

import bundle
import box


class RunTest(box.BoxTest):
    def test_output_exit_code_and_union(self):
        done = self.box("cat /both /only-base /etc/motd; echo no >&2; exit 42")
        self.assertEqual((done.stdout, done.stderr, done.returncode),
                         ("app1from app", "no\n", 42))

    def test_layers_stay_as_they_are(self):
        before = self.tree()
        self.out("rm /both; echo new >/only-base; touch /etc/x; chown 7 /only-app")
        self.assertEqual(self.tree(), before)
        self.assertEqual(self.read("base/only-base"), "1")

    def test_exit_codes_of_what_cannot_run(self):
        for program, code, message in (("nothing", 127, "not found"),
                                       ("/nothing", 127, "No such file"),
                                       ("/plain", 126, "Permission denied"),
                                       ("/etc", 126, "Permission denied")):
            done = self.ufs("run", *self.layers, "--", program)
            self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
            self.assertIn(message, done.stderr)
        done = self.ufs("run", self.at("none"), "--", "true")
        self.assertEqual(done.returncode, 125)
        self.assertIn(self.at("none"), done.stderr)

    def test_input_only_if_asked_for(self):
        def feed(*options):
            return subprocess.run(self.command(*self.words("cat", *options)), input=b"through",
                                  stdout=subprocess.PIPE, timeout=30).stdout
        self.assertEqual(feed("-i"), b"through")
        self.assertEqual(feed(), b"")

    def test_more_comes_out_than_goes_in(self):
        """Nobody waits for the other to read first."""
        lines = [b"%d\n" % n for n in range(400000)]
        done = subprocess.run(self.command(*self.words("busybox sed p", "-i")),
                              input=b"".join(lines), stdout=subprocess.PIPE, timeout=60)
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout == b"".join(line * 2 for line in lines))

    def test_env_file_may_be_a_pipe(self):
        line = " ".join(self.command("run", "--env-file", "/dev/stdin", *self.layers)) + \
            " -- sh -c 'echo $A'"
        done = bundle.run("sh", "-c", "echo A=piped | " + line)
        self.assertEqual((done.stdout, done.stderr), ("piped\n", ""))

    def test_much_output_arrives_whole(self):
        done = subprocess.run(self.command(*self.words("seq 200000; seq 10 >&2")),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(done.stdout, b"".join(b"%d\n" % n for n in range(1, 200001)))
        self.assertEqual(len(done.stderr.split()), 10)

    def test_a_reader_that_goes_away_ends_the_pipeline(self):
        line = " ".join(self.command("run", *self.layers, "--", "yes")) + " | head -1"
        done = bundle.run("sh", "-c", line)
        self.assertEqual(done.stdout, "y\n")

    def test_signals_are_passed_on(self):
        words = self.words("trap 'echo got; exit 7' TERM; echo ready;"
                           "while :; do sleep 0.05; done")
        process = subprocess.Popen(self.command(*words), stdout=subprocess.PIPE, text=True)
        self.assertEqual(process.stdout.readline(), "ready\n")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.communicate(timeout=30)[0], "got\n")
        self.assertEqual(process.returncode, 7)

    def test_the_daemon_is_out_of_reach(self):
        text = self.out("readlink /proc/self/ns/pid; ls -d /proc/[0-9]*; mount | grep ' / '")
        self.assertNotIn(os.readlink("/proc/self/ns/pid"), text)
        self.assertIn("/proc/1\n", text)
        self.assertIn("fuse.ufs", text)
        found = self.start()
        with open(f"/proc/{found['pid']}/cgroup") as file:
            self.assertIn("ufs-box", file.read())
        daemons = [pid for pid in os.listdir("/proc") if pid.isdigit()
                   and self.is_child_of(pid, found["supervisor"]) and int(pid) != found["pid"]]
        self.assertEqual(len(daemons), 1)
        with open(f"/proc/{daemons[0]}/cgroup") as file:
            self.assertNotIn("ufs-box", file.read())

    def is_child_of(self, pid, parent):
        try:
            with open(f"/proc/{pid}/stat") as file:
                return int(file.read().rsplit(")", 1)[1].split()[1]) == parent
        except OSError:
            return False

    def test_uppers(self):
        upper = self.at("up")
        self.out("echo mine >/new; rm /only-base", "--upper", upper)
        self.assertEqual(self.read("up/new"), "mine\n")
        self.assertEqual(self.out("cat /new; ls /", "--upper", upper).count("only-base"), 0)
        self.out("echo kept >/new", "--keep", "--name", "kept")
        with open(self.inspect("kept")["upper"] + "/new") as file:
            self.assertEqual(file.read(), "kept\n")
        self.assertEqual(self.ok("rm", "kept"), "kept\n")

    def test_names(self):
        self.start(name="one")
        self.refused("there is a container one already; choose another --name", "--name", "one")
        self.refused("invalid container id", "--name", "../one")
        for wrong in "-x", "_x", "a+b":
            self.refused("begins with a letter or a digit", f"--name={wrong}")
        self.assertEqual(self.inspect("one")["status"], "running")

    def test_what_is_not_supported_is_refused_by_name(self):
        for option, message in ((["--privileged"], "--privileged is not supported; give"),
                                (["-v", "da,ta:/x"], r"'da,ta' is no name of a volume"),
                                (["-v", "/none-such:/x"], "does not exist on the host"),
                                (["--network", "web"], "none, host, private,"),
                                (["-m", "much"], "is no size, as 512m"),
                                (["--cap-add", "FLY"], "CAP_FLY' is no capability"),
                                (["--ulimit", "x=1"], "not NAME=SOFT"),
                                (["--security-opt", "label=x_t"], "not disable, or user:, role:"),
                                (["-v", "/tmp:/x:z,Z"], "z and Z: choose one"),
                                (["--device", "/etc"], "is no device"),
                                (["--mount", "type=bind,dst=/t"], "--mount 'type=bind,dst=/t': type=bind needs src=PATH; for "
                                 "a volume or memory say type=volume or type=tmpfs"),
                                (["--stop-signal", "0"], "--stop-signal '0': is no signal"),
                                (["--user", "nobody-here"], "no user \"nobody-here\""),
                                (["--frobnicate"], "--frobnicate")):
            self.refused(message, *option)
        done = self.ufs("run", *self.layers)
        self.assertEqual(done.returncode, 125)
        self.assertIn("no command given; say what to run after --", done.stderr)


class OptionTest(box.BoxTest):
    def test_labels_where_there_is_no_selinux(self):
        if os.path.exists("/sys/fs/selinux/enforce"):
            self.skipTest("has SELinux; see selinux_test.py")
        place = self.make_dir("place")
        for options in (["--security-opt", "label=disable"], ["-v", place + ":/x:z"],
                        ["-v", place + ":/x:ro,Z"], ["--mount", f"type=bind,src={place},dst=/x,relabel=shared"]):
            self.assertEqual(self.out("echo ran", *options), "ran\n")
        done = self.box("echo ran", "--security-opt", "label=type:x_t", "--security-opt", "label=level:s0")
        self.assertEqual((done.returncode, done.stdout), (0, "ran\n"))
        self.assertEqual(done.stderr, "ufs run: --security-opt label= has no effect: "
                         "SELinux is not enabled here\n")

    def test_environment(self):
        self.write("env", "# comment\nA=file\nB=two words\n")
        text = self.out("echo $A,$B,$C,$D,$HOSTNAME,$HOME", "--env-file", self.at("env"),
                        "-e", "A=own", "-e", "C", "-e", "D", "--hostname", "here",
                        env={**os.environ, "C": "caller's"})
        self.assertEqual(text, "own,two words,caller's,,here,/root\n")

    def test_environment_of_other_systems(self):
        with open(self.at("env"), "wb") as file:
            file.write(b"\xef\xbb\xbfA=1\r\n\r\n  # comment\r\n  B= two \r\nC")
        self.assertEqual(self.out('echo "$A,$B,$C"', "--env-file", self.at("env"),
                                  env={**os.environ, "C": "3"}), "1, two ,3\n")

    def test_environment_that_is_none(self):
        for line, name in (("export X=1", "export X"), ("X Y=1", "X Y"), ("X =1", "X "), ("X\tY", "X.Y"),):
            self.write("env", "# first\nA=1\n" + line + "\n")
            self.refused(rf"--env-file {self.at('env')}, line 3: '{name}': a name has no white space; "
                         "these are lines NAME=VALUE, and no script", "--env-file", self.at("env"))
        self.write("env", "=x")
        self.refused("line 1: '=x' is not NAME=VALUE", "--env-file", self.at("env"))

    def test_user_and_working_directory(self):
        self.assertEqual(self.out("id", "-u", ":www"), "uid=0(root) gid=44(www)\n")
        self.assertEqual(self.out("id; umask", "-u", "www", "-w", "/tmp"),
                         "uid=33(www) gid=44(www) groups=55(extra)\n0022\n")
        self.assertEqual(self.out("id -u; id -g; readlink /proc/self/cwd", "-u", "12:34",
                                  "--workdir", "/made/here"), "12\n34\n/made/here\n")

    def test_names_of_the_machine(self):
        text = self.out("hostname; cat /etc/hostname /etc/hosts", "--hostname", "here")
        self.assertTrue(text.startswith("here\nhere\n127.0.0.1\tlocalhost\n"), text)
        self.assertIn("127.0.1.1\there\n", text)

    def test_mounts(self):
        self.write("vol/file", "of the host")
        volume = self.at("vol")
        self.assertEqual(self.out("cat /v/file; echo new >/v/new", "-v", volume + ":/v"),
                         "of the host")
        self.assertEqual(self.read("vol/new"), "new\n")
        done = self.box("touch /v/x", "--volume", volume + ":/v:ro")
        self.assertIn("Read-only file system", done.stderr)
        self.assertEqual(self.out("cat /deep/er/file; touch /deep/x", "--tmpfs", "/deep:size=1m",
                                  "--mount", f"type=bind,src={volume},dst=/deep/er,ro"),
                         "of the host")
        done = self.box("touch /x || touch /t/x", "--read-only", "--tmpfs", "/t")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Read-only file system", done.stderr)

    def test_idmapped_mounts(self):
        self.make_dir("shared")
        self.write("shared/file", "x")
        os.chown(self.at("shared/file"), 1000, 2000)
        maps = "uids=1000-5-1;gids=2000-6-1"
        for options in (["-v", f"{self.at('shared')}:/data:ro,idmap={maps}"],
                        ["--mount", f"type=bind,src={self.at('shared')},dst=/data,idmap={maps}"]):
            self.assertEqual(self.out("stat -c %u:%g /data/file", *options), "5:6\n")
        self.refused("uidMappings and gidMappings", "-v", f"{self.at('shared')}:/data:idmap")

    def test_capabilities(self):
        def effective(*options):
            text = self.out("grep CapEff /proc/self/status", *options)
            return int(text.split()[1], 16)
        self.assertEqual(effective(), 0xa80425fb)  # docker's
        self.assertEqual(effective("--cap-drop", "ALL"), 0)
        self.assertEqual(effective("--cap-drop", "all", "--cap-add", "chown"), 1)
        self.assertEqual(effective("-u", "www"), 0)
        self.assertGreater(effective("--cap-add", "ALL"), 0xa80425fb)

    def test_capabilities_that_are_not_there(self):
        """One that is named is missed; of all, those are meant that there are."""
        less = ["setpriv", "--bounding-set=-sys_time"]
        words = self.command(*self.words("grep CapEff /proc/self/status", "--cap-add", "SYS_TIME"))
        done = bundle.run(*less, *words)
        self.assertEqual((done.returncode, done.stdout), (125, ""))
        self.assertIn("--cap-add: CAP_SYS_TIME is not in the bounding set that ufs was started with; leave it out",
                      done.stderr)
        words[words.index("SYS_TIME")] = "ALL"
        done = bundle.run(*less, *words)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        whole = self.out("grep CapEff /proc/self/status", "--cap-add", "ALL")
        self.assertEqual(int(done.stdout.split()[1], 16), int(whole.split()[1], 16) & ~(1 << 25))

    def test_system_calls_are_filtered(self):
        self.assertIn("Seccomp:\t2", self.out("grep Seccomp: /proc/self/status"))
        done = self.box("unshare -m true", "--cap-add", "ALL", "--cap-drop", "SYS_ADMIN")
        self.assertIn("Operation not permitted", done.stderr)
        self.out("unshare -m true", "--cap-add", "SYS_ADMIN")
        self.assertIn("Seccomp:\t0", self.out("grep Seccomp: /proc/self/status",
                                              "--security-opt", "seccomp=unconfined"))
        self.assertIn("NoNewPrivs:\t1", self.out("grep NoNewPrivs /proc/self/status",
                                                 "--security-opt", "no-new-privileges"))

    def test_limits(self):
        self.assertEqual(self.out("ulimit -n; ulimit -Hn", "--ulimit", "nofile=100:200"),
                         "100\n200\n")
        done = self.box("for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait",
                        "--pids-limit", "5")
        self.assertIn("can't fork", done.stderr)

    def test_a_memory_limit_is_one_of_swap_too(self):
        """As much again, as docker and podman have it, where swap is counted."""
        swap = bundle.own_cgroup("memory") + "/ufs-box/memory.memsw.limit_in_bytes"
        if not os.path.exists(bundle.own_cgroup("memory") + "/memory.memsw.limit_in_bytes"):
            self.skipTest("needs a v1 memory controller that counts swap")
        for options, limit in ((["-m", "64m"], 128 << 20),
                               (["-m", "64m", "--memory-swap", "0"], 128 << 20),
                               (["-m", "64m", "--memory-swap", "96m"], 96 << 20)):
            self.start("sleep 1000", *options)
            self.assertEqual(int(self.read(swap)), limit, options)
            self.ok("rm", "--force", "box")
        self.start("sleep 1000", "-m", "64m", "--memory-swap", "-1")
        self.assertGreater(int(self.read(swap)), 1 << 60)
        self.refused("--memory-swap needs --memory", "--memory-swap", "1g")
        self.refused("--memory-swap is the sum of memory and swap, so not below --memory",
                     "-m", "64m", "--memory-swap", "32m")

    def test_how_soon_memory_is_swapped_out(self):
        file = bundle.own_cgroup("memory") + "/ufs-box/memory.swappiness"
        if not os.path.exists(bundle.own_cgroup("memory") + "/memory.swappiness"):
            self.skipTest("needs a memory controller of v1")
        own = self.read(bundle.own_cgroup("memory") + "/memory.swappiness")
        for value, expected in (("0", "0\n"), ("37", "37\n"), ("100", "100\n"), ("-1", own)):
            self.start("sleep 1000", f"--memory-swappiness={value}")
            self.assertEqual(self.read(file), expected)
            self.ok("rm", "--force", "box")
        for wrong in "101", "-2":
            self.refused("--memory-swappiness '.*': not 0 to 100", f"--memory-swappiness={wrong}")

    def test_memory_that_runs_out_is_told(self):
        self.box("exec dd if=/dev/zero of=/dev/null bs=64M count=1", "-m", "16m",
                 "--memory-swap", "16m", "--keep", "--name", "small")
        found = self.inspect("small")
        self.assertEqual((found["exit_code"], found["out_of_memory"]), (137, True))
        self.assertIn("exited (137), out of memory", self.ok("ps", "--all"))
        self.ok("rm", "small")

    def test_networks(self):
        self.assertIn("UP", self.out("ip link show lo"))
        own = os.readlink("/proc/self/ns/net") + "\n"
        self.assertNotEqual(self.out("readlink /proc/self/ns/net"), own)
        self.assertEqual(self.out("readlink /proc/self/ns/net", "--network", "host"), own)

    def test_entrypoint_and_init(self):
        self.assertEqual(self.ok("run", "--entrypoint", "echo", *self.layers, "--", "a", "b"),
                         "a b\n")
        done = self.box("readlink /proc/1/exe; echo $$", "--init")
        if "neither is installed" in done.stderr:
            self.assertEqual(done.returncode, 125)
        else:
            self.assertNotEqual(done.stdout.split()[-1], "1", done.stderr)

    def test_device(self):
        text = self.out("ls -l /dev/other", "--device", "/dev/zero:/dev/other:r")
        self.assertRegex(text, r"1, +5 ")


class ImageTest(box.ImageMaker, box.BoxTest):
    """A container of an image does what the image says, unless told otherwise."""

    def test_what_the_image_says(self):
        self.make_image(Env=["A=image", "B=image"], Entrypoint=["sh", "-c"], User="www",
                        Cmd=["echo $A $B; id -u; readlink /proc/self/cwd; cat /both"],
                        WorkingDir="/tmp", StopSignal="SIGUSR1",
                        Labels={"from": "image", "both": "image"})
        self.assertEqual(self.ok("run", "img:1"), "image image\n33\n/tmp\napp")
        self.assertEqual(self.ok("run", "-e", "B=own", "-u", "0", "-w", "/", "img:1", "--",
                                 "echo $A $B; id -u; readlink /proc/self/cwd"),
                         "image own\n0\n/\n")
        self.assertEqual(self.ok("run", "--entrypoint", "echo", "img:1", "--", "hello"), "hello\n")
        self.addCleanup(self.ufs, "rm", "-f", "box")
        self.ok("run", "-d", "--name", "box", "--label", "both=own", "img:1", "--",
                "trap 'exit 5' USR1; echo ready; while :; do sleep 0.05; done")
        self.assertEqual(self.inspect()["labels"], {"both": "own", "from": "image"})
        # Process 1 of a namespace ignores what it has no handler for.
        self.assertTrue(bundle.wait_until(lambda: self.ok("logs", "box") == "ready\n"))
        self.ok("stop", "box")
        self.assertEqual(self.ok("wait", "box"), "5\n")

    def test_imported_after_a_container_was_run(self):
        """Their directories are one."""
        os.makedirs("/var/lib/ufs", exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/var/lib/ufs"], check=True)
        self.addCleanup(bundle.run, "umount", "/var/lib/ufs")
        self.out("echo kept >/v/file", "-v", "data:/v")
        self.make_image(Cmd=["cat", "/both"])
        self.assertEqual(self.ok("run", "img:1"), "app")

    def test_an_image_does_not_see_the_callers_environment(self):
        self.make_image(Env=["A=image", "SECRET"], Cmd=["env"])
        text = self.ok("run", "img:1", env={**os.environ, "SECRET": "the caller's"})
        self.assertIn("A=image\n", text)
        self.assertNotIn("SECRET", text)


if __name__ == "__main__":
    bundle.main()
