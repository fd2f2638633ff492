#!/usr/bin/env python3
"""ufs layer and ufs store: what they print, refuse, and leave."""
import io
import json
import os
import pty
import re
import subprocess
import tarfile

import harness
from harness import CliTest, as_user, run

MAKE_LAYER = os.path.realpath(os.environ.get("MAKE_LAYER", "build/tests/store/make_layer"))


class LayerTest(CliTest):
    def setUp(self):
        super().setUp()
        self.store = self.at("store")
        os.environ["UFS_STORE"] = self.store
        self.addCleanup(os.environ.pop, "UFS_STORE", None)

    def make(self, identity, **files):
        done = run(MAKE_LAYER, self.store, identity,
                   *(f"{name}={text}" for name, text in files.items()))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def ok(self, *arguments):
        done = self.ufs(*arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""), arguments)
        return done.stdout

    def refused(self, message, *arguments, code=1):
        done = self.ufs(*arguments)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertRegex(done.stderr, message)
        return done

    def damage(self, folder, suffix=""):
        """Flips a byte of a file below a folder of the store."""
        for parent, _, names in os.walk(os.path.join(self.store, folder)):
            for name in filter(lambda name: name.endswith(suffix), names):
                path = os.path.join(parent, name)
                os.chmod(path, 0o644)
                with open(path, "r+b") as file:
                    file.seek(100)
                    byte = file.read(1)
                    file.seek(100)
                    file.write(bytes([byte[0] ^ 1]))
                return path
        self.fail(f"nothing in {folder}")

    def test_without_a_store(self):
        self.refused(r"store: no store of layers", "layer", "ls")
        for verb in ("df", "check"):
            self.refused(r"store: no store of layers; 'ufs layer import' makes one$", "store", verb)
        for words in (["store", "gc"], ["store", "gc", "-n"], ["store", "repair"],
                      ["layer", "rm", "x"], ["layer", "untag", "x"], ["layer", "tag", "x", "y"],
                      ["layer", "image", "x"], ["layer", "view", "x"]):
            self.refused("store: no store of layers; 'ufs layer import' makes one$", *words)
        self.assertFalse(os.path.exists(self.store))

    def test_not_a_store(self):
        self.refused(r"no store of layers \(it has no 'version'\)",
                     "layer", "ls", "--store", self.dir)
        self.refused("no store of layers", "layer", "untag", "x", "--store", self.dir)
        self.refused("neither empty nor a store", "layer", "import", self.make_dir("one"), "--store",
                     self.dir)

    def test_ls_and_names(self):
        base, app = self.make("base", f="1"), self.make("app", f="2", g="3")
        self.ok("layer", "tag", base, "base", "base:v1")
        self.ok("layer", "tag", app[7:20], "host:5000/team/app:v2")
        text = self.ok("layer", "ls")
        self.assertRegex(text, r"(?m)^NAME +DIGEST +LAYERS +ENTRIES +CONTENTS +CREATED +SOURCE$")
        self.assertRegex(text, rf"(?m)^base +{base[7:19]} +- +1 +1 B ")
        self.assertRegex(text, rf"(?m)^base:v1 +{base[7:19]} ")
        self.assertRegex(text, rf"(?m)^host:5000/team/app:v2 +{app[7:19]} +- +2 ")
        listed = json.loads(self.ok("layer", "ls", "--json"))
        self.assertEqual({layer["digest"]: layer["names"] for layer in listed},
                         {base: ["base", "base:v1"], app: ["host:5000/team/app:v2"]})
        self.assertEqual(set(self.ok("layer", "ls", "-q").split()), {base, app})
        # A name moves.
        self.ok("layer", "tag", app, "base")
        self.assertEqual(json.loads(self.ok("layer", "show", "--json", "base"))["digest"], app)
        self.ok("layer", "untag", "base")
        self.refused("'base': no layer or image with this name or digest in .*; see 'ufs layer ls'$",
                     "layer", "show", "base")
        self.refused("nothing is named base; see 'ufs layer ls'$", "layer", "untag", "base")

    def test_json_is_a_line_and_names_only_what_has_a_name(self):
        first, second = self.make_layer("first", {"f": "1"}), self.make_layer("second", {"g": "2"})
        for command in (("layer", "import"), ("layer", "import", "--layer"), ("commit",)):
            bare = json.loads(self.ok(*command, "--json", first))
            self.assertNotIn("name", bare)
            named = json.loads(self.ok(*command, "--json", "--name", "one", first))
            self.assertEqual(named, {**bare, "name": "one"})
            self.assertEqual(self.ok(*command, "--name", "one", first), named["digest"] + "\n")
        self.ok("layer", "import", "--name", "two", second)
        self.mount("--upper", self.at("up"), "one", self.mnt)
        for command in (("layer", "import", first), ("layer", "ls"), ("layer", "show", "one"),
                        ("layer", "diff", "one", "two"), ("layer", "verify"), ("store", "df"),
                        ("store", "gc"), ("store", "check"), ("store", "repair"),
                        ("squash", "one", "two"), ("stat", self.mnt), ("diff", self.mnt),
                        ("commit", "--keep-upper", self.mnt)):
            printed = self.ok(*command, "--json")
            self.assertEqual(printed.count("\n"), 1, command)
            json.loads(printed)
        doctor = self.ufs("doctor", "--json").stdout
        self.assertEqual(doctor.count("\n"), 1)

    def test_one_of_a_thing_is_not_several(self):
        self.write("one/f", "1")
        self.write("one/.wh.g", "")
        tar = run("tar", "-cf", self.at("one.tar"), "-C", self.at("one"), ".wh.g")
        self.assertEqual(tar.returncode, 0, tar.stderr)
        layer = self.ok("layer", "import", self.at("one.tar")).strip()
        self.assertRegex(self.ok("layer", "show", layer), r"(?m)^entries +1, of them 1 whiteout$")
        self.assertEqual(self.ufs("layer", "export", "--format", "oci", layer,
                                  self.at("layout")).returncode, 0)
        image = self.ok("layer", "import", self.at("layout")).strip()
        self.assertRegex(self.ok("layer", "show", image), r"(?m)^layer 1 +\S+, 1 entry, 0 B$")
        self.assertRegex(self.ok("layer", "verify", image), r"^1 image, 1 layer, ")

    def test_squash_says_once_what_there_is_not(self):
        done = self.refused("'none': no layer or image", "squash", "none", "none")
        self.assertEqual(done.stderr.count("none"), 1)

    def test_an_export_to_a_directory_tells_how_far_it_is(self):
        # Long enough for a line to be drawn; whichever way it goes, a file that has contents of
        # its own comes after the others.
        with tarfile.open(self.at("many.tar"), "w") as tar:
            for number in range(20_000):
                tar.addfile(tarfile.TarInfo(f"few/1{number}"))
            for name in ("0", "2"):
                large = tarfile.TarInfo("few/" + name)
                large.size = 9000
                tar.addfile(large, io.BytesIO(name.encode() * 9000))
        layer = self.ok("layer", "import", self.at("many.tar")).strip()
        terminal, end = pty.openpty()
        self.addCleanup(os.close, terminal)
        with open(end, "wb", buffering=0) as stderr:
            done = subprocess.run([harness.UFS, "layer", "export", "--format", "dir", layer,
                                   self.at("out")], stderr=stderr, timeout=harness.PATIENCE)
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"export  17.6 KiB", os.read(terminal, 4096))

    def test_refused_names(self):
        base = self.make("base", f="1")
        for name in ("../x", "-x", "a b", "", "a//b", "x:", ":y", "a" * 300):
            self.refused("name of a layer", "layer", "tag", "--", base, name)
        self.assertEqual(os.listdir(os.path.join(self.store, "names")), [])
        # It could be another layer's digest.
        for name in ("ab" * 32, "sha256:" + "ab" * 32, "sha256:x", "ab" * 32 + ":latest"):
            self.refused("is no name of a layer: it reads as a digest", "layer", "tag", base, name)
        # All or none.
        self.refused("no name of a layer", "layer", "tag", base, "good", "b@d name")
        self.assertEqual(os.listdir(os.path.join(self.store, "names")), [])
        done = self.refused("no layer or image with this name", "layer", "tag", "0123456789", "x")
        self.assertNotIn("four or more", done.stderr)
        self.refused("or give four or more digits of its digest", "layer", "show", base[7:10])

    def test_show_and_tree(self):
        base = self.make("base", **{"small": "few", "dir/big": "x" * 9000})
        text = self.ok("layer", "show", base)
        self.assertRegex(text, rf"(?m)^digest +{base}$")
        self.assertRegex(text, r"(?m)^contents +8\.79 KiB in files, 1 object$")
        self.assertRegex(text, r"(?m)^its own +20.0 KiB on the disk")
        text = self.ok("layer", "tree", base)
        self.assertRegex(text, r"(?m)^-rw-r--r-- +0:0 +9000 .* /dir/big$")
        self.assertRegex(text, r"(?m)^d\S+ .* /dir$")
        below = self.ok("layer", "tree", base, "dir").splitlines()
        self.assertEqual(len(below), 2)
        nodes = [json.loads(line) for line in self.ok("layer", "tree", "--json", base).splitlines()]
        self.assertEqual([node["path"] for node in nodes], ["/", "/dir", "/dir/big", "/small"])
        self.refused("none: does not exist in this layer$", "layer", "tree", base, "dir/none")

    def test_show_counts_all_that_only_it_has(self):
        for number in range(300):
            self.write(f"base/dir/{number}", "small" * 20)
        self.write("base/shared", "s" * 9000)
        self.write("other/shared", "s" * 9000)
        for name in ("base", "other"):
            done = run("tar", "-czf", self.at(f"{name}.tar.gz"), "-C", self.at(name), ".")
            self.assertEqual(done.returncode, 0, done.stderr)
        digest = self.ok("layer", "import", self.at("base.tar.gz")).strip()
        self.ok("layer", "import", self.at("other.tar.gz"))
        shown = json.loads(self.ok("layer", "show", "--json", digest))
        own = [os.path.join(self.store, "layers", name)
               for name in os.listdir(os.path.join(self.store, "layers"))
               if name.startswith(digest[7:])]
        self.assertGreaterEqual(len(own), 2)
        own.append(os.path.join(self.store, "blobs/sha256", shown["blob"]["digest"][7:]))
        self.assertEqual(shown["exclusive_bytes"],
                         sum(os.stat(path).st_blocks * 512 for path in own))

    def test_rm(self):
        base = self.make("base", shared="s" * 9000, own="b" * 9000)
        app = self.make("app", shared="s" * 9000, own="a" * 9000)
        self.ok("layer", "tag", base, "base", "other")
        self.refused("is named base and more", "layer", "rm", base)
        self.assertIn("the layer stays", self.ok("layer", "rm", "base"))
        self.assertRegex(self.ok("layer", "rm", "other"),
                         rf"removed {base}\nfreed [\d.]+ KiB")
        self.assertEqual(self.ok("layer", "ls", "-q").split(), [app])
        self.refused("no layer or image with this name", "layer", "rm", "base")
        self.ok("layer", "verify")
        self.ok("layer", "tag", app, "app")
        self.ok("layer", "rm", "--force", app[7:15])
        self.assertEqual(self.ok("layer", "ls", "-q"), "")
        self.assertEqual(json.loads(self.ok("store", "df", "--json"))["object_count"], 0)

    def test_what_is_in_use_stays(self):
        base = self.make("base", f="1")
        index = os.path.join(self.store, "layers", base[7:] + ".tree")
        holder = subprocess.Popen(["flock", "-s", index, "sleep", "60"])
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        # flock(1) has it once somebody else cannot.
        while run("flock", "-n", "-x", index, "true").returncode == 0:
            pass
        self.refused("is in use by a mount or another command", "layer", "rm", base)
        self.assertIn("1 in use and kept", self.ok("store", "gc", "--unnamed"))
        self.assertEqual(self.ok("layer", "ls", "-q").strip(), base)

    def test_verify_names_what_is_damaged(self):
        base = self.make("base", **{"etc/conf": "x" * 9000})
        self.assertRegex(self.ok("layer", "verify"), r"^1 layer, .* read: sound$")
        self.damage("objects")
        done = self.refused(rf"layer {base}: etc/conf: object \w+ is damaged", "layer", "verify")
        self.assertRegex(done.stderr, r"import the layer again.*\(S3\)")
        found = json.loads(self.ufs("layer", "verify", "--json", base).stdout)
        self.assertEqual([f["invariant"] for f in found["findings"]], ["S3"])
        self.make("base", **{"etc/conf": "x" * 9000})
        self.ok("layer", "verify", base)

    def test_check_and_repair(self):
        base = self.make("base", f="1" * 9000)
        self.ok("layer", "tag", base, "base")
        self.assertRegex(self.ok("store", "check"),
                         r"^1 layer, 1 object, 1 name, 0 views: sound$")
        self.assertEqual(self.ok("store", "repair"), "nothing is broken\n")
        run("rm", "-r", os.path.join(self.store, "catalog"))
        self.refused(r"catalog: .*\(S9\)", "store", "check")
        self.assertEqual(self.ok("store", "repair"), "catalog: made anew from the layers\n")
        self.ok("store", "check")
        self.damage("layers", ".tree")
        self.refused(rf"layer {base}: its index is damaged.*\(S2\)", "store", "check")
        self.refused("nothing was freed", "store", "gc")
        for words in (["layer", "tree", base], ["layer", "export", base, self.at("out")],
                      ["store", "check"], ["layer", "verify"], ["store", "gc"]):
            self.assertNotIn("Structure needs", self.ufs(*words).stderr)

    def test_a_store_that_lost_its_version_is_repaired(self):
        base = self.make("base", f="1")
        os.remove(os.path.join(self.store, "version"))
        self.refused("it has no 'version'", "layer", "ls")
        self.ok("store", "repair")
        self.assertEqual(self.ok("layer", "ls", "-q").strip(), base)

    def test_rm_beside_a_damaged_layer_says_what_it_did(self):
        base = self.make("base", f="1" * 9000)
        self.damage("layers", ".tree")
        app = self.make("app", g="2" * 9000)
        done = self.refused("the layers are removed, but what they alone used is left to 'ufs store "
                            "gc': nothing was freed, as it is not known", "layer", "rm", app)
        self.assertEqual(done.stdout, f"removed {app}\n")
        self.assertNotIn("nothing was removed", done.stderr)
        self.assertEqual(self.ok("layer", "ls", "-q").strip(), base)

    def test_a_view_ahead_of_the_first_mount(self):
        base, app = self.make("base", f="1"), self.make("app", g="2")
        text = self.ok("layer", "view", base, app)
        chain = text.split()[0]
        self.assertEqual(text, f"{chain} built\n")
        self.assertIn(chain[7:] + ".tree", os.listdir(os.path.join(self.store, "views")))
        self.assertEqual(json.loads(self.ok("layer", "view", "--json", base, app)),
                         {"chain_id": chain, "built": False, "layers": [base, app]})
        self.assertEqual(self.ok("layer", "view", base), f"{base} there already\n")
        self.refused("no layer given", "layer", "view", code=2)

    def test_verify_reads_views(self):
        base, app, other = self.make("base", f="1"), self.make("app", g="2"), self.make("x", h="3")
        chain = self.ok("layer", "view", base, app).split()[0]
        self.assertEqual(json.loads(self.ok("layer", "verify", "--json"))["views"], 1)
        run_file = os.path.join(self.store, "views", chain[7:] + ".run")
        with open(run_file, encoding="ascii") as file:
            text = file.read()
        self.damage("views", ".tree")
        for words in ([], [base], [app]):
            self.refused(rf"view {chain}: .* is damaged.*\(S7\)", "layer", "verify", *words)
        self.ok("layer", "verify", other)
        os.remove(os.path.join(self.store, "views", chain[7:] + ".tree"))
        self.ok("layer", "view", base, app)
        os.chmod(run_file, 0o644)
        with open(run_file, "w", encoding="ascii") as file:
            file.write(text.replace(base, other))
        self.refused(rf"view {chain}: .*not the view.*\(S7\)", "layer", "verify", base)

    def test_json_of_what_changes(self):
        self.write("from/f", "1" * 9000)
        base, app = self.ok("layer", "import", self.at("from")).strip(), self.make("app", g="2")
        self.assertEqual(json.loads(self.ok("layer", "tag", "--json", base, "one", "two:latest")),
                         {"digest": base, "names": ["one", "two"]})
        self.assertEqual(json.loads(self.ok("layer", "untag", "--json", "two")), {"untagged": ["two"]})
        self.ok("layer", "tag", base, "two")
        self.assertEqual(json.loads(self.ok("layer", "export", "--json", "one", self.at("one.tar"))),
                         {"digest": base, "format": "tar", "file": self.at("one.tar")})
        done = self.ok("layer", "export", "--json", "--format", "oci", "one", self.at("layout"))
        with open(self.at("layout/index.json"), encoding="ascii") as file:
            manifest = json.load(file)["manifests"][0]["digest"]
        self.assertEqual(json.loads(done)["digest"], manifest)
        self.refused("--json is for stdout too", "layer", "export", "--json", "one", code=2)
        self.assertEqual(json.loads(self.ok("layer", "rm", "--json", "two")),
                         {"removed": [], "untagged": ["two"], "freed_bytes": 0})
        removed = json.loads(self.ok("layer", "rm", "--json", "one", app))
        self.assertEqual(removed["removed"], [base, app])
        self.assertGreaterEqual(removed["freed_bytes"], 9000)

    def test_a_store_that_is_read_only(self):
        self.write("from/f", "1" * 9000)
        app = self.make("app", g="2")
        base = self.ok("layer", "import", "--name", "base", self.at("from")).strip()
        ro = self.make_dir("ro")
        self.assertEqual(run("mount", "--bind", self.store, ro).returncode, 0)
        self.addCleanup(run, "umount", ro)
        self.assertEqual(run("mount", "-o", "remount,ro,bind", ro).returncode, 0)
        os.environ["UFS_STORE"] = ro
        for words in (["layer", "ls"], ["layer", "show", "base"], ["layer", "tree", "base"],
                      ["layer", "diff", base, app], ["layer", "verify"], ["store", "df"],
                      ["store", "check"], ["store", "gc", "-n"],
                      ["layer", "export", "base", self.at("base.tar")]):
            self.ok(*words)
        for words in (["store", "gc"], ["store", "repair"], ["layer", "rm", "base"],
                      ["layer", "tag", "base", "x"], ["layer", "untag", "base"],
                      ["layer", "import", self.make_dir("one")],
                      ["layer", "image", base, app], ["layer", "view", base, app]):
            done = self.refused("ro: the store is read-only here; mount it writable", *words)
            self.assertNotIn("IO error", done.stderr)

    def test_the_same_tar_in_another_compression_is_kept_once(self):
        self.write("one/f", "1" * 9000)
        self.assertEqual(run("tar", "-cf", self.at("t"), "-C", self.at("one"), ".").returncode, 0)
        for tool in ("gzip", "zstd", "xz"):
            self.assertEqual(run(tool, "-kq", self.at("t")).returncode, 0)
        for name in ("t.gz", "t.zst", "t.xz", "t"):
            digest = self.ok("layer", "import", self.at(name)).strip()
            self.assertEqual(len(os.listdir(os.path.join(self.store, "blobs/sha256"))), 1, name)
        shown = json.loads(self.ok("layer", "show", "--json", digest))
        self.assertIn("gzip", shown["blob"]["media_type"])
        self.assertNotIn("leftover", self.ok("store", "check"))
        self.assertEqual(self.ok("store", "gc"), "freed 0 B\n")
        self.ok("layer", "verify")

    def test_hard_links_and_attributes_show(self):
        self.write("one/a", "x")
        os.link(self.at("one/a"), self.at("one/b"))
        os.setxattr(self.at("one/a"), "user.mark", b"\xff")
        self.write("two/a", "x")
        self.write("two/b", "x")
        for name in ("a", "b"):
            os.utime(self.at("two/" + name), ns=(0, os.stat(self.at("one/a")).st_mtime_ns))
            os.setxattr(self.at("two/" + name), "user.mark", b"\xff")
        for name in ("one", "two"):
            self.ok("layer", "import", "--name", name, self.at(name))
        text = self.ok("layer", "tree", "one")
        self.assertRegex(text, r"(?m)^-.* /b link to /a$")
        self.assertNotIn("user.mark", text)
        self.assertRegex(self.ok("layer", "tree", "--xattrs", "one", "b"), r" /b .*\n +user\.mark\n")
        nodes = [json.loads(line) for line in self.ok("layer", "tree", "--json", "one").splitlines()]
        self.assertEqual([node.get("link") for node in nodes], [None, "/a", "/a"])
        self.assertEqual(nodes[1]["xattrs"], [{"name": "user.mark", "value_hex": "ff"}])
        self.assertEqual(self.ok("layer", "diff", "one", "two"), "M /b\n")
        self.assertEqual(self.ok("layer", "diff", "two", "one"), "M /b\n")
        self.assertEqual(self.ok("layer", "diff", "one", "one"), "")

    def test_a_link_has_the_mode_that_linux_gives_it(self):
        with tarfile.open(self.at("l.tar"), "w") as tar:
            link = tarfile.TarInfo("l")
            link.type, link.linkname, link.mode = tarfile.SYMTYPE, "to", 0o755
            tar.addfile(link)
        layer = self.ok("layer", "import", self.at("l.tar")).strip()
        self.assertRegex(self.ok("layer", "tree", layer), r"(?m)^lrwxrwxrwx .* /l -> to$")
        self.ok("layer", "export", layer, self.at("again.tar"))
        with open(self.at("l.tar"), "rb") as tar, open(self.at("again.tar"), "rb") as again:
            self.assertEqual(tar.read(), again.read())
        self.ok("layer", "verify")

    def test_a_directory_of_who_may_not_make_devices(self):
        os.chmod(self.dir, 0o777)
        with tarfile.open(self.at("d.tar"), "w") as tar:
            device = tarfile.TarInfo("null")
            device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 3
            device.uid = device.gid = harness.USER
            tar.addfile(device)
        ufs = os.path.realpath(os.environ["UFS"])
        store = ("--store", self.at("mine"))
        digest = run(*as_user(ufs, "layer", "import", *store, self.at("d.tar"))).stdout.strip()
        done = run(*as_user(ufs, "layer", "export", "--format", "dir", *store, digest, self.at("out")))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "'null': a device, which only root can make; do this as root")
        self.assertFalse(os.path.exists(self.at("out")) or os.path.exists(self.at("out.part")))

    def test_gc(self):
        base = self.make("base", f="1" * 9000)
        self.assertEqual(self.ok("store", "gc"), "freed 0 B\n")
        text = self.ok("store", "gc", "--unnamed", "--dry-run")
        self.assertRegex(text, r"^would free [\d.]+ KiB: 1 layer, 1 object")
        self.assertEqual(self.ok("layer", "ls", "-q").strip(), base)
        self.assertRegex(self.ok("store", "gc", "--all"), r"^freed [\d.]+ KiB: 1 layer, 1 object")
        self.assertEqual(self.ok("layer", "ls", "-q"), "")

    def test_df_is_du(self):
        self.make("base", f="1" * 90000, g="2")
        done = run("du", "-s", "--block-size=1", self.store)
        usage = json.loads(self.ok("store", "df", "--json"))
        self.assertEqual(usage["total"], int(done.stdout.split()[0]))
        self.assertRegex(self.ok("store", "df"), r"(?m)^together +[\d.]+ KiB")

    def test_a_kill_at_a_fault_point(self):
        base = self.make("base", f="1" * 9000)
        done = self.ufs("layer", "rm", base, env={**os.environ, "UFS_FAULT": "remove.catalog:kill"})
        self.assertEqual(done.returncode, -9)
        self.ok("store", "check")
        self.assertEqual(self.ok("layer", "ls", "-q"), "")
        self.assertRegex(self.ok("store", "gc"), "1 object")

    def test_an_ordinary_user(self):
        os.chmod(self.dir, 0o777)
        store = self.at("mine")
        command = [MAKE_LAYER, store, "base", "f=" + "x" * 9000]
        self.assertEqual(run(*as_user(*command)).returncode, 0)
        ufs = os.path.realpath(os.environ["UFS"])
        for arguments in (["layer", "ls"], ["layer", "verify"], ["store", "check"],
                          ["store", "gc", "--all"]):
            done = run(*as_user(ufs, *arguments, "--store", store))
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_help(self):
        for words in (["layer"], ["store"], ["layer", "ls"], ["layer", "rm"], ["store", "gc"],
                      ["store", "df"], ["layer", "verify"]):
            self.assertTrue(self.ok(*words, "--help").startswith("Usage: ufs " + " ".join(words)))
        self.refused("unknown verb 'nothing'", "layer", "nothing", code=2)
        self.refused("unknown verb 'nothing'", "store", "nothing", code=2)
        self.refused(re.escape("no layer given"), "layer", "rm", code=2)


if __name__ == "__main__":
    harness.main()
