"""Idmapped mounts: who owns the files of a bind mount, seen from inside and on
the host."""
import json
import os
import platform
import subprocess

import bundle
from bundle import USER, as_user

MAPS = [{"containerID": 0, "hostID": 100000, "size": 65536}]


def maps(*rows):
    return [{"containerID": a, "hostID": b, "size": size} for a, b, size in rows]


class IdmapTest(bundle.ContainerTest):
    def setUp(self):
        super().setUp()
        os.mkdir(self.bundle + "/rootfs/data")
        self.source = self.dir + "/source"
        os.mkdir(self.source)
        self.write(self.source + "/file", 1000, 2000)

    def write(self, path, uid, gid):
        with open(path, "w") as file:
            file.write("of the host")
        os.chown(path, uid, gid)

    def mount_tmpfs(self, path):
        os.makedirs(path, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path], check=True)
        self.addCleanup(self.unmount, path)
        self.before = (self.before[0], sorted(self.before[1] + [path]))

    def unmount(self, path):
        subprocess.run(["umount", path], check=True)
        self.before[1].remove(path)

    def add_idmap(self, options, uids=None, gids=None, **more):
        mount = {"destination": "/data", "type": "bind", "source": self.source,
                 "options": options, **more}
        if uids is not None:
            mount["uidMappings"] = uids
        if gids is not None:
            mount["gidMappings"] = gids
        self.configure(mounts=lambda old: [m for m in old if m["destination"] != "/data"] + [mount])

    def use_user_namespace(self, **changes):
        self.configure(**{"linux.namespaces": lambda old: old + [{"type": "user"}],
                          "linux.uidMappings": MAPS, "linux.gidMappings": MAPS, **changes})

    def owners(self, *names):
        return self.run_box("".join(f"stat -c %u:%g /data/{name};" for name in names)).split()

    # --- of a root without a user namespace ---------------------------------------

    def test_mappings_of_the_mount(self):
        self.add_idmap(["bind", "idmap"], maps((1000, 0, 1)), maps((2000, 7, 1)))
        self.write(self.source + "/other", 1001, 2000)
        self.assertEqual(self.owners("file", "other"), ["0:7", "65534:7"])

    def test_what_is_made_inside_is_mapped_back(self):
        os.chown(self.source, 1000, 2000)
        self.add_idmap(["bind", "idmap"], maps((1000, 0, 1)), maps((2000, 0, 1)))
        self.assertEqual(self.run_box("echo new >/data/new; stat -c %u:%g /data/new"), "0:0\n")
        made = os.stat(self.source + "/new")
        self.assertEqual((made.st_uid, made.st_gid), (1000, 2000))

    def test_an_id_that_is_not_mapped_makes_nothing(self):
        os.chmod(self.source, 0o777)
        os.chown(self.source, 1000, 2000)
        self.add_idmap(["bind", "idmap"], maps((1000, 1, 1)), maps((2000, 1, 1)))
        self.run_box("echo new >/data/new; true")
        self.assertEqual(os.listdir(self.source), ["file"])

    def test_option_may_be_left_out_and_mappings_be_in_it(self):
        self.add_idmap(["bind"], maps((1000, 5, 1)), maps((2000, 6, 1)))
        self.assertEqual(self.owners("file"), ["5:6"])
        self.add_idmap(["bind", "idmap=uids=0-0-5#1000-8-2;gids=2000-9-1"])
        self.assertEqual(self.owners("file"), ["8:9"])

    def test_tmpfs(self):
        if tuple(map(int, platform.release().split(".")[:2])) < (6, 3):
            self.skipTest("tmpfs of this kernel has no idmapped mounts")
        self.mount_tmpfs(self.source)
        self.write(self.source + "/file", 1000, 2000)
        self.add_idmap(["bind", "idmap"], maps((1000, 0, 1)), maps((2000, 7, 1)))
        self.assertEqual(self.owners("file"), ["0:7"])

    def test_a_single_file(self):
        self.source += "/file"
        os.rmdir(self.bundle + "/rootfs/data")
        self.add_idmap(["bind", "idmap"], maps((1000, 3, 1)), maps((2000, 4, 1)))
        self.assertEqual(self.run_box("stat -c %u:%g /data"), "3:4\n")

    def test_with_other_attributes(self):
        self.add_idmap(["bind", "idmap", "ro", "noexec"], maps((1000, 0, 1)), maps((2000, 0, 1)))
        text = self.run_box("touch /data/file; stat -c %u /data/file; grep ' /data ' /proc/self/mountinfo")
        self.assertRegex(text, r"^0\n.* ro,.*noexec.*idmapped")

    def test_mounts_below(self):
        if tuple(map(int, platform.release().split(".")[:2])) < (6, 3):
            self.skipTest("tmpfs of this kernel has no idmapped mounts")
        self.mount_tmpfs(self.source + "/below")
        self.write(self.source + "/below/file", 1000, 2000)
        one = maps((1000, 0, 1)), maps((2000, 0, 1))
        for options, below in ((["rbind", "idmap"], "1000:2000"), (["rbind", "ridmap"], "0:0"),
                               (["rbind"], "1000:2000")):
            self.add_idmap(options, *one)
            self.assertEqual(self.owners("file", "below/file"), ["0:0", below], options)
        self.add_idmap(["bind", "ridmap"], *one)
        self.assertEqual(self.run_box("stat -c %u /data/file; ls /data/below"), "0\n")

    # --- with one -------------------------------------------------------------------

    def test_mappings_of_the_user_namespace(self):
        self.use_user_namespace()
        os.chmod(self.source, 0o777)
        self.add_idmap(["bind"])
        self.assertEqual(self.owners("file"), ["65534:65534"])
        self.add_idmap(["bind", "idmap"])
        self.assertEqual(self.owners("file"), ["1000:2000"])
        self.run_box("echo new >/data/new")
        self.assertEqual(os.stat(self.source + "/new").st_uid, 0)

    def test_mappings_of_the_mount_in_a_user_namespace(self):
        self.use_user_namespace()
        self.add_idmap(["bind", "idmap"], maps((1000, 100033, 1)), maps((2000, 100044, 1)))
        self.assertEqual(self.owners("file"), ["33:44"])

    def test_of_a_user_namespace_that_is_joined(self):
        self.use_user_namespace()
        pid = self.start_box()
        self.bundle = self.make_bundle("second")
        os.mkdir(self.bundle + "/rootfs/data")
        self.configure(**{"linux.namespaces": lambda old: old + [
            {"type": "user", "path": f"/proc/{pid}/ns/user"}]})
        self.add_idmap(["bind", "idmap"])
        self.script("stat -c %u:%g /data/file")
        self.assertEqual(self.ok("run", "-b", self.bundle, "ufs-box2"), "1000:2000\n")

    def test_with_a_helper_that_goes_first(self):
        self.use_user_namespace()
        self.configure(**{"linux.namespaces": lambda old: old + [{"type": "time"}]})
        self.add_idmap(["bind", "idmap"])
        self.assertEqual(self.owners("file"), ["1000:2000"])

    def test_what_the_host_made_read_only_stays_so(self):
        """A privileged container in a user namespace changes its own mounts only."""
        subprocess.run(["mount", "--bind", self.source, self.source], check=True)
        self.addCleanup(self.unmount, self.source)
        self.before = (self.before[0], sorted(self.before[1] + [self.source]))
        subprocess.run(["mount", "-o", "remount,bind,ro", self.source], check=True)
        self.use_user_namespace(**{
            "process.capabilities": {kind: ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]
                                     for kind in ("bounding", "effective", "permitted")}})
        self.add_idmap(["bind", "idmap"])
        text = self.run_box("mount -o remount,bind,rw /data 2>&1; touch /data/new 2>&1; true")
        self.assertRegex(text, r"(?s)(denied|permitted).*Read-only file system")

    def test_below_a_directory_closed_to_others(self):
        """Root may enter it on the host; init in its user namespace may not."""
        closed = self.dir + "/closed"
        os.mkdir(closed)
        os.rename(self.source, closed + "/source")
        os.chown(closed, 1000, 1000)
        os.chmod(closed, 0o700)
        # The path leads over a link, as it may.
        os.symlink("source", closed + "/link")
        self.source = closed + "/link"
        self.use_user_namespace()
        self.add_idmap(["bind"])
        self.assertEqual(self.owners("file"), ["65534:65534"])
        self.add_idmap(["bind", "idmap"])
        self.assertEqual(self.owners("file"), ["1000:2000"])
        os.rename(self.bundle, closed + "/bundle")
        self.bundle = closed + "/bundle"
        self.assertEqual(self.owners("file"), ["1000:2000"])
        self.source = closed + "/nothing"
        self.add_idmap(["bind"])
        self.run_refused("mount /data: source .*nothing: No such file")

    def test_read_only_below_a_closed_directory_stays_so(self):
        os.makedirs(self.dir + "/closed/source")
        os.chown(self.dir + "/closed", 1000, 1000)
        os.chmod(self.dir + "/closed", 0o700)
        self.source = self.dir + "/closed/source"
        self.test_what_the_host_made_read_only_stays_so()

    def test_mounts_do_not_reach_the_host(self):
        subprocess.run(["mount", "--bind", self.source, self.source], check=True)
        self.addCleanup(self.unmount, self.source)
        self.before = (self.before[0], sorted(self.before[1] + [self.source]))
        subprocess.run(["mount", "--make-shared", self.source], check=True)
        os.mkdir(self.source + "/sub")
        self.configure(**{"process.capabilities": {
            kind: ["CAP_SYS_ADMIN"] for kind in ("bounding", "effective", "permitted")}})
        self.add_idmap(["bind", "idmap"], maps((0, 0, 3000)), maps((0, 0, 3000)))
        self.run_box("mount -t tmpfs x /data/sub && touch /data/sub/inside && ls /data/sub")
        self.assertEqual(os.listdir(self.source + "/sub"), [])

    # --- what cannot be --------------------------------------------------------------

    def test_without_mappings_or_a_user_namespace(self):
        self.add_idmap(["bind", "idmap"])
        self.run_refused("mount /data: .*uidMappings and gidMappings")

    def test_refused_by_name(self):
        one = maps((0, 0, 1))
        for options, uids, gids, more, message in (
                (["bind", "idmap"], one, None, {}, "both uidMappings and gidMappings"),
                (["idmap"], one, one, {"type": "tmpfs"}, "bind mounts alone"),
                (["bind", "idmap=uids=0-0-1"], None, None, {}, "uids=.*gids="),
                (["bind", "idmap=uids=@0-0-1;gids=@0-0-1"], None, None, {}, "'@'"),
                (["bind", "idmap=uids=0-0;gids=0-0-1"], None, None, {}, "FS-HOST-SIZE"),
                (["bind", "idmap=uids=0-0-1;gids=0-0-1"], one, one, {}, "twice"),
                (["bind", "idmap=uids=0-0-1#5-0-1;gids=0-0-1"], None, None, {},
                 r"writing /proc/\d+/uid_map")):
            self.add_idmap(options, uids, gids, **more)
            self.assertIn("/data", self.run_refused(message).stderr)
        self.add_idmap(["bind", "idmap"], maps((0, 0, 1), (0, 5, 1)), one)
        self.run_refused(r"uidMappings\[1\] overlaps element 0: containerID 0-0 and 0-0")

    def test_file_systems_that_cannot(self):
        self.source = "/sys/kernel"
        self.add_idmap(["bind", "idmap"], maps((0, 0, 1)), maps((0, 0, 1)))
        self.run_refused("mount /data: .*does not support idmapped mounts")

    def test_as_an_ordinary_user(self):
        os.rename(self.bundle, self.dir + "/home")
        self.bundle = self.dir + "/home"
        subprocess.run(["chown", "-R", f"{USER}:{USER}", self.bundle], check=True)
        os.remove(self.bundle + "/config.json")
        self.assertEqual(bundle.run(*as_user(bundle.UFS, "oci", "spec", "--rootless", "--bundle",
                                             self.bundle)).returncode, 0)
        self.configure(**{"process.terminal": False})
        self.add_idmap(["bind", "idmap"])
        done = bundle.run(*as_user(bundle.UFS, "oci", "--root", self.bundle + "/state", "run",
                                   "-b", self.bundle, "ufs-box"))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, "mount /data: .*root of the user namespace that its file "
                         "system was mounted in")

    OWN = """
mount -t tmpfs tmpfs "$1" && mkdir "$1/source" && echo of the user >"$1/source/file" || exit 99
shift; exec "$@"
"""

    def test_what_an_ordinary_user_has_mounted(self):
        """In a user namespace of his own, whose root he is."""
        if tuple(map(int, platform.release().split(".")[:2])) < (6, 3):
            self.skipTest("needs a tmpfs that can be idmapped")
        subprocess.run(["chown", "-R", f"{USER}:{USER}", self.bundle, self.source], check=True)
        os.makedirs(self.dir + "/own")
        self.source = self.dir + "/own/source"
        self.configure(**{"linux.namespaces": [{"type": t} for t in ("pid", "ipc", "uts", "mount")],
                          "linux.resources": {}, "root.readonly": False})
        self.configure(mounts=lambda old: [m for m in old if m["destination"] in ("/proc", "/dev")])
        self.script("stat -c %u:%g /data/file")
        # By the map, its owner is nobody's number.
        for options, owner in ((["bind"], "0:0"), (["bind", "idmap=uids=7-0-1;gids=0-0-1"],
                                                   "65534:0")):
            self.add_idmap(options)
            done = bundle.run(*as_user(
                "unshare", "--map-root-user", "--mount", "sh", "-c", self.OWN, "sh",
                self.dir + "/own", bundle.UFS, "oci", "--cgroup-manager", "disabled", "--root",
                self.dir + "/own/state", "run", "-b", self.bundle, "ufs-box"))
            if done.returncode == 99:
                self.skipTest("needs user namespaces for everybody")
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, owner + "\n", ""))

    def test_announced(self):
        features = json.loads(self.ok("features"))
        self.assertTrue(features["linux"]["mountExtensions"]["idmap"]["enabled"])
        self.assertLessEqual({"idmap", "ridmap"}, set(features["mountOptions"]))


if __name__ == "__main__":
    bundle.main()
