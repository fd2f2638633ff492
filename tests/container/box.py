"""What the tests of `ufs run` and its relatives share: two layers around
busybox, and a look at whether anything is left behind."""
import hashlib
import io
import json
import os
import shutil
import tarfile

import bundle
import harness
from bundle import UFS, run, wait_until

APPLETS = ("sh", "cat", "ls", "id", "true", "sleep", "mount", "hostname", "kill", "readlink",
           "touch", "echo", "mkdir", "rm", "head", "grep", "tty", "stty", "unshare", "env", "wc",
           "ip", "yes", "seq", "dd", "tail", "nc", "chown", "stat",
           "httpd")
STORE = "/var/lib/ufs/containers"


class BoxTest(harness.CliTest):
    """`self.layers` make a root file system; containers go to STORE."""
    store = STORE

    @classmethod
    def setUpClass(cls):
        if not bundle.BUSYBOX:
            raise bundle.unittest.SkipTest("needs busybox-static")

    def setUp(self):
        super().setUp()
        for directory in ("bin", "etc", "tmp"):
            self.make_dir("base/" + directory)
        shutil.copy(bundle.BUSYBOX, self.base + "/bin/busybox")
        for applet in APPLETS:
            os.symlink("busybox", f"{self.base}/bin/{applet}")
        self.write("base/etc/passwd", "root:x:0:0::/root:/bin/sh\nwww:x:33:44::/srv:/bin/sh\n")
        self.write("base/etc/group", "root:x:0:\nwww:x:44:\nextra:x:55:www\n")
        self.write("base/plain", "no program")
        self.write("app/etc/motd", "from app")
        self.layers = [self.base, self.app]
        self.before = (bundle.cgroups(), sorted(harness.mounts()))
        self.addCleanup(self.check_nothing_left)

    # --- the command ------------------------------------------------------------

    def command(self, *words):
        return [UFS, *words]

    def ufs(self, *words, **options):
        return run(*self.command(*words), **options)

    def ok(self, *words, **options):
        done = self.ufs(*words, **options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def words(self, script, *options):
        """A command line that runs a shell script."""
        return ["run", *options, *self.layers, "--", "sh", "-c", script]

    def box(self, script, *options, **more):
        return self.ufs(*self.words(script, *options), **more)

    def out(self, script, *options, **more):
        done = self.box(script, *options, **more)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def start(self, script="sleep 1000", *options, name="box"):
        self.addCleanup(self.ufs, "rm", "--force", name)
        self.assertEqual(self.ok(*self.words(script, "-d", "--name", name, *options)),
                         name + "\n")
        return self.inspect(name)

    def make_mount_points(self):
        """What would else be made in the upper."""
        for directory in ("dev", "proc", "sys"):
            self.make_dir("base/" + directory)
        for name in ("hostname", "hosts", "resolv.conf"):
            self.write("base/etc/" + name, "")

    def inspect(self, name="box"):
        [found] = json.loads(self.ok("inspect", name))
        return found

    def refused(self, message, *options, code=125):
        """`ufs run` with these options."""
        done = self.box("echo ran", *options)
        self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
        self.assertRegex(done.stderr, message)

    def daemon_of(self, found):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as file:
                    parent = int(file.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if parent == found["supervisor"] and int(pid) != found["pid"]:
                return int(pid)
        self.fail("no daemon")

    # --- what must hold -----------------------------------------------------------

    def records(self):
        return os.listdir(self.store) if os.path.isdir(self.store) else []

    def volumes(self):
        directory = os.path.dirname(self.store) + "/volumes"
        return os.listdir(directory) if os.path.isdir(directory) else []

    def processes(self):
        return bundle.processes()  # of this test's own namespace: all that there is

    def check_nothing_left(self):
        """Once all containers and volumes are removed."""
        self.assertEqual((self.records(), self.volumes()), ([], []))
        self.assertTrue(wait_until(lambda: not self.processes(), 20), self.processes())
        self.assertTrue(wait_until(lambda: bundle.cgroups() == self.before[0], 5),
                        bundle.cgroups())
        self.assertEqual(set(harness.mounts()) - set(self.before[1]), set())


class UnionVerbs:
    """Beside a BoxTest: verbs for a mount point that take a container."""

    def test_commit_and_diff(self):
        """While it runs, with files of other ids, and once it has ended."""
        self.make_mount_points()
        self.start("echo one >/tmp/one; chown 33:44 /tmp/one; chmod 600 /tmp/one; exec sleep 1000")
        self.assertTrue(wait_until(lambda: self.ok("diff", "box") == "A /tmp/one\n"))
        self.assertIn("upper ", self.ok("stat", "box"))
        self.assertRegex(self.ok("commit", "box", "--name", "site:1"), "^sha256:")
        self.assertEqual(self.ok("diff", "box"), "")
        self.assertEqual(self.ok("exec", "box", "cat", "/tmp/one"), "one\n")
        self.ok("exec", "box", "sh", "-c", "echo two >/tmp/two; rm /etc/motd")
        self.ok("kill", "box")
        self.ok("wait", "box")
        self.assertEqual(self.ok("diff", "box"), "D /etc/motd\nA /tmp/two\n")
        done = self.ufs("stat", "box")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("box: has ended, so that nothing is mounted", done.stderr)
        self.ok("commit", "box", "--name", "site:2")
        self.ok("rm", "box")
        self.layers += ["site:1", "site:2"]
        self.assertEqual(self.out("cat /tmp/one /tmp/two; stat -c %u:%g:%a /tmp/one; ls /etc"),
                         "one\ntwo\n33:44:600\ngroup\nhostname\nhosts\npasswd\nresolv.conf\n")

    def test_places_of_the_runtime_are_in_no_layer(self):
        """What it made to mount something there, and what of that somebody has changed."""
        def in_layer(name):
            lines = self.ok("layer", "tree", "--json", name).splitlines()
            return {json.loads(line)["path"].lstrip("/") for line in lines} - {"", "tmp", "tmp/one"}
        os.symlink("../run/resolve/stub", self.base + "/etc/resolv.conf")  # as of systemd's
        script = ("echo one >/tmp/one; sleep 1000", "-v", "/usr:/place:ro")
        self.start(*script)
        self.assertTrue(wait_until(lambda: "A /tmp/one\n" in self.ok("diff", "box")))
        self.assertIn("A /proc", self.ok("diff", "box"))
        self.assertIn("A /run/resolve/stub", self.ok("diff", "box"))
        self.ok("commit", "box", "--name", "live:1")
        # What is asked for is as with docker; /etc is the image's, with another time.
        self.assertEqual(in_layer("live:1"), {"etc", "place"})
        self.assertEqual(self.ok("exec", "box", "sh", "-c", "cat /tmp/one; ls /proc/self/comm"),
                         "one\n/proc/self/comm\n")
        self.ok("rm", "--force", "box")

        # Of one that has ended, and where the layers have nothing of /etc.
        for name in "passwd", "group":
            os.unlink(f"{self.base}/etc/{name}")
        for directory in self.base, self.app:
            shutil.rmtree(directory + "/etc")
        self.out("true", "--name", "box", "--keep")
        self.assertEqual(self.ok("diff", "box").split()[1::2],
                         ["/dev", "/etc", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/proc",
                          "/sys"])
        self.ok("commit", "box", "--name", "ended:1")
        self.assertEqual(in_layer("ended:1"), set())
        upper = self.inspect()["upper"]
        os.chmod(upper + "/proc", 0o700)
        with open(upper + "/etc/hosts", "a") as file:
            file.write("mine\n")
        self.ok("commit", "box", "--name", "ended:2")
        self.assertEqual(in_layer("ended:2"), {"etc", "etc/hosts", "proc"})
        self.ok("rm", "box")

        # Of an upper that another container was over.
        os.mkdir(self.base + "/etc")
        os.symlink("../run/resolve/stub", self.base + "/etc/resolv.conf")
        upper = os.path.dirname(self.store) + "/again"
        self.addCleanup(shutil.rmtree, upper, ignore_errors=True)
        self.out("echo one >/tmp/one", "--upper", upper)
        self.out("true", "--name", "box", "--keep", "--upper", upper)
        self.assertIn("A /run/resolve/stub", self.ok("diff", "box"))
        self.ok("commit", "box", "--name", "again:1")
        self.assertEqual(in_layer("again:1"), {"etc"})
        self.ok("rm", "box")


class ImageMaker:
    """Beside a BoxTest."""

    def blob(self, data):
        digest = hashlib.sha256(data).hexdigest()
        os.makedirs(self.at("layout/blobs/sha256"), exist_ok=True)
        with open(self.at("layout/blobs/sha256/" + digest), "wb") as file:
            file.write(data)
        return {"digest": "sha256:" + digest, "size": len(data)}

    def make_image(self, **config):
        """An OCI layout of the two layers, imported as img:1."""
        layers, diff_ids = [], []
        for layer in self.layers:
            tar = io.BytesIO()
            with tarfile.open(fileobj=tar, mode="w") as archive:
                archive.add(layer, arcname=".")
            layers.append({"mediaType": "application/vnd.oci.image.layer.v1.tar",
                           **self.blob(tar.getvalue())})
            diff_ids.append(layers[-1]["digest"])
        text = {"architecture": "amd64", "os": "linux", "config": config,
                "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                               **self.blob(json.dumps(text).encode())}, "layers": layers}
        index = {"schemaVersion": 2, "manifests": [
            {"mediaType": manifest["mediaType"], **self.blob(json.dumps(manifest).encode())}]}
        self.write("layout/oci-layout", '{"imageLayoutVersion": "1.0.0"}')
        self.write("layout/index.json", json.dumps(index))
        self.ok("layer", "import", self.at("layout"), "--name", "img:1")


class UserBoxTest(BoxTest):
    """The same as an ordinary user who may have a range of ids."""

    def setUp(self):
        super().setUp()
        harness.open_fuse_to_all(self.dir)
        self.addCleanup(run, "umount", "/dev/fuse")
        self.user = harness.make_user(self)
        self.program = self.at("ufs")  # where he may run it
        shutil.copy(bundle.UFS, self.program)
        for layer in self.layers:
            run("chown", "-R", self.user.name, layer)
        self.store = self.user.home + "/.local/share/ufs/containers"

    def command(self, *words):
        return self.user.command(self.program, *words)

    def one_id(self):
        for name in ("subuid", "subgid"):
            with open("/etc/" + name, "w"):
                pass
