"""ufs layer import and export: directories and tars become layers and come back."""
import hashlib
import json
import os
import shutil
import stat
import tarfile
import unittest

import harness
from harness import UFS, CliTest, as_user, run


class Import(CliTest):
    def store(self, *arguments, **options):
        return self.ufs("layer", *arguments, "--store", self.at("store"), **options)

    def make_tar(self, *arguments):
        path = self.at("made.tar")
        self.assertEqual(run("tar", *arguments, "-cf", path, "-C", self.base, ".").returncode, 0)
        return path

    def digest_of(self, path):
        with open(path, "rb") as file:
            return "sha256:" + hashlib.sha256(file.read()).hexdigest()

    def test_a_tar_is_known_by_its_digest_and_comes_back_as_it_was(self):
        tar = self.make_tar("--sort=name")
        done = self.store("import", tar, "--name", "base:v1")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout.strip(), self.digest_of(tar))
        out = self.at("out.tar")
        self.assertEqual(self.store("export", "base:v1", out).returncode, 0)
        self.assertEqual(self.digest_of(out), self.digest_of(tar))

    def test_compressed_tars_are_the_same_layer(self):
        tar = self.make_tar()
        expected = self.digest_of(tar)
        for tool, suffix in (("gzip", "gz"), ("xz", "xz")):
            self.assertEqual(run(tool, "--keep", tar).returncode, 0)
            done = self.store("import", f"{tar}.{suffix}", "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads(done.stdout)["digest"], expected)

    @unittest.skipUnless(shutil.which("setfacl") and shutil.which("bsdtar"),
                         "needs acl and bsdtar")
    def test_acls_as_each_tar_writes_them(self):
        """As text of records of their own, or as extended attributes."""
        self.make_dir("base/dir")
        run("setfacl", "-m", "u:12345:rw,g:54321:r", self.at("base/both"))
        run("setfacl", "-m", "d:u:12345:rwx,u:0:r", self.at("base/dir"))

        def acls(directory):
            seen = run("getfacl", "-ncpE", f"{directory}/both", f"{directory}/dir")
            self.assertIn("default:user:12345:rwx", seen.stdout)
            return seen.stdout

        for name, words in (("gnu", ["tar", "--acls"]), ("bsd", ["bsdtar", "--acls"]),
                            ("numbers", ["tar", "--acls", "--numeric-owner"]),
                            ("xattrs", ["tar", "--xattrs", "--xattrs-include=*"])):
            with self.subTest(name):
                tar = self.at(name + ".tar")
                self.assertEqual(run(*words, "-C", self.base, "-cf", tar, ".").returncode,
                                 0)
                done = self.store("import", tar, "--name", name)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                out = self.at("out-" + name)
                done = self.store("export", name, out, "--format", "dir")
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertEqual(acls(out), acls(self.base))

    def test_a_directory_is_the_same_layer_wherever_it_lies(self):
        first = self.store("import", self.base)
        self.assertEqual((first.returncode, first.stderr), (0, ""))
        copy = self.at("copy")
        self.assertEqual(run("cp", "-a", self.base, copy).returncode, 0)
        second = self.ufs("layer", "import", copy, "--store", self.at("other-store"))
        self.assertEqual(second.stdout, first.stdout)

    def test_a_layer_is_a_directory_again(self):
        """With all that a layer holds: imported once more, it is the same layer."""
        self.write("base/dir/deep/sparse", "end")
        os.truncate(self.at("base/dir/deep/sparse"), 8 << 20)
        self.write("base/program", "x" * 5000)
        os.link(self.at("base/program"), self.at("base/dir/again"))
        os.symlink("../nowhere", self.at("base/dir/link"))
        os.link(self.at("base/dir/link"), self.at("base/second"), follow_symlinks=False)
        os.mkfifo(self.at("base/pipe"))
        os.mknod(self.at("base/gone"), 0o20000, os.makedev(0, 0))
        os.makedirs(self.at("base/cut"))
        os.setxattr(self.at("base/cut"), "trusted.overlay.opaque", b"y")
        os.setxattr(self.at("base/program"), "user.note", b"kept")
        os.chown(self.at("base/program"), 1234, 5678)
        os.chmod(self.at("base/program"), 0o6751)
        os.chmod(self.at("base/dir"), 0o500)
        os.utime(self.at("base/dir"), ns=(5, 1_234_567_890))
        self.assertEqual(self.store("import", self.base, "--name", "base").returncode, 0)
        done = self.store("export", "--format", "dir", "base", self.at("out"))
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        first = self.store("import", self.base).stdout
        self.assertEqual(self.store("import", self.at("out")).stdout, first)
        self.assertEqual(os.stat(self.at("out/dir")).st_mtime_ns, 1_234_567_890)
        self.assertEqual(os.stat(self.at("out/program")).st_nlink, 2)
        self.assertEqual(os.stat(self.at("out/gone")).st_rdev, 0)
        self.assertLess(os.stat(self.at("out/dir/deep/sparse")).st_blocks, 64)
        again = self.store("export", "--format", "dir", "base", self.at("out"))
        self.assertEqual(again.returncode, 1)
        self.assertIn("name a place where nothing is yet", again.stderr)

    def tar_of(self, *entries):
        """A tar of (name, what tarfile.TarInfo is to have)."""
        path = self.at("made.tar")
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            for name, fields in entries:
                info = tarfile.TarInfo(name)
                for field, value in fields.items():
                    setattr(info, field, value)
                tar.addfile(info)
        return path

    def test_what_looks_like_marks_is_itself_in_a_directory(self):
        xattrs = {"SCHILY.xattr." + name: "y" for name in (
            "trusted.overlay.opaque", "user.overlay.metacopy", "user.fuseoverlayfs.opaque",
            "trusted.overlay.overlay.redirect", "user.plain")}
        tar = self.tar_of(
            ("known", {"type": tarfile.DIRTYPE, "mode": 0o1777, "pax_headers": xattrs}),
            ("known/file", {"pax_headers": xattrs}), ("not/said/file", {"mode": 0o600}),
            ("cut/.wh..wh..opq", {}), ("not/.wh.gone", {}))
        self.assertEqual(self.store("import", tar, "--name", "made").returncode, 0)
        done = self.store("export", "--format", "dir", "made", self.at("out"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        # The tar was another program's; the layer is the same all the same.
        self.assertEqual(self.store("import", self.at("out"), "--name", "again").returncode, 0)
        self.assertEqual(self.store("diff", "made", "again").stdout, "")
        trees = [self.store("tree", name).stdout for name in ("made", "again")]
        self.assertEqual(trees[0], trees[1])
        tar_again = self.at("again.tar")
        self.assertEqual(self.store("export", "again", tar_again).returncode, 0)
        with tarfile.open(tar_again) as tar:
            self.assertEqual(sorted(tar.getnames()),
                             ["cut/.wh..wh..opq", "known", "known/file", "not/.wh.gone",
                              "not/said/file"])
            self.assertEqual({key: value for key, value in tar.getmember("known").pax_headers.items()
                              if key.startswith("SCHILY")}, xattrs)
        # As a directory it shows what the store's layer does.
        below = self.make_layer("below", {"not/other": "", "known/other": ""})
        os.chmod(below + "/not", 0o1771)
        shown = []
        for layer in ("made", self.at("out")):
            self.mount("--store", self.at("store"), "--ro", below, layer, self.mnt)
            shown.append([os.stat(f"{self.mnt}/{name}").st_mode for name in ("not", "known", "cut")])
            self.assertEqual(os.getxattr(f"{self.mnt}/known", "user.overlay.metacopy"), b"y")
            self.umount()
        self.assertEqual(shown[0], shown[1])
        self.assertEqual(shown[0][0] & 0o7777, 0o1771)
        # What is said of it since counts.
        os.chmod(self.at("out/not"), 0o700)
        self.store("import", self.at("out"), "--name", "said")
        self.assertIn("drwx------", self.store("tree", "said").stdout)

    def test_a_branch_of_aufs_is_the_layer_that_its_tar_is(self):
        branch = self.make_layer("branch", {"file": "text", ".wh.gone": "", ".wh..wh.aufs": "",
                                            "sub/.wh..wh..opq": ""})
        for name in (".wh..wh.plnk", ".wh..wh.orph"):
            os.mkdir(f"{branch}/{name}")
            self.write(f"branch/{name}/0001", "")
        self.assertEqual(self.store("import", branch, "--name", "branch").returncode, 0)
        tar = self.at("branch.tar")
        self.assertEqual(self.store("export", "branch", tar).returncode, 0)
        with tarfile.open(tar) as file:
            self.assertEqual(sorted(file.getnames()),
                             [".", ".wh.gone", "file", "sub", "sub/.wh..wh..opq"])
        self.assertEqual(self.store("import", tar, "--name", "again").returncode, 0)
        self.assertEqual(self.store("tree", "branch").stdout, self.store("tree", "again").stdout)

    def test_the_whiteout_of_what_no_layer_holds_is_refused(self):
        os.mknod(self.at("base/.wh.link"), stat.S_IFCHR, 0)
        self.assert_refused(self.store("import", self.base),
                            r"'\.wh\.link': a layer cannot say that this name is deleted")

    def test_a_device_that_would_delete_is_no_file_of_a_directory(self):
        tar = self.tar_of(("dev/zero", {"type": tarfile.CHRTYPE, "devmajor": 0, "devminor": 0}))
        self.assertEqual(self.store("import", tar, "--name", "made").returncode, 0)
        done = self.store("export", "--format", "dir", "made", self.at("out"))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "'dev/zero': a device 0/0: in a directory that is a layer it "
                                      "would delete the name; export the layer as a tar")
        self.assertFalse(os.path.exists(self.at("out")))
        self.store("export", "--format", "oci", "made", self.at("image"))
        self.assertEqual(self.store("import", self.at("image"), "--name", "image").returncode, 0)
        done = self.store("export", "--format", "dir", "image", self.at("root"))
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, "^ufs layer export: dev/zero: as it is in the image; who takes")
        self.assertEqual(os.stat(self.at("root/dev/zero")).st_rdev, 0)

    def test_what_is_mounted_in_a_directory_is_said(self):
        inside = self.make_dir("base/inside")
        run("mount", "-t", "tmpfs", "tmpfs", inside)
        self.addCleanup(run, "umount", inside)
        self.write("base/inside/file", "")
        done = self.store("import", self.base, "--name", "base")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, f"^ufs layer import: {inside}: what is mounted there is left out; "
                                      "[^\n]*\n$")
        self.assertNotIn("file", self.store("tree", "base").stdout)

    def test_a_full_disk_is_said_with_what_gives_room(self):
        run("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", self.make_dir("store"))
        with open(self.at("base/large"), "wb") as file:
            file.write(os.urandom(4 << 20))
        done = self.store("import", self.base)
        self.assert_refused(done, "/large: writing an object: No space left on device; 'ufs layer rm' "
                                  "and 'ufs store gc' give room in the store")

    def test_what_cannot_be_read_is_named_once(self):
        self.write("base/secret", "s" * 9000)
        os.chmod(self.at("base/secret"), 0)
        self.make_dir("theirs")
        os.chown(self.at("theirs"), harness.USER, harness.USER)
        done = run(*as_user(), UFS, "layer", "import", "--store", self.at("theirs/store"), self.base)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, f"{self.base}: /secret: Permission denied$")
        self.assertEqual(done.stderr.count("secret"), 1)

    def test_who_may_not_give_files_away_is_told(self):
        self.assertEqual(self.store("import", self.base, "--name", "base").returncode, 0)
        os.makedirs(self.at("theirs"))
        run("chown", "-R", str(harness.USER), self.at("theirs"), self.at("store"))
        done = run(*as_user(), UFS, "layer", "export", "--format", "dir", "--store", self.at("store"),
                   "base", self.at("theirs/out"))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "owner 0:0 cannot be given; do this as root, or in a user")
        self.assertEqual(os.listdir(self.at("theirs")), [])

    def test_a_layer_mounts_by_name(self):
        self.assertEqual(self.store("import", self.base, "--name", "base").returncode, 0)
        self.mount("--store", self.at("store"), "--upper", self.at("up"), "base", self.mnt)
        self.assertEqual(self.read("mnt/both"), "base")
        self.write("mnt/both", "changed")
        self.assertEqual(self.read("mnt/both"), "changed")
        self.assertEqual(self.read("base/both"), "base")
        self.umount()

    def test_what_is_no_layer_is_refused_and_leaves_nothing(self):
        self.write("junk", "no tar at all" * 100)
        done = self.store("import", self.at("junk"), "--name", "junk")
        self.assertEqual(done.returncode, 1)
        self.assertIn(self.at("junk"), done.stderr)
        listed = self.store("ls", "--json")
        self.assertEqual(json.loads(listed.stdout), [])
        self.assertEqual(os.listdir(self.at("store/objects")), [])


if __name__ == "__main__":
    harness.main()
