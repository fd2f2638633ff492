"""What limits_test (v1, hybrid) and limits2_test (v2) ask alike."""
import json
import os
import subprocess
import time


def limit(path, file):
    with open(f"{path}/{file}") as stream:
        return stream.read().strip()


def write(path, text):
    with open(path, "w") as stream:
        stream.write(text)


class Bombs:
    """For a bundle.ContainerTest."""
    patience = 30

    def resources(self, **changes):
        self.configure(**{"linux.resources": changes})

    def test_memory_bomb_is_held_and_told(self):
        self.resources(memory={"limit": 16 << 20, "swap": 16 << 20})
        self.start_box()
        events = subprocess.Popen(self.command("events", "--interval", "1s", "ufs-box"),
                                  stdout=subprocess.PIPE, text=True)
        self.assertIn('"stats"', events.stdout.readline())
        self.detached("exec", "--detach", "ufs-box", "dd", "if=/dev/zero", "of=/dev/null",
                      "bs=64M", "count=1")
        kinds = set()
        end = time.monotonic() + self.patience
        while "oom" not in kinds and time.monotonic() < end:
            kinds.add(json.loads(events.stdout.readline())["type"])
        self.assertIn("oom", kinds)
        self.ok("delete", "--force", "ufs-box")
        events.communicate(timeout=30)

    def test_exec_where_controllers_are_handed_on(self):
        """No process may be beside the cgroups that a container hands them on to."""
        cgroup, controller = self.unified()
        self.resources(memory={"limit": 64 << 20})
        self.start_box()
        if not os.path.isdir(cgroup) or controller not in limit(cgroup, "cgroup.controllers"):
            self.skipTest(f"needs {controller} on cgroup v2")
        os.mkdir(cgroup + "/inner")
        for pid in limit(cgroup, "cgroup.procs").split():
            write(cgroup + "/inner/cgroup.procs", pid)
        write(cgroup + "/cgroup.subtree_control", "+" + controller)
        self.assertIn("0::/inner\n", self.ok("exec", "ufs-box", "cat", "/proc/self/cgroup"))
        # Who names a place is taken at his word.
        self.refused("takes no process, as .*; name one of those", "exec", "--cgroup", "/", "ufs-box",
                     "cat", "/proc/self/cgroup")
