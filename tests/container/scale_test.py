"""Many containers at once over one image: each reads and writes in its union; then
they, their supervisors and daemons are killed at random moments, and in the end
nothing is left. UFS_BOXES says how many, UFS_SEED repeats a run."""
import json
import os
import random
import signal
import subprocess
import time

import bundle
import box
from bundle import wait_until

BOXES = int(os.environ.get("UFS_BOXES", "20"))
SEED = int(os.environ.get("UFS_SEED", time.time_ns() % 1000000))
AT_ONCE = 16  # starts under way
PATIENCE = 120 + BOXES * 3

# Every round a file is made of two of the image, renamed, and read again: what is
# read must be what was written. A rest between rounds leaves the machine to the
# others: the more there are, the longer.
LOAD = f"""
i=0
rest={BOXES / 100}
while :; do
  i=$((i + 1))
  cat /both /data/$((i % 20)) >/data/mine.new || exit 11
  echo $i >>/data/log || exit 12
  mv /data/mine.new /data/mine || exit 13
  [ "$(head -c 3 /data/mine)" = app ] || exit 14
  [ $(wc -l </data/log) = $i ] || exit 15
  rm -f /data/gone-$((i % 20)) && touch /data/gone-$((i % 20)) || exit 16
  [ $i = 3 ] && echo loaded
  sleep $rest
done
"""


class ScaleTest(box.BoxTest):
    def setUp(self):
        super().setUp()
        for number in range(20):
            self.write(f"app/data/{number}", f"{number}\n" * 1000)
        self.random = random.Random(SEED)
        self.names = [f"box{number}" for number in range(BOXES)]
        self.addCleanup(self.remove_all)

    def remove_all(self):
        left = self.ok("ps", "--all", "--quiet", timeout=PATIENCE).split()
        if left:
            self.ufs("rm", "--force", *left, timeout=PATIENCE)

    def start_all(self, *options):
        """Some with --rm, some kept; no more than a few starts at a time."""
        running = {}
        self.removed = {name for name in self.names if self.random.random() < 0.3}
        for name in self.names + [None] * AT_ONCE:
            if name is None or len(running) >= AT_ONCE:
                if not running:
                    break
                done, process = running.popitem()
                output, errors = process.communicate(timeout=PATIENCE)
                self.assertEqual((process.returncode, output, errors), (0, done + "\n", ""))
            if name is not None:
                how = ["--rm"] if name in self.removed else []
                running[name] = subprocess.Popen(
                    self.command(*self.words(LOAD, "-d", "--name", name, *how, *options)),
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def list(self):
        return {found["name"]: found for found in json.loads(
            self.ok("ps", "--all", "--json", timeout=PATIENCE))}

    def is_loaded(self, name):
        with open(f"{self.store}/{name}/log") as file:
            return "loaded" in file.read()

    def kill(self, found, what):
        pid = {"container": found["pid"], "supervisor": found["supervisor"],
               "daemon": self.daemon_of(found)}[what]
        os.kill(pid, signal.SIGKILL)

    def test_killed_at_random(self):
        print(f"{BOXES} containers, UFS_SEED={SEED}", flush=True)
        self.start_all()
        found = self.list()
        self.assertEqual(sorted(found), sorted(self.names))
        self.assertEqual({one["status"] for one in found.values()}, {"running"})
        self.assertTrue(wait_until(lambda: all(map(self.is_loaded, self.names)), PATIENCE))

        self.random.shuffle(self.names)
        killed = {}
        for name in self.names:
            killed[name] = self.random.choice(["container", "supervisor", "daemon", "stop"])
            if killed[name] == "stop":
                self.ok("stop", "--time", "0", name, timeout=PATIENCE)
            else:
                self.kill(found[name], killed[name])
            time.sleep(self.random.random() * 0.05)

        def all_ended():
            return all(one["ended"] for one in self.list().values())
        self.assertTrue(wait_until(all_ended, PATIENCE))
        left = self.list()
        self.assertEqual(set(left), set(self.names) - self.removed)
        errors = {"container": "", "stop": "", "supervisor": "its supervisor was killed",
                  "daemon": "the daemon of its file system was killed"}
        for name, one in left.items():
            self.assertEqual(one["error"], errors[killed[name]], name)
            # Whatever one that has lost its daemon has said to that.
            code = 125 if killed[name] == "daemon" else 137
            self.assertEqual(one["exit_code"], code, name)
        self.ok("rm", *left, timeout=PATIENCE)
        self.assertEqual(self.records(), [])

    def test_all_stopped_together(self):
        """Every load has gone well up to its end."""
        self.start_all()
        self.assertTrue(wait_until(lambda: all(map(self.is_loaded, self.names)), PATIENCE))
        self.ok("kill", "--signal", "KILL", *self.names, timeout=PATIENCE)
        kept = [name for name in self.names if name not in self.removed]
        self.assertEqual(self.ok("wait", *kept, timeout=PATIENCE), "137\n" * len(kept))
        self.assertTrue(wait_until(lambda: len(self.records()) == len(kept), PATIENCE))
        self.ok("rm", *kept, timeout=PATIENCE)


if __name__ == "__main__":
    bundle.main()
