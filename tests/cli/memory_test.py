"""Commands that get too little memory: each ends with an exit code and says why,
and what was begun is not there."""
import json
import os
import re
import resource
import unittest

import harness
from harness import UFS, CliTest, run

MEGABYTE = 1 << 20
LOADER = 127  # the limit is too small for the program itself
KILLED_BY_EXEC = -11
SAYS = r"out of memory; raise the limit|no thread can be had; raise|Cannot allocate memory"


def within(size):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return limit


class Memory(CliTest):
    def setUp(self):
        super().setUp()
        for number in range(200):
            with open(self.make_dir("many") + f"/{number}", "wb") as file:
                file.write(os.urandom(30_000))
        self.store = self.at("store")

    def at_each_limit(self, *command):
        """From where it starts to run up to where it succeeds, and closely below that."""
        self.said = 0
        for megabytes in range(16, 1024, 2):
            done = self.within(megabytes * MEGABYTE, command)
            if done.returncode == 0:
                self.assertGreater(self.said, 0, "it never had too little")
                break
        else:
            if self.said == 0:
                self.skipTest("the program itself needs more, as with a sanitizer")
            self.fail("it never had enough")
        # In the last of these steps it may have been late that it found out.
        self.forget(done)
        for part in range(1, 32):
            done = self.within((megabytes - 2) * MEGABYTE + part * MEGABYTE // 16, command)
            if done.returncode == 0:
                break

    def within(self, size, command):
        done = run(UFS, *command, preexec_fn=within(size), cwd=self.dir)
        if done.returncode == 0 or self.said == 0 and done.returncode in (LOADER, KILLED_BY_EXEC):
            return done
        self.said += 1
        self.assertEqual(done.returncode, 1, (size, done.stderr))
        self.assertRegex(done.stderr, SAYS, size)
        listed = run(UFS, "layer", "ls", "--json", "--store", self.store)
        self.assertEqual(json.loads(listed.stdout or "[]"), self.known, size)
        return done

    def forget(self, imported):
        [digest] = set(re.findall("sha256:[0-9a-f]{64}", imported.stdout))
        self.assertEqual(run(UFS, "layer", "rm", "--store", self.store, digest).returncode, 0)

    def check_is_clean(self):
        # What was left by those that could not clean up after themselves goes.
        self.assertEqual(run(UFS, "store", "gc", "--store", self.store).returncode, 0)
        self.assertEqual(os.listdir(self.store + "/ingest"), [])
        done = run(UFS, "store", "check", "--store", self.store)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def import_at_each_limit(self, source):
        # A store that is there, so that what it lists can be compared.
        self.assertEqual(run(UFS, "layer", "import", "--store", self.store, "--name", "known",
                             self.base).returncode, 0)
        self.known = json.loads(run(UFS, "layer", "ls", "--json", "--store", self.store).stdout)
        self.at_each_limit("layer", "import", "--store", self.store, source)
        self.check_is_clean()

    def test_import_of_a_directory(self):
        self.import_at_each_limit("many")

    def test_import_of_compressed_tars(self):
        for flag in ("--gzip", "--zstd", "--xz"):
            with self.subTest(flag):
                name = self.at("tar" + flag)
                self.store = self.at("store" + flag)
                self.assertEqual(run("tar", flag, "-cf", name, "-C", self.at("many"), ".").returncode,
                                 0)
                self.import_at_each_limit(name)

    def test_the_runtime_alone(self):
        """A config.json that it has no room for."""
        bundle = self.make_dir("bundle")
        with open(bundle + "/config.json", "w") as file:
            json.dump({"ociVersion": "1.2.0", "annotations": {str(i): "x" * 50 for i in range(40_000)}}, file)
        command = (os.path.join(os.path.dirname(UFS), "ufs-oci"), "--root", self.at("state"),
                   "run", "-b", bundle, "box")
        done = run(*command, preexec_fn=within(12 * MEGABYTE), cwd=self.dir)
        if done.returncode in (LOADER, KILLED_BY_EXEC):
            self.skipTest("the program itself needs more, as with a sanitizer")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, SAYS)
        self.assertNotRegex(run(*command, cwd=self.dir).stderr, SAYS)


if __name__ == "__main__":
    harness.main()
