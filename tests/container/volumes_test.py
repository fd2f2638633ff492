"""Volumes with a name: made and filled by their first container, kept by the last,
for root and for an ordinary user."""
import json
import os
import signal
import subprocess

import bundle
import box
from bundle import wait_until


class VolumeCases:
    def setUp(self):
        super().setUp()
        self.write("base/srv/page", "of the image")
        os.makedirs(self.at("base/srv/sub"))
        os.symlink("../page", self.at("base/srv/sub/link"))
        os.chmod(self.at("base/srv"), 0o1751)

    def on_the_host(self, uid):
        """Who is that in a container?"""
        return uid

    def remove(self, *names):
        self.assertEqual(self.ok("volume", "rm", *names), "".join(n + "\n" for n in names))

    def test_outlives_its_containers(self):
        self.out("echo first >/v/file", "-v", "data:/v")
        self.assertEqual(self.out("cat /v/file; echo more >>/v/file", "-v", "data:/v"), "first\n")
        self.assertEqual(self.out("cat /other/file", "--mount", "type=volume,src=data,dst=/other"),
                         "first\nmore\n")
        self.remove("data")
        self.assertEqual(self.out("ls /v", "-v", "data:/v"), "")
        self.remove("data")

    def test_a_new_one_has_what_the_image_has(self):
        self.out("chown -h 5:6 /srv/page; chown 7:8 /srv", "--upper", self.upper())
        text = self.out("stat -c %u:%g /srv/page; stat -c %u:%g:%a /srv; cat /srv/sub/link",
                        "--upper", self.upper(), "-v", "data:/srv")
        self.assertEqual(text, "5:6\n7:8:1751\nof the image")
        self.out("echo changed >/srv/page; rm -r /srv/sub", "-v", "data:/srv")
        # Filled once: what is removed does not come back.
        self.assertEqual(self.out("ls /srv; cat /srv/page", "-v", "data:/srv"),
                         "page\nchanged\n")
        self.remove("data")

    def test_a_new_one_has_links_holes_and_attributes(self):
        srv = self.at("base/srv")
        os.link(srv + "/page", srv + "/sub/other")
        os.setxattr(srv + "/page", "user.of", b"a page")
        subprocess.run(["setfacl", "-m", f"u:{self.on_the_host(33)}:rx", srv + "/sub"],
                       check=True)
        with open(srv + "/sparse", "wb") as file:
            file.truncate(64 << 20)
            os.pwrite(file.fileno(), b"end", (64 << 20) - 3)
        os.mkfifo(srv + "/fifo")
        bundle.run("chown", "-hR", "--reference", self.base, self.base)
        os.utime(srv + "/sparse", ns=(10 ** 18 + 1, 10 ** 18 + 2))
        os.utime(srv + "/sub", ns=(10 ** 18 + 3, 10 ** 18 + 4))
        self.out("true", "-v", "data:/srv")
        [found] = json.loads(self.ok("volume", "inspect", "data"))
        data = found["mountpoint"]
        page, other, sparse, sub = (os.stat(f"{data}/{name}")
                                    for name in ("page", "sub/other", "sparse", "sub"))
        self.assertEqual((page.st_ino, page.st_nlink), (other.st_ino, 2))
        self.assertEqual(os.getxattr(data + "/page", "user.of"), b"a page")
        acl = bundle.run("getfacl", "-ncp", data + "/sub").stdout
        self.assertRegex(acl, rf"(?m)^user:{self.on_the_host(33)}:r-x$")
        self.assertEqual(os.stat(data + "/sub").st_mode, os.stat(srv + "/sub").st_mode)
        self.assertEqual((sparse.st_size, sparse.st_mtime_ns), (64 << 20, 10 ** 18 + 2))
        self.assertLess(sparse.st_blocks * 512, 1 << 20)
        self.assertEqual(sub.st_mtime_ns, 10 ** 18 + 4)
        self.assertTrue(os.path.exists(data + "/fifo"))
        self.remove("data")

    def test_not_filled(self):
        self.assertEqual(self.out("ls /srv", "-v", "data:/srv:nocopy"), "")
        self.assertEqual(self.out("ls /srv", "-v", "data:/srv"), "")
        self.assertEqual(self.out("ls /srv", "--mount",
                                  "type=volume,src=more,dst=/srv,volume-nocopy"), "")
        self.assertEqual(self.ok("volume", "create", "own"), "own\n")
        [found] = json.loads(self.ok("volume", "inspect", "own"))
        with open(found["mountpoint"] + "/mine", "w") as file:
            file.write("mine")
        self.assertEqual(self.out("ls /srv", "-v", "own:/srv"), "mine\n")
        self.remove("data", "more", "own")

    def test_read_only(self):
        done = self.box("cat /srv/page; touch /srv/new", "-v", "data:/srv:ro")
        self.assertEqual(done.stdout, "of the image")
        self.assertIn("Read-only file system", done.stderr)
        self.remove("data")

    def test_several_at_once(self):
        """Each sees all that the image had, whoever fills it."""
        for number in range(40):
            self.write(f"base/srv/many/{number}", "x" * 1000)
        words = self.command(*self.words("ls /srv/many | wc -l; echo >/srv/$HOSTNAME",
                                         "-v", "data:/srv"))
        boxes = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        self.assertEqual([box.communicate(timeout=60)[0] for box in boxes], ["40\n"] * 4)
        self.assertEqual(self.out("ls /srv | wc -l", "-v", "data:/srv"), "7\n")
        self.remove("data")

    def test_kept_while_a_container_has_it(self):
        self.start("sleep 1000", "-v", "data:/v", "-v", "data:/w", "-v", "more:/m")
        self.assertEqual(self.inspect()["volumes"], ["data", "more"])
        self.assertRegex(self.ok("volume", "ls"), r"data +\S+Z +box\nmore +\S+Z +box\n")
        for _ in range(2):
            done = self.ufs("volume", "rm", "data", "more")
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("volume data is in use by box; remove what uses it first: ufs rm box",
                          done.stderr)
            self.assertEqual(self.ok("volume", "prune", "--force"), "")
            self.ok("stop", "-t", "0", "box")  # and when it has ended
        self.ok("rm", "box")
        self.remove("data", "more")

    def test_without_a_name(self):
        """Made for its container, with which it goes if that is wanted."""
        self.start("cat /srv/page /srv/sub/link; echo >/srv/new; sleep 1000", "-v", "/srv",
                   "--mount", "type=volume,dst=/own", "-v", "data:/v")
        found = self.inspect()
        self.assertTrue(wait_until(lambda: self.ok("logs", "box") == "of the image" * 2))
        own = found["anonymous_volumes"]
        self.assertEqual((len(own), sorted(found["volumes"])), (2, sorted(own + ["data"])))
        for name in own:
            self.assertRegex(name, r"^[0-9a-f]{64}$")
            self.assertRegex(self.ok("volume", "ls"), name + r" +\S+Z +box\n")
        listed = json.loads(self.ok("volume", "ls", "--json"))
        self.assertEqual({v["name"]: v["anonymous"] for v in listed},
                         {own[0]: True, own[1]: True, "data": False})
        self.assertEqual(self.ufs("volume", "rm", own[0]).returncode, 1)  # in use
        self.out("true", "-v", own[0] + ":/others", "--name", "other", "--keep")
        self.ok("rm", "--force", "--volumes", "box")
        self.assertEqual(sorted(self.volumes()), sorted([own[0], "data"]))  # another has it
        self.ok("rm", "-v", "other")  # to which it is one with a name
        self.assertEqual(self.ok("volume", "inspect", own[0]).count('"anonymous": true'), 1)
        self.remove(own[0], "data")

    def test_without_a_name_and_kept(self):
        self.out("echo kept >/srv/file", "-v", "/srv", "--keep", "--name", "box")
        [name] = self.inspect()["anonymous_volumes"]
        self.ok("rm", "box")
        self.assertEqual(self.out("cat /v/file", "-v", name + ":/v"), "kept\n")
        self.remove(name)

    def test_without_a_name_goes_with_its_container(self):
        self.out("touch /srv/new", "-v", "/srv")
        self.assertEqual(self.volumes(), [])
        self.start("sleep 1000", "--rm", "-v", "/srv", "-v", "data:/v")
        self.ok("stop", "-t", "0", "box")
        self.assertEqual(self.volumes(), ["data"])
        self.assertEqual(self.ufs("run", "-v", "/srv", "-v", "data:/v", *self.layers, "--",
                                  "/not-there").returncode, 127)
        self.assertEqual(self.volumes(), ["data"])
        self.remove("data")

    def test_without_a_name_of_a_killed_container(self):
        found = self.start("sleep 1000", "--rm", "-v", "/srv")
        self.assertEqual(len(self.volumes()), 1)
        os.kill(found["supervisor"], signal.SIGKILL)
        self.assertTrue(wait_until(lambda: not os.path.exists(f"/proc/{found['supervisor']}")))
        self.ok("ps")
        self.assertEqual(self.volumes(), [])

    def test_words(self):
        self.refused("an absolute path below /", "-v", "/srv:ro")
        self.refused("an absolute path below /", "-v", "srv")
        self.refused("an absolute path below /", "-v", "/")

    def test_verbs(self):
        self.out("chown 5:6 /v", "-v", "one:/v")
        self.ok("volume", "create", "two")
        self.ok("volume", "create", "two")  # is there already
        self.assertEqual(self.ok("volume", "ls", "-q"), "one\ntwo\n")
        listed = json.loads(self.ok("volume", "ls", "--json"))
        self.assertEqual(listed, json.loads(self.ok("volume", "inspect", "one", "two")))
        self.assertEqual([(v["name"], v["used_by"]) for v in listed], [("one", []), ("two", [])])
        self.assertRegex(listed[0]["created"], r"^\d{4}-\d\d-\d\dT")
        self.assertEqual(os.stat(listed[0]["mountpoint"]).st_mode & 0o777, 0o755)
        for verb in ("inspect", "rm"):
            done = self.ufs("volume", verb, "none")
            self.assertEqual(done.returncode, 1)
            self.assertIn("no volume none; see 'ufs volume ls'", done.stderr)
        self.ok("volume", "rm", "--force", "none")
        self.assertEqual(self.ufs("volume", "rm", "../x").returncode, 1)
        done = self.ufs("volume", "prune")  # nobody says yes
        self.assertEqual(done.returncode, 1)
        self.assertEqual(sorted(self.volumes()), ["one", "two"])
        self.assertEqual(self.ok("volume", "prune", "--force"), "one\ntwo\n")

    def test_what_killed_containers_leave(self):
        found = self.start("sleep 1000", "--rm", "-v", "data:/v")
        os.kill(found["supervisor"], signal.SIGKILL)
        self.assertTrue(wait_until(lambda: not os.path.exists(f"/proc/{found['supervisor']}")))
        self.remove("data")  # whose container was to be removed

    def upper(self):
        return self.at("up")


class RootVolumeTest(VolumeCases, box.ImageMaker, box.BoxTest):
    def test_those_of_an_image(self):
        self.make_image(Volumes={"/srv/": {}, "var": {}, "/v": {}, "/t": {}}, Cmd=["true"])
        self.assertEqual(self.ok("run", "--rm", "img:1"), "")
        self.assertEqual(self.volumes(), [])
        self.ok("run", "--keep", "--name", "box", "-v", "data:/v", "--tmpfs", "/t", "img:1", "--",
                "sh", "-c", "echo 1 >/srv/one; echo 2 >/var/two")
        found = self.inspect()
        own = found["anonymous_volumes"]
        self.assertEqual((len(own), len(found["volumes"])), (2, 3))
        self.assertEqual(self.ok("run", "-v", own[0] + ":/a", "-v", own[1] + ":/b", "img:1", "--",
                                 "cat", "/a/page", "/a/one", "/b/two"), "of the image1\n2\n")
        self.ok("rm", "-v", "box")
        self.assertEqual(self.volumes(), ["data"])
        self.remove("data")

    def test_capabilities_are_filled_in(self):
        self.write("base/srv/ping", "no program")
        subprocess.run(["setcap", "cap_net_raw=ep", self.at("base/srv/ping")], check=True)
        os.chown(self.at("base/srv/page"), 5, 6)
        self.out("true", "-v", "data:/srv")
        [found] = json.loads(self.ok("volume", "inspect", "data"))
        self.assertIn("cap_net_raw=ep", bundle.run("getcap", found["mountpoint"] + "/ping").stdout)
        self.remove("data")


class UserVolumeTest(VolumeCases, box.UserBoxTest):
    def setUp(self):
        super().setUp()
        bundle.run("chown", "-R", self.user.name, self.base)
        os.mkdir(self.at("ups"))
        bundle.run("chown", self.user.name, self.at("ups"))

    def upper(self):
        return self.at("ups/up")

    def on_the_host(self, uid):
        with open("/etc/subuid") as file:
            [first] = [line.split(":")[1] for line in file
                       if line.startswith(self.user.name + ":")]
        return int(first) + uid - 1

    def test_one_id(self):
        self.one_id()
        done = self.box("cat /srv/page; echo new >/srv/new", "-v", "data:/srv")
        self.assertEqual((done.returncode, done.stdout), (0, "of the image"), done.stderr)
        self.remove("data")


if __name__ == "__main__":
    bundle.main()
