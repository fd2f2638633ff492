"""Labels of SELinux under the policy of tests/vm/selinux_test.py, which is enforced there:
of a union, of what the runtime mounts and executes, and of `ufs run`."""
import errno
import json
import os
import re
import shutil
import unittest

import box
import bundle
import harness
from bundle import UFS, run

XATTR = "security.selinux"
PROCESS = "system_u:system_r:container_t:s0:c1,c2"
FILES = "system_u:object_r:container_file_t:s0:c1,c2"
SHARED = "system_u:object_r:container_file_t:s0"
OTHERS = "system_u:object_r:container_file_t:s0:c3"
HOST = "system_u:object_r:host_file_t:s0"


def own_label():
    try:
        with open("/proc/self/attr/current") as file:
            return file.read().rstrip("\0\n")
    except OSError:
        return ""


HERE = own_label() == "system_u:system_r:kernel_t:s0"


def label(path):
    return os.getxattr(path, XATTR, follow_symlinks=False).decode().rstrip("\0")


def process_label(pid):
    with open(f"/proc/{pid}/attr/current") as file:
        return file.read().rstrip("\0\n")


def set_labels(path, text):
    """Of a tree."""
    for parent, directories, files in os.walk(path):
        for name in [parent] + [os.path.join(parent, entry) for entry in directories + files]:
            os.setxattr(name, XATTR, text.encode(), follow_symlinks=False)


@unittest.skipUnless(HERE, "not under the policy of the test")
class MountTest(harness.CliTest):
    def mount_with(self, options):
        self.mount("--upper", self.at("up"), "-o", options, self.base, self.app, self.mnt)

    def test_a_union_has_the_policys_label_for_fuse(self):
        self.mount_with("noexec")
        self.assertEqual(label(self.at("mnt/both")), "system_u:object_r:fusefs_t:s0")

    def test_context(self):
        self.mount_with(f'context="{FILES}"')
        with open(self.at("mnt/both"), "a") as file:  # copied up
            file.write("more")
        self.write("mnt/new/file", "new")
        os.symlink("both", self.at("mnt/link"))
        for name in ("", "/only-base", "/both", "/new", "/new/file", "/link"):
            self.assertEqual(label(self.mnt + name), FILES, name)
        self.assertIn(f'context="{FILES}"', ",".join(harness.mounts()[self.mnt][1]))
        self.assertEqual(label(self.at("up/both")), HOST)
        # It is the mount's, for all: as on overlayfs.
        with self.assertRaises(OSError) as caught:
            os.setxattr(self.at("mnt/both"), XATTR, SHARED.encode())
        self.assertEqual(caught.exception.errno, errno.EOPNOTSUPP)

    def test_as_overlayfs(self):
        for name in ("upper", "work"):
            self.make_dir(name)
        # Without mount(8), which may know of no SELinux.
        command = ("import ctypes, sys; sys.exit(-ctypes.CDLL(None).mount(b'overlay', sys.argv[1].encode(), "
                   "b'overlay', 0, sys.argv[2].encode()))")
        done = run("python3", "-c", command, self.mnt,
                   f"lowerdir={self.base},upperdir={self.at('upper')},workdir={self.at('work')},"
                   f'context="{FILES}"')
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(label(self.at("mnt/both")), FILES)
        shown = ",".join(harness.mounts()[self.mnt][1])
        run("umount", self.mnt)
        self.mount_with(f'context="{FILES}"')
        for options in shown, ",".join(harness.mounts()[self.mnt][1]):
            self.assertIn(f'context="{FILES}"', options)

    def test_the_others(self):
        self.mount_with(f"rootcontext={SHARED},fscontext={HOST}")
        self.assertEqual(label(self.mnt), SHARED)
        self.assertEqual(label(self.at("mnt/both")), HOST)
        self.assertIn("fscontext=" + HOST, ",".join(harness.mounts()[self.mnt][1]))
        self.umount()
        # For file systems whose files have labels of their own, says the kernel.
        self.assert_refused(self.ufs("mount", "-o", f'defcontext="{FILES}"', self.base, self.mnt),
                            f'SELinux does not take defcontext="{FILES}" for it; leave that out')

    def test_no_labels(self):
        before = self.tree()
        for name in "context", "fscontext", "defcontext", "rootcontext":
            for text in "malformed", "system_u:object_r:none_such_t:s0", FILES + ",c1024", "":
                done = self.ufs("mount", "--upper", self.at("up"), "-o", f'{name}="{text}"',
                                self.base, self.mnt)
                self.assert_refused(done, f"option '{name}={text}': expected a label that the "
                                    r"SELinux policy knows, USER:ROLE:TYPE\[:LEVEL\]",
                                    code=2)
        self.assert_refused(self.ufs("mount", "-o", "context", self.base, self.mnt), "context", code=2)
        self.assertEqual(self.tree(), before)

    def test_in_a_user_namespace(self):
        """Where the kernel lets nobody label FUSE."""
        inside = ["unshare", "--user", "--map-root-user", "--mount"]
        self.assert_refused(run(*inside, UFS, "mount", "-o", f'context="{FILES}"', self.base, self.mnt),
                            "option 'context=.*': only root, outside of user namespaces, may label "
                            "what FUSE mounts; leave it out", code=2)
        # fuse-overlayfs drops it, as podman counts on.
        done = run(*inside, "sh", "-ec", '"$@"; cat mnt/both', "sh", self.called_as("fuse-overlayfs"),
                   "-o", f'lowerdir=base,context="{FILES}"', "mnt", cwd=self.dir)
        self.assertEqual((done.returncode, done.stdout), (0, "base"), done.stderr)
        self.assertIn("option 'context' has no effect: only root", done.stderr)

    def test_an_upper_that_takes_no_labels(self):
        """A layer's label is not in the way of a copy-up."""
        os.setxattr(self.at("base/both"), XATTR, OTHERS.encode())
        os.setxattr(self.base, XATTR, OTHERS.encode())
        self.make_dir("disk")
        done = run("busybox", "mount", "-t", "tmpfs", "-o", "context=" + SHARED, "tmpfs", self.at("disk"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.mount("--upper", self.at("disk/up"), self.base, self.mnt)
        with open(self.at("mnt/both"), "a") as file:
            file.write("+")
        self.assertEqual(self.read("mnt/both"), "base+")
        self.assertEqual(label(self.at("disk/up/both")), SHARED)
        self.umount()
        # Where it does, the copy has it.
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        os.chmod(self.at("mnt/both"), 0o600)
        self.assertEqual(label(self.at("up/both")), OTHERS)


@unittest.skipUnless(HERE, "not under the policy of the test")
class RuntimeTest(bundle.ContainerTest):
    def setUp(self):
        super().setUp()
        set_labels(self.bundle + "/rootfs", FILES)
        self.configure(**{"process.selinuxLabel": PROCESS, "linux.mountLabel": FILES})

    def test_processes_and_mounts(self):
        self.add_mount("/ram", "ramfs", "ramfs")
        self.add_mount("/own", "tmpfs", "tmpfs", "context=" + SHARED)
        pid = self.start_box()
        self.assertEqual(process_label(pid), PROCESS)
        inside = f"/proc/{pid}/root"
        for place in ("/", "/dev", "/dev/null", "/dev/shm", "/dev/pts", "/dev/pts/ptmx", "/dev/mqueue", "/ram",
                      "/proc/acpi", "/proc/scsi"):  # the last two are masked
            if os.path.exists(inside + place):
                self.assertEqual(label(inside + place), FILES, place)
        self.assertEqual(label(inside + "/own"), SHARED)
        self.assertNotEqual(label(inside + "/sys"), FILES)
        self.assertIn(PROCESS, self.ok("exec", "ufs-box", "cat", "/proc/self/attr/current"))
        other = PROCESS.replace("container_t", "wide_t")
        self.assertIn(other, self.ok("exec", "--process-label", other, "ufs-box", "cat",
                                     "/proc/self/attr/current"))

    def test_in_a_user_namespace(self):
        maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        self.configure(**{"linux.namespaces": lambda old: old + [{"type": "user"}],
                          "linux.uidMappings": maps, "linux.gidMappings": maps})
        pid = self.start_box()
        self.assertEqual(process_label(pid), PROCESS)
        for place in ("/dev", "/dev/shm", "/dev/pts"):
            self.assertEqual(label(f"/proc/{pid}/root{place}"), FILES, place)

    def test_what_the_policy_forbids(self):
        os.mkdir(self.dir + "/files")
        for name, text in (("own", FILES), ("others", OTHERS), ("host", HOST)):
            with open(f"{self.dir}/files/{name}", "w") as file:
                file.write(name + "\n")
            os.setxattr(f"{self.dir}/files/{name}", XATTR, text.encode())
        os.setxattr(self.dir + "/files", XATTR, FILES.encode())
        self.add_mount("/files", "bind", self.dir + "/files", "bind")
        read = "for name in own others host; do cat /files/$name 2>/dev/null || echo no $name; done"
        for changes in {}, {"process.noNewPrivileges": False}:
            self.configure(**changes)
            self.assertEqual(self.run_box(read), "own\nno others\nno host\n")
        self.configure(**{"process.selinuxLabel": ""})
        self.assertEqual(self.run_box(read), "own\nothers\nhost\n")

    def test_no_labels(self):
        for where in "process.selinuxLabel", "linux.mountLabel":
            before = self.config()
            for text in "malformed", "system_u:system_r:none_such_t:s0":
                self.configure(**{where: text})
                self.run_refused(f'{where}: "{text}" is no label of the SELinux policy')
            with open(self.bundle + "/config.json", "w") as file:
                json.dump(before, file)
        self.start_box()
        self.refused('"x" is no label of the SELinux', "exec", "--process-label", "x", "ufs-box", "true")

    def test_a_transition_that_is_forbidden(self):
        set_labels(self.bundle + "/rootfs", HOST)  # may not be a way into container_t
        self.run_refused("[Pp]ermission denied")


@unittest.skipUnless(HERE, "not under the policy of the test")
class RunTest(box.BoxTest):
    SHOW = "cat /proc/self/attr/current; echo"

    def process(self, *options):
        return self.out(self.SHOW, *options).strip("\0\n")

    def test_each_has_categories_of_its_own(self):
        names = "one", "two"
        levels = []
        for name in names:
            found = self.start("sleep 1000", "--tmpfs", "/ram", name=name)
            text = process_label(found["pid"])
            self.assertRegex(text, r"^system_u:system_r:container_t:s0:c\d+,c\d+$")
            levels.append(text.split(":", 3)[3])
            for place in ("/", "/etc/motd", "/etc/hosts", "/dev", "/ram", "/dev/pts"):
                self.assertEqual(label(f"/proc/{found['pid']}/root{place}"),
                                 "system_u:object_r:container_file_t:" + levels[-1], place)
            self.assertIn(text, self.ok("exec", name, "cat", "/proc/self/attr/current"))
            self.assertIn("localhost", self.ok("exec", name, "cat", "/etc/hosts"))
            self.ok("exec", name, "sh", "-c", "echo new >/etc/new && cat /etc/new /etc/motd")
        self.assertNotEqual(*levels)

    def test_disabled(self):
        for options in (["label=disable"], ["label:disable"], ["label=type:wide_t", "label=disable"]):
            words = [word for option in options for word in ("--security-opt", option)]
            self.assertEqual(self.process(*words), own_label())
        found = self.start("sleep 1000", "--security-opt", "label=disable")
        self.assertEqual(label(f"/proc/{found['pid']}/root/etc"), "system_u:object_r:fusefs_t:s0")

    def test_wishes(self):
        words = [word for option in ("user:other_u", "role:other_r", "type:wide_t", "level:s0:c7",
                                     "filetype:other_file_t") for word in ("--security-opt", "label=" + option)]
        found = self.start("sleep 1000", *words)
        self.assertEqual(process_label(found["pid"]), "other_u:other_r:wide_t:s0:c7")
        self.assertEqual(label(f"/proc/{found['pid']}/root/etc"), "other_u:object_r:other_file_t:s0:c7")
        for wish in "type:none_such_t", "level:s1", "filetype:x", "user:nobody":
            self.refused('--security-opt label=: ".*" is no label of the SELinux policy',
                         "--security-opt", "label=" + wish)

    def test_of_an_ordinary_user(self):
        """His union has the policy's label for FUSE, which no type of ours for containers may use."""
        harness.open_fuse_to_all(self.dir)
        self.addCleanup(run, "umount", "/dev/fuse")
        home, shown = self.make_dir("home"), self.make_dir("home/shown")
        for path in home, shown:
            os.chown(path, harness.USER, harness.USER)

        def ufs(*words):
            return run(*harness.as_user(UFS, *words, environment=["HOME=" + home]))
        done = ufs(*self.words("sleep 1000", "-d", "--name", "box", "--security-opt", "label=type:wide_t",
                               "-v", shown + ":/shown:Z"))
        self.addCleanup(ufs, "rm", "--force", "box")
        self.assertEqual((done.returncode, done.stdout), (0, "box\n"), done.stderr)
        pid = json.loads(ufs("inspect", "box").stdout)[0]["pid"]
        level = process_label(pid).removeprefix("system_u:system_r:wide_t:")
        self.assertRegex(level, r"^s0:c\d+,c\d+$")
        # FUSE lets nobody in but who is in the user namespace.
        show = f"import os, sys\nfor p in sys.argv[1:]: print(os.getxattr('/proc/{pid}/root' + p, '{XATTR}').decode())"
        own = "/dev", "/dev/shm", "/dev/pts", "/etc/hosts", "/shown"
        done = run("nsenter", "--target", str(pid), "--user", "python3", "-c", show, "/etc", *own)
        self.assertEqual(done.stdout.replace("\0", "").splitlines(),
                         ["system_u:object_r:fusefs_t:s0"] +
                         ["system_u:object_r:container_file_t:" + level] * len(own), done.stderr)
        self.assertIn("wide_t", ufs("exec", "box", "cat", "/proc/self/attr/current").stdout)
        self.assertNotEqual(ufs(*self.words("echo ran")).returncode, 0)

    def test_restarts_keep_theirs(self):
        found = self.start("cat /proc/self/attr/current; echo; [ -e /again ] || { touch /again; exit 1; }; sleep 1000",
                           "--restart", "on-failure")
        self.assertTrue(bundle.wait_until(lambda: self.ok("logs", "box").count("container_t") == 2))
        self.assertEqual(len(set(re.findall(r"system_u:\S+?c\d+,c\d+", self.ok("logs", "box")))), 1)
        self.assertEqual(found["name"], "box")

    def test_bind_mounts(self):
        self.make_dir("shown/below")
        self.write("shown/below/file", "text")
        os.symlink("file", self.at("shown/below/link"))
        place = self.at("shown")
        read = "cat /shown/below/file; echo; echo more >>/shown/below/file"
        done = self.box(read, "-v", f"{place}:/shown")
        self.assertRegex(done.stderr, "[Pp]ermission denied")
        self.assertEqual(self.out(read, "-v", f"{place}:/shown:z"), "text\n")
        for name in ("", "/below", "/below/file", "/below/link"):
            self.assertEqual(label(place + name), SHARED, name)
        self.assertEqual(label(self.base), HOST)
        self.start("sleep 1000", "--mount", f"type=bind,src={place},dst=/shown,relabel=private")
        self.assertRegex(label(place + "/below/file"), "^" + SHARED + r":c\d+,c\d+$")
        self.ok("exec", "box", "cat", "/shown/below/file")
        # Not another's.
        self.assertRegex(self.box(read, "-v", f"{place}:/shown").stderr, "[Pp]ermission denied")
        os.symlink("/usr", self.at("usr"))
        for source in "/usr", self.at("usr"):
            self.refused("/usr: the machine needs its labels; leave z and Z out", "-v", f"{source}:/shown:z")

    def test_volumes(self):
        self.addCleanup(self.ufs, "volume", "rm", "data")
        self.out("echo kept >/etc/new", "-v", "data:/etc")
        data = os.path.dirname(self.store) + "/volumes/data/_data"
        self.assertEqual(label(data), SHARED)
        self.assertEqual(label(data + "/motd"), SHARED)
        # Its categories are those of who made it: as with podman, they take it from the others.
        self.assertRegex(label(data + "/new"), "^" + SHARED + r":c\d+,c\d+$")
        self.assertEqual(self.out("cat /etc/motd", "-v", "data:/etc"), "from app")
        self.assertEqual(self.out("cat /etc/new", "-v", "data:/etc:z"), "kept\n")
        self.ok("volume", "rm", "data")


@unittest.skipUnless(HERE, "not under the policy of the test")
class PolicyTest(box.BoxTest):
    """Where the policy has no labels for containers."""

    def setUp(self):
        super().setUp()
        self.file = "/etc/selinux/small/contexts/lxc_contexts"
        shutil.copy(self.file, self.at("contexts"))
        self.addCleanup(shutil.copy, self.at("contexts"), self.file)

    def test_says_so(self):
        for text in 'process = "a:b:c"\nfile = "a:b:c"\n', "", None:
            os.unlink(self.file) if text is None else self.write(self.file, text)
            done = self.box(RunTest.SHOW)
            self.assertEqual((done.returncode, done.stdout.strip("\0\n")), (0, own_label()))
            self.assertRegex(done.stderr, "SELinux does not confine it: .*label=disable")
            self.assertEqual(self.out("echo ran", "--security-opt", "label=disable"), "ran\n")
            self.refused("--security-opt label=: .*", "--security-opt", "label=type:wide_t")


if __name__ == "__main__":
    bundle.main()
