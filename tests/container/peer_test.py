"""The same bundle through this runtime and through runc and crun: a probe inside
sees the same, and callers get the same answers."""
import json
import os
import re
import shutil
import unittest

import bundle
from harness import run

RUNC = shutil.which("runc")
CRUN = shutil.which("crun")

# What a process can find out about itself, one section after the other.
PROBE = r"""
section() { echo "== $1"; }
section status; grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp):' /proc/self/status
section limits; cat /proc/self/limits
section mounts; cat /proc/self/mountinfo
section devices; stat -c '%n %F %a %u:%g %t:%T' /dev/* /dev/pts/ptmx; readlink /dev/*
section environment; env | sort
section identity; id; pwd; hostname; echo $$; cat /proc/self/oom_score_adj
section cgroup; cat /proc/self/cgroup | sort
section descriptors; ls /proc/self/fd
section masked; ls -A /proc/acpi /sys/firmware 2>&1; wc -c </proc/timer_list; touch /proc/sys/x 2>&1
section sysctl; cat /proc/sys/net/ipv4/ip_forward
section links; cat /proc/net/dev | grep -o '[a-z0-9]*:' | sort
section resources
cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max
cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.shares
"""


RESTRICTIONS = {"ro", "nosuid", "nodev", "noexec"}


def mount_of(line):
    """Of a mountinfo line what a configuration decides: where, and how."""
    where, options = line.split()[4:6]
    return where, RESTRICTIONS & set(options.split(","))


def observations(text):
    """{section: lines}; what differs from run to run is named alike."""
    found = {}
    for line in text.splitlines():
        if line.startswith("== "):
            lines = found.setdefault(line[3:], [])
            continue
        # The kernel gives it to whoever made the namespace, before or after the maps.
        lines.append(re.sub("(/dev/mqueue .*) [0-9]+:[0-9]+ ", r"\1 ", line))
    found["mounts"] = dict(mount_of(line) for line in found["mounts"])
    return found


@unittest.skipUnless(RUNC, "needs runc")
class SameBundle(bundle.ContainerTest):
    maxDiff = None

    PEER = [RUNC]
    # Devices in which it differs, on purpose; what it says of a state, too, but else.
    OTHER_DEVICES = "none"
    OTHER_STATE = ()
    ROOT_HOOKS = ("createContainer",)

    def peer(self, *words, **options):
        return run(*self.PEER, "--root", self.state, *words, **options)

    def both(self, *words):
        """What each says to the same command: (exit code, standard output)."""
        return [(done.returncode, done.stdout)
                for done in (self.peer(*words), self.oci(*words))]

    def assert_same_inside(self, **changes):
        self.configure(**changes)
        self.script(PROBE)
        (theirs_code, theirs), (code, ours) = self.both("run", "-b", self.bundle, "ufs-box")
        self.assertEqual((theirs_code, code), (0, 0), theirs + ours)
        theirs, ours = observations(theirs), observations(ours)
        for seen in theirs, ours:
            seen["devices"] = [line for line in seen["devices"]
                               if not re.match(self.OTHER_DEVICES, line)]
        self.assertGreater(len(ours), 10)
        self.assert_mounts(ours.pop("mounts"), theirs.pop("mounts"))
        self.assertEqual(ours, theirs)
        return ours

    def assert_mounts(self, ours, theirs):
        """The same places, no less restricted. We show the cgroup2 mount of a
        hybrid host too, and mask files by the host's /dev/null, read-only."""
        ours.pop("/sys/fs/cgroup/unified", None)
        self.assertEqual(sorted(ours), sorted(theirs))
        for where, restrictions in theirs.items():
            # Theirs may be nodev, as of the container's own null device: ours is read, too.
            masked = where in self.config()["linux"]["maskedPaths"]
            self.assertLessEqual(restrictions - {"nodev" if masked else ""}, ours[where], where)
            if masked:
                self.assertIn("ro", ours[where], where)

    def test_default_configuration(self):
        seen = self.assert_same_inside()
        self.assertIn("NoNewPrivs:\t1", seen["status"])

    def test_ordinary_user_with_few_privileges(self):
        kept = ["CAP_KILL", "CAP_NET_BIND_SERVICE"]
        seen = self.assert_same_inside(**{
            "process.user": {"uid": 1000, "gid": 100, "additionalGids": [5, 6], "umask": 63},
            "process.cwd": "/tmp",
            "process.env": ["PATH=/bin", "A=1", "B=two words"],
            "process.oomScoreAdj": 100,
            "process.rlimits": [{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 128}],
            "process.capabilities": {kind: kept for kind in (
                "bounding", "effective", "permitted", "inheritable", "ambient")}})
        self.assertIn("uid=1000 gid=100 groups=5,6", " ".join(seen["identity"]))

    def test_limits(self):
        seen = self.assert_same_inside(**{
            "linux.cgroupsPath": "/ufs-peer",
            "linux.sysctl": {"net.ipv4.ip_forward": "1"},
            "linux.resources": {"memory": {"limit": 64 << 20}, "pids": {"limit": 33},
                                "cpu": {"quota": 50000, "period": 100000, "shares": 512}}})
        self.assertEqual(seen["resources"], [str(64 << 20), "33", "50000", "512"])

    def test_user_namespace(self):
        maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        os.chmod(self.dir, 0o755)
        self.assert_same_inside(**{
            "linux.namespaces": lambda old: old + [{"type": "user"}],
            "linux.uidMappings": maps, "linux.gidMappings": maps})

    def test_mounts(self):
        source = self.dir + "/source"
        os.makedirs(source)
        self.add_mount("/mnt/read", "bind", source, "rbind", "ro", "nosuid", "nodev", "noexec")
        self.add_mount("/mnt/tmp", "tmpfs", "tmpfs", "size=1m", "mode=1770", "nosuid")
        self.assert_same_inside(**{"root.readonly": True})

    def test_seccomp(self):
        self.configure(**{"linux.seccomp": {
            "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO",
                          "errnoRet": 38}]}})
        self.script("mkdir /tmp/x 2>&1; grep Seccomp: /proc/self/status")
        theirs, ours = self.both("run", "-b", self.bundle, "ufs-box")
        self.assertEqual(ours, theirs)
        self.assertIn("Function not implemented", ours[1])

    def test_exit_codes(self):
        for text in "exit 7", "exit 255", "kill -9 $$; exit 3", "exec /tmp":
            self.script(text)
            theirs, ours = self.both("run", "-b", self.bundle, "ufs-box")
            self.assertEqual(ours, theirs, text)

    def test_where_hooks_are(self):
        def told(name):
            try:
                with open(name) as file:
                    return file.read()
            finally:
                os.unlink(name)

        def hook(kind):
            return [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {kind} $(pwd) >>{self.dir}/hooks"]}]
        self.configure(**{"process.cwd": "/tmp", "root.readonly": False, "hooks": {
            **{kind: hook(kind) for kind in ("prestart", "createRuntime", *self.ROOT_HOOKS,
                                             "poststart", "poststop")},
            "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "pwd >/hook"]}]}})
        self.script("true")
        places = []
        for call in self.peer, self.oci:
            self.assertEqual(call("run", "-b", self.bundle, "ufs-box").returncode, 0)
            places.append(told(self.dir + "/hooks") + told(self.bundle + "/rootfs/hook"))
        self.assertEqual(*places)

    def test_state_and_list(self):
        pid = self.start_box()
        ours = json.loads(self.ok("state", "ufs-box"))
        self.ok("delete", "--force", "ufs-box")
        self.addCleanup(self.peer, "delete", "--force", "ufs-box")
        with open(self.dir + "/peer", "w+") as log:
            bundle.subprocess.run([*self.PEER, "--root", self.state, "run", "-d", "-b", self.bundle,
                                   "ufs-box"], stdin=bundle.subprocess.DEVNULL, stdout=log,
                                  stderr=log, timeout=30, check=True)
        theirs = json.loads(self.peer("state", "ufs-box").stdout)
        for key in ("ociVersion", "pid", "created", "owner", *self.OTHER_STATE):
            self.assertTrue(key in theirs and key in ours, key)
            del ours[key], theirs[key]
        self.assertGreater(pid, 1)
        self.assertEqual(ours, {key: theirs[key] for key in ours})

    def test_refusals_have_the_same_code(self):
        for words in (("start", "no-such"), ("state", "no-such"), ("kill", "no-such"),
                      ("delete", "no-such"), ("delete", "--force", "no-such"),
                      ("run", "-b", "/nowhere", "ufs-box"), ("run", "-b", self.bundle, "../x")):
            theirs, ours = self.both(*words)
            self.assertEqual(ours, theirs, words)


# It takes a cgroup2 that is mounted beside v1's for all that there is; and gives its
# standard input to the container's user, which the host's /dev/null must not be.
CRUN_APART = """
umount /sys/fs/cgroup/unified 2>/dev/null
mknod -m 666 "$1" c 1 3 2>/dev/null; mount --bind "$1" /dev/null || exit 99
shift; exec crun "$@" </dev/null"""


@unittest.skipUnless(CRUN, "needs crun")
class SameBundleAsCrun(SameBundle):
    # It makes a link to kcore, and gives its standard input, null, to the user.
    OTHER_DEVICES = "/dev/core |/proc/kcore$|/dev/null "
    OTHER_STATE = ("rootfs",)  # as it was written
    ROOT_HOOKS = ()  # they are in its bundle

    def setUp(self):
        super().setUp()
        self.PEER = ["unshare", "-m", "sh", "-c", CRUN_APART, "sh", self.dir + "/null"]
        self.configure(ociVersion="1.0.2")  # as high as older ones go
        self.script("true")
        before = os.stat("/dev/null")
        done = self.peer("run", "-b", self.bundle, "ufs-box")
        self.assertEqual(os.stat("/dev/null").st_uid, before.st_uid)
        if done.returncode != 0:
            self.skipTest("crun does not work here: " + done.stderr)


if __name__ == "__main__":
    bundle.main()
