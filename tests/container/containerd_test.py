"""containerd with this runtime: its shim for runc makes the calls, `ctr` asks it to.
A daemon of its own for each test, as its state is one place."""
import os
import shutil
import signal
import subprocess
import unittest

import bundle
from bundle import wait_until

CGROUP = f"/ufs-containerd-{os.getpid()}"
SHIM_DIRECTORY = "/run/containerd"


@unittest.skipUnless(shutil.which("containerd") and shutil.which("ctr"), "needs containerd")
class Containerd(bundle.ContainerTest):
    def setUp(self):
        super().setUp()
        self.calls = self.dir + "/calls"
        self.runtime = self.dir + "/runtime"
        with open(self.runtime, "w") as file:  # which says that it was called
            file.write(f'#!/bin/sh\necho "$@" >>{self.calls}\nexec {bundle.RUNTIME} "$@"\n')
        os.chmod(self.runtime, 0o755)
        self.rootfs = self.bundle + "/rootfs"
        self.addCleanup(self.remove_cgroups)
        if not os.path.exists(SHIM_DIRECTORY):
            self.addCleanup(shutil.rmtree, SHIM_DIRECTORY, ignore_errors=True)
        self.start_daemon()

    def start_daemon(self):
        self.address = self.dir + "/containerd.sock"
        with open(self.dir + "/config.toml", "w") as file:
            file.write(f'''version = 2
root = "{self.dir}/root"
state = "{self.dir}/run"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{self.address}"
[ttrpc]
  address = "{self.address}.ttrpc"
''')
        with open(self.dir + "/containerd.log", "w") as log:
            daemon = subprocess.Popen(["containerd", "--config", self.dir + "/config.toml"],
                                      stdout=log, stderr=log)
        self.addCleanup(self.end_daemon, daemon)
        self.assertTrue(wait_until(lambda: self.ctr("version")[0] == 0, 30), self.log())

    def end_daemon(self, daemon):
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(30)

    def log(self):
        with open(self.dir + "/containerd.log") as file:
            return file.read()

    def remove_cgroups(self):
        """containerd keeps the parent of its containers."""
        for group in sorted(bundle.cgroups(), reverse=True):
            if CGROUP in group:
                os.rmdir(group)

    def ctr(self, *words):
        """(exit code, what was printed)."""
        with open(self.dir + "/ctr", "w+") as output:
            code = subprocess.run(["ctr", "--address", self.address, *words],
                                  stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                  timeout=60).returncode
            output.seek(0)
            return code, output.read()

    def run_box(self, *words, options=("--rm",), name="one"):
        return self.ctr("run", *options, "--runc-binary", self.runtime,
                        "--cgroup", f"{CGROUP}/{name}", "--rootfs", self.rootfs, name, *words)

    def done(self, *words):
        code, text = self.ctr(*words)
        self.assertEqual(code, 0, text + self.log())
        return text

    def called(self):
        with open(self.calls) as file:
            return file.read()

    def test_output_and_codes(self):
        self.assertEqual(self.run_box("/bin/sh", "-c", "echo said; id -u; exit 3"),
                         (3, "said\n0\n"))
        for verb in ("create", "start", "delete"):
            self.assertRegex(self.called(), rf"(?m)^--root .* {verb} ")
        code, text = self.run_box("/nowhere")
        self.assertNotEqual(code, 0)
        self.assertRegex(text, "/nowhere: No such file or directory")
        self.assertEqual(self.ctr("containers", "list", "--quiet"), (0, ""))

    def test_what_is_asked_for(self):
        os.mkdir(self.dir + "/shared")
        code, text = self.run_box(
            "/bin/sh", "-c", "pwd; echo $A; echo kept >/shared/made; cat /proc/self/cgroup",
            options=("--rm", "--memory-limit", str(64 << 20), "--cwd", "/tmp", "--env", "A=b c",
                     "--mount", f"type=bind,src={self.dir}/shared,dst=/shared,options=rbind:rw"))
        self.assertEqual((code, text.splitlines()[:2]), (0, ["/tmp", "b c"]), text)
        self.assertIn(CGROUP + "/one", text)
        with open(self.dir + "/shared/made") as file:
            self.assertEqual(file.read(), "kept\n")

    def test_a_limit(self):
        code, text = self.run_box("/bin/sh", "-c", "dd if=/dev/zero of=/dev/null bs=256M count=1",
                                  options=("--rm", "--memory-limit", str(16 << 20)))
        self.assertEqual(code, 137, text)

    def test_life(self):
        self.addCleanup(self.ctr, "containers", "delete", "one")
        self.addCleanup(self.ctr, "tasks", "kill", "--signal", "KILL", "one")
        code, text = self.run_box("/bin/sh", "-c", "trap 'echo ended >/tmp/made; exit 7' TERM; "
                                  "echo data >/tmp/made; while :; do sleep 0.05; done", options=("--detach",))
        self.assertEqual(code, 0, text)
        self.assertRegex(self.done("tasks", "list"), r"(?m)^one +\d+ +RUNNING")
        self.assertEqual(self.ctr("tasks", "exec", "--exec-id", "more", "one", "/bin/sh", "-c",
                                  "cat /tmp/made; exit 4"), (4, "data\n"))
        self.done("tasks", "pause", "one")
        self.assertRegex(self.done("tasks", "list"), r"(?m)^one +\d+ +PAUSED")
        self.done("tasks", "resume", "one")
        self.assertRegex(self.done("tasks", "list"), r"(?m)^one +\d+ +RUNNING")
        self.assertIn("memory", self.done("tasks", "metrics", "one"))
        self.assertGreaterEqual(len(self.done("tasks", "ps", "one").splitlines()), 2)
        self.done("tasks", "kill", "--signal", "TERM", "one")
        self.assertTrue(wait_until(lambda: "STOPPED" in self.done("tasks", "list")))
        self.done("tasks", "delete", "one")
        with open(self.rootfs + "/tmp/made") as file:
            self.assertEqual(file.read(), "ended\n")
        self.done("containers", "delete", "one")
        for verb in ("exec", "pause", "resume", "kill", "delete"):
            self.assertRegex(self.called(), rf"(?m)^--root .* {verb} ")

    @unittest.skipUnless(shutil.which("runc"), "needs runc")
    def test_sees_what_it_sees_with_runc(self):
        script = ("grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups)' /proc/self/status; env | sort;"
                  "cat /proc/self/oom_score_adj /proc/self/limits; ls /dev; ls /proc/self/fd;"
                  "while read -r a b c d place rest; do echo $place; done </proc/self/mountinfo |"
                  "sort; id; pwd")
        own = self.run_box("/bin/sh", "-c", script)
        self.assertEqual(own[0], 0, own[1])
        self.runtime = shutil.which("runc")
        self.assertEqual(own, self.run_box("/bin/sh", "-c", script))


if __name__ == "__main__":
    bundle.main()
