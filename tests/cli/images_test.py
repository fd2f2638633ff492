"""Images to and from the tools that others use: umoci, skopeo, buildah, podman."""
import json
import os
import shutil
import stat
import subprocess
import unittest

import harness
from harness import UFS, CliTest, run


def needs(*tools):
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return unittest.skipIf(missing, f"{', '.join(missing)} not installed (tools/setup/packages-test)")


def look(path):
    """All that can be seen of an object but its inode number."""
    info = os.lstat(path)
    kind = stat.S_IFMT(info.st_mode)
    seen = {"mode": oct(info.st_mode), "owner": (info.st_uid, info.st_gid),
            "mtime": info.st_mtime_ns,
            "xattrs": {name: os.getxattr(path, name, follow_symlinks=False)
                       for name in os.listxattr(path, follow_symlinks=False)}}
    if kind == stat.S_IFREG:
        with open(path, "rb") as file:
            seen["contents"] = file.read()
        seen["nlink"] = info.st_nlink
    elif kind == stat.S_IFLNK:
        seen["target"] = os.readlink(path)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        seen["device"] = info.st_rdev
    return seen


def look_below(root):
    """Path -> what it is, and which paths are one file."""
    seen, inodes = {}, {}
    for parent, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(parent, name)
            seen[os.path.relpath(path, root)] = look(path)
            if not os.path.isdir(path):
                inodes.setdefault(os.lstat(path).st_ino, []).append(os.path.relpath(path, root))
    return seen, sorted(sorted(names) for names in inodes.values() if len(names) > 1)


class Images(CliTest):
    def setUp(self):
        super().setUp()
        self.store = self.at("store")

    def ok(self, *command, **options):
        done = run(*command, **options)
        self.assertEqual(done.returncode, 0, f"{command}: {done.stderr}")
        return done.stdout

    def layer(self, *words, **options):
        return self.ok(UFS, "layer", *words, "--store", self.store, cwd=self.dir, **options)

    def show(self, reference):
        return json.loads(self.layer("show", "--json", reference))

    def tree(self, reference):
        lines = self.layer("tree", "--json", reference).splitlines()
        return [json.loads(line) for line in lines]

    def fill(self, root):
        """One of everything a layer can hold."""
        os.makedirs(root + "/dir/deep")
        for path, text in {"file": "one\n", "dir/goes": "goes", "dir/stays": "stays",
                           "dir/deep/large": "x" * 700000, "hidden": "hidden"}.items():
            with open(os.path.join(root, path), "w") as file:
                file.write(text)
        os.makedirs(root + "/opaque/inner")
        open(root + "/opaque/old", "w").close()
        os.link(root + "/file", root + "/dir/hard")
        os.symlink("../file", root + "/dir/soft")
        os.mkfifo(root + "/fifo")
        os.mknod(root + "/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.chown(root + "/dir/goes", 1234, 70000)
        os.chmod(root + "/dir/stays", 0o4751)
        os.chmod(root + "/dir", 0o1777)
        os.setxattr(root + "/file", "user.note", b"\0binary\xff")
        os.utime(root + "/file", ns=(5 * 10**9, 1_600_000_000_123_456_789))

    def make_layout(self):
        """Two layers, the second of which changes, deletes and replaces."""
        layout, image = self.at("layout"), self.at("layout") + ":v1"
        self.ok("umoci", "init", "--layout", layout)
        self.ok("umoci", "new", "--image", image)
        for step in (self.fill, self.change):
            bundle = self.at("bundle")
            self.ok("umoci", "unpack", "--image", image, bundle)
            step(bundle + "/rootfs")
            self.ok("umoci", "repack", "--image", image, bundle)
            shutil.rmtree(bundle)
        self.ok("umoci", "config", "--image", image, "--config.cmd", "/bin/true",
                "--config.env", "A=b c", "--config.workingdir", "/dir", "--config.user", "7:8")
        return layout

    @staticmethod
    def change(root):
        os.unlink(root + "/dir/goes")
        with open(root + "/dir/stays", "a") as file:
            file.write(" and grows")
        os.unlink(root + "/hidden")
        os.mkdir(root + "/hidden")
        shutil.rmtree(root + "/opaque")
        os.mkdir(root + "/opaque")
        open(root + "/opaque/new", "w").close()

    def digest_in(self, layout):
        with open(layout + "/index.json") as file:
            return json.load(file)["manifests"][0]["digest"]

    @needs("umoci")
    def test_an_image_is_what_umoci_unpacks(self):
        layout = self.make_layout()
        digest = self.layer("import", layout, "--name", "app:v1").strip()
        self.assertEqual(digest, self.digest_in(layout))
        shown = self.show("app:v1")
        self.assertEqual(shown["config"], {"cmd": ["/bin/true"], "entrypoint": [], "user": "7:8",
                                           "env": ["A=b c"], "working_dir": "/dir"})
        self.ok("umoci", "unpack", "--image", layout + ":v1", self.at("theirs"))
        self.mount("--store", self.store, "--ro", "app:v1", self.mnt)
        ours, our_links = look_below(self.mnt)
        theirs, their_links = look_below(self.at("theirs/rootfs"))
        self.assertEqual(sorted(ours), sorted(theirs))
        for path, attributes in theirs.items():
            self.assertEqual(ours[path], attributes, path)
        self.assertEqual(our_links, their_links)
        self.umount()

    @needs("umoci", "skopeo")
    def test_what_is_committed_over_an_image_is_an_image(self):
        self.layer("import", self.make_layout(), "--name", "app:1")
        self.mount("--store", self.store, "--upper", self.at("up"), "app:1", self.mnt)
        with open(self.mnt + "/dir/added", "w") as file:
            file.write("added")
        digest = self.ok(UFS, "commit", "--store", self.store, self.mnt).strip()
        self.umount()
        image = self.layer("image", "app:1", digest, "--name", "app:2").strip()
        first, second = self.show("app:1"), self.show("app:2")
        self.assertEqual(second["digest"], image)
        self.assertEqual(second["config"], first["config"])
        self.assertEqual([layer["digest"] for layer in second["layers"]],
                         [layer["digest"] for layer in first["layers"]] + [digest])
        self.layer("export", "--format", "oci", "app:2", "made")
        self.assertEqual(self.digest_in(self.at("made")), image)
        config = json.loads(self.ok("skopeo", "inspect", "--config", "oci:" + self.at("made")))
        self.assertEqual(config["config"]["Cmd"], ["/bin/true"])
        self.ok("umoci", "unpack", "--image", self.at("made") + ":2", self.at("theirs"))
        with open(self.at("theirs/rootfs/dir/added")) as file:
            self.assertEqual(file.read(), "added")
        # Its layers are its own too: the first may go.
        self.layer("rm", "app:1")
        self.assertEqual(self.layer("verify", "app:2").split(",")[0], "1 image")

    @needs("umoci")
    def test_the_difference_of_images_and_of_layers(self):
        self.layer("import", self.make_layout(), "--name", "app")
        first, second = (layer["digest"] for layer in self.show("app")["layers"])
        self.layer("export", "--format", "oci", first, "first")
        self.layer("import", "first", "--name", "app:first")
        changes = ["D /dir/goes", "C /dir/stays", "C /hidden", "A /opaque/new", "D /opaque/inner",
                   "D /opaque/old"]
        shown = self.layer("diff", "app:first", "app").splitlines()
        self.assertEqual(sorted(shown), sorted(changes))
        back = self.layer("diff", "app", "app:first").splitlines()
        self.assertEqual(sorted(line[2:] for line in back),
                         sorted(line[2:] for line in changes))
        self.assertEqual(self.layer("diff", "app", "app"), "")
        held = json.loads(self.layer("diff", "--json", first, second))
        self.assertIn({"kind": "deleted", "path": "/dir/goes", "type": "file"}, held)
        self.assertIn({"kind": "deleted", "path": "/fifo", "type": "fifo"}, held)

    @needs("umoci", "skopeo")
    def test_what_skopeo_makes_of_it_is_the_same_image(self):
        layout = self.make_layout()
        self.layer("import", layout, "--name", "oci")
        config, tree = self.show("oci")["config"], self.tree("oci")
        for name, target in (("archive", "oci-archive:archive:v1"),
                             ("docker", "docker-archive:docker:team/app:v1"),
                             ("zstd", "oci:zstd:v1")):
            more = ["--dest-compress-format", "zstd", "--dest-compress"] if name == "zstd" else []
            self.ok("skopeo", "copy", "-q", *more, f"oci:{layout}:v1", target, cwd=self.dir)
            self.layer("import", name, "--name", name)
            self.assertEqual(self.show(name)["config"], config)
            self.assertEqual(self.tree(name), tree)
        self.layer("import", "docker")
        self.assertEqual(self.show("docker.io/team/app:v1")["digest"], self.show("docker")["digest"])
        with open(self.at("docker"), "rb") as file:
            data = subprocess.run(["gzip"], stdin=file, stdout=subprocess.PIPE, check=True).stdout
        piped = subprocess.run([UFS, "layer", "import", "--store", self.store, "-"], input=data,
                               stdout=subprocess.PIPE, check=True)
        self.assertEqual(piped.stdout.decode().strip(), self.show("docker")["digest"])
        self.ok(UFS, "store", "check", "--store", self.store)

    @needs("umoci", "skopeo")
    def test_what_ufs_writes_skopeo_and_umoci_read(self):
        layout = self.make_layout()
        digest = self.layer("import", layout, "--name", "team/app:v1").strip()
        self.layer("export", "--format", "oci", "team/app:v1", "out")
        self.assertEqual(self.digest_in(self.at("out")), digest)
        # skopeo compares every digest as it copies; umoci as it unpacks.
        self.ok("skopeo", "copy", "-q", "oci:out:v1", "dir:copied", cwd=self.dir)
        self.ok("umoci", "unpack", "--image", self.at("out") + ":v1", self.at("again"))
        self.ok("umoci", "unpack", "--image", layout + ":v1", self.at("first"))
        self.assertEqual(look_below(self.at("again/rootfs")), look_below(self.at("first/rootfs")))
        inspected = json.loads(self.ok("skopeo", "inspect", "oci:out:v1", cwd=self.dir))
        self.assertEqual(inspected["Digest"], digest)
        for form in ("oci-archive", "docker-archive"):
            self.layer("export", "--format", form, "team/app:v1", form)
            reference = f"{form}:{form}" + (":v1" if form == "oci-archive" else "")
            self.ok("skopeo", "copy", "-q", reference, f"dir:{form}.copied", cwd=self.dir)
        # Back again, elsewhere.
        for form in ("out", "oci-archive"):
            again = self.ok(UFS, "layer", "import", self.at(form), "--store", self.at("other"))
            self.assertEqual(again.strip(), digest)

    def test_a_name_that_moves_is_told(self):
        self.layer("import", self.base, "--name", "team/app:v1")
        self.layer("import", self.app, "--name", "other")
        before = self.show("team/app:v1")["digest"]
        self.layer("image", "other", "--name", "team/app:v2")
        self.layer("export", "--format", "docker-archive", "team/app:v2", "saved")
        self.layer("tag", "team/app:v1", "team/app:v2")
        done = run(UFS, "layer", "import", self.at("saved"), "--store", self.store)
        self.assertEqual(done.returncode, 0)
        self.assertIn(f"the name team/app:v2 was that of {before}, and is that of what was imported now",
                      done.stderr)
        self.assertNotIn("name", run(UFS, "layer", "import", self.at("saved"), "--store", self.store).stderr)

    @needs("skopeo")
    def test_a_layer_alone_is_an_image_too(self):
        self.layer("import", self.base, "--name", "base")
        for how in ("none", "gzip", "zstd"):
            self.layer("export", "--format", "oci", "--compress", how, "base", how)
            self.ok("skopeo", "copy", "-q", f"oci:{how}", f"dir:{how}.copied", cwd=self.dir)
            self.layer("import", how, "--name", "as-image")
            self.assertEqual(self.tree("as-image"), self.tree("base"))

    @needs("buildah", "podman")
    def test_buildah_and_podman(self):
        # Files alone: no container is run, no network asked.
        where = ["--root", self.at("c/root"), "--runroot", self.at("c/run"), "--storage-driver", "vfs"]
        buildah = lambda *words: self.ok("buildah", *where, *words, timeout=120).strip()
        podman = lambda *words: self.ok("podman", *where, *words, timeout=120).strip()
        self.fill(self.make_dir("root"))
        made = buildah("from", "scratch")
        buildah("copy", made, self.at("root"), "/")
        buildah("config", "--entrypoint", '["/file"]', "--user", "nobody", made)
        buildah("commit", "-q", made, "localhost/app:1")
        buildah("commit", "-q", made, "localhost/other:1")
        for form in ("docker-archive", "oci-archive"):
            podman("save", "-q", "--format", form, "-o", self.at(form), "localhost/app:1")
            self.layer("import", form)
            shown = self.show("localhost/app:1")
            self.assertEqual(shown["config"]["entrypoint"], ["/file"])
            self.assertEqual(shown["config"]["user"], "nobody")
            self.assertIn("/dir/deep/large", [node["path"] for node in self.tree("localhost/app:1")])
        podman("save", "-q", "-m", "-o", self.at("both"), "localhost/app:1", "localhost/other:1")
        done = self.ufs("layer", "import", self.at("both"), "--name", "x", "--store", self.store)
        self.assertEqual(done.returncode, 1)
        self.assertIn("choose one with --image", done.stderr)
        self.layer("import", "both", "--image", "localhost/other:1", "--name", "x")
        self.assertEqual(self.show("x")["config"]["entrypoint"], ["/file"])

        podman("rmi", "-f", "localhost/app:1", "localhost/other:1")
        self.layer("export", "--format", "docker-archive", "localhost/app:1", "back")
        podman("load", "-q", "-i", self.at("back"))
        theirs = json.loads(podman("image", "inspect", "localhost/app:1"))[0]
        ours = self.show("localhost/app:1")
        self.assertEqual("sha256:" + theirs["Id"], ours["id"])
        self.assertEqual(theirs["RootFS"]["Layers"], [layer["digest"] for layer in ours["layers"]])

    def test_a_docker_archive_whose_names_tell_nothing(self):
        self.write("rootfs/file", "one")
        layer = self.layer("import", self.at("rootfs"), "--name", "one").strip()
        os.makedirs(self.at("archive/x"))
        self.layer("export", "one", self.at("archive/x/layer.tar"))
        config = {"os": "linux", "architecture": self.machine(), "config": {},
                  "rootfs": {"type": "layers", "diff_ids": [layer]}}
        self.write("archive/c.json", json.dumps(config))
        self.write("archive/manifest.json", json.dumps(
            [{"Config": "c.json", "RepoTags": ["odd:1"], "Layers": ["x/layer.tar"]}]))
        tar = lambda name, *words: self.ok("tar", *words, "-cf", self.at(name), "-C",
                                           self.at("archive"), "c.json", "x/layer.tar",
                                           "manifest.json")
        tar("odd.tar")
        self.layer("import", "odd.tar")
        self.assertEqual(self.show("odd:1")["kind"], "image")
        self.assertEqual(self.show("odd:1")["layers"][0]["digest"], layer)
        # What cannot be looked at twice is one layer, and that is said.
        tar("odd.tar.gz", "-z")
        done = run(UFS, "layer", "import", "--store", self.store, "odd.tar.gz", "--name", "plain",
                   cwd=self.dir)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"odd\.tar\.gz: became one layer, but its manifest\.json")
        self.assertEqual(self.show("plain")["kind"], "layer")
        # Not of one that says so, nor of another manifest.
        done = run(UFS, "layer", "import", "--store", self.store, "--layer", "odd.tar",
                   cwd=self.dir)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.write("archive/manifest.json", '{"name": "an application"}')
        tar("app.tar")
        done = run(UFS, "layer", "import", "--store", self.store, "app.tar", "--name", "app",
                   cwd=self.dir)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.show("app")["kind"], "layer")

    @staticmethod
    def machine():
        return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)

    def test_what_is_no_image_and_where_there_is_none(self):
        self.layer("import", self.base, "--name", "base")
        refused = lambda message, *words: self.assertRegex(
            self.ufs("layer", *words, "--store", self.store, cwd=self.dir).stderr, message)
        refused("choose among images", "import", "app", "--platform", "linux/arm64")
        refused("is no platform", "import", "app", "--platform", "linux")
        refused("an OCI layout is a directory", "export", "--format", "oci", "base")
        os.symlink("elsewhere", self.at("link"))
        self.layer("export", "base", "link")
        self.assertTrue(os.path.islink(self.at("link")))
        self.assertGreater(os.path.getsize(self.at("elsewhere")), 512)
        self.layer("export", "--format", "oci", "base", "out")
        refused("name a place where nothing is yet", "export", "--format", "oci", "base", "out")
        refused("it holds latest", "import", "out", "--image", "v9")
        self.layer("import", "out", "--name", "image")
        refused("is an image; choose a --format", "export", "image", "tar")
        refused("is part of image", "rm", "base", "-f")
        self.layer("export", "--format", "dir", "image", "root")
        self.assertEqual(run("diff", "-r", self.base, self.at("root")).stdout, "")
        # As a layer, whatever it holds.
        self.layer("import", "--layer", "out", "--name", "as-layer")
        self.assertIn("/index.json", [node["path"] for node in self.tree("as-layer")])
        self.assertEqual(self.show("as-layer")["kind"], "layer")


if __name__ == "__main__":
    harness.main()
