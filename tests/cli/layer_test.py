"""Layers of a store: commit, squash, and mounting them by name and digest."""
import errno
import json
import os
import socket
import subprocess
import unittest

import harness
from harness import UFS, CliTest, run


class Sealed(CliTest):
    def setUp(self):
        super().setUp()
        self.store = self.at("store")

    def in_store(self, verb, *words):
        return run(UFS, verb, *words, "--store", self.store, cwd=self.dir)

    def commit(self, *words):
        done = self.in_store("commit", *words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.split()[0]

    def mount_sealed(self, *words):
        self.mount("--store", self.store, *words, cwd=self.dir)

    def damage(self, folder, text):
        """Flips a bit of `text`, which a file below a folder of the store holds."""
        for parent, _, names in os.walk(os.path.join(self.store, folder)):
            for path in (os.path.join(parent, name) for name in names):
                with open(path, "rb") as file:
                    data = bytearray(file.read())
                at = data.find(text.encode())
                if at < 0:
                    continue
                data[at] ^= 1
                os.chmod(path, 0o644)
                with open(path, "r+b") as file:
                    file.write(data)
                return path
        self.fail(f"nothing in {folder} holds {text}")

    def refused(self, message, done):
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertRegex(done.stderr, message)

    def test_mounts_by_name_digest_and_prefix(self):
        digest = self.commit(self.base, "--name", "base-layer")
        self.assertTrue(digest.startswith("sha256:"))
        for word in ("base-layer", digest, digest[7:], digest[7:20]):
            self.mount_sealed("--ro", word, "mnt")
            self.assertEqual(self.read("mnt/only-base"), "1")
            self.umount()

    def test_a_store_named_from_here_is_found_from_elsewhere(self):
        self.commit(self.base, "--name", "base-layer")
        self.mount("--store", "store", "base-layer", "mnt", cwd=self.dir)
        self.write("mnt/new", "1")
        done = run(UFS, "diff", self.at("mnt"), cwd="/")
        self.assertEqual((done.returncode, done.stdout), (0, "A /new\n"), done.stderr)
        self.assertEqual(json.loads(run(UFS, "stat", "--json", self.at("mnt")).stdout)["union"]["store"], self.store)
        done = run(UFS, "commit", self.at("mnt"), "--name", "next", cwd="/")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_same_directory_is_the_same_layer(self):
        first = self.commit(self.base)
        self.assertEqual(self.commit(self.base), first)
        self.assertNotEqual(self.commit(self.app), first)

    def test_layers_and_directories_mix(self):
        self.commit(self.base, "--name", "low")
        self.commit(self.app, "--name", "high")
        self.make_layer("middle", {"both": "middle", "only-middle": "m"})
        self.mount_sealed("--upper", self.at("up"), "low", "./middle", "high", "mnt")
        self.assertEqual(self.read("mnt/both"), "app")
        self.assertEqual(self.read("mnt/only-middle"), "m")
        self.write("mnt/only-base", "changed")
        self.assertEqual(self.read("up/only-base"), "changed")

    def test_says_which_of_two_is_meant(self):
        self.commit(self.app, "--name", "base")
        done = self.in_store("mount", "--ro", "base", "mnt")
        self.assertEqual(done.returncode, 1)
        self.assertIn("./base", done.stderr)
        self.mount_sealed("--ro", "./base", "mnt")
        self.assertEqual(self.read("mnt/both"), "base")

    def test_names_what_there_is_not(self):
        self.commit(self.app, "--name", "app-layer")
        done = self.in_store("mount", "--ro", "nothing", "mnt")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nothing: no such layer", done.stderr)
        self.assertIn(self.store, done.stderr)

    def test_a_directory_needs_no_store(self):
        environment = {**os.environ, "UFS_STORE": self.at("nowhere")}
        done = run(UFS, "mount", "--ro", "base", "mnt", cwd=self.dir, env=environment)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.umount()
        done = run(UFS, "mount", "--ro", "base", "other", "mnt", cwd=self.dir, env=environment)
        self.assertEqual(done.returncode, 1)
        self.assertIn("nowhere: no store of layers", done.stderr)

    def test_commit_takes_what_a_mount_changed(self):
        self.commit(self.base, "--name", "low")
        self.mount_sealed("--upper", self.at("up"), "low", "mnt")
        self.write("mnt/new", "n")
        self.write("mnt/both", "changed")
        os.remove(self.at("mnt/only-base"))
        self.commit("mnt", "--name", "high")
        self.write("mnt/both", "later")  # the mount goes on
        self.umount()
        self.mount_sealed("--ro", "low", "high", "mnt")
        self.assertEqual(sorted(os.listdir(self.at("mnt"))), ["both", "new"])
        self.assertEqual(self.read("mnt/both"), "changed")
        stat = run(UFS, "stat", self.mnt)
        self.assertIn("low", stat.stdout)
        self.assertIn("sha256:", stat.stdout)
        self.umount()
        # The upper itself, by the layers it lay over: what came since.
        self.commit("--layer", "low", "up", "--name", "latest")
        self.mount_sealed("--ro", "low", "high", "latest", "mnt")
        self.assertEqual(self.read("mnt/both"), "later")

    def test_commit_takes_files_that_are_partly_in_the_upper(self):
        text = "".join(f"line {number}\n" for number in range(300_000))  # some 3 MiB
        self.make_layer("big", {"dir/large": text, "dir/small": text[:100_000]})
        self.commit("big", "--name", "low")
        self.mount_sealed("--upper", self.at("up"), "low", "mnt")
        for name in ("large", "small"):
            with open(self.at(f"mnt/dir/{name}"), "r+") as file:
                file.write("LINE")
        self.commit("mnt", "--name", "high")
        self.umount()
        self.mount_sealed("--ro", "low", "high", "mnt")
        self.assertEqual(self.read("mnt/dir/large"), "LINE" + text[4:])
        self.assertEqual(self.read("mnt/dir/small"), "LINE" + text[4:100_000])

    def test_commit_refuses_an_upper_in_use(self):
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        done = self.in_store("commit", "up")
        self.assertEqual(done.returncode, 1)
        self.assertIn("commit the mount point", done.stderr)

    def test_commit_refuses_a_mount_point_whose_mount_is_gone(self):
        self.commit(self.base, "--name", "low")
        self.mount_sealed("--upper", self.at("up"), "low", self.mnt)
        self.write("mnt/new", "1")
        self.commit("--keep-upper", "mnt", "--name", "app")
        kept = self.in_store("layer", "ls").stdout
        self.umount()
        done = self.in_store("commit", "mnt", "--name", "app")
        self.assert_refused(done, "mnt: .*is empty and has no work directory.*mount it again")
        self.assertEqual(self.in_store("layer", "ls").stdout, kept)
        # One that has a work directory is an upper, whatever it changes.
        self.mount_sealed("--upper", self.at("nothing"), "low", self.mnt)
        self.umount()
        self.commit("--layer", "low", "nothing", "--name", "unchanged")
        os.rename(self.at("nothing.work"), self.at("elsewhere"))
        self.commit("--layer", "low", "--work", "elsewhere", "nothing")

    def test_a_bad_name_leaves_no_layer(self):
        self.commit(self.base, "--name", "low")
        self.commit(self.app, "--name", "high")
        self.mount_sealed("--upper", self.at("up"), "low", self.mnt)
        self.write("mnt/new", "1")
        self.write("bare/new", "2")
        kept = self.in_store("layer", "ls").stdout
        for words in (["squash", "low", "high"], ["commit", "mnt"], ["commit", "bare"]):
            done = self.in_store(*words, "--name", "Bad:Na:me")
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("Bad:Na:me", done.stderr)
            self.assertEqual(self.in_store("layer", "ls").stdout, kept)

    def test_sockets_are_left_out(self):
        def bind(path):
            with socket.socket(socket.AF_UNIX) as end:
                end.bind(self.at(path))
        self.write("base/dir/replaced", "below")
        self.commit(self.base, "--name", "low")
        self.mount_sealed("--upper", self.at("up"), "low", self.mnt)
        os.remove(self.at("mnt/dir/replaced"))
        bind("mnt/dir/replaced")
        bind("mnt/new")
        self.write("mnt/file", "stays")
        warning = "".join(f"ufs commit: {path}: left out, a socket cannot be kept in a layer\n"
                          for path in ("/dir/replaced", "/new"))

        def check(*words):
            done = self.in_store("commit", *words, "--name", "high")
            self.assertEqual((done.returncode, done.stderr), (0, warning))
            self.assertEqual(self.tree_of("high"), ["/", "/dir", "/dir/replaced", "/file"])
            self.mount_sealed("--ro", "low", "high", self.make_dir("shown"))
            self.assertEqual(os.listdir(self.at("shown/dir")), [])
            self.assertEqual(self.read("shown/file"), "stays")
            self.umount(self.at("shown"))
        check("--keep-upper", "mnt")
        self.umount()
        check("--layer", "low", "up")
        # So does a directory.
        bind("base/dir/own")
        done = self.in_store("layer", "import", self.base, "--name", "imported")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr, "ufs layer import: /dir/own: left out, a socket cannot be "
                         "kept in a layer\n")
        self.assertEqual(self.tree_of("imported"), self.tree_of("low"))

    def test_json_keeps_names_that_are_no_utf8(self):
        source = os.path.join(os.fsencode(self.dir), b"f\xfdrom")
        os.mkdir(source)
        for name in (b"a\xfe", b"a\xff"):
            open(os.path.join(source, name), "w").close()
        os.symlink(b"to\xff", os.path.join(source, b"link"))
        os.mkfifo(os.path.join(source, b"\xc3\xbc"))
        done = run(UFS, "layer", "import", "--store", self.store, source, "--name", "odd")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = self.in_store("layer", "tree", "--json", "odd").stdout.splitlines()
        nodes = [json.loads(line) for line in lines]
        self.assertEqual([node.get("path", node.get("path_hex")) for node in nodes],
                         ["/", "2f61fe", "2f61ff", "/link", "/\u00fc"])
        self.assertNotIn("path", nodes[1])
        self.assertEqual(nodes[3]["target_hex"], b"to\xff".hex())
        for shown in (json.loads(self.in_store("layer", "show", "--json", "odd").stdout),
                      json.loads(self.in_store("layer", "ls", "--json").stdout)[0]):
            self.assertEqual(bytes.fromhex(shown["source_hex"]), source)
            self.assertNotIn("source", shown)

    def tree_of(self, layer):
        lines = self.in_store("layer", "tree", "--json", layer).stdout.splitlines()
        return [json.loads(line)["path"] for line in lines]

    def test_squash_shows_what_both_show(self):
        self.commit(self.base, "--name", "low")
        self.mount_sealed("--upper", self.at("up"), "low", "mnt")
        os.remove(self.at("mnt/only-base"))
        self.write("mnt/new", "x" * 5000)
        self.commit("mnt", "--name", "high")
        self.umount()
        done = self.in_store("squash", "low", "high", "--name", "one", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["name"], "one")
        self.mount_sealed("--ro", "one", "mnt")
        self.assertEqual(sorted(os.listdir(self.at("mnt"))), ["both", "new"])
        self.assertEqual(self.read("mnt/new"), "x" * 5000)
        self.umount()
        # It still hides what lies below.
        self.mount_sealed("--ro", "./base", "one", "mnt")
        self.assertFalse(os.path.exists(self.at("mnt/only-base")))

    def test_damage_gets_no_sound_digest(self):
        self.make_layer("low", {"inline": "a few bytes", "large": "x" * 9000})
        low = self.commit("low", "--name", "low-layer")
        self.commit(self.app, "--name", "high-layer")
        squash = ("squash", "low-layer", "high-layer", "--name", "one")
        self.damage("layers", "a few bytes")
        self.refused(f"layer {low}: .* is damaged", self.in_store(*squash))
        self.commit("low")  # mends it
        self.damage("objects", "xxx")
        self.refused(r"large': object \w+ is damaged", self.in_store(*squash))
        self.commit("low")
        self.assertEqual(self.in_store(*squash).returncode, 0)

    def test_damage_is_not_served_nor_exported(self):
        self.make_layer("low", {"inline": "a few bytes", "large": "x" * 9000})
        low = self.commit("low", "--name", "low-layer")
        export = (UFS, "layer", "export", "--store", self.store, "--format", "dir",
                  low, self.at("out"))
        self.damage("objects", "xxx")
        self.refused(r"large': object \w+ is damaged", run(*export))
        self.commit("low")
        self.damage("layers", "a few bytes")
        self.refused(f"layer {low}: .* is damaged", run(*export))
        self.refused(f"layer {low}: .* is damaged", self.in_store("mount", "--ro", low, "mnt"))
        self.assertFalse(os.path.exists(self.at("out")))

    def test_verify_finds_damaged_contents_before_they_are_read(self):
        self.make_layer("low", {"dir/large": "x" * 9000, "other": "y" * 9000})
        low = self.commit("low", "--name", "low-layer")
        self.commit(self.app, "--name", "high-layer")
        self.damage("objects", "xxx")
        self.mount_sealed("--ro", "low-layer", "mnt")
        self.assertEqual(self.read("mnt/dir/large"), "y" + "x" * 8999)
        self.umount()
        log = open(self.at("log"), "w+")
        self.addCleanup(log.close)
        daemon = subprocess.Popen(
            [UFS, "mount", "-f", "--store", self.store, "-o", "verify=on",
             "--upper", self.at("up"), "low-layer", "high-layer", "mnt"],
            cwd=self.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.terminate)
        self.assertTrue(harness.wait_until(lambda: self.mnt in harness.mounts()))
        self.assertEqual(os.stat(self.at("mnt/dir/large")).st_size, 9000)
        with self.assertRaises(OSError) as caught:
            self.read("mnt/dir/large")
        self.assertEqual(caught.exception.errno, errno.EIO)
        self.assertEqual(self.read("mnt/other"), "y" * 9000)
        self.assertIn("verify", run(UFS, "stat", self.mnt).stdout)
        log.seek(0)
        self.assertRegex(log.read(), rf"layer {low}: /dir/large: object \w+ is damaged.*"
                                     "import the layer again")
        self.commit("low")
        self.assertEqual(self.read("mnt/dir/large"), "x" * 9000)
        self.umount()

    def test_diff_knows_sealed_layers(self):
        self.commit(self.base, "--name", "low")
        self.mount_sealed("--upper", self.at("up"), "low", "mnt")
        os.chmod(self.at("mnt/only-base"), 0o600)
        self.write("mnt/both", "longer than before")
        done = run(UFS, "diff", self.mnt)
        self.assertEqual(done.stdout, "C /both\nM /only-base\n", done.stderr)


if __name__ == "__main__":
    harness.main()
