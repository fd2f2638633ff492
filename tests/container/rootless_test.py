"""Containers of an ordinary user: with a range of ids, with one id, and what is
refused."""
import os
import pwd
import shutil
import subprocess
import tempfile

import bundle
import harness
from bundle import UFS, USER, as_user, run


class RootlessTest(bundle.ContainerTest):
    def setUp(self):
        super().setUp()
        self.home = self.dir + "/home"
        shutil.move(self.bundle, self.home)
        self.bundle = self.home
        os.remove(self.bundle + "/config.json")
        self.state = self.home + "/state"
        self.own()

    def own(self):
        subprocess.run(["chown", "-R", f"{USER}:{USER}", self.home], check=True)

    def command(self, *words):
        return as_user(UFS, "oci", "--root", self.state, *words)

    def spec(self):
        done = run(*as_user(UFS, "oci", "spec", "--rootless", "--bundle", self.bundle))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.configure(**{"process.terminal": False})
        self.own()
        return done.stderr

    def ids(self, text):
        """Puts /etc/subuid and /etc/subgid in place, in our mount namespace."""
        for name in ("subuid", "subgid"):
            path = f"{self.dir}/{name}"
            with open(path, "w") as file:
                file.write(text)
            if not os.path.exists("/etc/" + name):
                self.skipTest("no /etc/" + name)
            subprocess.run(["mount", "--bind", path, "/etc/" + name], check=True)
            self.addCleanup(subprocess.run, ["umount", "/etc/" + name], check=True)
        self.before = (self.before[0], sorted(harness.mounts()))
        self.addCleanup(self.forget_mounts)

    def forget_mounts(self):
        self.before = (self.before[0], [m for m in self.before[1]
                                        if m not in ("/etc/subuid", "/etc/subgid")])

    def test_one_id(self):
        self.ids("")
        self.assertIn("only one id will be mapped", self.spec())
        self.configure(**{"root.readonly": False})
        text = self.run_box("id -u; cat /proc/self/uid_map; touch /tmp/x; stat -c %u /tmp/x;"
                            ": >/dev/null && echo device; grep CapEff /proc/self/status")
        self.assertEqual(text.split()[:6], ["0", "0", str(USER), "1", "0", "device"])
        self.assertEqual(os.stat(self.bundle + "/rootfs/tmp/x").st_uid, USER)

    def test_a_range_of_ids(self):
        if not shutil.which("newuidmap"):
            self.skipTest("no newuidmap")
        try:
            pwd.getpwuid(USER)
        except KeyError:
            self.skipTest(f"uid {USER} has no name, which newuidmap wants")
        self.ids(f"{USER}:200000:65536\n")
        self.assertEqual(self.spec(), "")
        self.configure(**{"root.readonly": False, "process.capabilities.effective":
                          ["CAP_CHOWN"], "process.capabilities.permitted": ["CAP_CHOWN"],
                          "process.capabilities.bounding": ["CAP_CHOWN"]})
        text = self.run_box("cat /proc/self/uid_map; touch /tmp/x; chown 5 /tmp/x || "
                            "busybox chown 5 /tmp/x; stat -c %u /tmp/x")
        self.assertEqual(text.split()[:6], ["0", str(USER), "1", "1", "200000", "65536"])
        self.assertEqual(text.split()[6], "5")
        self.assertEqual(os.stat(self.bundle + "/rootfs/tmp/x").st_uid, 200004)
        subprocess.run(["rm", "-f", self.bundle + "/rootfs/tmp/x"], check=True)

    def test_life(self):
        self.ids("")
        self.spec()
        pid = self.start_box()
        self.assertEqual(self.ok("exec", "ufs-box", "id", "-u"), "0\n")
        self.assertEqual(self.ok("exec", "ufs-box", "readlink", "/proc/self/ns/user"),
                         os.readlink(f"/proc/{pid}/ns/user") + "\n")
        self.ok("kill", "ufs-box", "KILL")
        self.assertTrue(bundle.wait_until(lambda: self.status()["status"] == "stopped"))
        self.ok("delete", "ufs-box")

    def test_limits_are_refused_with_the_reason(self):
        self.ids("")
        self.spec()
        self.configure(**{"linux.resources": {"memory": {"limit": 1 << 24}}})
        self.run_refused(r"memory.limit cannot be set: .*Permission denied.*run as root, or have")

    def test_killed_sooner_for_want_of_memory(self):
        """Each time: init is a process that its user may not write to before long."""
        self.ids("")
        self.spec()
        self.configure(**{"process.oomScoreAdj": 500})
        for _ in range(10):
            self.assertEqual(self.run_box("cat /proc/self/oom_score_adj"), "500\n")
        self.configure(**{"process.oomScoreAdj": -500})
        self.run_refused("oomScoreAdj cannot be set to -500.*CAP_SYS_RESOURCE on the host")

    def test_state_directory_of_somebody_else(self):
        place = f"/tmp/ufs-oci-{USER}"
        if os.path.lexists(place):
            self.skipTest(place + " is there")
        words = ("env", "-u", "XDG_RUNTIME_DIR", UFS, "oci")
        # Nothing is made for who keeps no state.
        self.assertEqual(run(*as_user(*words, "features")).returncode, 0)
        os.mkdir(place)
        self.addCleanup(os.rmdir, place)
        os.chmod(place, 0o755)
        done = run(*as_user(*words, "list"))
        self.assertEqual(done.returncode, 1)
        self.assertIn(place + " is not ours alone", done.stderr)
        self.assertEqual(run(*as_user(*words, "features")).returncode, 0)

    def test_without_a_user_namespace(self):
        self.ids("")
        self.spec()
        self.configure(**{"linux.uidMappings": None, "linux.gidMappings": None,
                          "linux.namespaces": lambda old: [n for n in old
                                                           if n["type"] != "user"]})
        self.run_refused("needs a user namespace")

    def test_groups_that_cannot_be_had(self):
        self.ids("")
        self.spec()
        self.configure(**{"process.user": {"uid": 0, "gid": 0, "additionalGids": [7]}})
        self.run_refused("additionalGids cannot be set")

    def test_ids_that_are_not_mapped(self):
        self.ids("")
        self.spec()
        self.configure(**{"process.user": {"uid": 7, "gid": 0}})
        self.run_refused("uid 7 cannot be had; is it mapped")

    def test_bind_source_that_only_a_group_may_enter(self):
        """Opened while the caller's own groups are still there."""
        self.ids("")
        self.spec()
        source = tempfile.mkdtemp(dir=self.dir)
        with open(source + "/file", "w") as file:
            file.write("group's")
        os.chown(source, 0, 4242)
        os.chmod(source, 0o750)
        self.add_mount("/group", "bind", source + "/file", "bind")
        self.script("cat /group")
        done = run("setpriv", f"--reuid={USER}", f"--regid={USER}", "--groups=4242",
                   UFS, "oci", "--root", self.state, "run", "-b", self.bundle, "ufs-box")
        self.assertEqual((done.stdout, done.returncode), ("group's", 0), done.stderr)


if __name__ == "__main__":
    bundle.main()
