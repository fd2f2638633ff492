"""ufs commit and ufs squash, killed and failing at every fault point they come by,
and the daemon of the mount that is committed. Whatever happened: the mount, or
the next one of its upper, shows what it did, the store is sound, nothing is left
in it, and the same command again does what it should have done."""
import os

import harness
from harness import UFS, CliTest, run

LARGE = "".join(f"line {number}\n" for number in range(20_000))
WRITTEN = {"large": "other " + LARGE, "second": LARGE, "names/new": "n", "only-base": "changed"}
ERRNOS = ("ENOSPC", "EIO")


class Crash(CliTest):
    def setUp(self):
        super().setUp()
        self.store = self.at("store")
        self.assertEqual(self.of_store("import", self.base, "--name", "base").returncode, 0)

    def of_store(self, verb, *words):
        return run(UFS, "layer", verb, "--store", self.store, *words)

    def with_fault(self, fault, *command):
        return run(UFS, *command, env={**os.environ, "UFS_FAULT": fault})

    def visits(self, *command):
        """Each point the command comes by, the first and the second time."""
        trace = self.at("trace")
        done = self.with_fault(f"trace:{trace}", *command)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        points = self.read("trace").split()
        return [(point, nth) for point in dict.fromkeys(points)
                for nth in range(1, min(points.count(point), 2) + 1)]

    def check_store(self, where):
        done = run(UFS, "store", "gc", "--store", self.store)
        self.assertEqual(done.returncode, 0, (where, done.stderr))
        done = run(UFS, "store", "check", "--store", self.store)
        self.assertEqual((done.returncode, done.stderr), (0, ""), where)
        done = self.of_store("verify")
        self.assertEqual(done.returncode, 0, (where, done.stderr))
        self.assertEqual(os.listdir(self.at("store/ingest")), [], where)

    def contents(self):
        found = {}
        for parent, _, names in os.walk(self.mnt):
            for name in names:
                path = os.path.join(parent, name)
                with open(path) as file:
                    found[os.path.relpath(path, self.mnt)] = file.read()
        return found

    def check_layers(self, where, expected, *layers):
        self.mount("--store", self.store, "--ro", *layers, self.mnt)
        self.assertEqual(self.contents(), expected, where)
        self.umount()

    # --- of a mount -------------------------------------------------------------

    def change(self, number, **options):
        """A fresh upper, mounted and written to."""
        upper = self.at(f"up{number}")
        self.mount("--store", self.store, "--upper", upper, "base", self.mnt, **options)
        for name, text in WRITTEN.items():
            # A layer of its own each time, or the store would have it already.
            self.write(f"mnt/{name}", f"{number} {text}")
        os.unlink(f"{self.mnt}/both")
        return upper

    def check_commit_goes_on(self, where, upper, number):
        """After a commit that came to grief."""
        expected = {name: f"{number} {text}" for name, text in WRITTEN.items()}
        self.assertEqual(self.contents(), expected, where)
        self.check_store(where)
        self.write("mnt/later", "later")
        done = run(UFS, "commit", "--store", self.store, self.mnt, "--name", "again")
        self.assertEqual((done.returncode, done.stderr), (0, ""), where)
        expected["later"] = "later"
        self.assertEqual(self.contents(), expected, where)
        self.umount()
        self.mount("--store", self.store, "--upper", upper, "base", self.mnt)
        self.assertEqual(self.contents(), expected, where)
        self.umount()
        self.check_store(where)
        # Where the first one was made it is beneath the second one.
        made = self.of_store("show", f"made{number}").returncode == 0
        emptied = made and os.path.isdir(f"{upper}.work/ufs/frozen/2")
        layers = ["base", f"made{number}", "again"] if emptied else ["base", "again"]
        self.check_layers(where, expected, *layers)

    def test_a_commit(self):
        self.change(0)
        visits = self.visits("commit", "--store", self.store, self.mnt, "--name", "made0")
        self.umount()
        self.assertGreater({point for point, _ in visits},
                           {"ingest.begin", "object.publish", "seal.index", "name.set"})
        number = 0
        for point, nth in visits:
            for action in ("kill", ERRNOS[number % len(ERRNOS)]):
                number += 1
                where = f"{point}:{action}:{nth}"
                upper = self.change(number)
                done = self.with_fault(where, "commit", "--store", self.store, self.mnt,
                                       "--name", f"made{number}")
                if action == "kill":
                    self.assertEqual(done.returncode, -9, where)
                else:
                    self.assertEqual(done.returncode, 1, where)
                    self.assertRegex(done.stderr, "^ufs commit: ", where)
                self.check_commit_goes_on(where, upper, number)

    def test_the_daemon_of_a_mount_that_is_committed(self):
        points = run(UFS, "mount", "--list-fault-points").stdout.split()[::2]
        number = 0
        for point in points:
            if not point.startswith("freeze.") or point == "freeze.dropped":
                continue
            number += 1
            where = f"{point}:kill"
            upper = self.change(number, env={**os.environ, "UFS_FAULT": where})
            done = run(UFS, "commit", "--store", self.store, self.mnt, "--name", f"made{number}")
            # The layer is there, and that is what was asked for.
            self.assertEqual(done.returncode, 0, (where, done.stderr))
            self.assertRegex(done.stdout, "^sha256:", where)
            self.assertIn("the mount keeps its upper", done.stderr, where)
            run(UFS, "umount", self.mnt)
            self.mount("--store", self.store, "--upper", upper, "base", self.mnt)
            self.check_commit_goes_on(where, upper, number)
        self.assertGreater(number, 5)

    def test_the_mount_that_finds_its_commits_among_the_layers(self):
        upper = self.change(1)
        expected = {name: f"1 {text}" for name, text in WRITTEN.items()}
        run(UFS, "commit", "--store", self.store, self.mnt, "--name", "made")
        self.umount()
        done = self.with_fault("freeze.dropped:kill", "mount", "--store", self.store, "--upper",
                               upper, "base", "made", self.mnt)
        self.assertNotEqual(done.returncode, 0)
        self.mount("--store", self.store, "--upper", upper, "base", "made", self.mnt)
        self.assertEqual(self.contents(), expected)
        self.assertTrue({"frozen", "dropped"}.isdisjoint(os.listdir(f"{upper}.work/ufs")))

    # --- of layers --------------------------------------------------------------

    def test_a_squash(self):
        def layers(number):
            top = self.make_layer(f"top{number}", {"both": f"{number} {LARGE}", "new": str(number)})
            self.of_store("import", top, "--name", f"top{number}")
            return ["base", f"top{number}"]

        def squash(number):
            return ["squash", "--store", self.store, *layers(number), "--name", f"flat{number}"]

        visits = self.visits(*squash(0))
        self.assertGreater({point for point, _ in visits}, {"ingest.begin", "seal.index", "name.set"})
        number = 0
        for point, nth in visits:
            for action in ("kill", ERRNOS[number % len(ERRNOS)]):
                number += 1
                where = f"{point}:{action}:{nth}"
                done = self.with_fault(where, *squash(number))
                self.assertEqual(done.returncode, -9 if action == "kill" else 1, where)
                self.check_store(where)
                done = run(UFS, *squash(number))
                self.assertEqual((done.returncode, done.stderr), (0, ""), where)
                self.check_layers(where, {"both": f"{number} {LARGE}", "new": str(number),
                                          "only-base": "1"}, f"flat{number}")


if __name__ == "__main__":
    harness.main()
