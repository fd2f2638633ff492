"""ufs doctor: what is found is so, and what is missing comes with a remedy."""
import json
import os
import shutil
import subprocess

import harness
from harness import UFS, CliTest, as_user, run


class Doctor(CliTest):
    def look(self, *command):
        done = run(*command, UFS, "doctor", "--json")
        self.assertEqual(done.stderr, "")
        return done.returncode, {check["name"]: check for check in json.loads(done.stdout)}

    def over(self, path, text):
        """Puts a file with this text over one of the machine's."""
        self.write("over" + path.replace("/", "-"), text)
        subprocess.run(["mount", "--bind", self.at("over" + path.replace("/", "-")), path],
                       check=True)
        self.addCleanup(run, "umount", path)

    def test_root(self):
        code, checks = self.look()
        self.assertEqual(code, 0)
        self.assertEqual(checks["FUSE"]["state"], "ok")
        self.assertEqual(checks["kernel"]["found"], "Linux " + os.uname().release)
        self.assertEqual(checks["state directory"]["found"], "/var/lib/ufs")
        for check in checks.values():
            self.assertIn(check["state"], ("ok", "less", "missing"))
            self.assertEqual(check["state"] == "ok", check["remedy"] == "", check)
        self.assertIn("kernel", run(UFS, "doctor").stdout)

    def test_user_without_fuse_or_ids(self):
        node = self.at("fuse")
        os.mknod(node, 0o20600, os.makedev(10, 229))
        subprocess.run(["mount", "--bind", node, "/dev/fuse"], check=True)
        self.addCleanup(run, "umount", "/dev/fuse")
        if os.path.exists("/etc/subuid"):
            self.over("/etc/subuid", "")
        code, checks = self.look(*as_user("env", "HOME=" + self.dir))
        self.assertEqual(code, 1)
        self.assertEqual(checks["FUSE"]["state"], "missing")
        self.assertEqual(checks["FUSE"]["found"], "/dev/fuse is not for this user")
        self.assertIn("as root: chmod 666 /dev/fuse", checks["FUSE"]["remedy"])
        self.assertEqual(checks["FUSE passthrough"]["state"], "less")
        self.assertEqual(checks["subordinate ids"]["state"], "less")
        self.assertEqual(checks["subordinate ids"]["found"], "1 id")
        self.assertEqual(checks["user namespaces"]["state"], "ok")

    def test_tun_that_is_there_but_not_for_the_user(self):
        if not any(map(shutil.which, ("slirp4netns", "pasta"))) or \
                not os.path.exists("/dev/net/tun"):
            self.skipTest("needs slirp4netns or pasta, and /dev/net/tun")
        node = self.at("tun")
        os.mknod(node, 0o20600, os.makedev(10, 200))
        subprocess.run(["mount", "--bind", node, "/dev/net/tun"], check=True)
        self.addCleanup(run, "umount", "/dev/net/tun")
        _, checks = self.look(*as_user("env", "HOME=" + self.dir))
        self.assertIn("chmod 666 /dev/net/tun", checks["private networks"]["remedy"])

    def test_user_who_has_all(self):
        harness.open_fuse_to_all(self.dir)
        self.addCleanup(run, "umount", "/dev/fuse")
        code, checks = self.look(*as_user("env", "HOME=" + self.dir))
        self.assertEqual(code, 0, checks)
        self.assertEqual(checks["FUSE"]["state"], "ok")
        self.assertEqual(checks["cgroups"]["state"], "less")
        self.assertIn("cannot be written", checks["cgroups"]["found"])


if __name__ == "__main__":
    harness.main()
