"""What limits_test (v1, hybrid) and limits2_test (v2) ask alike."""
import json
import subprocess
import time


def limit(path, file):
    with open(f"{path}/{file}") as stream:
        return stream.read().strip()


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
