"""ufs mount: what it mounts, and how."""
import ctypes
import errno
import os
import re
import shutil
import signal
import subprocess
import unittest

import harness
from harness import UFS, CliTest, as_user, mounts, run, wait_until


# Of `ufs mount` of two layers of a store, both of its processes, by root.
MOST_CALLS = 150


class Layers(CliTest):
    def test_come_from_bottom_to_top(self):
        self.mount("--ro", self.base, self.app, self.mnt)
        self.assertEqual(self.read("mnt/both"), "app")
        self.assertEqual(self.read("mnt/only-base"), "1")
        self.assertEqual(self.read("mnt/only-app"), "2")
        self.umount()
        self.mount("--ro", self.app, self.base, self.mnt)
        self.assertEqual(self.read("mnt/both"), "base")

    def test_stay_as_they_are(self):
        before = self.tree()
        self.mount("--upper", self.make_dir("up"), self.base, self.app, self.mnt)
        self.write("mnt/both", "changed")
        os.remove(self.at("mnt/only-base"))
        os.chmod(self.at("mnt/only-app"), 0o600)
        self.assertEqual(self.read("base/both"), "base")
        self.assertEqual(self.read("app/both"), "app")
        self.umount()
        self.assertEqual(
            [entry for entry in self.tree()
             if not entry[0].startswith(self.at("up"))], before)

    def test_relative_paths_and_odd_names(self):
        for name in ("[a,b]", "-dash", "with blank", "co:lon,com\\ma"):
            self.make_layer(name, {"from": name})
            path = "./" + name if name.startswith("-") else name
            self.mount("--ro", path, "mnt", cwd=self.dir)
            self.assertEqual(self.read("mnt/from"), name)
            self.umount()

    def test_through_symbolic_links(self):
        os.symlink("base", self.at("link"))
        os.symlink("mnt", self.at("mnt-link"))
        self.mount("--ro", self.at("link"), self.at("mnt-link") + "/")
        self.assert_mounted()
        self.assertEqual(self.read("mnt/both"), "base")
        self.umount(self.at("mnt-link"))
        self.assert_gone()


class Upper(CliTest):
    def test_missing_one_is_made_with_its_work_directory(self):
        os.chmod(self.app, 0o751)
        os.chown(self.app, 7, 8)
        self.mount("--upper", self.at("up"), self.base, self.app, self.mnt)
        root = os.stat(self.mnt)
        self.assertEqual((root.st_mode & 0o7777, root.st_uid, root.st_gid),
                         (0o751, 7, 8), "those of the layer it covers")
        self.write("mnt/new", "x")
        self.umount()
        self.assertEqual(self.read("up/new"), "x")
        self.assertTrue(os.path.isdir(self.at("up.work")))

    def test_work_directory_may_be_named(self):
        self.mount("--upper", self.at("up"), "--work", self.at("elsewhere"),
                   self.base, self.mnt)
        self.write("mnt/new", "x")
        self.umount()
        self.assertTrue(os.path.isdir(self.at("elsewhere")))
        self.assertFalse(os.path.exists(self.at("up.work")))

    def test_changes_are_there_at_the_next_mount(self):
        for round in range(3):
            self.mount("--upper", self.at("up"), self.base, self.mnt)
            if round > 0:
                self.assertEqual(self.read(f"mnt/new{round - 1}"), "x")
            self.write(f"mnt/new{round}", "x")
            self.umount()

    def test_mount_that_has_it_is_named(self):
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        other = self.make_dir("other")
        done = self.ufs("mount", "--upper", self.at("up"), self.base, other)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"up is in use by the mount at {self.mnt}; unmount that one, "
                      "or name another directory", done.stderr)
        self.assertNotIn(other, mounts())

    def test_daemon_that_ends_after_umount_is_waited_for(self):
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        self.write("mnt/new", "x")
        daemon = int(harness.daemons(self.dir)[0].split(":")[0])
        os.kill(daemon, signal.SIGSTOP)
        try:
            # umount(8) would ask the daemon for the root's attributes.
            self.assertEqual(ctypes.CDLL(None).umount2(self.mnt.encode(), 0), 0)
            second = subprocess.Popen(
                [UFS, "mount", "--upper", self.at("up"), self.base, self.mnt])
            with self.assertRaises(subprocess.TimeoutExpired):
                second.wait(timeout=2)
        finally:
            os.kill(daemon, signal.SIGCONT)
        self.assertEqual(second.wait(timeout=harness.PATIENCE), 0)
        self.assertEqual(self.read("mnt/new"), "x")

    def test_fresh_one_is_printed_and_stays(self):
        paths = []
        for _ in range(2):
            done = self.mount(self.base, self.app, self.mnt)
            self.assertRegex(done.stdout,
                             r"\Aupper: /var/lib/ufs/uppers/mnt\.\w+/upper\n\Z")
            paths.append(done.stdout.split()[1])
            self.write("mnt/new", "x")
            self.umount()
            self.assertTrue(os.path.isfile(paths[-1] + "/new"))
        self.assertNotEqual(*paths)
        self.mount("--upper", paths[0], self.base, self.app, self.mnt)
        self.assertEqual(self.read("mnt/new"), "x")

    def test_read_only(self):
        done = self.mount("--ro", self.base, self.mnt)
        self.assertEqual(done.stdout, "")
        with self.assertRaises(OSError) as raised:
            self.write("mnt/new", "x")
        self.assertEqual(raised.exception.errno, errno.EROFS)
        self.assertIn("ro", mounts()[self.mnt][1])

    def test_read_only_with_an_upper_shows_it(self):
        self.write("up/new", "x")
        before = self.tree()
        self.mount("--ro", "--upper", self.at("up"), self.base, self.mnt)
        self.assertEqual(self.read("mnt/new"), "x")
        with self.assertRaises(OSError):
            os.remove(self.at("mnt/new"))
        self.umount()
        self.assertEqual(self.read("up/new"), "x")
        self.assertEqual([e for e in self.tree() if ".work" not in e[0]], before)


class Options(CliTest):
    def test_lowerdir_is_top_first(self):
        self.make_dir("up")
        self.make_dir("wk")
        self.mount("-o", f"lowerdir={self.app}:{self.base}", "-o",
                   f"upperdir={self.at('up')},workdir={self.at('wk')}", self.mnt)
        self.assertEqual(self.read("mnt/both"), "app")
        self.write("mnt/new", "x")
        self.umount()
        self.assertEqual(self.read("up/new"), "x")
        self.assertFalse(os.path.exists(self.at("up.work")))

    def test_lowerdir_without_upperdir_is_read_only(self):
        done = self.mount(f"-olowerdir={self.app}:{self.base}", self.mnt)
        self.assertEqual(done.stdout, "")
        with self.assertRaises(OSError) as raised:
            self.write("mnt/new", "x")
        self.assertEqual(raised.exception.errno, errno.EROFS)

    def test_escapes_in_directory_names(self):
        self.make_layer("a:b", {"colon": "1"})
        self.make_layer("a,b", {"comma": "2"})
        self.make_layer("a\\b", {"backslash": "3"})
        self.make_dir("u,p")
        where = self.dir
        self.mount("-o", f"lowerdir={where}/a\\:b:{where}/a\\,b:{where}/a\\\\b,"
                   f"upperdir={where}/u\\,p", self.mnt)
        self.assertEqual([self.read("mnt/" + name)
                          for name in ("colon", "comma", "backslash")],
                         ["1", "2", "3"])

    def test_empty_options_and_a_leading_colon(self):
        os.chown(self.at("base/both"), 5, 6)
        self.mount("-o", f",,lowerdir={self.base},,uidmapping=:0:100000:1000,"
                   "gidmapping=:0:200000:1000,", self.mnt)
        shown = os.stat(self.at("mnt/both"))
        self.assertEqual((shown.st_uid, shown.st_gid), (100005, 200006))

    def test_squash(self):
        os.chown(self.at("base/both"), 5, 6)
        for options, expected in (("squash_to_root", (0, 0)),
                                  ("squash_to_uid=7", (7, 6)),
                                  ("squash_to_gid=8", (5, 8)),
                                  ("squash_to_root,squash_to_uid=9", (9, 0))):
            with self.subTest(options):
                self.mount("-o", f"lowerdir={self.base},{options}", self.mnt)
                shown = os.stat(self.at("mnt/both"))
                self.assertEqual((shown.st_uid, shown.st_gid), expected)
                self.umount()

    def test_generic_ones_reach_the_kernel(self):
        self.mount("-o", "nosuid,nodev,noexec,noatime,fsname=my union,"
                   f"lowerdir={self.base}", self.mnt)
        kind, options, source = mounts()[self.mnt]
        self.assertEqual((kind, source), ("fuse.ufs", "my union"))
        for option in ("ro", "nosuid", "nodev", "noexec", "noatime"):
            self.assertIn(option, options)

    def test_those_of_fuse_and_fstab_are_taken(self):
        self.mount("-o", "defaults,user,noauto,_netdev,nofail,comment=x,x-y=z,"
                   "allow_other,default_permissions,max_idle_threads=3,clone_fd,"
                   "redirect_dir=on,metacopy=on,index=on,xino=auto,"
                   "nfs_export=off,timeout=5,fsync=1,threaded=1,noacl,"
                   f"lowerdir={self.base}", self.mnt)
        self.assertEqual(self.read("mnt/both"), "base")

    def test_own_ones(self):
        for whiteout in ("char", "xattr", "aufs"):
            with self.subTest(whiteout):
                up = self.at("up-" + whiteout)
                self.mount("--upper", up, "-o",
                           f"whiteout={whiteout},transport=classic",
                           self.base, self.mnt)
                os.remove(self.at("mnt/both"))
                self.assertFalse(os.path.exists(self.at("mnt/both")))
                self.umount()
                name = ".wh.both" if whiteout == "aufs" else "both"
                mode = os.lstat(os.path.join(up, name)).st_mode
                self.assertEqual(mode & 0o170000,
                                 0o020000 if whiteout == "char" else 0o100000)

    def test_userxattr(self):
        self.mount("--upper", self.at("up"), "-o", "userxattr", self.base,
                   self.mnt)
        os.chmod(self.at("mnt/both"), 0o600)
        self.umount()
        names = os.listxattr(self.at("up/both"))
        self.assertTrue(any(n.startswith("user.overlay.") for n in names), names)
        self.assertFalse(any(n.startswith("trusted.") for n in names), names)

    def test_volatile_is_refused_at_the_next_mount(self):
        self.mount("--upper", self.at("up"), "-o", "volatile", self.base,
                   self.mnt)
        self.umount()
        marker = self.at("up.work/work/incompat/volatile")
        self.assertTrue(os.path.exists(marker))
        done = self.ufs("mount", "--upper", self.at("up"), self.base, self.mnt)
        self.assert_refused(done, r"volatile.*" + marker)
        os.rmdir(marker)
        self.mount("--upper", self.at("up"), self.base, self.mnt)

    def test_other_users_may_enter_what_root_mounts(self):
        self.mount("--ro", self.base, self.mnt)
        done = run(*as_user("cat", self.at("mnt/both")))
        self.assertEqual((done.stdout, done.stderr), ("base", ""))


class Remount(CliTest):
    """As mount(8) has its helper do it, and by `ufs mount`."""

    def helper(self, options):
        # mount(8) hands on what it reads of the mount.
        return run("mount.fuse.ufs", "ufs", self.mnt, "-o", options +
                   ",user_id=0,group_id=0,default_permissions,allow_other",
                   executable=UFS)

    def remount(self, options):
        return self.ufs("mount", "-o", "remount," + options, self.mnt)

    def flags(self):
        shown = os.statvfs(self.mnt).f_flag
        return {name for name in ("RDONLY", "NOSUID", "NOEXEC")
                if shown & getattr(os, "ST_" + name)}

    def test_changes_what_it_names_and_no_more(self):
        self.mount("-o", "nosuid", "--upper", self.at("up"), self.base, self.mnt)
        for remount in (self.remount, lambda options: self.helper("remount," + options)):
            for options, flags in (("ro", {"RDONLY", "NOSUID"}),
                                   ("noexec", {"RDONLY", "NOSUID", "NOEXEC"}),
                                   ("rw,exec", {"NOSUID"})):
                done = remount(options)
                self.assertEqual((done.returncode, done.stderr), (0, ""), options)
                self.assertEqual(self.flags(), flags, options)
        self.write("mnt/both", "changed")
        self.remount("ro")
        with self.assertRaises(OSError) as raised:
            self.write("mnt/both", "changed again")
        self.assertEqual(raised.exception.errno, errno.EROFS)
        self.assertEqual(self.read("mnt/both"), "changed")

    def assert_refused(self, done, words):
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(words, done.stderr)
        self.assertNotIn("\n", done.stderr.strip())

    def test_not_the_union_itself(self):
        self.mount("--upper", self.at("up"), self.base, self.app, self.mnt)
        same = f"lowerdir={self.app}:{self.base},upperdir={self.at('up')}"
        self.assertEqual(self.helper("remount,ro," + same).returncode, 0)
        self.assertEqual(self.flags() & {"RDONLY"}, {"RDONLY"})
        self.assert_refused(self.helper(f"remount,rw,lowerdir={self.base}"),
                            "the layers of a mounted union cannot be changed")
        self.assert_refused(self.remount("rw,upperdir=" + self.at("other")),
                            "the upper directory of a mounted union")
        self.assert_refused(self.ufs("mount", "-o", "remount,rw", self.base, self.mnt),
                            "a mount point and -o options alone")
        self.assertEqual(self.flags() & {"RDONLY"}, {"RDONLY"})

    def test_with_the_options_of_fstab_after_a_commit(self):
        self.make_dir("up")
        options = f"lowerdir={self.base},upperdir={self.at('up')},workdir={self.at('up.work')}"
        self.make_dir("up.work")
        self.mount("-o", options, self.mnt)
        self.write("mnt/new", "new")
        done = self.ufs("commit", self.mnt, "--store", self.at("store"), "--name", "one")
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.helper("remount,ro," + options)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.flags(), {"RDONLY"})

    def test_keeps_times_and_links_as_they_are(self):
        def shown():
            return set(mounts()[self.mnt][1])
        self.mount("-o", "relatime,nosymfollow,dirsync", "--upper", self.at("up"), self.base,
                   self.mnt)
        before = shown()
        self.assertLessEqual({"rw", "relatime", "nosymfollow"}, before)
        self.assertEqual(self.remount("ro").returncode, 0)
        self.assertEqual(shown(), before - {"rw"} | {"ro"})
        self.assertEqual(self.remount("noatime,rw").returncode, 0)
        self.assertEqual(shown(), before - {"relatime"} | {"noatime"})

    def test_only_what_can_be_written_to(self):
        self.mount("--ro", self.base, self.mnt)
        self.assert_refused(self.remount("rw"), "no upper directory")
        self.assertEqual(self.remount("noexec").returncode, 0)

    def test_only_unions(self):
        self.assert_refused(self.remount("ro"), "nothing is mounted here")
        run("mount", "-t", "tmpfs", "tmpfs", self.mnt)
        self.assert_refused(self.remount("ro"), "is a mount of type tmpfs")
        run("umount", self.mnt)

    def test_only_by_root(self):
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        os.chmod(self.dir, 0o755)
        done = run(*as_user(UFS, "mount", "-o", "remount,ro", self.mnt))
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(self.flags() & {"RDONLY"}, set())


class Foreground(CliTest):
    def start(self, *arguments):
        process = subprocess.Popen(
            [UFS, "mount", *arguments], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        self.assertTrue(wait_until(lambda: self.mnt in mounts()))
        return process

    def test_stays_until_unmounted(self):
        process = self.start("-f", "--ro", self.base, self.mnt)
        self.assertEqual(self.read("mnt/both"), "base")
        self.assertIsNone(process.poll())
        run("umount", self.mnt)
        self.assertEqual(process.wait(harness.PATIENCE), 0)
        self.assert_gone()

    def test_signals_unmount(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number):
                process = self.start("-f", "--ro", self.base, self.mnt)
                self.assertEqual(self.read("mnt/both"), "base")
                process.send_signal(number)
                self.assertEqual(process.wait(harness.PATIENCE), 0)
                self.assert_gone()

    def test_debug_traces_each_message(self):
        for words in (["-d"], ["-o", "debug"]):
            with self.subTest(words):
                process = self.start(*words, "--ro", self.base, self.mnt)
                self.assertEqual(self.read("mnt/only-base"), "1")
                run("umount", self.mnt)
                _, trace = process.communicate(timeout=harness.PATIENCE)
                self.assertRegex(trace, "LOOKUP.*only-base")
                self.assertEqual(process.returncode, 0)


class Damage(CliTest):
    def told(self, names, *arguments):
        """What the daemon says of names that cannot be looked at."""
        process = subprocess.Popen(
            [UFS, "mount", "-f", *arguments, self.mnt], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        self.assertTrue(wait_until(lambda: self.mnt in mounts()))
        for name in names:
            with self.assertRaises(OSError) as raised:
                os.lstat(self.at("mnt/" + name))
            self.assertEqual(raised.exception.errno, errno.EIO, name)
        os.listdir(self.mnt)
        self.assertEqual(self.read("mnt/only-base"), "1", "the rest works")
        run("umount", self.mnt)
        return process.communicate(timeout=harness.PATIENCE)[1]

    def mark(self, path, name, value):
        os.makedirs(os.path.dirname(self.at(path)), exist_ok=True)
        os.setxattr(self.at(path), "trusted.overlay." + name, value)

    def test_of_a_layer_names_it_and_the_remedy(self):
        redirects = {"up": b"../../etc", "escape": b"/../etc", "absolute": b"etc/x",
                     "nul": b"a\0b"}
        for name, value in redirects.items():
            os.mkdir(self.at("app/" + name))
            self.mark("app/" + name, "redirect", value)
        os.mkdir(self.at("app/opaque"))
        self.mark("app/opaque", "opaque", b"perhaps")
        self.write("app/metacopy", "")
        self.mark("app/metacopy", "metacopy", b"")
        names = [*redirects, "opaque", "metacopy"]
        said = self.told(names, "--upper", self.at("up"), self.base, self.app)
        for name in [*redirects, "opaque"]:
            self.assertRegex(said, f"layer {self.app}: /{name}: damaged .* mark "
                             ".*; make the layer anew, or remove the mark")
        self.assertRegex(said, "/metacopy: a layer holds its attributes, none its "
                         "contents; mount the layers")

    def test_of_the_upper_names_it_and_the_remedy(self):
        for name in ("chunks", "metacopy"):
            self.write("up/" + name, "x")
            self.mark("up/" + name, "metacopy", b"p" if name == "chunks" else b"")
        self.write("base/chunks", "x")
        self.mark("up/chunks", "ufs.chunks", b"\1\x10")
        said = self.told(["chunks", "metacopy"], "--upper", self.at("up"), self.base)
        self.assertRegex(said, f"upper {self.at('up')}: chunks: damaged chunk map "
                         ".*; remove the file from the upper")
        self.assertRegex(said, f"upper {self.at('up')}: metacopy: its contents are in "
                         "no layer; mount the layers")

    def test_a_ring_of_redirects_ends(self):
        for name, other in (("one", b"/two"), ("two", b"/one")):
            os.mkdir(self.at("app/" + name))
            self.mark("app/" + name, "redirect", other)
        self.mount("--upper", self.at("up"), self.base, self.app, self.mnt)
        for name in ("one", "two"):
            self.assertEqual(os.listdir(self.at("mnt/" + name)), [])


class Background(CliTest):
    def test_daemon_lets_go_of_everything(self):
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        lines = harness.daemons(self.dir)
        self.assertEqual(len(lines), 1)
        pid = lines[0].split(":")[0]
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        for fd in "012":
            self.assertEqual(os.readlink(f"/proc/{pid}/fd/{fd}"), "/dev/null")
        self.assertEqual(os.getsid(int(pid)), int(pid))

    def test_may_lie_over_files_that_it_opens_itself(self):
        """It would wait for itself, if it did so before it answers."""
        for place in ("/run", "/sys"):
            with self.subTest(place):
                self.mount("--upper", self.at("up" + place.replace("/", "-")), self.base, place)
                self.assertEqual(self.read(place + "/both"), "base")
                # Its control socket may be in there, which keeps it busy.
                os.kill(int(harness.daemons(self.dir)[0].split(":")[0]), signal.SIGTERM)
                self.assertTrue(wait_until(lambda: not harness.daemons(self.dir)))
                self.assertNotIn("fuse.ufs", mounts()[place])

    def test_streams_that_the_caller_has_closed(self):
        """Their numbers go to nothing that the daemon works with."""
        for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
            with self.subTest(closed):
                done = run("sh", "-c", f'exec "$@" {closed}', "sh", UFS, "mount",
                           "--upper", self.at("up"), self.base, self.mnt)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertEqual(self.read("mnt/both"), "base")
                self.write("mnt/new", closed)
                self.assertEqual(self.read("up/new"), closed)
                self.umount()
                self.assert_gone()
        done = run("sh", "-c", f'"{UFS}" mount --help >&-')
        self.assertEqual(done.returncode, 1)
        self.assertIn("standard output: Bad file descriptor", done.stderr)

    def test_a_few_descriptors_are_enough(self):
        done = run("prlimit", "--nofile=64", UFS, "mount", "--upper",
                   self.at("up"), self.base, self.mnt)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for number in range(200):
            self.write(f"mnt/{number % 40}/deep/{number}", str(number))
        found = [self.read(f"mnt/{number % 40}/deep/{number}")
                 for number in range(200)]
        self.assertEqual(found, [str(number) for number in range(200)])

    def test_killed_daemon_leaves_an_upper_that_mounts_again(self):
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        self.write("mnt/new", "x")
        os.kill(int(harness.daemons(self.dir)[0].split(":")[0]), signal.SIGKILL)
        self.assertTrue(wait_until(lambda: not harness.daemons(self.dir)))
        again = self.ufs("mount", "--upper", self.at("up"), self.base, self.mnt)
        self.assertEqual(again.returncode, 1)
        self.assertRegex(again.stderr,
                         "mnt: mount point is a mount whose daemon is gone; "
                         "free it with 'ufs umount --lazy")
        self.umount()
        self.mount("--upper", self.at("up"), self.base, self.mnt)
        self.assertEqual(self.read("mnt/new"), "x")


@unittest.skipUnless(shutil.which("strace"), "needs strace")
class Start(CliTest):
    # Not its doing: memory, threads and what strace makes of them.
    UNCOUNTED = ("brk|mmap|munmap|mprotect|futex|madvise|rt_sig.*|rseq|"
                 "set_robust_list|restart_syscall")

    def calls(self, *layers):
        """What it asks the system for until it says that it is done."""
        log = self.at("calls-" + "-".join(layers))
        if os.path.exists(log):
            os.remove(log)
        process = subprocess.Popen(
            ["strace", "-f", "-q", "-o", log, UFS, "mount", "--store",
             self.at("store"), "--ro", "-o", "transport=classic", *layers,
             self.mnt])
        self.addCleanup(process.kill)
        self.assertTrue(wait_until(
            lambda: os.path.exists(log) and "+++ exited" in self.read(log)))
        self.assert_mounted()
        self.umount()
        self.assertEqual(process.wait(harness.PATIENCE), 0)
        until_done = self.read(log).partition("+++ exited")[0]
        return [line for line in until_done.splitlines()
                if re.match(r"\d+ +[a-z]", line) and
                not re.match(rf"\d+ +({self.UNCOUNTED})\(", line)]

    def test_asks_the_system_for_little(self):
        for name in ("base", "app"):
            self.assertEqual(self.ufs("layer", "import", "--store", self.at("store"),
                                      "--name", name, self.at(name)).returncode, 0)
        one = self.calls("base")
        # Each layer is a name looked up here and in the store.
        self.calls("base", "app")  # makes the view
        two = self.calls("base", "app")
        self.assertLessEqual(len(two), MOST_CALLS, "\n".join(two))
        self.assertLessEqual(len(two) - len(one), 12, "\n".join(two))
        for path in ("/openssl.cnf", "/sys/devices/system/node", "/catalog"):
            self.assertNotIn(path, "\n".join(two))


class FaultPoints(CliTest):
    def test_are_listed(self):
        done = self.ufs("mount", "--list-fault-points")
        self.assertEqual(done.returncode, 0)
        lines = done.stdout.splitlines()
        self.assertEqual(lines, sorted(lines))
        self.assertIn("copy_up.published kill|sleep=MS", lines)

    def test_fail_the_operation_that_visits_them(self):
        self.mount("--upper", self.at("up"), self.base, self.mnt,
                   env={**os.environ, "UFS_FAULT": "create.before:ENOSPC"})
        with self.assertRaises(OSError) as raised:
            self.write("mnt/new", "x")
        self.assertEqual(raised.exception.errno, errno.ENOSPC)
        self.write("mnt/new", "x")
        self.assertEqual(self.read("mnt/new"), "x")

    def test_bad_ones_are_refused(self):
        for spec in ("nosuch.point:kill", "create.before", "create.before:EWHAT",
                     "create.before:kill:0"):
            done = self.ufs("mount", "--ro", self.base, self.mnt,
                            env={**os.environ, "UFS_FAULT": spec})
            self.assert_refused(done, "^ufs mount: UFS_FAULT: ")


if __name__ == "__main__":
    harness.main()
