"""Options of docker and podman that ufs run takes as they do, and those it has
not, with what to use instead."""
import json
import os
import re
import signal
import shutil
import subprocess
import time

import bundle
import box
from bundle import own_cgroup, wait_until


class FileTest(box.BoxTest):
    """Files of the place a container runs in."""

    def test_name_servers(self):
        text = self.out("cat /etc/resolv.conf", "--dns", "192.0.2.1", "--dns", "2001:db8::1",
                        "--dns-search", "one.example", "--dns-search", "two.example",
                        "--dns-option", "ndots:3")
        for line in ("nameserver 192.0.2.1\nnameserver 2001:db8::1\n",
                     "search one.example two.example\n", "options ndots:3\n"):
            self.assertIn(line, text)
        self.assertEqual(text.count("nameserver"), 2)
        self.assertEqual(text.count("search"), 1)
        with open("/etc/resolv.conf") as file:
            own = [line for line in file if line.startswith("nameserver")]
        text = self.out("cat /etc/resolv.conf", "--dns-search", ".")
        self.assertNotIn("search", text)
        self.assertEqual([line for line in text.splitlines(True) if line.startswith("nameserver")], own)
        self.write("base/etc/resolv.conf", "# of the image\n")
        self.assertEqual(self.out("cat /etc/resolv.conf; echo more >>/etc/resolv.conf;"
                                  "wc -l </etc/resolv.conf", "--dns", "none"),
                         "# of the image\n2\n")
        for option in "--dns=192.0.2.1", "--dns-search=a", "--dns-option=b":
            self.refused("--dns none and others of --dns.*: choose", "--dns", "none", option)
        os.unlink(self.base + "/etc/resolv.conf")
        self.assertEqual(self.box("cat /etc/resolv.conf", "--dns", "none").returncode, 1)
        self.refused("--dns 'nobody': is no address", "--dns", "nobody")
        self.refused("--dns-search 'a b': is no domain", "--dns-search", "a b")
        for option in ("--dns-option", "--hostname", "--domainname"):
            self.refused(f"{option} (?s:.*)takes one word", option, "a\n192.0.2.9")

    def test_an_empty_value(self):
        """Takes no other word, here a layer, for a value."""
        self.assertEqual(self.out("cat /etc/motd; hostname", "--hostname=", "--name", "box"), "from appbox\n")
        self.assertEqual(self.out("echo $#$A", "--env=A=", "--entrypoint="), "0\n")
        self.refused("-e: '' is not NAME=VALUE", "--env=")
        self.refused("--dns '': is no address", "--dns=")
        self.start()
        self.assertEqual(self.ok("exec", "--workdir=", "box", "echo", "--x="), "--x=\n")

    def test_two_mounts_at_one_place(self):
        for words in (("-v", "/tmp:/x", "-v", "/usr:/x/"), ("--tmpfs", "/x", "-v", "/tmp:/x"),
                      ("--mount", "type=tmpfs,target=/x", "--mount", "type=bind,src=/tmp,dst=//x")):
            self.refused("/x: two mounts are asked for there; leave one of", *words)

    def test_hosts(self):
        for network in ("none", "host"):
            text = self.out("cat /etc/hosts", "--network", network, "--add-host", "one:192.0.2.1",
                            "--add-host", "two:2001:db8::1", "--add-host", "three=[2001:db8::3]")
            self.assertTrue(text.endswith("192.0.2.1\tone\n2001:db8::1\ttwo\n2001:db8::3\tthree\n"),
                            text)
            self.assertIn("localhost", text)
        for wrong in ("one", "one:", ":192.0.2.1", "one:here", "o ne:192.0.2.1"):
            self.refused("--add-host '.*': not NAME:ADDRESS", "--add-host", wrong)
        self.assertTrue(self.out("cat /etc/hosts", "--network", "host", "--add-host",
                                 "x:host-gateway").endswith("127.0.0.1\tx\n"))
        self.refused("--add-host: host-gateway: --network none leads nowhere; use --network private",
                     "--add-host", "x=host-gateway")

    def test_shared_memory(self):
        text = self.out("mount | grep ' /dev/shm '", "--shm-size", "3m")
        self.assertIn("size=3072k", text)
        self.refused("is no size", "--shm-size", "much")

    def test_container_id_file(self):
        path = self.at("cid")
        self.assertEqual(self.out("echo ran", "--name", "box", "--cidfile", path), "ran\n")
        self.assertEqual(self.read("cid"), "box")
        self.refused("cid: is there already; remove it if its container is gone",
                     "--cidfile", path)
        os.unlink(path)
        self.refused("not found", "--cidfile", path, "--entrypoint", "none", code=127)
        self.assertFalse(os.path.exists(path))
        self.refused("--cidfile .*none-such", "--cidfile", self.at("none-such/cid"))


class ProcessTest(box.BoxTest):
    def test_groups(self):
        self.assertEqual(self.out("id -G", "--group-add", "extra", "--group-add", "77"), "0 55 77\n")
        self.assertEqual(self.out("id -G", "-u", "www", "--group-add", "77"), "44 55 77\n")
        self.refused('no group "nobodys" in the container', "--group-add", "nobodys")

    def test_score_and_umask(self):
        self.assertEqual(self.out("cat /proc/self/oom_score_adj", "--oom-score-adj", "321"), "321\n")
        self.refused("--oom-score-adj", "--oom-score-adj", "1001")
        self.assertEqual(self.out("umask", "--umask", "0077"), "0077\n")
        self.assertEqual(self.out("umask", "--umask", "2"), "0002\n")
        for wrong in ("8", "1000", "-1", "x"):
            self.refused(f"--umask '{wrong}': not 0 to 0777, octal", f"--umask={wrong}")

    def test_domain_name_and_annotations(self):
        self.assertEqual(self.out("cat /proc/sys/kernel/domainname", "--domainname", "d.example"),
                         "d.example\n")
        self.start("sleep 1000", "--annotation", "org.example=a=b", "--annotation", "empty=")
        with open(f"{self.store}/box/oci/box/config.json") as file:
            self.assertEqual(json.load(file)["annotations"], {"org.example": "a=b", "empty": ""})
        self.refused("--annotation '=x': not KEY=VALUE", "--annotation", "=x")

    def test_rates_of_a_disk(self):
        disk = shutil.which("lsblk") and subprocess.run(
            ["lsblk", "-dnpo", "NAME,MAJ:MIN"], capture_output=True, text=True).stdout.split()
        if not disk or not os.path.exists("/sys/fs/cgroup/blkio"):
            self.skipTest("needs a disk and blkio of cgroup v1")
        text = self.out("cd /sys/fs/cgroup/blkio; cat blkio.throttle.read_bps_device "
                        "blkio.throttle.write_bps_device blkio.throttle.read_iops_device "
                        "blkio.throttle.write_iops_device",
                        *(word for name, rate in (("read-bps", "1m"), ("write-bps", "2mb"),
                                                  ("read-iops", "30"), ("write-iops", "40"))
                          for word in (f"--device-{name}", f"{disk[0]}:{rate}")))
        self.assertEqual(text.split(), [word for rate in (1 << 20, 2 << 20, 30, 40)
                                        for word in (disk[1], str(rate))])
        self.refused("no block device", "--device-read-bps", "/dev/null:1m")
        self.refused("not DEVICE:RATE", "--device-read-bps", "1m")
        self.refused("/dev/none: No such file", "--device-write-iops", "/dev/none:5")

    def test_namespaces_of_the_host(self):
        for kind in ("uts", "ipc", "pid"):
            own = os.readlink("/proc/self/ns/" + kind) + "\n"
            script = f"readlink /proc/self/ns/{kind}"
            self.assertNotEqual(self.out(script, "--" + kind, "private"), own)
            self.assertEqual(self.out(script, "--" + kind, "host"), own)
            self.refused(f"--{kind} 'container:x': host, or private", "--" + kind, "container:x")
        own = "/ufs-box\n"
        self.assertIn(own, self.out("cat /proc/self/cgroup", "--cgroupns", "host", "--name", "box"))
        self.assertNotIn(own, self.out("cat /proc/self/cgroup", "--cgroupns", "private"))
        text = self.out("hostname; cat /etc/hostname; echo $HOSTNAME", "--uts", "host")
        self.assertEqual(text, (os.uname().nodename + "\n") * 3)
        self.refused("--hostname and --uts host: choose one", "--uts", "host", "--hostname", "x")
        self.refused("--shm-size and --ipc host: choose one", "--ipc", "host", "--shm-size", "1m")

    def test_what_the_host_sees_ends(self):
        """In its pid namespace the end of process 1 is nobody else's."""
        before = set(self.processes())
        self.out("sleep 1000 & exit 0", "--pid", "host")
        self.assertTrue(wait_until(lambda: set(self.processes()) <= before), self.processes())
        done = self.box("echo ran", "--pid", "host", "--init")
        if "neither is installed" not in done.stderr:
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "ran\n", ""))
        self.start("sleep 1000 & exec sleep 1001", "--pid", "host")
        self.assertIn("sleep 1001", self.ok("top", "box"))
        self.ok("rm", "--force", "box")

    def test_privileges_that_are_given_back(self):
        script = "grep NoNewPrivs /proc/self/status"
        self.assertIn("0", self.out(script, "--security-opt", "no-new-privileges:false"))
        self.assertIn("1", self.out(script, "--security-opt", "no-new-privileges:true"))

    def test_paths_that_are_unmasked(self):
        script = "mount | grep -o ' /proc/[^ ]*' | sort"
        masked = self.out(script).split()
        self.assertIn("/proc/keys", masked)
        some = self.out(script, "--security-opt", "unmask=/proc/keys:/proc/sys").split()
        self.assertEqual(set(masked) - set(some), {"/proc/keys", "/proc/sys"})
        self.assertEqual(self.out(script, "--security-opt", "unmask=/proc/*").split(), [])
        self.assertEqual(self.box(script, "--security-opt", "unmask=ALL").stdout, "")
        self.refused("unmask=.*: ALL, or absolute paths", "--security-opt", "unmask=proc")


class LimitTest(box.BoxTest):
    def limit(self, controller, name):
        directory = own_cgroup(controller)
        if not directory:
            self.skipTest(f"needs {controller} of cgroup v1")
        return self.read(f"{directory}/ufs-box/{controller}.{name}")

    def test_processor_time(self):
        self.start("sleep 1000", "--cpu-quota", "20000", "--cpu-period", "50000", "-c", "512")
        self.assertEqual([self.limit("cpu", name) for name in
                          ("cfs_quota_us", "cfs_period_us", "shares")],
                         ["20000\n", "50000\n", "512\n"])
        self.refused("--cpus and --cpu-quota, --cpu-period: choose", "--cpus", "1",
                     "--cpu-quota", "1000")
        self.refused("--cpu-quota '999': less than a millisecond", "--cpu-quota", "999")
        self.refused("--cpu-period '5': not 1000 to 1000000", "--cpu-period", "5")


def has_capability(number):
    with open("/proc/self/status") as file:
        return int(re.search(r"CapBnd:\s*(\w+)", file.read())[1], 16) >> number & 1


class LifeTest(box.BoxTest):
    def test_replaced(self):
        first = self.start("sleep 1000", "--replace")
        second = self.start("sleep 1000", "--replace")
        self.assertNotEqual(first["pid"], second["pid"])
        self.assertEqual(self.ok("ps", "-q"), "box\n")
        self.assertEqual(self.out("echo ran", "--replace", "--name", "box"), "ran\n")
        self.refused("--replace needs --name", "--replace")

    def test_one_that_cannot_be_started_replaces_nothing(self):
        self.start()
        self.refused("is no size", "--replace", "--name", "box", "-m", "much")
        done = self.ufs("run", "--replace", "--name", "box", "nosuchlayer", "--", "true")
        self.assertEqual(done.returncode, 125, done.stderr)
        self.assertIn("nosuchlayer", done.stderr)
        profile = self.dir + "/profile"
        with open(profile, "w") as file:
            file.write('{"defaultAction": "SCMP_ACT_DREAM"}')
        for message, *words in (
                ("/dev/none: No such file", "--device", "/dev/none"),
                ("is no device", "--device", "/etc/passwd"),
                ("/none: does not exist", "-v", "/none:/at"),
                ("env-file /none", "--env-file", "/none"),
                ("unknown action", "--security-opt", "seccomp=" + profile),
                ("sysctl", "--sysctl", "kernel.panic=1")):
            self.refused(message, "--replace", "--name", "box", *words)
            self.assertEqual(self.inspect()["status"], "running", words)
        for message, *words in (
                ("--user nobody-here: ", "-u", "nobody-here"),
                ("--user www:nogroup: ", "-u", "www:nogroup"),
                ("no group \"nogroup\" in the container", "--group-add", "nogroup"),
                ("--cpuset-cpus cannot be set", "--cpuset-cpus", "999")):
            self.refused(message, "--replace", "--name", "box", *words)
            self.assertEqual(self.inspect()["status"], "running", words)
        self.assertEqual(sorted(os.listdir(self.store)), ["box"])
        self.assertEqual(self.out("id -u; id -G", "--replace", "--name", "box", "-u", "www",
                                  "--group-add", "77", "--cpuset-cpus", "0"), "33\n44 55 77\n")

    def test_a_union_that_cannot_be_mounted_replaces_nothing(self):
        self.start()
        words = self.words("true", "--replace", "--name", "box", "-u", "www")
        done = subprocess.run(["unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /dev/fuse; exec "$@"',
                               "sh", *self.command(*words)], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (125, ""))
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("ufs run: mounting on ", done.stderr)
        self.assertEqual(self.inspect()["status"], "running")

    def test_trials_that_were_killed_leave_nothing(self):
        own = bundle.own_cgroup("memory")
        if own is None:
            self.skipTest("needs a memory controller of v1")
        gone = subprocess.Popen(["true"])
        gone.wait()
        left, live, other = (f"{own}/ufs-box{name}" for name in
                             (f"~trial.{gone.pid}", f"~trial.{os.getpid()}", f"-trial.{gone.pid}"))
        for path in left, live, other:
            os.mkdir(path)
        try:
            self.out("true")
            self.assertEqual([os.path.exists(path) for path in (left, live, other)], [False, True, True])
        finally:
            for path in left, live, other:
                if os.path.exists(path):
                    os.rmdir(path)

    def test_signals_while_it_is_tried(self):
        before = bundle.cgroups()
        words = self.words("true", "--replace", "--name", "box", "-m", "64m")
        for step in range(40):
            started = subprocess.Popen(self.command(*words), stderr=subprocess.DEVNULL)
            time.sleep(step / 1000)
            started.terminate()
            started.wait()
            self.assertEqual([path for path in bundle.cgroups() if "trial" in path], [], step)
        self.assertTrue(wait_until(lambda: bundle.cgroups() == before))

    def test_limits_without_a_controller_replace_nothing(self):
        """As where somebody has not mounted it."""
        self.start()
        words = self.words("true", "--replace", "--name", "box", "-m", "64m")
        done = subprocess.run(["unshare", "--mount", "sh", "-c", "umount /sys/fs/cgroup/memory || exit 99;"
                               'exec "$@"', "sh", *self.command(*words)], capture_output=True, text=True)
        if done.returncode == 99:
            self.skipTest("needs a memory controller of v1")
        self.assertEqual(done.returncode, 125, done.stderr)
        self.assertIn("no cgroup hierarchy here has the memory controller", done.stderr)
        self.assertEqual(self.inspect()["status"], "running")

    def test_time_to_stop(self):
        self.start("trap '' TERM; echo ready; while :; do sleep 0.05; done", "--stop-timeout", "0")
        self.assertTrue(wait_until(lambda: self.ok("logs", "box") == "ready\n"))
        self.assertEqual(self.inspect()["stop_timeout"], 0)
        begin = time.monotonic()
        self.ok("stop", "box")
        self.assertLess(time.monotonic() - begin, 8)
        self.refused("--stop-timeout", "--stop-timeout", "-3")

    def test_signals_that_are_kept(self):
        words = self.words("trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done",
                           "--name", "box", "--keep", "--sig-proxy=false")
        self.addCleanup(self.ufs, "rm", "-f", "box")
        client = subprocess.Popen(self.command(*words), stdout=subprocess.PIPE, text=True)
        self.assertEqual(client.stdout.readline(), "ready\n")
        client.send_signal(signal.SIGTERM)
        self.assertEqual(client.wait(timeout=20), -signal.SIGTERM)
        client.stdout.close()
        self.assertEqual(self.inspect()["status"], "running")

    def test_what_to_use_instead(self):
        for option, remedy in (("--runtime=x", "ufs-oci is a runtime for docker and podman"),
                               ("--uidmap=0:1:2", "/etc/subuid"),
                               ("--device-cgroup-rule=a", "--device"),
                               ("--rootfs", "name the directory as a LAYER"),
                               ("--secret=x", "-v FILE:/run/secrets/NAME:ro"),
                               ("--oom-kill-disable", "--oom-score-adj"),
                               ("--ip=192.0.2.1", "publish ports"),
                               ("--label-file=x", "--label KEY=VALUE")):
            self.refused(f"{option.split('=')[0]} is not supported; .*{remedy}", option)
        self.refused("-h prints the help, and stands alone; use --hostname NAME", "-h", "web")

    def test_the_runtimes_messages_name_options(self):
        for options, message in ((["-w", "/etc/passwd"], "^ufs run: --workdir /etc/passwd: Not a directory$"),
                                 (["--sysctl", "a.b=1"], "^ufs run: --sysctl a.b is not in a namespace"),
                                 (["--cpuset-cpus", "999"], "^ufs run: --cpuset-cpus cannot be set"),
                                 (["--pids-limit", "5", "-m", "64k"], "want of memory: --memory is too low to start"),
                                 (["--oom-score-adj", "-1000"], "^ufs run: --oom-score-adj cannot be set to -1000; lowering")):
            if options[0] != "--oom-score-adj" or not has_capability(24):
                self.refused(f"(?m){message}", *options)
        self.start()
        done = self.ufs("exec", "-w", "/etc/passwd", "box", "true")
        self.assertIn("ufs exec: --workdir /etc/passwd: Not a directory", done.stderr)
        done = self.ufs("update", "--cpuset-cpus", "999", "box")
        self.assertIn("ufs update: box: --cpuset-cpus cannot be set", done.stderr)

    def test_other_names_of_options(self):
        own = os.readlink("/proc/self/ns/net") + "\n"
        self.assertEqual(self.out("readlink /proc/self/ns/net", "--net=host"), own)
        self.assertIn("options ndots:7\n", self.out("cat /etc/resolv.conf", "--dns-opt", "ndots:7"))


class UserTest(box.UserBoxTest):
    def test_options(self):
        text = self.out("id -G; umask; cat /etc/resolv.conf; mount | grep ' /dev/shm '",
                        "--group-add", "extra", "--umask", "027", "--dns", "192.0.2.1",
                        "--shm-size", "3m", "--oom-score-adj", "500", "--security-opt",
                        "unmask=/proc/sys")
        self.assertTrue(text.startswith("0 55\n0027\n"), text)
        self.assertIn("nameserver 192.0.2.1\n", text)
        self.assertIn("size=3072k", text)

    def test_namespaces_of_the_host(self):
        for kind in ("uts", "ipc"):
            self.assertEqual(self.out(f"readlink /proc/self/ns/{kind}", "--" + kind, "host"),
                             os.readlink("/proc/self/ns/" + kind) + "\n")
        self.refused("--pid host is for root", "--pid", "host")


if __name__ == "__main__":
    bundle.main()
