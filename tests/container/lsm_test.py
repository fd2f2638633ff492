"""AppArmor profiles and SELinux labels: applied where the kernel has them, refused
where it has not.

Which of the two a kernel has is its own; the rest of the cases are skipped."""
import os
import shutil
import subprocess
import unittest

import bundle

PROFILE = """
profile ufs-test-box flags=(attach_disconnected) {
  file,
  capability,
  signal,
  unix,
  mount,
  deny /etc/secret r,
}
"""


def has_apparmor():
    try:
        with open("/sys/module/apparmor/parameters/enabled") as file:
            return file.read().startswith("Y")
    except OSError:
        return False


def has_selinux():
    return os.path.exists("/sys/fs/selinux/enforce")


class ProfileTest(bundle.ContainerTest):
    def check_refused(self, profile, by_run, by_exec):
        self.configure(**{"process.apparmorProfile": profile})
        self.run_refused(by_run)
        self.configure(**{"process.apparmorProfile": ""})
        self.start_box()
        self.refused(by_exec, "exec", "--apparmor", profile, "ufs-box", "true")


class LabelTest(ProfileTest):
    def test_unconfined_can_always_be_had(self):
        self.configure(**{"process.apparmorProfile": "unconfined"})
        self.assertEqual(self.run_box("echo ran"), "ran\n")
        self.start_box()
        self.assertEqual(self.ok("exec", "--apparmor", "unconfined", "ufs-box", "echo", "ran"),
                         "ran\n")

    def test_announced(self):
        features = bundle.json.loads(self.ok("features"))["linux"]
        self.assertTrue(features["apparmor"]["enabled"] and features["selinux"]["enabled"])

    @unittest.skipIf(has_apparmor(), "has AppArmor")
    def test_without_apparmor(self):
        self.check_refused("docker-default",
                           'apparmorProfile "docker-default": AppArmor is not enabled',
                           "AppArmor is not enabled")

    @unittest.skipIf(has_selinux(), "has SELinux")
    def test_without_selinux(self):
        for where in "process.selinuxLabel", "linux.mountLabel":
            self.configure(**{where: "system_u:system_r:container_t:s0"})
            self.run_refused(where + ' "system_u.*": SELinux is not enabled')
            self.configure(**{where: ""})
        self.start_box()
        self.refused("SELinux is not enabled", "exec", "--process-label", "x", "ufs-box", "true")


@unittest.skipUnless(has_apparmor(), "no AppArmor here")
class AppArmorTest(ProfileTest):
    def test_a_profile_that_is_not_loaded(self):
        self.check_refused(
            "none-such",
            'apparmorProfile "none-such" is not loaded; load it with apparmor_parser',
            "is not loaded")

    def load(self):
        if not shutil.which("apparmor_parser"):
            self.skipTest("needs apparmor_parser; run: apt-get install apparmor")
        if not os.path.ismount("/sys/kernel/security"):
            subprocess.run(["mount", "-t", "securityfs", "securityfs", "/sys/kernel/security"],
                           check=True)
            self.addCleanup(subprocess.run, ["umount", "/sys/kernel/security"])
        for option in "-r", "-R":
            command = ["apparmor_parser", option, "-K"]
            if option == "-R":
                self.addCleanup(subprocess.run, command, input=PROFILE, text=True)
            else:
                subprocess.run(command, input=PROFILE, text=True, check=True)
        with open(self.bundle + "/rootfs/etc/secret", "w") as file:
            file.write("secret")

    def test_confines(self):
        self.load()
        self.configure(**{"process.apparmorProfile": "ufs-test-box"})
        maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        for changes in ({}, {"process.noNewPrivileges": False},
                        {"linux.namespaces": lambda old: old + [{"type": "user"}],
                         "linux.uidMappings": maps, "linux.gidMappings": maps}):
            self.configure(**changes)
            text = self.run_box("cat /proc/self/attr/current; cat /etc/secret 2>&1; true")
            self.assertIn("ufs-test-box (enforce)", text)
            self.assertIn("Permission denied", text)

    def test_confines_what_is_executed(self):
        self.load()
        self.start_box()
        show = ["cat", "/proc/self/attr/current"]
        self.assertIn("unconfined", self.ok("exec", "ufs-box", *show))
        self.assertIn("ufs-test-box", self.ok("exec", "--apparmor", "ufs-test-box", "ufs-box", *show))

    def test_is_set_through_the_hosts_proc(self):
        """CVE-2019-16884, 2025-52881: the container's own is full of lies."""
        self.load()
        self.configure(**{
            "mounts": lambda old: [m for m in old if m["destination"] != "/proc"],
            "linux.maskedPaths": [], "linux.readonlyPaths": [],
            "process.apparmorProfile": "ufs-test-box"})
        os.makedirs(self.bundle + "/rootfs/proc/self/attr/apparmor")
        for name in "exec", "apparmor/exec":
            with open(f"{self.bundle}/rootfs/proc/self/attr/{name}", "w"):
                pass
        pid = self.start_box()
        with open(f"/proc/{pid}/attr/current") as file:
            self.assertIn("ufs-test-box", file.read())
        self.assertIn("denied", self.oci("exec", "ufs-box", "cat", "/etc/secret").stderr)
        for name in "exec", "apparmor/exec":
            self.assertEqual(os.path.getsize(f"{self.bundle}/rootfs/proc/self/attr/{name}"), 0)


def own_label():
    with open("/proc/self/attr/current") as file:
        return file.read().rstrip("\0\n")


@unittest.skipUnless(has_selinux() and own_label() == "kernel", "no SELinux without a policy here")
class SelinuxTest(bundle.ContainerTest):
    """Before a policy is loaded, SELinux knows its initial labels by their names."""

    def test_labels(self):
        self.configure(**{"process.selinuxLabel": "unlabeled"})
        self.assertIn("unlabeled", self.run_box("cat /proc/self/attr/current"))

    def test_labels_what_is_executed(self):
        self.start_box()
        show = ["cat", "/proc/self/attr/current"]
        self.assertIn("kernel", self.ok("exec", "ufs-box", *show))
        self.assertIn("unlabeled", self.ok("exec", "--process-label", "unlabeled", "ufs-box", *show))


if __name__ == "__main__":
    bundle.main()
