"""Every preset of CMakePresets.json configures on this machine."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
WANTED = {"dev", "release", "asan", "tsan", "tidy"}


class Presets(unittest.TestCase):
    def test_each_configures(self):
        listed = json.loads((SOURCE / "CMakePresets.json").read_text())
        names = [preset["name"] for preset in listed["configurePresets"]
                 if not preset.get("hidden")]
        self.assertEqual(WANTED - set(names), set())
        self.assertEqual({preset["configurePreset"]
                          for preset in listed["buildPresets"]}, set(names))
        for name in names:
            with self.subTest(name):
                build = tempfile.mkdtemp(prefix=f"ufs-{name}.")
                self.addCleanup(shutil.rmtree, build)
                done = subprocess.run(
                    ["cmake", "--preset", name, "-B", build], cwd=SOURCE,
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT, text=True)
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertTrue(os.path.exists(build + "/build.ninja"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
